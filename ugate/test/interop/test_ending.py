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

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from ugate.protocols.clienthello import Alert, alertRecord
from ugate.test.interop.asking import Answer, connected, curl
from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Gateway, program, waitUntil
from ugate.test.interop.targets import MEGABYTE, StreamServer, digestOf, echo, readAll, readExactly, webServer
from ugate.test.interop.test_mtls import MutualTestCase
from ugate.test.test_clienthello import realHello
from ugate.test.test_sni import MANGLED, mangled
from ugate.test.tlsfakes import DAY, NOW, FakeIdentity, Issuer


class EndingTestCase(MutualTestCase):
    """
    A gateway with certificates for C{*.site.example} and C{www.site.example}.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.servers = self.directory / "servers"
        self.servers.mkdir()
        self.certify("www", "www.site.example")
        self.certify("all", "*.site.example")

    def certify(self, file: str, *names: str, by: Issuer | None = None) -> FakeIdentity:
        """
        A certificate in the folder, whole at every moment.
        """
        identity = (by or self.root).identity(*names)
        part = self.servers / f".{file}"
        part.touch(0o600)
        part.write_bytes(identity.pem())
        part.rename(self.servers / f"{file}.pem")
        return identity

    def gateway(self, port: int, more: str = "", config: str = "") -> Gateway:
        """
        One whose names end here and go on to a port, or are C{localhost} and pass through to another.
        """
        names = "'*.site.example', db.corp, www.example"
        return self.ugate(
            config=(
                f"listen: {{main: 'sni:tcp:0:{LOOPBACK}:ends=*.site.example{more}'}}\n"
                f"identity: {{servers: {self.servers}}}\n"
                f"routes: [{{match: [{names}], via: 'forward:{HOST}:{port}'}}]\n"
                f"node: {{state: {self.directory}/state}}\n{config}"
            )
        )

    def curl(self, gateway: Gateway, name: str, *options: str) -> Answer:
        """
        Ask for a page under a name.
        """
        to = ["--connect-to", f"::{HOST}:{gateway.port}", "--cacert", str(self.roots)]
        return curl(self, *to, *options, f"https://{name}/bytes/5")

    def client(self, gateway: Gateway, name: str, *options: str, data: bytes = b"") -> str:
        """
        What openssl says.
        """
        command = [program("openssl"), "s_client", "-connect", f"{HOST}:{gateway.port}", "-servername", name]
        done = self.finish([*command, "-CAfile", self.roots, *options], data)
        return (done.stdout + done.stderr).decode(errors="replace")

    def tls(self, gateway: Gateway, name: str) -> ssl.SSLSocket:
        """
        A connection by Python.
        """
        context = ssl.create_default_context(cafile=str(self.roots))
        return context.wrap_socket(connected(gateway.port), server_hostname=name)


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


class ClientTests(EndingTestCase):
    """
    Certificates of clients.
    """

    def rules(self, *allowed: str) -> str:
        """
        A trust, users, and a policy for these.
        """
        carol = self.other.identity("carol")
        self.carol = self.keep("carol", carol)
        digest = sha256(carol.certificate.public_bytes(Encoding.DER)).hexdigest()
        users = self.write("users", f"carol:sha256:{digest}\n")
        rules = ", ".join(f"{{action: allow, who: '{who}'}}" for who in allowed)
        return f"trust: {{roots: {self.roots}}}\npolicy: {{certificates: {users}, rules: [{rules}]}}\n"

    def ask(self, gateway: Gateway, certificate: Path | None) -> Answer:
        options = () if certificate is None else ("--cert", str(certificate))
        return self.curl(gateway, "www.site.example", *options)

    def test_optional(self) -> None:
        """
        Who shows one is that, by trust or by the file of users; who shows none is anybody; and who
        shows a bad one is refused.
        """
        config = self.rules("certificate:carol", "certificate:spiffe://corp/*", "local:operator")
        gateway = self.gateway(webServer(self).port, ":certificates=optional", config)
        alice = self.keep("alice", self.alice())
        for certificate, who in ((self.carol, "carol"), (alice, "spiffe://corp/"), (None, "operator")):
            answer = self.ask(gateway, certificate)
            self.assertEqual(200, answer.status, answer.errors)
            gateway.waitFor(f" sni {who}")
        bad = self.keep("bad", self.other.identity("alice.corp"))
        answer = self.ask(gateway, bad)
        self.assertEqual(0, answer.status)
        self.assertIn("unknown ca", answer.errors)
        old = self.keep("old", self.root.identity("alice.corp", ends=NOW - DAY))
        self.assertIn("certificate expired", self.ask(gateway, old).errors)

    def test_required(self) -> None:
        """
        Without one nobody gets in; what passes through is another's business.
        """
        gateway = self.gateway(
            webServer(self).port, ":certificates=required", self.rules("certificate:carol")
        )
        self.assertEqual(200, self.ask(gateway, self.carol).status)
        answer = self.ask(gateway, None)
        self.assertEqual(0, answer.status)
        self.assertIn("certificate required", answer.errors)
        gateway.waitFor("add certificates=optional to the listener")
        # Believed, but no rule allows it.
        self.assertEqual(0, self.ask(gateway, self.keep("alice", self.alice())).status)
        gateway.waitFor("denied by policy")

    def test_mtls(self) -> None:
        """
        C{mtls:} knows the users of the file, too, and the certificates by name.
        """
        server = webServer(self)
        gateway = self.ugate(
            config=(
                f"listen: {{main: {{endpoint: 'mtls:tcp:0:{LOOPBACK}', to: '{HOST}:{server.port}'}}}}\n"
                f"identity: {{servers: {self.servers}}}\nnode: {{state: {self.directory}/state}}\n"
                + self.rules("certificate:carol")
            )
        )
        answer = self.ask(gateway, self.carol)
        self.assertEqual(200, answer.status, (answer.errors, gateway.said()))
        gateway.waitFor("mtls carol")
        self.assertEqual(0, self.ask(gateway, None).status)

    def test_revoked(self) -> None:
        """
        What is revoked is so, whatever the file of users says.
        """
        config = self.rules("certificate:carol")
        revoked = self.write("revoked", "")
        config = config.replace(f"roots: {self.roots}", f"roots: {self.roots}, revoked: {revoked}")
        gateway = self.gateway(webServer(self).port, ":certificates=required", config)
        self.assertEqual(200, self.ask(gateway, self.carol).status)
        self.assertIn("BEGIN CERTIFICATE", self.carol.read_text())
        done = self.finish([program("openssl"), "x509", "-in", self.carol, "-noout", "-serial"])
        self.write("revoked", done.stdout.decode().partition("=")[2])
        answer = self.ask(gateway, self.carol)
        self.assertEqual(0, answer.status)
        self.assertIn("certificate revoked", answer.errors)


class RefusedTests(EndingTestCase):
    """
    Servers that do not want our certificate.
    """

    def test_late(self) -> None:
        """
        With TLS 1.3 it is known only when the stream is up: the log says so, with the alert.
        """
        server = webServer(self)
        gate = self.gate(
            self.root.identity("gw.corp"), f"mtls:tcp:0:{LOOPBACK}", f", to: '{HOST}:{server.port}'"
        )
        stranger = self.other.identity("stranger.corp")
        rules = (
            "policy: {rules: [{action: allow}]}\n"
            f"routes: [{{match: '*', via: 'mtls:{HOST}:{gate.port}:name=gw.corp'}}]\n"
        )
        gateway = self.gate(stranger, f"auto:tcp:0:{LOOPBACK}", "", config=rules)
        answer = curl(self, "-x", gateway.url("socks5h"), "http://where.ever/")
        self.assertEqual(0, answer.status)
        said = gateway.waitFor("it refused our certificate: alert unknown ca")
        (line,) = [line for line in said.splitlines() if "refused our certificate" in line]
        self.assertIn(f"TLS at mtls:{HOST}:{gate.port}: authentication failed", line)
        self.assertIn("let it trust the root that certifies us, or our KEYID", line)

    def test_before(self) -> None:
        """
        A proxy at the same place has not answered by then: the client is refused, as by any other hop.
        """
        rules = "policy: {rules: [{action: allow}]}\n"
        gate = self.gate(self.root.identity("gw.corp"), f"connect:mtls:tcp:0:{LOOPBACK}", "", config=rules)
        way = f"mtls:{HOST}:{gate.port}:name=gw.corp -> connect:{HOST}:{gate.port}"
        rules += f"routes: [{{match: '*', via: '{way}'}}]\n"
        gateway = self.gate(self.other.identity("stranger.corp"), f"auto:tcp:0:{LOOPBACK}", "", config=rules)
        answer = curl(self, "-x", gateway.url("http"), "-p", "http://where.ever/")
        self.assertEqual(0, answer.status)
        self.assertIn("502", answer.errors)
        gateway.waitFor("refused: TLS at mtls:")
        gateway.waitFor("it refused our certificate: alert unknown ca")
