# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{mtls:} with curl and openssl on the other side.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from twisted.internet.ssl import TLSVersion

from ugate.test.interop.asking import Answer, curl
from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Gateway, InteropTestCase, freePort, program
from ugate.test.interop.targets import StreamServer, readAll, webServer
from ugate.test.tlsfakes import DAY, NOW, FakeIdentity, Issuer

SPIFFE = "spiffe://corp/ns/default/sa/alice"


class MutualTestCase(InteropTestCase):
    """
    What these have in common: an authority that is believed, and one that is not.
    """

    trust = ""
    """What else is in the section of that name."""

    def setUp(self) -> None:
        super().setUp()
        self.root, self.other = Issuer("root"), Issuer("other")
        self.roots = self.keep("roots", self.root)
        self.others = self.keep("others", self.other)

    def alice(self) -> FakeIdentity:
        """
        Who may.
        """
        return self.root.identity("alice.corp", SPIFFE)

    def keep(self, name: str, whose: Issuer | FakeIdentity) -> Path:
        """
        Write a file with certificates, and with the key unless they are roots.
        """
        return self.write(f"{name}.pem", whose.pem().decode())

    def gate(self, identity: FakeIdentity, endpoint: str, more: str, **options: Any) -> Gateway:
        """
        A gateway that is that.
        """
        key, _, certificates = identity.pem().decode().partition("-----END PRIVATE KEY-----\n")
        name = identity.names[0]
        self.write(f"{name}.key", f"{key}-----END PRIVATE KEY-----\n")
        self.write(f"{name}.crt", certificates)
        config = (
            f"identity: {{key: {self.directory}/{name}.key, cert: {self.directory}/{name}.crt}}\n"
            f"trust: {{roots: {self.roots}{self.trust}}}\n"
            f'listen: {{main: {{endpoint: "{endpoint}"{more}}}}}\n'
        )
        return self.ugate(config=config + options.pop("config", ""), **options)


