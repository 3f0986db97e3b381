# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The proxies of others, as upstream of a gateway and as its clients, and chains of them.
"""

from __future__ import annotations

import hashlib

from ugate.test.interop.asking import curl
from ugate.test.interop.peers import PASSWORD, USER, dante, microsocks, singBox, tinyproxy
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, localName
from ugate.test.interop.targets import BLOCK, MEGABYTE, Certificate, digestOf, webServer


class UpstreamCase(InteropTestCase):
    """
    Fetches through a gateway in each of its protocols.
    """

    def check(
        self, port: int, schemes: tuple[str, ...] = ("socks4a", "socks5h", "http"), name: str = "localhost"
    ) -> None:
        """
        A megabyte by HTTP and by HTTPS, and one up, through the proxy on a port.

        @param name: what the HTTPS server is called.
        """
        certificate = Certificate(self.directory)
        plain, secret = webServer(self), webServer(self, tls=certificate.context)
        for scheme in schemes:
            proxy = ["-x", f"{scheme}://{HOST}:{port}", "--cacert", str(certificate.path)]
            for url in (f"http://{HOST}:{plain.port}", f"https://{name}:{secret.port}"):
                answer = curl(self, *proxy, f"{url}/bytes/{MEGABYTE}")
                self.assertEqual((answer.exit, answer.status), (0, 200), f"{scheme} {url}: {answer.errors}")
                self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digestOf(MEGABYTE))
                told = curl(self, *proxy, "-T", "-", f"{url}/up", data=BLOCK).json()
                self.assertEqual(told["sha256"], digestOf(MEGABYTE), f"{scheme} {url}")

    def through(self, *hops: str, env: dict[str, str] | None = None) -> Gateway:
        """
        A gateway that sends everything through hops.
        """
        return self.ugate("--route", f"*={' -> '.join(hops)}", env=env)


class UpstreamTests(UpstreamCase):
    """
    One hop to the proxy of somebody else.
    """

    def test_microsocks(self) -> None:
        """
        microsocks, by SOCKS5.
        """
        # It takes the first address of a name, whether that answers or not.
        self.check(self.through(f"socks:{HOST}:{microsocks(self)}").port, name=localName())

    def test_microsocksWithLogin(self) -> None:
        """
        microsocks with a password, from a file; and a wrong one is told.
        """
        port = microsocks(self, login=True)
        path = self.write("password", f"{PASSWORD}\n")
        self.check(
            self.through(f"socks:{USER}@{HOST}:{port}:passwordFile={path}").port, ("socks5h",), localName()
        )
        wrong = self.through(f"socks:{USER}@{HOST}:{port}:passwordEnv=GUESS", env={"GUESS": "wrong"})
        answer = curl(self, "-x", wrong.url("http"), "-p", f"http://{HOST}:9/")
        self.assertEqual(answer.connect, 502)
        said = wrong.waitFor("refused: auth at")
        self.assertIn(f"socks:{HOST}:{port}: authentication failed", said)
        self.assertNotIn("wrong", said.partition("refused:")[2])

    def test_tinyproxy(self) -> None:
        """
        tinyproxy, by C{CONNECT}.
        """
        self.check(self.through(f"connect:{HOST}:{tinyproxy(self)}").port)

    def test_tinyproxyWithLogin(self) -> None:
        """
        tinyproxy with a password, from the environment.
        """
        port = tinyproxy(self, login=True)
        hop = f"connect:{USER}@{HOST}:{port}:passwordEnv=SECRET"
        self.check(self.through(hop, env={"SECRET": PASSWORD}).port, ("http",))

    def test_dante(self) -> None:
        """
        Dante, by SOCKS4, which has no names there, and by SOCKS5.
        """
        port = dante(self)
        self.check(self.through(f"socks4:{HOST}:{port}").port, ("socks5h",), HOST)
        self.check(self.through(f"socks:{HOST}:{port}").port, ("http",))

    def test_singBox(self) -> None:
        """
        sing-box, by each protocol that both speak.
        """
        port = singBox(self)
        for prefix in ("socks", "socks4", "connect"):
            self.check(self.through(f"{prefix}:{HOST}:{port}").port, ("socks5h",))

    def test_singBoxInFront(self) -> None:
        """
        sing-box as a client, by each protocol that both speak.
        """
        gateway = self.ugate()
        server = {"server": HOST, "server_port": gateway.port}
        for outbound in (
            {"type": "socks", "version": "5", **server},
            {"type": "socks", "version": "4a", **server},
            {"type": "http", **server},
        ):
            self.check(singBox(self, outbound), ("socks5h",))


class ChainTests(UpstreamCase):
    """
    Several hops.
    """

    def test_twoGateways(self) -> None:
        """
        Two of us, by each protocol.
        """
        last = self.ugate()
        for prefix in ("socks", "socks4", "connect"):
            self.check(self.through(f"{prefix}:{HOST}:{last.port}").port)

    def test_threeHops(self) -> None:
        """
        Three hops in each of three protocols, in one string.
        """
        one, two, three = self.ugate(), self.ugate(), self.ugate()
        first = self.through(
            f"socks:{HOST}:{one.port}", f"connect:{HOST}:{two.port}", f"socks4:{HOST}:{three.port}"
        )
        self.check(first.port)
        # Each hop was asked for the next one.
        one.waitFor(f"-> {HOST}:{two.port} socks5")
        two.waitFor(f"-> {HOST}:{three.port} connect")
        three.waitFor("-> localhost:")

    def test_threeOfOthers(self) -> None:
        """
        microsocks, tinyproxy and Dante in a row.
        """
        hops = (
            f"socks:{HOST}:{microsocks(self)}",
            f"connect:{HOST}:{tinyproxy(self)}",
            f"socks4:{HOST}:{dante(self)}",
        )
        self.check(self.through(*hops).port, ("socks5h", "http"), HOST)

    def test_namedHops(self) -> None:
        """
        Hops with names in a configuration, one on top of the other, and a second way when the first is down.
        """
        last = self.ugate()
        middle = self.ugate()
        gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface={HOST}"}}
dial:
  gone: {{hops: "socks:{HOST}:1", retries: 0}}
  near: socks:{HOST}:{middle.port}
  far: near -> connect:{HOST}:{last.port}
routes:
- {{match: "*", via: [gone, far]}}
"""
        )
        self.check(gateway.port, ("socks5h",))
        middle.waitFor(f"-> {HOST}:{last.port}")
