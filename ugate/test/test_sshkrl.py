# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshkrl}, and the files of keys that are revoked.
"""

from __future__ import annotations

import struct
from hashlib import sha1, sha256

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError, StringError
from ugate.protocols.sshcertificate import SSHCertificate
from ugate.protocols.sshkrl import Revoked
from ugate.protocols.sshpackets import string
from ugate.tenancy.ca.sshcertificates import makeKRL
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.usercertificates import checkRevokedKeys, readRevoked
from ugate.test.credentialfakes import publicLine, write
from ugate.test.test_usercertificates import BOB, CA, NOW, OTHER, blobOf, certify


def section(kind: int, data: bytes) -> bytes:
    """
    A section of a KRL.
    """
    return bytes([kind]) + string(data)


HEAD = b"SSHKRL\n\0" + struct.pack(">IQQQ", 1, 1, 1, 0) + string(b"") + string(b"")


class RevokedTests(SynchronousTestCase):
    """
    Lists of what is revoked.
    """

    def test_own(self) -> None:
        """
        What a CA of ours writes is read.
        """
        data = makeKRL([(CA.public_key(), [7, 9])], ["eve's laptop"], NOW, "x")
        revoked = Revoked.fromBytes(data)
        self.assertTrue(revoked.has(SSHCertificate.fromBlob(certify())))
        self.assertFalse(revoked.has(SSHCertificate.fromBlob(certify(serial=8))))
        self.assertFalse(revoked.has(SSHCertificate.fromBlob(certify(ca=OTHER))))

    def test_sections(self) -> None:
        """
        By numbers, ranges, bits, names, keys and their digests.
        """
        certificate = SSHCertificate.fromBlob(certify())
        for part, isIn in (
            (section(0x20, struct.pack(">QQ", 1, 7)), True),
            (section(0x20, struct.pack(">Q", 8)), False),
            (section(0x21, struct.pack(">QQ", 6, 7)), True),
            (section(0x21, struct.pack(">QQ", 8, 9)), False),
            (section(0x22, struct.pack(">Q", 5) + string(b"\x05")), True),
            (section(0x22, struct.pack(">Q", 5) + string(b"\x02")), False),
            (section(0x22, struct.pack(">Q", 8) + string(b"\x07")), False),
            (section(0x23, string(b"x") + string(b"bob's laptop")), True),
        ):
            for authority in (blobOf(CA), b""):
                body = section(1, string(authority) + string(b"") + part)
                self.assertEqual(isIn, Revoked.fromBytes(HEAD + body).has(certificate), part)
        for key in (blobOf(BOB), blobOf(CA)):
            for kind, text in ((2, key), (3, sha1(key).digest()), (5, sha256(key).digest())):
                revoked = Revoked.fromBytes(HEAD + section(kind, string(text)))
                self.assertTrue(revoked.has(certificate))
                self.assertTrue(revoked.hasKey(key))
                self.assertFalse(revoked.hasKey(blobOf(OTHER)))

    def test_titles(self) -> None:
        """
        What a certificate is called is as long, and of such characters, as its CA wants.
        """
        for title in (b"x" * 300, b"bob\x07", b"\xff"):
            part = section(1, string(b"") + string(b"") + section(0x23, string(title)))
            certificate = SSHCertificate.fromBlob(certify(title=title))
            self.assertTrue(Revoked.fromBytes(HEAD + part).has(certificate), title)

    def test_unknown(self) -> None:
        """
        Something that is not known here may be what revokes: the list is refused.
        """
        for data in (
            b"",
            HEAD[:-1],
            b"SSHKRL\n\0" + struct.pack(">I", 2),
            HEAD + section(9, b""),
            HEAD + section(1, string(b"") + string(b"") + section(0x39, b"")),
            HEAD + section(2, b"\0"),
        ):
            self.assertRaises(ProtocolError, Revoked.fromBytes, data)

    @given(st.binary(max_size=60))
    def test_anything(self, data: bytes) -> None:
        """
        Nothing else is raised.
        """
        try:
            Revoked.fromBytes(HEAD + data)
        except ProtocolError:
            pass

    def test_files(self) -> None:
        """
        It is a KRL, or a key on each line.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(HEAD + section(2, string(blobOf(BOB))))
        self.assertTrue(readRevoked(path).hasKey(blobOf(BOB)))
        write(path, f"# gone\n{publicLine(BOB)} bob\n{publicLine(OTHER)}\n", mode=0o644)
        self.assertTrue(readRevoked(path).hasKey(blobOf(OTHER)))
        for text in ("ssh-ed25519 AAAA", "SSHKRL\n\0"):
            write(path, text, mode=0o644)
            self.assertRaises(ConfigError, readRevoked, path)
        write(path, HEAD + section(2, string(blobOf(BOB))), mode=0o646)
        self.assertIn("run: chmod o-w ", str(self.assertRaises(ConfigError, readRevoked, path)))
        self.assertIn("KRL", str(self.assertRaises(StringError, checkRevokedKeys, "/nowhere")))
