# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Clients of C{mtls:} that are not let in: each reads why in an alert, and the log says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateRevocationListBuilder, RevokedCertificateBuilder

from ugate.test.identityfakes import DAY, Holder, authority
from ugate.test.interop.asking import curl
from ugate.test.interop.domains import SERVER, TrustDomain
from ugate.test.interop.processes import HOST, LOOPBACK, program
from ugate.test.interop.test_mtlspeers import NAME, DomainTestCase

BAD, UNSUPPORTED, REVOKED, EXPIRED, UNKNOWN = range(42, 47)
HANDSHAKE, VERSION, UNKNOWN_CA, REQUIRED = 40, 70, 48, 116


@dataclass(frozen=True)
class Case:
    """
    One client.
    """

    pem: Path | None
    """What it shows."""

    alert: int
    """What it is told."""

    log: str
    """What we say."""

    options: Sequence[str] = ()
    """Of s_client, what else it does."""


class RefusalTests(DomainTestCase):
    """
    A listener for one trust domain and two namespaces.
    """

    def listening(self, more: str = "") -> None:
        """
        Begin.
        """
        folder = self.domain.istio("gate", self.server)
        config = (
            f"identity: {{dir: {folder}}}\ntrust: {{domain: corp.example, namespaces: [shop]{more}}}\n"
            f'listen: {{main: {{endpoint: "mtls:tcp:0:{LOOPBACK}", to: "{HOST}:{self.web.port}"}}}}\n'
            "policy: {rules: [{who: 'certificate:*', action: allow}]}\n"
        )
        self.gateway = self.ugate(config=config)

    def said(self, case: Case) -> str:
        """
        What s_client says, with all of its own scruples put aside.
        """
        own = case.pem
        cert: list[str | Path] = ["-cert", own, "-cert_chain", own, "-key", own] if own else []
        command: list[str | Path] = [
            program("openssl"),
            "s_client",
            "-connect",
            f"{HOST}:{self.gateway.port}",
            *cert,
        ]
        more = case.options or ("-cipher", "ALL:@SECLEVEL=0")
        done = self.finish([*command, "-servername", NAME, "-ign_eof", *more], b"GET / HTTP/1.0\r\n\r\n")
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def refused(self, *cases: Case) -> None:
        """
        Each is told so, and so are we.
        """
        for case in cases:
            before = self.gateway.said().count(case.log)
            said = self.said(case)
            alerts = [int(each) for each in re.findall(r"alert number (\d+)", said)]
            self.assertEqual([case.alert], alerts, (case, said[-500:], self.gateway.said()[-500:]))
            self.assertEqual(before + 1, self.gateway.waitFor(case.log).count(case.log), case)

    def file(self, name: str, holder: Holder) -> Path:
        """
        What it shows.
        """
        return self.domain.pem(name, holder)

    def served(self) -> None:
        """
        One that may is served yet.
        """
        good = self.file("good", self.domain.member("web"))
        roots = str(self.domain.roots)
        answer = curl(
            self,
            *("--cert", str(good), "--cacert", roots, f"https://localhost:{self.gateway.port}/bytes/10"),
        )
        self.assertEqual(200, answer.status, answer.errors)

    def test_whoItIs(self) -> None:
        """
        Certificates that are good, of somebody else.
        """
        self.listening()
        other = TrustDomain(self.directory)
        elsewhere = TrustDomain(self.directory, "else.example", self.domain.root)
        alone = self.domain.member("web", by=None)
        self.refused(
            Case(other.pem("root", other.member("web")), UNKNOWN_CA, "which leads to none of our roots"),
            Case(elsewhere.pem("domain", elsewhere.member("web")), BAD, "of the trust domain else.example"),
            Case(
                self.file("space", self.domain.member("web", "else")),
                BAD,
                "of the namespace 'else', wanted shop",
            ),
            Case(self.file("alone", alone), UNKNOWN_CA, f"its key {alone.keyid} is not pinned"),
            Case(None, REQUIRED, "it sent no certificate"),
        )
        # By the older version the refusal is a part of the handshake.
        older = ("-tls1_2",)
        self.refused(
            Case(other.pem("root", other.member("web")), UNKNOWN_CA, "leads to none of our roots", older),
            Case(None, HANDSHAKE, "it sent no certificate", older),
        )
        self.served()

    def test_whatItIs(self) -> None:
        """
        Certificates that are not good.
        """
        self.listening()
        now = time.time()
        member = self.domain.member
        deep = self.domain.root
        chain = [deep := authority(f"{number}", deep, **self.domain.dates) for number in range(12)]
        many = self.directory / "many.pem"
        leaf = member("web", by=chain[-1])
        many.write_bytes(
            self.file("leaf", leaf).read_bytes() + b"".join(each.pem() for each in reversed(chain))
        )
        self.refused(
            Case(
                self.file("over", member("web", begins=now - 2 * DAY, ends=now - DAY)),
                EXPIRED,
                "its certificate ended at",
            ),
            Case(
                self.file("early", member("web", begins=now + DAY, ends=now + 2 * DAY)),
                BAD,
                "is not good before",
            ),
            Case(
                self.file("server", member("web", purpose=SERVER)),
                UNSUPPORTED,
                "its certificate is not for clients",
            ),
            Case(self.file("weak", member("web", key=generate_private_key(65537, 1024))), BAD, "too weak"),
            Case(many, UNKNOWN_CA, "certificate chain too long"),
        )
        self.refused(Case(self.sha1(), BAD, "digest algorithm too weak"))
        self.served()

    def sha1(self) -> Path:
        """
        A certificate that is signed as nobody should any more.
        """
        path = self.directory / "sha1.pem"
        key = self.file("for", self.domain.member("web"))
        issuer = self.file("issuer", self.domain.issuer)
        openssl = program("openssl")
        extension = self.write("ext", f"subjectAltName=URI:{self.domain.spiffe('web')}\n")
        request = self.finish([openssl, "req", "-new", "-key", key, "-subj", "/CN=web"]).stdout
        signer = ("-CA", issuer, "-CAkey", issuer, "-sha1", "-days", "1", "-extfile", extension)
        done = self.finish([openssl, "x509", "-req", *signer], request)
        self.assertEqual(0, done.returncode, done.stderr)
        path.write_bytes(done.stdout + self.domain.issuer.pem() + key.read_bytes())
        return path

    def test_revoked(self) -> None:
        """
        By a CRL, and by a list.
        """
        one = self.domain.member("web")
        now = datetime.now(timezone.utc)
        entry = RevokedCertificateBuilder(one.certificate.serial_number, now - timedelta(hours=1)).build()
        builder = CertificateRevocationListBuilder(
            self.domain.issuer.certificate.subject,
            now - timedelta(days=1),
            now + timedelta(days=1),
            [],
            [entry],
        )
        crl = builder.sign(self.domain.issuer.key, SHA256()).public_bytes(Encoding.PEM).decode()
        serial = f"{one.certificate.serial_number:x}\n"
        for text in (crl, serial, one.keyid + "\n"):
            path = self.write("revoked", text)
            self.listening(f", revoked: {path}")
            self.refused(Case(self.file("revoked", one), REVOKED, "it is revoked: "))
            self.served()

    def test_howItSpeaks(self) -> None:
        """
        Clients with which there is no common ground.
        """
        self.listening()
        good = self.file("good", self.domain.member("web"))
        lowest = ("-cipher", "ALL:@SECLEVEL=0")
        self.refused(
            Case(good, VERSION, "no TLS since 1.2", ("-tls1", *lowest)),
            Case(good, VERSION, "no TLS since 1.2", ("-tls1_1", *lowest)),
            Case(good, HANDSHAKE, "no shared cipher", ("-tls1_2", "-cipher", "AES128-SHA")),
            Case(good, HANDSHAKE, "no shared cipher", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256")),
            Case(good, HANDSHAKE, "no shared cipher", ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256")),
            Case(
                good, HANDSHAKE, "no suitable signature algorithm", ("-tls1_3", "-sigalgs", "RSA-PSS+SHA256")
            ),
        )
        self.served()
