# -*- test-case-name: ugate.test.test_jwts -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The public keys of whoever issues JWTs, as a file of JSON (a JWK Set, RFC 7517), and what they signed
(RFC 7518).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ugate.errors import StringError

MAX_KEYS: Final = 32
"""Keys of one file."""

_MIN_RSA: Final = 2048
_MAX_RSA: Final = 8192
_CURVES: Final[Mapping[str, tuple[str, str, str, int]]] = {
    "P-256": ("ES256", "SECP256R1", "SHA256", 32),
    "P-384": ("ES384", "SECP384R1", "SHA384", 48),
    "P-521": ("ES512", "SECP521R1", "SHA512", 66),
}
_RSA: Final[Mapping[str, str]] = {
    f"{kind}{size}": f"SHA{size}" for kind in ("RS", "PS") for size in (256, 384, 512)
}

Verify = Callable[[str, bytes, bytes], None]
"""Takes an algorithm, a signature and what was signed; raises C{InvalidSignature} of C{cryptography}."""


def fromBase64(text: str | bytes) -> bytes:
    """
    What is written in the base64 of URLs, without padding (RFC 7515, 2).

    @raise StringError: it is not.
    """
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    try:
        if b"=" in data or data.translate(None, _BASE64):
            raise ValueError("other characters")
        return urlsafe_b64decode(data + b"=" * (-len(data) % 4))
    except (Base64Error, ValueError) as error:
        raise StringError("not in the base64 of URLs") from error


_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class _Key(msgspec.Struct, frozen=True):
    kty: str
    kid: str = ""
    use: str = "sig"
    alg: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    n: str = ""
    e: str = ""


class _Keys(msgspec.Struct, frozen=True):
    keys: tuple[_Key, ...]


@dataclass(frozen=True, slots=True)
class WebKey:
    """
    A key.

    @since: ugate NEXT
    """

    name: str
    """What it is called: C{kid}, or empty."""

    algorithms: frozenset[str]
    """What it signs by."""

    parts: tuple[str, ...]
    """What makes it this one."""

    verify: Verify = field(repr=False, compare=False)
    """See there."""


def keysFromJSON(data: bytes) -> tuple[WebKey, ...]:
    """
    Read a set.  Keys of kinds that are not known here, or for something else, are left out.

    @raise StringError: it is none, or has nothing that could be used.
    @since: ugate NEXT
    """
    try:
        read = msgspec.json.decode(data, type=_Keys)
    except msgspec.MsgspecError as error:
        raise StringError(f"no set of keys: {error}") from error
    if len(read.keys) > MAX_KEYS:
        raise StringError(f"{len(read.keys)} keys; wanted at most {MAX_KEYS}")
    if any(each.kty == "oct" for each in read.keys):
        raise StringError("a secret key: whoever can check with it can issue; wanted public keys")
    found = tuple(key for key in map(_keyFrom, read.keys) if key is not None)
    if not found:
        raise StringError("no key that could be used; wanted RSA, EC or Ed25519, for signatures")
    return found


def _keyFrom(read: _Key) -> WebKey | None:
    """
    @raise StringError: it is broken, or weak.
    """
    if read.use != "sig":
        return None
    if read.kty == "RSA":
        algorithms, verify = frozenset(_RSA), _rsa(read)
    elif read.kty == "EC" and read.crv in _CURVES:
        algorithms, verify = frozenset((_CURVES[read.crv][0],)), _curve(read)
    elif read.kty == "OKP" and read.crv == "Ed25519":
        algorithms, verify = frozenset(("EdDSA", "Ed25519")), _edwards(read)
    else:
        return None
    if read.alg:
        algorithms &= {read.alg}
    parts = (read.kty, read.crv, read.x, read.y, read.n, read.e)
    return WebKey(read.kid, algorithms, parts, verify) if algorithms else None


def _number(text: str) -> int:
    return int.from_bytes(fromBase64(text), "big")


def _rsa(read: _Key) -> Verify:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    number = _number(read.n)
    if not _MIN_RSA <= number.bit_length() <= _MAX_RSA:
        raise StringError(f"an RSA key of {number.bit_length()} bits; wanted {_MIN_RSA} to {_MAX_RSA}")
    try:
        key = RSAPublicNumbers(_number(read.e), number).public_key()
    except ValueError as error:
        raise StringError(f"an RSA key that is broken: {error}") from error

    def verify(algorithm: str, signature: bytes, signed: bytes) -> None:
        digest = getattr(hashes, _RSA[algorithm])()
        if algorithm.startswith("PS"):
            key.verify(signature, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        else:
            key.verify(signature, signed, padding.PKCS1v15(), digest)

    return verify


def _curve(read: _Key) -> Verify:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    _, curve, digest, size = _CURVES[read.crv]
    try:
        numbers = ec.EllipticCurvePublicNumbers(_number(read.x), _number(read.y), getattr(ec, curve)())
        key = numbers.public_key()
    except ValueError as error:
        raise StringError(f"a key of {read.crv} that is broken: {error}") from error

    def verify(algorithm: str, signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        pair = (int.from_bytes(each, "big") for each in (signature[:size], signature[size:]))
        key.verify(encode_dss_signature(*pair), signed, ec.ECDSA(getattr(hashes, digest)()))

    return verify


def _edwards(read: _Key) -> Verify:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(fromBase64(read.x))
    except ValueError as error:
        raise StringError(f"a key of Ed25519 that is broken: {error}") from error
    return lambda algorithm, signature, signed: key.verify(signature, signed)
