# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS that ends by name, and certificates of clients and servers that are wanted, or not.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from ugate.test.interop.asking import Answer, curl
from ugate.test.interop.endings import EndingTestCase
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, program
from ugate.test.interop.targets import webServer
from ugate.test.tlsfakes import DAY, NOW


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
