# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The PROXY protocol: HAProxy in front, which sends it, and behind, which reads it.
"""

from __future__ import annotations

import re
import socket
import struct

from ugate.test.interop.asking import connected, curl, isCut, socks5
from ugate.test.interop.peers import haproxy
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, freePort
from ugate.test.interop.targets import StreamServer, readExactly, webServer

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_AT = re.escape(HOST)


class FromHAProxyTests(InteropTestCase):
    """
    HAProxy in front of a listener.
    """

    def _gateway(self) -> Gateway:
        return self.ugate(
            config=f'listen: {{main: {{endpoint: "auto:proxyproto:tcp:0:interface={HOST}", open: true}}}}\n'
            "policy: {rules: [{action: allow}]}\n"
        )

    def test_headers(self) -> None:
        """
        Both versions of the header, in front of each protocol; the log names the client and not HAProxy.
        """
        gateway = self._gateway()
        server = webServer(self)
        for version in ("send-proxy", "send-proxy-v2"):
            port = freePort()
            haproxy(
                self,
                f"listen in\n  mode tcp\n  bind {HOST}:{port}\n  server us {HOST}:{gateway.port} {version}\n",
            )
            for scheme in ("socks4a", "socks5h", "http"):
                answer = curl(self, "-x", f"{scheme}://{HOST}:{port}", f"http://{HOST}:{server.port}/who")
                self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
            with connected(port) as client:
                source = client.getsockname()
                self.assertEqual(socks5(client, HOST, server.port), 0)
            gateway.waitFor(f"main: {HOST}:{source[1]} -> {HOST}:{server.port} socks5 anyone")

    def test_byHand(self) -> None:
        """
        A header that says an address which is not of this machine.
        """
        gateway = self._gateway()
        server = webServer(self)
        with connected(gateway.port) as client:
            client.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 5555 1080\r\n")
            self.assertEqual(socks5(client, HOST, server.port), 0)
        gateway.waitFor(f"main: 192.0.2.7:5555 -> {HOST}:{server.port} socks5 anyone")

    def test_missing(self) -> None:
        """
        Who sends no header is not served, and the other way round.
        """
        gateway = self._gateway()
        with connected(gateway.port) as client:
            client.sendall(b"\x05\x01\x00")
            self.assertTrue(isCut(client))
        plain = self.ugate()
        with connected(plain.port) as client:
            client.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 5555 1080\r\n\x05\x01\x00")
            self.assertTrue(isCut(client))
        plain.waitFor("auto:proxyproto:")


class ToTargetTests(InteropTestCase):
    """
    A header in front of what the target gets.
    """

    def _stream(self, route: str) -> tuple[bytes, tuple[str, int], Gateway]:
        """
        @return: what the target got, the address of the client, and the gateway.
        """
        got = []

        def serve(connection: socket.socket) -> None:
            data = b""
            while not data.endswith(b"hello"):
                data += readExactly(connection, 1)
            got.append(data)
            connection.sendall(b"bye")

        server = StreamServer(self, serve)
        gateway = self.ugate("--route", route)
        with connected(gateway.port) as client:
            source = client.getsockname()
            self.assertEqual(socks5(client, HOST, server.port), 0)
            client.sendall(b"hello")
            self.assertEqual(readExactly(client, 3), b"bye")
        server.ended()
        return got[0], source, gateway

    def test_v1(self) -> None:
        """
        Version 1: the client's address and port, in text.
        """
        got, source, gateway = self._stream("*=direct:proxyproto=v1")
        self.assertEqual(got, f"PROXY TCP4 {HOST} {HOST} {source[1]} {gateway.port}\r\nhello".encode())

    def test_v2(self) -> None:
        """
        Version 2: the same in binary.
        """
        got, source, gateway = self._stream("*=direct:proxyproto=v2")
        self.assertTrue(got.startswith(_SIGNATURE + b"\x21\x11\x00\x0c"), got)
        address = socket.inet_aton(HOST)
        self.assertEqual(got[16:], address + address + struct.pack(">HH", source[1], gateway.port) + b"hello")

    def test_behindUpstream(self) -> None:
        """
        The header goes to the target, through an upstream that does not see it.
        """
        last = self.ugate()
        got, source, _ = self._stream(f"*=socks:{HOST}:{last.port}:proxyproto=v1")
        self.assertRegex(got.decode(), rf"^PROXY TCP4 {_AT} {_AT} {source[1]} \d+\r\nhello$")

    def test_haproxyReads(self) -> None:
        """
        HAProxy takes the header, and tells the web server behind it whom it names.
        """
        server = webServer(self)
        for version in ("v1", "v2"):
            port = freePort()
            haproxy(
                self,
                f"listen out\n  mode http\n  bind {HOST}:{port} accept-proxy\n"
                "  http-request set-header X-Client %[src]:%[src_port]\n"
                f"  server web {HOST}:{server.port}\n",
            )
            gateway = self.ugate("--route", f"*=direct:proxyproto={version}")
            with connected(gateway.port) as client:
                source = client.getsockname()
                self.assertEqual(socks5(client, HOST, port), 0)
                client.sendall(b"GET /who HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            self.assertIn(f'"x-client": "{HOST}:{source[1]}"'.encode(), answer, version)

    def test_twoGateways(self) -> None:
        """
        One sends what the other reads, so that the second knows the client of the first.
        """
        server = webServer(self)
        last = self.ugate(
            config=f'listen: {{main: {{endpoint: "socks:proxyproto:tcp:0:interface={HOST}", open: true}}}}\n'
            "policy: {rules: [{action: allow}]}\n"
        )
        first = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:interface={HOST}"}}
routes:
- {{match: "*", via: "direct:proxyproto=v2 -> socks:{HOST}:{last.port}"}}
"""
        )
        with connected(first.port) as client:
            source = client.getsockname()
            self.assertEqual(socks5(client, HOST, server.port), 0)
        last.waitFor(f"main: {HOST}:{source[1]} -> {HOST}:{server.port} socks5 anyone")
