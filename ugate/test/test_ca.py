# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.authority} and what is below it: what is certified, renewed and revoked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused, UgateError
from ugate.stream import Principal
from ugate.tenancy.ca.authority import ADMIN, Authority
from ugate.tenancy.ca.errors import BadRequest, NotAllowed, NotCertified, NotKnown, TooMany
from ugate.tenancy.ca.folder import makeAuthority
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.record import MAX_PER_KEY
from ugate.tenancy.ca.schema import MAX_LIFE, CaRule
from ugate.tenancy.ca.tlscertificates import EARLY, ROOT_LIFE
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.identityown import certifiedNames
from ugate.tenancy.keyids import keyidOf
from ugate.tenancy.trust import Trust
from ugate.test.cafakes import CAROL, NODES, USERS, AuthorityCase
from ugate.test.identityfakes import DAY, NOW, authority, certified, p256


def read(text: str) -> x509.Certificate:
    """
    A certificate in PEM.
    """
    return x509.load_pem_x509_certificate(text.encode())


class FolderTests(SynchronousTestCase):
    """
    The keys.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "there" / "ca"
        makeAuthority(str(self.folder), "test CA", "corp", NOW)

    def broken(self) -> str:
        """
        What is said when it is opened.
        """
        return str(self.assertRaises(UgateError, Authority, str(self.folder)))

    def test_modes(self) -> None:
        """
        Nobody else may look.
        """
        Authority(str(self.folder), lambda: NOW).close()
        self.assertEqual(0o700, stat.S_IMODE(os.stat(self.folder).st_mode))
        for path in self.folder.iterdir():
            self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode), path)
        self.folder.chmod(0o750)
        self.assertIn("run: chmod 700", self.broken())
        self.folder.chmod(0o700)
        (self.folder / "ssh-user").chmod(0o604)
        self.assertIn("others may read", self.broken())

    def test_twice(self) -> None:
        """
        Keys that are there stay.
        """
        before = (self.folder / "root.key").read_bytes()
        error = self.assertRaises(UgateError, makeAuthority, str(self.folder), "x", "corp", NOW)
        self.assertIn("wanted an empty folder", str(error))
        self.assertEqual(before, (self.folder / "root.key").read_bytes())

    def test_broken(self) -> None:
        """
        What is missing, broken or of another CA is told; nothing of a key is.
        """
        self.assertIn("ucli ca init", str(self.assertRaises(UgateError, Authority, self.mktemp())))
        for name, text in (("ssh-host", "no private key of SSH"), ("root.key", "no private key")):
            path = self.folder / name
            before = path.read_bytes()
            path.write_bytes(before[:60])
            said = self.broken()
            self.assertIn(text, said)
            self.assertNotIn(before.split(b"\n")[1][:16].decode(), said)
            path.write_bytes(before)
        authority().write(self.folder, "root.key", "other.pem")
        self.assertIn("not of the key in root.key", self.broken())
        other = authority()
        other.write(self.folder, "root.key", "root.pem")
        self.assertIn("names no trust domain", self.broken())

    def test_root(self) -> None:
        """
        The root may certify nodes, and nothing else.
        """
        root = read((self.folder / "root.pem").read_text())
        basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertEqual((True, True, 0), (basic.critical, basic.value.ca, basic.value.path_length))
        usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
        self.assertTrue(usage.key_cert_sign and usage.crl_sign and not usage.digital_signature)
        self.assertEqual(("spiffe://corp",), certifiedNames(root))
        self.assertEqual(NOW + ROOT_LIFE, root.not_valid_after_utc.timestamp())


class CertifyTests(AuthorityCase):
    """
    Certificates for TLS.
    """

    def test_believed(self) -> None:
        """
        Who is certified is believed by its names, whatever kind of key it has.
        """
        trust = Trust(TrustSection(roots=str(self.folder / "root.pem")), now=lambda: NOW)
        for key in (p256(), Ed25519PrivateKey.generate(), rsa(65537, 2048)):
            wanted = self.wanted("a.corp", "spiffe://corp/ns/default/sa/default", key=key)
            token = self.authority.token("node-1", 60)
            certified = self.authority.certify(wanted, token, self.rules)
            certificate = read(certified.text)
            self.assertEqual("spiffe://corp/ns/default/sa/default", trust.check([certificate], "a.corp").name)
            self.assertEqual("spiffe://corp/ns/default/sa/default", trust.check([certificate], None).name)
            self.assertEqual(keyidOf(key.public_key()), certified.issued.keyid)
            self.assertEqual("enrolment:node-1", certified.issued.who)
            self.assertEqual(f"{certificate.serial_number:X}", certified.issued.serial)
            self.assertRaises(Refused, trust.check, [certificate], "b.corp")

    def test_life(self) -> None:
        """
        As long as was asked for, at most as the rule has it, a day otherwise, and never longer than the root;
        it begins early, by a tenth of a short life.
        """
        for life, had in ((None, 7200), (60, 60), (1e6, 7200)):
            token = self.authority.token("node-1", 60)
            certificate = read(
                self.authority.certify(self.wanted("a.corp", life=life), token, self.rules).text
            )
            self.assertEqual(NOW + had, certificate.not_valid_after_utc.timestamp())
            self.assertEqual(NOW - min(EARLY, had / 10), certificate.not_valid_before_utc.timestamp())
        issued = self.authority.certify(self.wanted("a.corp"), ADMIN, None).issued
        self.assertEqual(NOW + DAY, issued.ends)
        issued = self.authority.certify(self.wanted("a.corp", life=1e10), ADMIN, None).issued
        self.assertEqual(NOW + MAX_LIFE, issued.ends)
        self.at = NOW + ROOT_LIFE - 60
        issued = self.authority.certify(self.wanted("a.corp"), ADMIN, None).issued
        self.assertEqual(NOW + ROOT_LIFE, issued.ends)
        self.at = NOW + ROOT_LIFE
        error = self.assertRaises(UgateError, self.authority.certify, self.wanted("a.corp"), ADMIN, None)
        self.assertIn("make another CA", str(error))

    def test_refused(self) -> None:
        """
        What no rule allows is not certified, and leaves nothing.
        """
        token = self.authority.token("node-1", 60)
        for who in (token, CAROL, Principal("node-1", "token")):
            self.assertRaises(
                NotAllowed, self.authority.certify, self.wanted("evil.example"), who, self.rules
            )
        self.assertEqual([], list(self.authority.list()))
        # The token is as good as before.
        self.authority.certify(self.wanted("a.corp"), token, self.rules)

    def test_tokens(self) -> None:
        """
        Wrong, ended, used up, withdrawn, and one of which another process knows.
        """
        wanted = self.wanted("a.corp")

        def no(token: str, text: str) -> None:
            error = self.assertRaises(NotKnown, self.authority.certify, wanted, token, self.rules)
            self.assertIn(text, str(error))
            self.assertNotIn(token or "x" * 9, str(error))

        no("", "no enrolment token")
        no("ugate_" + "x" * 43, "no enrolment token")
        no("\udcff", "no enrolment token")
        once, always = self.opened().token("node-1", 60), self.authority.token("node-2", 90, None)
        self.authority.certify(wanted, once, self.rules)
        no(once, "was used up")
        no(once + "x", "no enrolment token")
        for _ in range(3):
            self.authority.certify(wanted, always, self.rules)
        twice = self.authority.token("node-3", 90, 2)
        self.authority.certify(wanted, twice, self.rules)
        self.opened().certify(wanted, twice, self.rules)
        no(twice, "was used up")
        late = self.authority.token("node-4", 60)
        self.at += 60
        no(late, "ended at")
        self.assertEqual(1, self.opened().withdraw("node-2"))
        no(always, "no enrolment token")
        data = b"".join(path.read_bytes() for path in self.folder.iterdir())
        self.assertNotIn(always.encode(), data)

    def test_tokenWrong(self) -> None:
        """
        Tokens that cannot be made.
        """
        for name, life, uses in (
            ("", 60, 1),
            ("a\nb", 60, 1),
            ("a", 0, 1),
            ("a", MAX_LIFE + 1, 1),
            ("a", 60, 0),
        ):
            self.assertRaises(BadRequest, self.authority.token, name, life, uses)

    def test_many(self) -> None:
        """
        One key does not get more than a few at once.
        """
        for _ in range(MAX_PER_KEY):
            self.authority.certify(self.wanted("a.corp"), ADMIN, None)
        self.assertRaises(TooMany, self.authority.certify, self.wanted("a.corp"), ADMIN, None)
        self.at += DAY
        self.authority.certify(self.wanted("a.corp"), ADMIN, None)

    def test_host(self) -> None:
        """
        A host of SSH comes along if a rule allows it, and else not.
        """
        wanted = self.wanted("a.corp", "spiffe://corp/ns/default/sa/default", host=True)
        given = self.authority.certify(wanted, self.authority.token("n", 60), self.rules)
        self.assertTrue(given.issued.host)
        self.assertIn("-cert-v01@openssh.com ", given.host)
        host = next(each for each in self.authority.list() if each.kind == "ssh-host")
        self.assertEqual((("a.corp",), given.issued.ends), (host.names, host.ends))
        rules = Rules([CaRule(who=("enrolment:*",), kinds=("tls",), names=("*",))], "corp")
        given = self.authority.certify(wanted, self.authority.token("n", 60), rules)
        self.assertEqual((False, ""), (given.issued.host, given.host))

    def test_log(self) -> None:
        """
        Who got what is in the log, and no secret.
        """
        lines = self.logged()
        token = self.authority.token("node-1", 60)
        issued = self.authority.certify(self.wanted("a.corp"), token, self.rules).issued
        self.authority.revoke(issued.serial)
        said = "\n".join(lines)
        self.assertIn(
            f"ca: enrolment:node-1 got tls {issued.serial} for a.corp until 2027-01-15T10:00:00Z", said
        )
        self.assertIn(f"ca: tls {issued.serial} of a.corp is revoked", said)
        self.assertNotIn(token, said)


class RenewTests(AuthorityCase):
    """
    The same for longer.
    """

    def setUp(self) -> None:
        super().setUp()
        wanted = self.wanted("a.corp", "spiffe://corp/ns/default/sa/default", host=True, life=600)
        self.first = self.authority.certify(wanted, self.authority.token("node-1", 60), self.rules)
        self.again = self.wanted(host=True)

    def no(
        self, kind: type[NotCertified], text: str, certificate: bytes | None = None, key: Any = None
    ) -> None:
        """
        It is not renewed, and the error says why.
        """
        data = self.first.text.encode() if certificate is None else certificate
        wanted = self.again if key is None else self.wanted(key=key)
        self.assertIn(text, str(self.assertRaises(kind, self.authority.renew, wanted, data, self.rules)))

    def test_same(self) -> None:
        """
        The same names and as long a life, whatever is asked for now.
        """
        self.at += 400
        wanted = self.wanted("b.corp", host=True, life=1e6)
        renewed = self.opened().renew(wanted, self.first.text.encode(), self.rules)
        issued = renewed.issued
        self.assertEqual(self.first.issued.names, issued.names)
        self.assertEqual(("enrolment:node-1", self.at + 600), (issued.who, issued.ends))
        self.assertTrue(renewed.host and issued.host)
        # Who did not ask for it now may ask for it the next time.
        bare = self.authority.renew(self.wanted(), renewed.text.encode(), self.rules)
        self.assertEqual("", bare.host)
        self.assertTrue(self.authority.renew(wanted, bare.text.encode(), self.rules).host)

    def test_no(self) -> None:
        """
        Not by another key, of another CA, when it has ended or was revoked.
        """
        self.no(NotKnown, "not by the key of the certificate", key=p256())
        self.no(NotKnown, "not by this CA", certified().pem())
        self.no(BadRequest, "no certificate can be read", b"what")
        self.no(BadRequest, "no certificate can be read", bytes(100_000))
        self.at += 600
        self.no(NotKnown, "ended at")
        self.at -= 1
        self.opened().revoke(self.first.issued.serial)
        self.no(NotAllowed, "was revoked")

    def test_older(self) -> None:
        """
        Nor by an older certificate, when the newer one was revoked; but by one that came after that.
        """
        self.at += 60
        second = self.authority.renew(self.again, self.first.text.encode(), self.rules)
        self.authority.revoke(second.issued.serial)
        self.no(NotAllowed, "one of that key after it")
        self.at += 1
        third = self.authority.certify(self.again, ADMIN, None)
        self.authority.renew(self.again, third.text.encode(), None)

    def test_barred(self) -> None:
        """
        Nor when its key was revoked, also not by another of its certificates, or with a token.
        """
        second = self.authority.renew(self.again, self.first.text.encode(), self.rules)
        self.authority.revoke(self.first.issued.keyid.lower())
        for each in (self.first, second):
            self.no(NotAllowed, "was revoked", each.text.encode())
        token = self.authority.token("node-1", 60)
        error = self.assertRaises(NotAllowed, self.authority.certify, self.again, token, self.rules)
        self.assertIn("certified no more", str(error))

    def test_rules(self) -> None:
        """
        Nor when no rule allows it any more to whom it was given; and never for longer than the rule says.
        """
        data = self.first.text.encode()
        for rule, text in (
            (USERS, "no rule for enrolment:node-1 has the kind tls"),
            (CaRule(who=("enrolment:*",), names=("b.corp",)), "the name a.corp is in no rule"),
            (CaRule(who=("enrolment:*",), names=("*",), accounts=("x",)), "the account default is in no"),
        ):
            self.rules = Rules([rule], "corp")
            self.no(NotAllowed, text)
            self.no(NotAllowed, f"the certificate {self.first.issued.serial} is not renewed")
        shorter = Rules([CaRule(who=("enrolment:node-1",), names=("*",), life=60, kinds=("tls",))], "corp")
        given = self.authority.renew(self.again, data, shorter)
        self.assertEqual((60, ""), (given.issued.life, given.host))
        # As a host of SSH it may be had again when a rule has that.
        self.assertTrue(self.authority.renew(self.again, given.text.encode(), Rules([NODES], "corp")).host)

    def test_itself(self) -> None:
        """
        A rule for what the certificate says of itself is enough, also of one that was made by hand.
        """
        spiffe = "certificate:spiffe://corp/ns/default/sa/default"
        rules = Rules([CaRule(who=(spiffe,), names=("a.corp",))], "corp")
        self.authority.renew(self.again, self.first.text.encode(), rules)
        byHand = self.authority.certify(self.wanted("a.corp"), ADMIN, None)
        self.no(NotAllowed, "no rule for folder:admin", byHand.text.encode())
        self.rules = Rules([CaRule(who=(f"certificate:{byHand.issued.keyid}",), names=("a.corp",))], "corp")
        self.authority.renew(self.again, byHand.text.encode(), self.rules)

    def test_forgotten(self) -> None:
        """
        One that the record does not have is nobody's.
        """
        self.authority.record._do("DELETE FROM issued")
        self.no(NotKnown, "not in the record")

    @given(st.integers(0, 2000), st.integers(1, 255))
    @settings(max_examples=60, deadline=None)
    def test_changed(self, at: int, change: int) -> None:
        """
        One byte of what is signed that is another one: nothing is certified.
        """
        certificate = read(self.first.text)
        der = bytearray(certificate.public_bytes(Encoding.DER))
        der[4 + at % len(certificate.tbs_certificate_bytes)] ^= change
        from base64 import encodebytes

        pem = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(bytes(der)) + b"-----END CERTIFICATE-----\n"
        self.assertRaises(NotCertified, self.authority.renew, self.again, pem, self.rules)
