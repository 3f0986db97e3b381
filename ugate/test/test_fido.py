# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of users' keys in FIDO tokens: L{ugate.protocols.sshsignatures}, L{ugate.tenancy.keys} and
L{ugate.tenancy.usercertificates}.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from twisted.cred.error import UnauthorizedLogin
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.protocols.credentials import CertifiedKey
from ugate.protocols.sshcertificate import FORWARDING, NO_TOUCH, VERIFY, SSHCertificate
from ugate.protocols.sshsettings import WireSettings
from ugate.protocols.sshsignatures import ALGORITHMS, FIDO, Demands, isSigned
from ugate.tenancy.keys import KeyFile, SSHKey, blobFrom
from ugate.tenancy.usercertificates import Certified
from ugate.test.credentialfakes import publicLine, sshString, write
from ugate.test.fidofakes import TOUCHED, VERIFIED, Token

TOKENS = (Token(), Token(True))
CA = Ed25519PrivateKey.generate()
NOW = 1_800_000_000.0


class SignatureTests(SynchronousTestCase):
    """
    What a token has signed.
    """

    def tearDown(self) -> None:
        for token in TOKENS:
            token.flags = TOUCHED

    def test_good(self) -> None:
        """
        Of both kinds; not for other data, nor by another key, nor with other words of the token.
        """
        for token, other in (TOKENS, TOKENS[::-1], (TOKENS[0], Token())):
            signature = token.sign(b"data")
            self.assertTrue(isSigned(token.blob, b"data", signature))
            self.assertFalse(isSigned(token.blob, b"date", signature))
            self.assertFalse(isSigned(other.blob, b"data", signature))
            for at in range(5):
                changed = bytearray(signature)
                changed[-1 - at] ^= 0x80
                self.assertFalse(isSigned(token.blob, b"data", bytes(changed)), at)
            elsewhere = token.blob[:-4] + b"tent"
            self.assertFalse(isSigned(elsewhere, b"data", signature))

    def test_demands(self) -> None:
        """
        A token that was not touched has not signed, unless that need not be; nor one without a PIN, where one
        is wanted.
        """
        for token in TOKENS:
            for flags, demands, isGood in (
                (0, Demands(), False),
                (VERIFIED, Demands(), False),
                (TOUCHED, Demands(), True),
                (0, Demands(touch=False), True),
                (TOUCHED, Demands(pin=True), False),
                (VERIFIED, Demands(pin=True), False),
                (TOUCHED | VERIFIED, Demands(pin=True), True),
                (VERIFIED, Demands(touch=False, pin=True), True),
            ):
                token.flags = flags
                self.assertEqual(isGood, isSigned(token.blob, b"data", token.sign(b"data"), demands))

    def test_cut(self) -> None:
        """
        A signature that is cut, or has more behind it, is none; nor is one of another type.
        """
        for token in TOKENS:
            signature = token.sign(b"data")
            for size in range(len(signature)):
                self.assertFalse(isSigned(token.blob, b"data", signature[:size]))
            self.assertFalse(isSigned(token.blob, b"data", signature + b"\0"))
        ed, curve = TOKENS
        renamed = sshString(curve.kind) + ed.sign(b"data")[4 + len(ed.kind) :]
        self.assertFalse(isSigned(ed.blob, b"data", renamed))

    @given(st.binary(max_size=80))
    def test_anything(self, data: bytes) -> None:
        """
        Any bytes are a signature or none, and of a key or none.
        """
        for token in TOKENS:
            good = token.sign(b"data")
            self.assertFalse(isSigned(token.blob, b"data", good[:34] + data))
            self.assertFalse(isSigned(token.blob[:30] + data, b"data", good))

    def test_users(self) -> None:
        """
        Clients are told that these are taken; hosts sign with none.
        """
        for kind in FIDO:
            self.assertIn(kind, WireSettings().userKeys)
            self.assertNotIn(kind, ALGORITHMS)


class FileTests(SynchronousTestCase):
    """
    In the file of keys.
    """

    def test_options(self) -> None:
        """
        A touch is wanted unless the line says otherwise; a PIN if it says so.
        """
        for token in TOKENS:
            for options, demands in (
                ("", Demands()),
                ("no-touch-required ", Demands(touch=False)),
                ("restrict,verify-required ", Demands(pin=True)),
                ("verify-required,no-touch-required ", Demands(False, True)),
            ):
                key = SSHKey.fromLine(f"{options}{token.line} bob".encode())
                self.assertEqual((token.blob, demands), (key.blob, key.demands))
            self.assertEqual(token.blob, blobFrom(token.line.encode()))

    def test_mistakes(self) -> None:
        """
        Other keys cannot do that; and a token certifies nobody.
        """
        for line, words in (
            (f"verify-required {publicLine(CA)} bob", "are for keys in FIDO tokens"),
            (f"no-touch-required {publicLine(CA)} bob", "are for keys in FIDO tokens"),
            (f"cert-authority {TOKENS[0].line} bob", "certifies nobody here"),
            (f"{TOKENS[0].line[:-8]} bob", "broken"),
        ):
            error = self.assertRaises(StringError, SSHKey.fromLine, line.encode())
            self.assertIn(words, str(error))

    def test_find(self) -> None:
        """
        The key is found by what it has signed as its line demands.
        """
        token = Token()
        path = self.mktemp()
        for options, isFound in (("", False), ("no-touch-required ", True), ("verify-required ", False)):
            write(path, f"{options}{token.line} bob\n", mode=0o644)
            token.flags = 0
            found = KeyFile(path).find(token.blob, b"data", token.sign(b"data"))
            self.assertEqual(isFound, found is not None)
            self.assertIn("the token of bob was not touched", KeyFile(path).why(token.blob))
            token.flags = TOUCHED | VERIFIED
            self.assertIsNotNone(KeyFile(path).find(token.blob, b"data", token.sign(b"data")))


class CertificateTests(SynchronousTestCase):
    """
    Tokens whose keys are certified.
    """

    def login(self, token: Token, options: str = "", **more: Any) -> bool:
        """
        @return: whether that is bob.
        """
        keys = write(self.mktemp(), f"{options}cert-authority {publicLine(CA)} the CA\n", mode=0o644)
        blob = token.certify(CA, NOW - 1, **more)
        self.assertEqual(token.blob, SSHCertificate.fromBlob(blob).key)
        credentials = CertifiedKey(b"bob", blob, b"data", token.sign(b"data"), "10.0.0.1")
        try:
            name, _ = Certified(KeyFile(keys), None, lambda: NOW).login(credentials, b"bob")
        except UnauthorizedLogin as error:
            self.assertIn("not as it has to", str(error))
            return False
        return name == "bob"

    def test_touch(self) -> None:
        """
        A touch is wanted, unless both the certificate and the line of the CA say otherwise.
        """
        for isCurve in (False, True):
            token = Token(isCurve)
            self.assertTrue(self.login(token, extensions=(FORWARDING,)))
            token.flags = 0
            for options, extensions, isGood in (
                ("", (), False),
                ("no-touch-required,", (), False),
                ("", (NO_TOUCH,), False),
                ("no-touch-required,", (NO_TOUCH,), True),
            ):
                self.assertEqual(isGood, self.login(token, options, extensions=extensions))

    def test_pin(self) -> None:
        """
        A PIN is wanted if one of them says so.
        """
        token = Token()
        for options, critical in (("", (VERIFY,)), ("verify-required,", ())):
            token.flags = TOUCHED
            self.assertFalse(self.login(token, options, critical=critical))
            token.flags = TOUCHED | VERIFIED
            self.assertTrue(self.login(token, options, critical=critical))
