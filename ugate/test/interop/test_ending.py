# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS that ends by name, beside some that passes through, with curl and openssl as clients.
"""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from OpenSSL import SSL

from ugate.protocols.clienthello import Alert, alertRecord
from ugate.test.hellofakes import realHello
from ugate.test.interop.asking import connected, curl
from ugate.test.interop.endings import EndingTestCase
from ugate.test.interop.processes import DEADLINE, HOST, waitUntil
from ugate.test.interop.targets import MEGABYTE, StreamServer, digestOf, echo, readAll, readExactly, webServer
from ugate.test.test_sni import MANGLED, mangled


class EndingTests(EndingTestCase):
    """
    Names that end here.
    """

    def test_both(self) -> None:
        """
        On one port some names end here, by the certificate for each, and others pass through to their own.
        """
        clear = webServer(self)
        own = self.root.identity("localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.keep("own", own))
        closed = webServer(self, tls=context)
        gateway = self.gateway(clear.port, rf":names=localhost\:{closed.port}")
        for version in ((), ("--tls-max", "1.2"), ("--http1.1",)):
            for name in ("www.site.example", "shop.site.example", "localhost"):
                answer = self.curl(gateway, name, *version)
                self.assertEqual((0, 200, 5), (answer.exit, answer.status, len(answer.body)), answer.errors)
        self.assertIn("subject=CN = www.site.example", self.client(gateway, "www.site.example"))
        self.assertIn("subject=CN = *.site.example", self.client(gateway, "shop.site.example"))
        self.assertIn("subject=CN = localhost", self.client(gateway, "localhost"))
        gateway.waitFor(f"-> shop.site.example:443 via forward:{HOST}:{clear.port} sni operator")
        for name in ("a.b.site.example", "nowhere.test"):
            answer = self.curl(gateway, name)
            self.assertEqual(35, answer.exit)
            self.assertIn("unrecognized name", answer.errors)
        gateway.waitFor("no certificate of root has that name")
        gateway.waitFor("add nowhere.test to its names=, to let it pass through, or to its ends=")
        self.assertIn("alert number 112", self.client(gateway, "x.test"))

    def test_bulk(self) -> None:
        """
        What passes through is moved by the kernel, as without C{ends=}; what ends here gets through whole.
        """
        size = 100 * MEGABYTE
        clear = webServer(self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.keep("own", self.root.identity("localhost")))
        closed = webServer(self, tls=context)
        gateway = self.gateway(clear.port, rf":names=localhost\:{closed.port}")
        to = ["--connect-to", f"::{HOST}:{gateway.port}", "--cacert", str(self.roots)]
        children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children")
        for name, helpers in (("www.site.example", 0), ("localhost", 1)):
            answer = curl(self, *to, f"https://{name}/bytes/{size}")
            self.assertEqual((0, 200), (answer.exit, answer.status), answer.errors)
            self.assertEqual(digestOf(size), sha256(answer.body).hexdigest())
            self.assertEqual(helpers, len(children.read_text().split()), name)

    def test_alpn(self) -> None:
        """
        The first of ours that the client has too; others are refused, and none is none.
        """
        gateway = self.gateway(webServer(self).port, ":alpn=http/1.1,x")
        for offered, chosen in (("h2,http/1.1", "http/1.1"), ("x,h2", "x")):
            self.assertIn(
                f"ALPN protocol: {chosen}", self.client(gateway, "www.site.example", "-alpn", offered)
            )
        self.assertIn("alert number 120", self.client(gateway, "www.site.example", "-alpn", "h2"))
        self.assertIn("No ALPN negotiated", self.client(gateway, "www.site.example"))
        self.assertEqual(200, self.curl(gateway, "www.site.example").status)

    def test_swapped(self) -> None:
        """
        Another certificate holds for the next connection, while a stream that is up goes on; and a broken one
        does not hold.
        """
        gateway = self.gateway(StreamServer(self, echo).port)

        def serial() -> int:
            with self.tls(gateway, "www.site.example") as client:
                return int(str((client.getpeercert() or {})["serialNumber"]), 16)

        with self.tls(gateway, "www.site.example") as up:
            up.sendall(b"before")
            self.assertEqual(b"before", up.recv(100))
            first = serial()
            second = self.certify("www", "www.site.example").certificate.serial_number
            self.assertNotEqual(first, second)
            waitUntil(lambda: serial() == second, "the new certificate", DEADLINE)
            (self.servers / "www.pem").write_text("-----BEGIN CERTIFICATE-----\nrubbish\n")
            said = gateway.waitFor("the one from before stays")
            self.assertIn("www.pem:1: this CERTIFICATE has no end", said)
            self.assertEqual(second, serial())
            (self.servers / "www.pem").unlink()
            waitUntil(lambda: serial() not in (first, second), "the one for *.site.example", DEADLINE)
            up.sendall(b"after")
            self.assertEqual(b"after", up.recv(100))

    def test_modes(self) -> None:
        """
        A key that others may read is not used, and the log says what to do.
        """
        (self.servers / "www.pem").chmod(0o644)
        gateway = self.gateway(webServer(self).port)
        gateway.waitFor("www.pem: others may read or write this key; run: chmod")
        self.assertIn("subject=CN = *.site.example", self.client(gateway, "www.site.example"))

    def test_serverFirst(self) -> None:
        """
        A server that speaks first, and ends first, while the client goes on.
        """
        got = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"220 welcome\r\n")
            connection.shutdown(socket.SHUT_WR)
            got.append(readAll(connection))

        server = StreamServer(self, serve)
        gateway = self.gateway(server.port)
        with connected(gateway.port) as below:
            below.setblocking(True)
            client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), below)
            client.set_tlsext_host_name(b"mail.site.example")
            client.set_connect_state()
            said = b""
            try:
                while True:
                    said += client.recv(65536)
            except SSL.ZeroReturnError:
                pass
            self.assertEqual(b"220 welcome\r\n", said)
            client.sendall(b"thank you")
            client.shutdown()
            server.ended()
        self.assertEqual([b"thank you"], got)

    def test_halfClose(self) -> None:
        """
        A client that has said all gets its whole answer.
        """
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        gateway = self.gateway(server.port)
        data = bytes(range(256)) * 12000
        with connected(gateway.port) as below:
            below.setblocking(True)
            client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), below)
            client.set_tlsext_host_name(b"www.site.example")
            client.set_connect_state()
            client.do_handshake()
            client.sendall(data)
            client.shutdown()
            answer = b""
            try:
                while True:
                    answer += client.recv(65536)
            except SSL.ZeroReturnError:
                pass
        self.assertTrue(answer == data[::-1], len(answer))

    def test_split(self) -> None:
        """
        A ClientHello in two packets, cut at every byte, ends or passes through.
        """
        server = StreamServer(self, lambda each: each.sendall(readExactly(each, 3)))
        gateway = self.gateway(server.port, rf":names=localhost\:{server.port}")
        hello = realHello("www.site.example")
        for cut in range(1, len(hello)):
            with connected(gateway.port) as client:
                client.sendall(hello[:cut])
                client.sendall(hello[cut:])
                # A ServerHello.
                self.assertEqual(b"\x16\x03\x03", readExactly(client, 3), cut)
        for cut in (1, 5, 6, 100):
            hello = realHello("localhost")
            with connected(gateway.port) as client:
                client.sendall(hello[:cut])
                client.sendall(hello[cut:])
                self.assertEqual(hello[:3], readExactly(client, 3))

    def test_mangled(self) -> None:
        """
        After thousands of broken ClientHellos nothing is left of them, and the next client is served.
        """
        self.certify("more", "db.corp", "www.example")
        server = webServer(self)
        gateway = self.gateway(server.port, ",db.corp,www.example")
        alert = alertRecord(Alert.INTERNAL_ERROR)[:6]

        def send(data: bytes) -> str:
            with connected(gateway.port) as client:
                try:
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    said = readAll(client)
                except TimeoutError:
                    raise
                except OSError:
                    return "reset"
            return "ended" if not said else "alert" if said[:6] == alert else "answer"

        self.assertEqual(200, self.curl(gateway, "www.site.example").status)
        before, size = gateway.descriptors(), gateway.resident()
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(send, mangled(6, MANGLED)))
        self.assertEqual(MANGLED, len(outcomes))
        self.assertGreater(outcomes.count("alert"), 100)
        self.assertGreater(outcomes.count("answer"), 100)
        waitUntil(lambda: gateway.descriptors() <= before + 2, "descriptors as before")
        self.assertLess(gateway.resident() - size, 32 * 1024)
        self.assertEqual(200, self.curl(gateway, "www.site.example").status)
