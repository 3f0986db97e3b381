# -*- test-case-name: ugate.test.test_keyids -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The names that follow from a public key: nobody gives them, and nobody else can have them.
"""

from __future__ import annotations

import re
from base64 import b32encode
from hashlib import sha1, sha256
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import StringError
from ugate.keyid import KEYID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

DOMAIN: Final = "cluster.local"
"""The trust domain of who was told none, as in Istio."""

NAMESPACE: Final = "default"
"""The namespace of who was told none."""

ACCOUNT: Final = "default"
"""The service account of who was told none."""

_KEYID: Final = re.compile(KEYID)
_NETWORK: Final = int(IPv6Address("fd00::"))
_VIP_BYTES: Final = 8
_POINT_BYTES: Final = 65
_RSA_BITS: Final = 2048


def pointOf(key: CertificatePublicKeyTypes | Any) -> bytes:
    """
    The bytes that a key is known by: C{04 || X || Y} of P-256, the 32 bytes of Ed25519; of RSA, which is what
    Istio gives out unless told otherwise, PKCS #1 in DER.

    @raise StringError: it is of another type.
    @since: ugate NEXT
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS:
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    raise StringError("a key of a type that names nobody; wanted P-256 or Ed25519, or RSA of 2048 bits")


def keyidOf(key: CertificatePublicKeyTypes | Any) -> str:
    """
    The KEYID of a public key: 52 characters, base32 without padding of the SHA-256 of L{pointOf}.  In names
    of hosts it is in lower case: see L{namesOf}.

    @raise StringError: it is of a type that names nobody.
    @since: ugate NEXT
    """
    return b32encode(sha256(pointOf(key)).digest()).decode().rstrip("=")


def keyidOfUser(tenant: str, name: str) -> str:
    """
    What stands in the place of a KEYID for a user, who has none: no key has it.

    @param tenant: whose credentials prove who it is.
    @since: ugate NEXT
    """
    return b32encode(sha256(f"ugate user\0{tenant}\0{name}".encode()).digest()).decode().rstrip("=")


def vip6Of(key: CertificatePublicKeyTypes | Any) -> str:
    """
    The address of a public key: C{fd00::} with the last 8 bytes of it; of RSA, with those of its SHA-1, since
    all of these keys end the same.

    @raise StringError: it is of a type that names nobody.
    @since: ugate NEXT
    """
    return vip6OfPoint(pointOf(key))


def vip6OfPoint(point: bytes) -> str:
    """
    The same of what L{pointOf} gives.

    @since: ugate NEXT
    """
    if len(point) > _POINT_BYTES:
        # An address proves nothing: this is no use of SHA-1 for security.
        point = sha1(point, usedforsecurity=False).digest()
    return str(IPv6Address(_NETWORK | int.from_bytes(point[-_VIP_BYTES:], "big")))


def keyidIn(name: str) -> str | None:
    """
    The KEYID that a name is, or begins with, as in C{KEYID.namespace.TRUST_DOMAIN}; L{None} if it has none.

    @since: ugate NEXT
    """
    label = name.partition(".")[0].upper()
    return label if _KEYID.fullmatch(label) is not None else None


def hostOf(keyid: str, namespace: str = NAMESPACE, domain: str = DOMAIN) -> str:
    """
    The name of a node as a host: C{KEYID.namespace.TRUST_DOMAIN}, in lower case.

    @since: ugate NEXT
    """
    return f"{keyid}.{namespace}.{domain}".lower()


def spiffeOf(namespace: str = NAMESPACE, account: str = ACCOUNT, domain: str = DOMAIN) -> str:
    """
    The SPIFFE id: C{spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT}.

    @since: ugate NEXT
    """
    return f"spiffe://{domain}/ns/{namespace}/sa/{account}"


def namesOf(keyid: str, namespace: str, account: str, domain: str) -> tuple[str, ...]:
    """
    The names that a node certifies itself: its host, its KEYID alone in lower case, and its SPIFFE id.

    @since: ugate NEXT
    """
    return (hostOf(keyid, namespace, domain), keyid.lower(), spiffeOf(namespace, account, domain))