class ServerTests(MutualTestCase):
    """
    A listener.
    """

    def listening(self, port: int, endpoint: str = "mtls:tcp:0", config: str = "") -> Gateway:
        """
        One that leads to a server, for alice, at all addresses of this machine: her certificate is a login.
        """
        rules = f"policy: {{rules: [{{who: 'certificate:{SPIFFE}', action: allow}}]}}\n"
        gateway = self.gate(
            self.root.identity("localhost"), endpoint, f', to: "{HOST}:{port}"', config=config or rules
        )
        self.gateway = gateway
        return gateway

    def ask(self, identity: FakeIdentity | None, roots: Path | None = None, *more: str) -> Answer:
        """
        curl, with a certificate or without.
        """
        options = ["--cacert", str(roots or self.roots), *more]
        if identity is not None:
            options += ["--cert", str(self.keep("client", identity))]
        return curl(self, *options, f"https://localhost:{self.gateway.port}/")

    def test_curl(self) -> None:
        """
        Who is believed and may, gets there; each of the others is told why not, and so are we.
        """
        self.listening(webServer(self).port)
        good = self.alice()
        answer = self.ask(good)
        self.assertEqual(answer.status, 200, (answer.errors, self.gateway.said()))
        self.assertEqual(self.ask(good, None, "--tls-max", "1.2").status, 200)
        for identity, alert, log in (
            (self.other.identity("alice.corp"), "unknown ca", "leads to none of our roots"),
            (self.root.identity("alice.corp", ends=NOW - DAY), "certificate expired", "ended at"),
            (None, "certificate required", "it sent no certificate"),
        ):
            answer = self.ask(identity)
            self.assertEqual((answer.exit, answer.status), (56, 0), answer.errors)
            self.assertIn(alert, answer.errors)
            self.gateway.waitFor(log)
        answer = self.ask(self.root.identity("bob.corp"))
        self.assertEqual(answer.status, 0)
        self.gateway.waitFor("denied by policy")
        self.assertEqual(self.ask(good, self.others).exit, 60)
        self.gateway.waitFor("it does not believe us")

    def test_trust(self) -> None:
        """
        Who is revoked, and who is of another trust domain.
        """
        revoked = self.alice()
        path = self.write("revoked", f"{revoked.certificate.serial_number:x}\n")
        self.trust = f", domain: corp, revoked: {path}"
        self.listening(webServer(self).port)
        self.assertEqual(self.ask(self.alice()).status, 200)
        for identity, alert, log in (
            (revoked, "certificate revoked", "it is revoked"),
            (self.root.identity("x", "spiffe://else/ns/a/sa/b"), "bad certificate", "trust domain else"),
        ):
            answer = self.ask(identity)
            self.assertEqual(answer.status, 0)
            self.assertIn(alert, answer.errors)
            self.gateway.waitFor(log)

    def client(self, *options: str, data: bytes = b"") -> str:
        """
        What openssl says.
        """
        command = [program("openssl"), "s_client", "-connect", f"{HOST}:{self.gateway.port}", *options]
        done = self.finish([*command, "-CAfile", self.roots, "-servername", "localhost"], data)
        return (done.stdout + done.stderr).decode(errors="replace")

    def test_versions(self) -> None:
        """
        TLS 1.1 is refused, 1.2 and 1.3 are served.
        """
        self.listening(webServer(self).port)
        cert = ["-cert", str(self.keep("client", self.alice()))]
        said = self.client(*cert, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        self.assertIn("alert protocol version", said)
        self.gateway.waitFor("no TLS since 1.2")
        for option in ("-tls1_2", "-tls1_3"):
            self.assertIn("Verify return code: 0 (ok)", self.client(*cert, option))

    def test_alpn(self) -> None:
        """
        One that both have; and with none in common the connection is up, without.
        """
        self.listening(webServer(self).port, "mtls:tcp:0:alpn=h2,http/1.1")
        cert = ["-cert", str(self.keep("client", self.alice()))]
        self.assertIn("ALPN protocol: h2", self.client(*cert, "-alpn", "http/1.1,h2"))
        said = self.client(*cert, "-alpn", "smtp")
        self.assertIn("No ALPN negotiated", said)
        self.assertIn("Verify return code: 0 (ok)", said)

    def test_socks(self) -> None:
        """
        A proxy inside; who has no certificate cannot even ask it, at any address.
        """
        server = webServer(self)
        rules = f"policy: {{rules: [{{who: 'certificate:{SPIFFE}', action: allow}}]}}\n"
        self.gateway = self.gate(self.root.identity("localhost"), "connect:mtls:tcp:0", "", config=rules)
        proxy = ["-x", f"https://localhost:{self.gateway.port}", "--proxy-cacert", str(self.roots), "-p"]
        cert = ["--proxy-cert", str(self.keep("client", self.alice()))]
        url = f"http://{HOST}:{server.port}/"
        self.assertEqual(curl(self, *proxy, *cert, url).status, 200)
        self.assertEqual(curl(self, *proxy, url).status, 0)

    def test_halfClose(self) -> None:
        """
        A client that ends its direction gets its answer, whole.
        """
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        gateway = self.listening(server.port)
        context = self.alice().context(minimum=TLSVersion.TLSv1_2)
        for size in (0, 10, 3_000_000):
            data = (bytes(range(256)) * 12000)[:size]
            with socket.create_connection((HOST, gateway.port), DEADLINE) as below:
                below.setblocking(True)
                client = SSL.Connection(context, below)
                client.set_connect_state()
                client.do_handshake()
                client.sendall(data)
                client.shutdown()
                below.shutdown(socket.SHUT_WR)
                answer = b""
                try:
                    while True:
                        answer += client.recv(65536)
                except SSL.ZeroReturnError:
                    pass
                self.assertTrue(answer == data[::-1], (size, len(answer)))
        server.ended()


class HopTests(MutualTestCase):
    """
    A hop.
    """

    def serving(self, identity: FakeIdentity) -> int:
        """
        openssl, as a server that wants a certificate of our root's, and shows what it got.
        """
        port = freePort()
        path = self.keep("server", identity)
        verify: list[str | Path] = ["-Verify", "3", "-verify_return_error", "-CAfile", self.roots]
        command: list[str | Path] = [
            program("openssl"),
            "s_server",
            "-accept",
            f"{HOST}:{port}",
            "-www",
            *verify,
        ]
        self.serve([*command, "-cert", path, "-key", path, "-naccept", "100"], port)
        return port

    def through(self, hop: str) -> tuple[Gateway, Answer]:
        """
        A gateway whose way out that is, and what curl gets by it.
        """
        rules = f"policy: {{rules: [{{action: allow}}]}}\nroutes: [{{match: '*', via: '{hop}'}}]\n"
        endpoint = f"auto:tcp:0:{LOOPBACK}"
        gateway = self.gate(self.root.identity("alice.corp"), endpoint, "", config=rules)
        return gateway, curl(self, "-x", gateway.url("socks5h"), "http://where.ever/")

    def test_server(self) -> None:
        """
        It sees our certificate.
        """
        port = self.serving(self.root.identity("gw.corp"))
        _, answer = self.through(f"mtls:{HOST}:{port}:name=gw.corp")
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
        self.assertIn(b"alice.corp", answer.body)

    def test_notBelieved(self) -> None:
        """
        Another name, another root, and one whose time is over.
        """
        for identity, log in (
            (self.root.identity("other.corp"), "it is not of that name"),
            (self.other.identity("gw.corp"), "leads to none of our roots"),
            (self.root.identity("gw.corp", ends=NOW - DAY), "ended at"),
        ):
            port = self.serving(identity)
            gateway, answer = self.through(f"mtls:{HOST}:{port}:name=gw.corp")
            self.assertEqual(answer.status, 0)
            self.assertIn(log, gateway.waitFor(f"refused: TLS at mtls:{HOST}:{port}"))
