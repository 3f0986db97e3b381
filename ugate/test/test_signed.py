# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.signed}.
"""

from __future__ import annotations

from itertools import count
from math import gcd, lcm
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateNumbers,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.signed import isSigned
from ugate.test.identityfakes import p256


class SignedTests(SynchronousTestCase):
    """
    Signatures of the keys that nodes have.
    """

    def test_kinds(self) -> None:
        """
        Each kind of key has its own; another text, another key and a cut one are none.
        """
        keys: list[Any] = [p256(), Ed25519PrivateKey.generate(), generate_private_key(65537, 2048)]
        more: list[tuple[Any, ...]] = [(ECDSA(SHA256()),), (), (PKCS1v15(), SHA256())]
        for key, how in zip(keys, more, strict=True):
            signature = key.sign(b"signed", *how)
            for other in keys:
                self.assertEqual(other is key, isSigned(other.public_key(), signature, b"signed"))
            self.assertFalse(isSigned(key.public_key(), signature, b"signee"))
            for cut in (b"", signature[:-1], signature + b"x"):
                self.assertFalse(isSigned(key.public_key(), cut, b"signed"))
        self.assertFalse(isSigned(X25519PrivateKey.generate().public_key(), b"", b""))

    def test_exponent(self) -> None:
        """
        A key of RSA that takes long to check is none.
        """
        pair = generate_private_key(65537, 2048).private_numbers()
        order = lcm(pair.p - 1, pair.q - 1)
        for bits, isGood in ((32, True), (33, False)):
            e = next(each for each in count(2 ** (bits - 1) + 1, 2) if gcd(each, order) == 1)
            d = pow(e, -1, order)
            parts = pair.p, pair.q, d, d % (pair.p - 1), d % (pair.q - 1), pair.iqmp
            key = RSAPrivateNumbers(*parts, RSAPublicNumbers(e, pair.public_numbers.n)).private_key()
            signature = key.sign(b"signed", PKCS1v15(), SHA256())
            self.assertEqual(isGood, isSigned(key.public_key(), signature, b"signed"))
