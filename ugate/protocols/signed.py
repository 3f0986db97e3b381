# -*- test-case-name: ugate.test.test_signed -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whether the key of a node has signed something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_RSA_BITS: Final = 4096
_EXPONENT_BITS: Final = 32


def isQuick(key: RSAPublicKey) -> bool:
    """
    Whether a key of RSA is small enough to check for strangers.

    @since: ugate NEXT
    """
    return key.key_size <= _RSA_BITS and key.public_numbers().e.bit_length() <= _EXPONENT_BITS


def isSigned(key: Any, signature: bytes, signed: bytes) -> bool:
    """
    Whether that is a signature as L{ugate.interfaces.IIdentity.sign} makes it.

    @param key: a public key of whatever type; of one that signs nothing here, nothing is signed.
    @since: ugate NEXT
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        if isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, signed, ECDSA(SHA256()))
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, RSAPublicKey) and isQuick(key):
            key.verify(signature, signed, PKCS1v15(), SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True
