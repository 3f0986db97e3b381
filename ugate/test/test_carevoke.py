# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.lists}: whom a CA has revoked.
"""

from __future__ import annotations

from cryptography import x509

from ugate.errors import Refused, UgateError
from ugate.tenancy.ca.authority import ADMIN, Authority
from ugate.tenancy.ca.errors import NoSuch, NotCertified
from ugate.tenancy.ca.tlscertificates import CRL_LIFE
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.trust import Trust
from ugate.test.cafakes import AuthorityCase
from ugate.test.identityfakes import NOW, certified


def read(text: str) -> x509.Certificate:
    """
    A certificate in PEM.
    """
    return x509.load_pem_x509_certificate(text.encode())


class RevokeTests(AuthorityCase):
    """
    Whom nobody shall believe.
    """

    def listed(self, authority: Authority) -> x509.CertificateRevocationList:
        """
        What others are told.
        """
        return x509.load_pem_x509_crl(authority.lists.crl())

    def test_crl(self) -> None:
        """
        It is by the CA, says until when it is good, and has what was revoked here or by another process.
        """
        issued = [self.authority.certify(self.wanted("a.corp"), ADMIN, None) for _ in range(3)]
        other = self.opened()
        self.assertEqual(0, len(self.listed(other)))
        self.authority.revoke(issued[0].issued.serial, "lost")
        other.revoke(issued[1].text)
        for each in (self.authority, other):
            crl = self.listed(each)
            self.assertTrue(crl.is_signature_valid(each.keys.root.public_key()))  # type: ignore[arg-type]
            numbers = {f"{entry.serial_number:X}" for entry in crl}
            self.assertEqual({issued[0].issued.serial, issued[1].issued.serial}, numbers)
            self.assertEqual(NOW + CRL_LIFE, crl.next_update_utc.timestamp())  # type: ignore[union-attr]
        trust = Trust(
            TrustSection(roots=str(self.folder / "root.pem"), revoked=str(self.folder / "crl.pem")),
            now=lambda: NOW,
        )
        self.assertIn(
            "is revoked", str(self.assertRaises(Refused, trust.check, [read(issued[0].text)], None))
        )
        trust.check([read(issued[2].text)], "a.corp")

    def test_fresh(self) -> None:
        """
        The lists are made again before they are old, with a higher number, and written into the folder.
        """
        self.authority.lists.refresh()
        path = self.folder / "crl.pem"
        before, first = path.read_bytes(), self.listed(self.authority)
        self.authority.lists.refresh()
        self.assertEqual(before, path.read_bytes())
        self.at += CRL_LIFE / 4
        # Whoever asks for one first, it has to be written.
        asked = self.authority.lists.crl()
        self.authority.lists.refresh()
        self.assertNotEqual(before, asked)
        self.assertEqual(asked, path.read_bytes())
        numbers = [
            crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            for crl in (first, self.listed(self.authority))
        ]
        self.assertLess(*numbers)

    def test_notWritten(self) -> None:
        """
        What could not be written is written the next time.
        """
        krl = self.folder / "krl"
        self.authority.lists.refresh()
        self.at += CRL_LIFE / 4
        krl.unlink()
        krl.mkdir()
        self.assertRaises(UgateError, self.authority.lists.refresh)
        krl.rmdir()
        self.authority.lists.refresh()
        self.assertEqual(self.authority.lists.krl(), krl.read_bytes())

    def test_ways(self) -> None:
        """
        By number as OpenSSL prints it, by certificates, by key and title.
        """
        serial = self.authority.certify(self.wanted("a.corp"), ADMIN, None).issued.serial
        text = serial if len(serial) % 2 == 0 else f"0{serial}"
        colons = ":".join(text[at : at + 2] for at in range(0, len(text), 2)).lower()
        self.assertEqual([serial], [each.serial for each in self.authority.revoke(colons)])
        self.assertEqual([], self.authority.revoke(f"serial={text}\n"))
        ssh = self.authority.certify(self.wantedSSH("ssh-user", "a", title="of a"), ADMIN, None)
        self.assertEqual([ssh.issued.serial], [each.serial for each in self.authority.revoke(ssh.text)])
        self.authority.revoke("of a")
        self.assertEqual(["of a"], self.authority.record.barred(NOW))
        for what in ("", "nothing", "12", "A" * 52, "ssh-rsa-cert-v01@openssh.com AAAA"):
            self.assertRaises(NoSuch, self.authority.revoke, what)
        self.assertRaises(NotCertified, self.authority.revoke, certified().pem().decode())
