# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The clients that people have: ncat, socat, proxychains, and programs that go by C{HTTP_PROXY}.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import lru_cache

from twisted.trial.unittest import SkipTest

from ugate.test.interop.peers import PASSWORD, USER
from ugate.test.interop.processes import (
    CHECKOUT,
    HOST,
    Gateway,
    InteropTestCase,
    environment,
    freePort,
    program,
)
from ugate.test.interop.targets import BLOCK, Certificate, StreamServer, readAll, webServer


@lru_cache
def passwordLine(name: str = USER, password: str = PASSWORD) -> str:
    """
    What C{python -m ugate.tenancy.passwords NAME} prints.
    """
    done = subprocess.run(
        [sys.executable, "-m", "ugate.tenancy.passwords", name],
        input=f"{password}\n".encode(),
        stdout=subprocess.PIPE,
        timeout=30,
        check=True,
        env=environment(),
        cwd=CHECKOUT,
    )
    return done.stdout.decode()


class NetcatTests(InteropTestCase):
    """
    Programs that connect standard input and output to a stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.data = BLOCK * 2

        def shout(connection: object) -> None:
            self.got = readAll(connection)  # type: ignore[arg-type]
            connection.sendall(self.got.swapcase())  # type: ignore[attr-defined]

        # It answers when all has come, so the half-close has to come through too.
        self.server = StreamServer(self, shout)

    def _check(self, *command: str) -> None:
        done = self.finish(command, self.data)
        self.assertEqual(done.stderr, b"", command)
        self.assertTrue(done.stdout == self.data.swapcase(), f"{command}: {len(done.stdout)} bytes")
        self.server.ended()

    def _ncat(self, gateway: Gateway, kind: str, *more: str) -> None:
        proxy = f"{HOST}:{gateway.port}"
        ncat = program("ncat")
        self._check(ncat, "--proxy", proxy, "--proxy-type", kind, *more, HOST, str(self.server.port))

    def test_ncat(self) -> None:
        """
        ncat by each of its protocols.
        """
        gateway = self.ugate()
        for kind in ("socks4", "socks5", "http"):
            self._ncat(gateway, kind)

    def test_ncatByName(self) -> None:
        """
        ncat lets the proxy resolve the name.
        """
        gateway = self.ugate()
        ncat = [program("ncat"), "--proxy", f"{HOST}:{gateway.port}", "--proxy-dns", "remote"]
        for kind in ("socks4", "socks5", "http"):
            self._check(*ncat, "--proxy-type", kind, "localhost", str(self.server.port))
        self.assertIn(f"-> localhost:{self.server.port} socks5", gateway.said())

    def test_ncatWithLogin(self) -> None:
        """
        ncat with a name and a password.
        """
        users = self.write("users", passwordLine())
        gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface=0.0.0.0"}}
policy: {{users: "{users}", rules: [{{action: allow}}]}}
"""
        )
        for kind in ("socks5", "http"):
            self._ncat(gateway, kind, "--proxy-auth", f"{USER}:{PASSWORD}")
        self.assertIn(f"socks5 {USER}: ", gateway.said())
        self.assertIn(f"connect {USER}: ", gateway.said())

    def test_socat(self) -> None:
        """
        socat by SOCKS4, SOCKS4A and C{CONNECT}.
        """
        gateway = self.ugate()
        for address in (
            f"SOCKS4:{HOST}:{HOST}:{self.server.port},socksport={gateway.port}",
            f"SOCKS4A:{HOST}:localhost:{self.server.port},socksport={gateway.port}",
            f"PROXY:{HOST}:localhost:{self.server.port},proxyport={gateway.port}",
        ):
            self._check(program("socat"), "-t", "20", "-", address)


class ProxychainsTests(InteropTestCase):
    """
    A program that knows nothing of proxies.
    """

    def test_proxychains(self) -> None:
        """
        curl without a proxy of its own, in proxychains, by each protocol.
        """
        chains = program("proxychains4")
        gateway = self.ugate()
        server = webServer(self)
        for kind in ("socks4", "socks5", "http"):
            config = self.write(
                f"{kind}.conf", f"strict_chain\nproxy_dns\n[ProxyList]\n{kind} {HOST} {gateway.port}\n"
            )
            fetch = [program("curl"), "-q", "-sS", "--max-time", "20"]
            done = self.finish(
                [chains, "-q", "-f", config, *fetch, f"http://{HOST}:{server.port}/bytes/100000"]
            )
            self.assertTrue(done.stdout == BLOCK[:100000], f"{kind}: {done.stderr!r}")
        for protocol in ("socks4", "socks5", "connect"):
            gateway.waitFor(f"-> {HOST}:{server.port} {protocol}")


URLLIB = """
import ssl, sys, urllib.request
trusted = ssl.create_default_context(cafile=sys.argv[1])
for url in sys.argv[2:]:
    with urllib.request.urlopen(url, timeout=20, context=trusted) as response:
        body = response.read()
        print(response.status, len(body))
"""

REQUESTS = """
import requests, sys
with requests.Session() as session:
    for url in sys.argv[2:]:
        response = session.get(url, timeout=20, verify=sys.argv[1])
        print(response.status_code, len(response.content))
"""


class EnvironmentTests(InteropTestCase):
    """
    Programs that go by C{HTTP_PROXY} and C{HTTPS_PROXY}.
    """

    def _check(self, text: str, password: str = "") -> None:
        config = f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\n'
        login = ""
        if password:
            users = self.write("users", passwordLine(password=password))
            config += f'policy: {{users: "{users}", rules: [{{action: allow}}]}}\n'
            login = f"{USER}:{password}"
        gateway = self.ugate(config=config)
        certificate = Certificate(self.directory)
        plain, secret = webServer(self), webServer(self, tls=certificate.context)
        urls = [f"http://{HOST}:{plain.port}/bytes/300000", f"https://localhost:{secret.port}/bytes/300000"]
        proxy = gateway.url("http", login)
        script = self.write("fetch.py", text)
        done = self.finish(
            [sys.executable, script, certificate.path, *urls],
            env={"HTTP_PROXY": proxy, "http_proxy": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": ""},
        )
        self.assertEqual(
            done.stdout.decode().split("\n"), ["200 300000", "200 300000", ""], done.stderr.decode()
        )
        gateway.waitFor(f"-> localhost:{secret.port} connect {USER if login else 'operator'}")
        gateway.waitFor(f"-> {HOST}:{plain.port} http {USER if login else 'operator'}")
        self.assertNotIn(PASSWORD, gateway.said())

    def test_urllib(self) -> None:
        """
        Python's own client, with a login.
        """
        self._check(URLLIB, PASSWORD)

    def test_requests(self) -> None:
        """
        requests.
        """
        if importlib.util.find_spec("requests") is None:
            raise SkipTest("no requests here: pip install requests")
        self._check(REQUESTS, PASSWORD)
        self._check(REQUESTS)

    def test_closedProxy(self) -> None:
        """
        The variables are heeded: with nothing on that port, nothing is fetched.
        """
        server = webServer(self)
        proxy = f"http://{HOST}:{freePort()}"
        script = self.write("fetch.py", URLLIB)
        certificate = Certificate(self.directory)
        done = self.finish(
            [sys.executable, script, certificate.path, f"http://{HOST}:{server.port}/who"],
            env={"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": ""},
        )
        self.assertIn(b"refused", done.stderr)
