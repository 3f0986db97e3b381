# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The names that follow from a public key.
"""

from __future__ import annotations

from base64 import b32decode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.keyids import hostOf, keyidIn, keyidOf, namesOf, pointOf, vip6Of

ONE = ec.derive_private_key(1, ec.SECP256R1()).public_key()
"""The generator of the curve: its coordinates stand in every book."""

X = bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
Y = bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")


class KeyidTests(SynchronousTestCase):
    """
    KEYIDs, addresses and hosts.
    """

    def test_p256(self) -> None:
        """
        The KEYID is the hash of the point, the address the end of it.
        """
        self.assertEqual(b"\4" + X + Y, pointOf(ONE))
        keyid = keyidOf(ONE)
        self.assertEqual(52, len(keyid))
        self.assertEqual(sha256(b"\4" + X + Y).digest(), b32decode(keyid + "===="))
        self.assertEqual("fd00::cbb6:4068:37bf:51f5", vip6Of(ONE))

    def test_ed25519(self) -> None:
        """
        The same of the 32 bytes of an Ed25519 key.
        """
        key = ed25519.Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key()
        raw = key.public_bytes_raw()
        self.assertEqual(sha256(raw).digest(), b32decode(keyidOf(key) + "===="))
        self.assertTrue(vip6Of(key).startswith("fd00::"))

    def test_others(self) -> None:
        """
        Keys of other types name nobody.
        """
        for key in (
            ec.generate_private_key(ec.SECP384R1()).public_key(),
            rsa.generate_private_key(65537, 1024).public_key(),
        ):
            self.assertIn("P-256 or Ed25519", str(self.assertRaises(StringError, keyidOf, key)))

    def test_rsa(self) -> None:
        """
        RSA keys have names too, by their PKCS #1, and not all the same address.
        """
        one, other = (rsa.generate_private_key(65537, 2048).public_key() for _ in range(2))
        self.assertEqual(52, len(keyidOf(one)))
        self.assertNotEqual(vip6Of(one), vip6Of(other))

    def test_inNames(self) -> None:
        """
        A KEYID is found alone and at the beginning of a host, in any case.
        """
        keyid = keyidOf(ONE)
        for name in (keyid, keyid.lower(), hostOf(keyid), hostOf(keyid, "prod", "corp.example")):
            self.assertEqual(keyid, keyidIn(name))
        for name in ("", "db.example", keyid[:-1], f"{keyid}A", f"x.{keyid}", keyid[:-1] + "7"):
            self.assertIsNone(keyidIn(name))

    def test_names(self) -> None:
        """
        What a node certifies itself.
        """
        keyid = keyidOf(ONE)
        self.assertEqual(
            (f"{keyid.lower()}.ns.td", keyid.lower(), "spiffe://td/ns/ns/sa/web"),
            namesOf(keyid, "ns", "web", "td"),
        )
