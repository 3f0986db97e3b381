# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams through real gateways: straight, by SOCKS5 with sing-box and PySocks, and from gateway to gateway.
"""

from __future__ import annotations

import socket
from typing import Any
from unittest import SkipTest

from ugate.test.interop.datagrams import SIZES, DatagramEcho, asked, client
from ugate.test.interop.envoys import envoyDatagrams
from ugate.test.interop.peers import singBox, singBoxForward
from ugate.test.interop.processes import (
    DEADLINE,
    HOST,
    LOOPBACK,
    Gateway,
    InteropTestCase,
    freePort,
    hasIPv6,
    needDescriptors,
    program,
)
from ugate.test.interop.test_mtls import MutualTestCase

MANY = 5000
FEW = 9000
"""Bytes that sing-box passes on: it cuts off what is over 16 KiB."""


def socksDatagrams(case: InteropTestCase, port: int) -> Any:
    """
    A socket for datagrams of PySocks.

    @param port: of the proxy.
    @raise SkipTest: it is not here.
    """
    try:
        import socks  # type: ignore[import-untyped]
    except ImportError as e:
        raise SkipTest("no PySocks here: pip install PySocks") from e
    asking: Any = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
    case.addCleanup(asking.close)
    asking.set_proxy(socks.SOCKS5, HOST, port)
    asking.settimeout(DEADLINE)
    return asking


class DatagramTestCase(InteropTestCase):
    """
    What is asked of each way.
    """

    def assertCarries(self, port: int, gateway: Gateway, host: str = HOST, most: int = 65507) -> None:
        """
        It is a way to an echo, for datagrams of all sizes.
        """
        asking = client(self, port, host)
        for size in (*(size for size in SIZES if size < most), most):
            data = bytes(size)
            self.assertEqual(len(data), len(asked(asking, data)), gateway.said())


class StraightTests(DatagramTestCase):
    """
    C{udp:} and C{socks:}, with no gateway behind.
    """

    def test_forward(self) -> None:
        """
        By IPv4 and IPv6, to an address and to a name.
        """
        echo = DatagramEcho(self)
        six = f"  six: {{endpoint: 'udp:0:to={HOST}\\:{echo.port}:interface=\\:\\:1'}}\n" if hasIPv6() else ""
        gateway = self.ugate(
            config="listen:\n"
            f"  main: {{endpoint: 'udp:0:to={HOST}\\:{echo.port}'}}\n"
            f"  name: {{endpoint: 'udp:0:to=localhost\\:{echo.port}'}}\n" + six
        )
        self.assertCarries(gateway.port, gateway)
        self.assertCarries(gateway.ports["name"], gateway)
        if six:
            self.assertCarries(gateway.ports["six"], gateway, "::1")

    def test_many(self) -> None:
        """
        Thousands of flows at once, each with a socket of its own; they are gone when the listener stops.
        """
        needDescriptors(2 * MANY)
        echo = DatagramEcho(self)
        gateway = self.ugate(listen=f"udp:0:to={HOST}\\:{echo.port}:flows={MANY}")
        asking = [client(self, gateway.port) for _ in range(MANY)]
        for begin in range(0, MANY, 100):
            for each in asking[begin : begin + 100]:
                each.send(b"at once")
            for each in asking[begin : begin + 100]:
                try:
                    self.assertEqual(b"at once", each.recv(100))
                except TimeoutError:
                    self.assertEqual(b"late", asked(each, b"late"))
        self.assertEqual(MANY, len(echo.peers))
        self.assertGreater(gateway.descriptors(), MANY)
        for each in asking[:100]:
            self.assertEqual(b"again", asked(each, b"again"))
        # One more: that which was silent for longest makes way.
        self.assertEqual(b"one more", asked(client(self, gateway.port), b"one more"))
        gateway.waitFor(f"made way: {MANY} flows")
        self.assertEqual(b"still here", asked(asking[0], b"still here"))

    def test_socksClients(self) -> None:
        """
        sing-box and PySocks as clients, to an address and to a name.
        """
        echo = DatagramEcho(self)
        gateway = self.ugate(listen=f"auto:tcp:0:{LOOPBACK}")
        for host in HOST, "localhost":
            port, box = singBoxForward(self, gateway.port, host, echo.port)
            self.assertCarries(port, gateway, most=FEW)
            # The association ends with its connection.
            box.end()
            gateway.waitFor(f"-> udp:{host}:{echo.port} socks5 operator")
        asking = socksDatagrams(self, gateway.port)
        for data in b"hello", bytes(9000):
            asking.sendto(data, (HOST, echo.port))
            self.assertEqual((data, (HOST, echo.port)), asking.recvfrom(65536))

    def test_socksServer(self) -> None:
        """
        sing-box as the proxy that we go through.
        """
        echo = DatagramEcho(self)
        upstream = singBox(self)
        gateway = self.ugate(
            "--route",
            f"*=socks:{HOST}:{upstream}",
            listen=f"udp:0:to={HOST}\\:{echo.port}",
        )
        self.assertCarries(gateway.port, gateway, most=FEW)


class GatewaysTests(MutualTestCase, DatagramTestCase):
    """
    From gateway to gateway.
    """

    def test_h2connect(self) -> None:
        """
        By HTTP/2 in TLS with both certificates.
        """
        echo = DatagramEcho(self)
        rules = (
            "policy: {rules: [{who: 'certificate:spiffe://*', action: allow,"
            f" target: 'udp:{HOST}:{echo.port}'}}]}}\n"
        )
        far = self.gate(self.root.identity("localhost"), "h2connect:mtls:tcp:0", "", config=rules)
        hop = f"h2connect:localhost:{far.port}"
        near = self.gate(
            self.alice(),
            f"udp:0:to={HOST}\\\\:{echo.port}",
            "",
            config=f"routes: [{{match: '*', via: '{hop}'}}]\n",
        )
        self.assertCarries(near.port, near)

    def test_websocket(self) -> None:
        """
        By UDP ASSOCIATE to one, which asks the other in WebSocket; it is said there why a target may not be.
        """
        echo, other = DatagramEcho(self), freePort()
        far = self.ugate(
            config=f"listen: {{main: 'websocket:tcp:0:{LOOPBACK}:path=/tunnel'}}\n"
            f"policy: {{rules: [{{target: 'udp:{HOST}:{other}', action: deny}}, {{action: allow}}]}}\n"
        )
        near = self.ugate(
            "--route", f"*=websocket:{HOST}:{far.port}:path=/tunnel", listen=f"socks:tcp:0:{LOOPBACK}"
        )
        asking = socksDatagrams(self, near.port)
        for size in (0, 1, 1400, 9000, 60000):
            data = bytes(size)
            asking.sendto(data, (HOST, echo.port))
            self.assertEqual((data, (HOST, echo.port)), asking.recvfrom(65536))
        asking.sendto(b"no", (HOST, other))
        self.assertIn("denied by policy", near.waitFor(f"udp:{HOST}:{other}"))
        far.waitFor(f"udp:{HOST}:{other}")
        asking.close()
        far.waitFor(f"-> udp:{HOST}:{echo.port} websocket operator: 70421 sent, 70421 received")


class EnvoyTests(DatagramTestCase):
    """
    Envoy, which speaks RFC 9298, too.
    """

    def test_client(self) -> None:
        """
        Envoy asks us, by HTTP/2 in clear text.
        """
        echo = DatagramEcho(self)
        gateway = self.ugate(listen=f"h2connect:tcp:0:{LOOPBACK}")
        self.assertCarries(envoyDatagrams(self, gateway.port, HOST, echo.port), gateway, most=1400)


class SSHTests(DatagramTestCase):
    """
    By SSH.
    """

    def test_ssh(self) -> None:
        """
        A gateway on either side.
        """
        echo = DatagramEcho(self)
        far = self.ugate("--state", str(self.directory / "far"), listen=f"ssh:tcp:0:{LOOPBACK}")
        scan = program("ssh-keyscan", "openssh-client")
        known = self.write("hosts", self.finish([scan, "-p", str(far.port), HOST]).stdout.decode())
        near = self.ugate(
            *("--state", str(self.directory / "near")),
            *("--route", f"*=ssh:bob@{HOST}:{far.port}:known={known}"),
            listen=f"udp:0:to={HOST}\\:{echo.port}",
        )
        self.assertCarries(near.port, near)
