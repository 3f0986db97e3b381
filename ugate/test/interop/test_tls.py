# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS between a client and a gateway, and between a gateway and its upstream: bytes that are copied, since the
kernel cannot move them.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading

from ugate.test.interop.asking import connect, curl, socks5
from ugate.test.interop.peers import haproxy
from ugate.test.interop.processes import DEADLINE, HOST, Gateway, InteropTestCase, freePort
from ugate.test.interop.targets import (
    BLOCK,
    MEGABYTE,
    Certificate,
    StreamServer,
    digestOf,
    readAll,
    webServer,
)


class TLSTests(InteropTestCase):
    """
    A listener within TLS, by Twisted's own endpoint, and hops with C{tls=yes}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.certificate = Certificate(self.directory)

    def _listening(self) -> Gateway:
        keys = f"privateKey={self.directory}/key.pem:certKey={self.certificate.path}"
        listener = f'{{endpoint: "auto:ssl:0:{keys}:interface={HOST}", open: true}}'
        return self.ugate(config=f"listen: {{main: {listener}}}\npolicy: {{rules: [{{action: allow}}]}}\n")

    def _trusting(self, hop: str) -> Gateway:
        return self.ugate("--route", f"*={hop}", env={"SSL_CERT_FILE": str(self.certificate.path)})

    def _check(self, proxy: str) -> None:
        server = webServer(self)
        size = 20 * MEGABYTE
        options = ["-x", proxy, "--proxy-cacert", str(self.certificate.path)]
        answer = curl(self, *options, f"http://{HOST}:{server.port}/bytes/{size}")
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
        self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digestOf(size))
        told = curl(
            self, *options, "-p", "-T", "-", f"http://{HOST}:{server.port}/up", data=BLOCK * 20
        ).json()
        self.assertEqual(told["sha256"], digestOf(size))

    def test_client(self) -> None:
        """
        curl speaks TLS to the proxy.
        """
        self._check(f"https://localhost:{self._listening().port}")

    def test_hop(self) -> None:
        """
        A gateway speaks TLS to the next one, by each protocol.
        """
        last = self._listening()
        for prefix in ("connect", "socks", "socks4"):
            self._check(self._trusting(f"{prefix}:localhost:{last.port}:tls=yes").url("http"))

    def test_offers(self) -> None:
        """
        A client that offers protocols inside of TLS, as browsers do, gets the one that is spoken; and so does
        a hop in WebSocket.
        """
        keys = f"privateKey={self.directory}/key.pem:certKey={self.certificate.path}"
        listeners = "".join(
            f"  {name}: {{endpoint: '{endpoint}:ssl:0:{keys}:interface={HOST}', open: true}}\n"
            for name, endpoint in (("main", "auto"), ("ws", "websocket"), ("h2", "h2connect"))
        )
        gate = self.ugate(config=f"listen:\n{listeners}policy: {{rules: [{{action: allow}}]}}\n")
        for name, spoken in (("main", "http/1.1"), ("ws", "http/1.1"), ("h2", "h2")):
            context = ssl.create_default_context(cafile=str(self.certificate.path))
            context.set_alpn_protocols(["h2", "http/1.1"])
            with (
                socket.create_connection((HOST, gate.ports[name]), DEADLINE) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                self.assertEqual(spoken, client.selected_alpn_protocol())
        self._check(self._trusting(f"websocket:localhost:{gate.ports['ws']}:tls=yes").url("http"))

    def _behindHAProxy(self) -> int:
        """
        A gateway behind an HAProxy that ends the TLS.

        @return: the port of HAProxy.
        """
        both = self.write(
            "both.pem", (self.directory / "key.pem").read_text() + self.certificate.path.read_text()
        )
        port = freePort()
        last = self.ugate()
        haproxy(
            self,
            f"listen in\n  mode tcp\n  bind {HOST}:{port} ssl crt {both}\n  server us {HOST}:{last.port}\n",
        )
        return port

    def test_haproxyEnds(self) -> None:
        """
        HAProxy ends the TLS.
        """
        self._check(self._trusting(f"socks:localhost:{self._behindHAProxy()}:tls=yes").url("socks5h"))

    def test_notTrusted(self) -> None:
        """
        A certificate that this host does not trust, and one for another name.
        """
        last = self._listening()
        gateway = self.ugate("--route", f"*=connect:localhost:{last.port}:tls=yes")
        answer = curl(self, "-x", gateway.url("http"), "-p", f"http://{HOST}:9/")
        self.assertEqual(answer.connect, 502)
        gateway.waitFor(f"refused: TLS at connect:localhost:{last.port}")
        other = self._trusting(f"connect:127.0.0.2:{last.port}:tls=yes")
        answer = curl(self, "-x", other.url("http"), "-p", f"http://{HOST}:9/")
        self.assertEqual(answer.connect, 502)

    def test_bothWaysAtOnce(self) -> None:
        """
        30 MiB up while as much comes down.
        """
        size = 30

        def serve(connection: socket.socket) -> None:
            sender = threading.Thread(target=connection.sendall, args=(BLOCK * size,))
            sender.start()
            got.append(_digestOf(connection, size * MEGABYTE))
            sender.join()

        got: list[str] = []
        server = StreamServer(self, serve)
        first = self._trusting(f"connect:localhost:{self._listening().port}:tls=yes")
        with socket.create_connection((HOST, first.port), DEADLINE) as client:
            self.assertEqual(socks5(client, HOST, server.port), 0)
            sender = threading.Thread(target=client.sendall, args=(BLOCK * size,))
            sender.start()
            down = _digestOf(client, size * MEGABYTE)
            sender.join()
        server.ended()
        self.assertEqual((down, got), (digestOf(size * MEGABYTE), [digestOf(size * MEGABYTE)]))

    def test_halfClose(self) -> None:
        """
        The client ends, the server answers then, through a hop in TLS.
        """
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        first = self._trusting(f"connect:localhost:{self._behindHAProxy()}:tls=yes")
        for size in (0, 10, 3_000_000):
            data = (BLOCK * 3)[:size]
            with socket.create_connection((HOST, first.port), DEADLINE) as client:
                self.assertEqual(connect(client, HOST, server.port)[0], 200)
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                self.assertTrue(readAll(client) == data[::-1], size)
        server.ended()

    def test_slowReader(self) -> None:
        """
        A client that does not read holds up its stream, and the gateway keeps little of it.
        """
        server = StreamServer(self, lambda connection: connection.sendall(BLOCK * 64))
        gateway = self._listening()
        context = ssl.create_default_context(cafile=str(self.certificate.path))
        with socket.create_connection((HOST, gateway.port), DEADLINE) as plain:
            client = context.wrap_socket(plain, server_hostname="localhost")
            self.addCleanup(client.close)
            self.assertEqual(socks5(client, HOST, server.port), 0)
            before = gateway.resident()
            other = curl(
                self,
                *("-x", f"https://localhost:{gateway.port}"),
                *("--proxy-cacert", self.certificate.path),
                f"http://{HOST}:{webServer(self).port}/bytes/1000",
            )
            self.assertEqual(other.body, BLOCK[:1000], other.errors)
            self.assertLess(gateway.resident() - before, 16 * 1024)
            self.assertEqual(_digestOf(client, 64 * MEGABYTE), digestOf(64 * MEGABYTE))
        server.ended()


def _digestOf(connection: socket.socket, size: int) -> str:
    digest = hashlib.sha256()
    while size:
        data = connection.recv(min(size, MEGABYTE))
        if not data:
            break
        digest.update(data)
        size -= len(data)
    return digest.hexdigest()
