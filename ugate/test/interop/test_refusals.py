# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a client sees of a stream that could not be: the right code in each protocol.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from ugate.test.interop.asking import connect, connected, curl, socks4, socks5
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, freePort, hasIPv6, localName
from ugate.test.interop.targets import StreamServer, echo

UNKNOWN = "no-such-host.invalid"


def silentTarget(test: InteropTestCase) -> int:
    """
    Something that never answers: its queue is full, so that the kernel drops who knocks.

    @return: its port.
    """
    kept = ExitStack()
    test.addCleanup(kept.close)
    listening = kept.enter_context(socket.socket())
    listening.bind((HOST, 0))
    listening.listen(0)
    port: int = listening.getsockname()[1]
    while True:
        knocking = kept.enter_context(socket.socket())
        knocking.settimeout(0.5)
        try:
            knocking.connect((HOST, port))
        except TimeoutError:
            return port


class RefusalTests(InteropTestCase):
    """
    Each reason in each protocol.
    """

    def _check(
        self, gateway: Gateway, host: str, port: int, code: int, status: int, error: str, code4: int = 91
    ) -> None:
        with connected(gateway.port) as client:
            self.assertEqual(socks5(client, host, port), code, f"SOCKS5 {host}:{port}")
            self.assertEqual(client.recv(1), b"", "closed after the reply")
        if ":" not in host:
            with connected(gateway.port) as client:
                self.assertEqual(socks4(client, host, port), code4, f"SOCKS4 {host}:{port}")
                self.assertEqual(client.recv(1), b"")
        with connected(gateway.port) as client:
            got, fields = connect(client, host, port)
            self.assertEqual((got, fields["proxy-status"]), (status, f"ugate; error={error}"))
        at = f"[{host}]" if ":" in host else host
        forwarded = curl(self, "-x", gateway.url("http"), "-i", f"http://{at}:{port}/")
        self.assertEqual(forwarded.status, status, forwarded.errors)
        self.assertIn(f"proxy-status: ugate; error={error}".encode(), forwarded.body.lower())

    def test_refused(self) -> None:
        """
        Nothing listens there.
        """
        gateway = self.ugate()
        self._check(gateway, HOST, freePort(), 5, 502, "connection_refused")
        if hasIPv6():
            self._check(gateway, "::1", freePort("::1"), 5, 502, "connection_refused")
        self._check(gateway, "localhost", freePort(), 5, 502, "connection_refused")

    def test_unknown(self) -> None:
        """
        There is no such name.
        """
        self._check(self.ugate(), UNKNOWN, 80, 4, 502, "dns_error")

    def test_silent(self) -> None:
        """
        The target never answers.
        """
        gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface={HOST}"}}
node: {{connect: 0.5}}
"""
        )
        port = silentTarget(self)
        began = time.monotonic()
        self._check(gateway, HOST, port, 6, 504, "connection_timeout")
        self.assertGreater(time.monotonic() - began, 1.5)

    def test_linkLocal(self) -> None:
        """
        Addresses of this network alone, and of the metadata service of a cloud.
        """
        gateway = self.ugate()
        targets = ["169.254.1.1", "169.254.169.254", "100.100.100.200", "fe80::1", "fd00:ec2::254"]
        # The same addresses in disguise.
        targets += ["::ffff:169.254.169.254", "2002:a9fe:a9fe::1"]
        for host in targets:
            self._check(gateway, host, 80, 2, 403, "http_request_denied")
        self.assertIn("metadata", gateway.said())

    def test_ownListener(self) -> None:
        """
        The gateway itself, however it is called.
        """
        gateway = self.ugate()
        for host in {HOST, localName()}:
            self._check(gateway, host, gateway.port, 2, 403, "http_request_denied")

    def test_ownListenerOnEveryAddress(self) -> None:
        """
        A listener on every address is found on each of them.
        """
        gateway = self.ugate(
            config='listen: {main: {endpoint: "auto:tcp:0:interface=0.0.0.0", open: true}}\n'
            "policy: {rules: [{action: allow}]}\n"
        )
        for host in {HOST, "127.0.0.2", "0.0.0.0", localName()}:
            self._check(gateway, host, gateway.port, 2, 403, "http_request_denied")

    def test_private(self) -> None:
        """
        Private addresses are a setting, and a name that leads to one is no way around.
        """
        gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface={HOST}"}}
policy: {{private: deny}}
"""
        )
        server = StreamServer(self, echo)
        for host in (HOST, "localhost"):
            self._check(gateway, host, server.port, 2, 403, "http_request_denied")

    def test_routeDenies(self) -> None:
        """
        A route that says no, with its reason.
        """
        gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface={HOST}"}}
routes:
- {{match: "*.corp", via: deny, reason: not for you}}
"""
        )
        self._check(gateway, "db.corp", 80, 2, 403, "http_request_denied")
        gateway.waitFor("not for you")

    def test_throughAnUpstream(self) -> None:
        """
        The reason that the last of two gateways has is what the client of the first one sees.
        """
        last = self.ugate(config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{connect: 0.5}}\n')
        silent = silentTarget(self)
        for prefix in ("socks", "connect"):
            first = self.ugate("--route", f"*={prefix}:{HOST}:{last.port}")
            self._check(first, HOST, freePort(), 5, 502, "connection_refused")
            with connected(first.port) as client:
                self.assertEqual(socks5(client, HOST, silent), 6)
            with connected(first.port) as client:
                self.assertEqual(socks5(client, "169.254.169.254", 80), 2)
            with connected(first.port) as client:
                self.assertEqual(socks5(client, UNKNOWN, 80), 4)

    def test_upstreamGone(self) -> None:
        """
        The upstream itself is not there: the log names the hop.
        """
        port = freePort()
        gateway = self.ugate("--route", f"*=socks:{HOST}:{port}")
        self._check(gateway, HOST, 80, 5, 502, "connection_refused")
        gateway.waitFor(f"connect at socks:{HOST}:{port}: connection refused")

    def test_limit(self) -> None:
        """
        More streams than C{node.streams} allows.
        """
        gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface={HOST}"}}
node: {{streams: 2}}
"""
        )
        server = StreamServer(self, echo)
        with ExitStack() as kept:
            for _ in range(2):
                client = kept.enter_context(connected(gateway.port))
                self.assertEqual(socks5(client, HOST, server.port), 0)
            self._check(gateway, HOST, server.port, 1, 503, "connection_limit_reached")
