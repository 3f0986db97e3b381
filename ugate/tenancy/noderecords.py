# -*- test-case-name: ugate.test.test_noderecords -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a node says of itself, signed by its key: where it is reached, for how long that is so, and what else it
claims to be called.  It fits into one datagram.

A record is, with its numbers in the order of networks::

    4   "ugR" and the version, 1
    1   the type of the key: 1 P-256, 2 Ed25519, 3 RSA
    8   when it was issued, in milliseconds since 1970
    8   its number, for those issued at the same moment
    4   how many seconds it is good for; 0 takes back what was said before
    2   the size of the key
    2   the size of the body
        the key: 04 || X || Y, the 32 bytes, or SubjectPublicKeyInfo in DER
        the body in MessagePack: [[[TRANSPORT, HOST, PORT], ...], [NAME, ...], PADDING]
        the signature, of C{_SIGNED} and all that is before it; it is all the rest: r || s, 32 bytes each, for
        P-256; the 64 bytes of Ed25519; PKCS #1 for RSA; each with SHA-256 but for Ed25519

Bytes in, values out: what a record means, and who is believed, is for whoever asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct as Packed
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, MsgspecError, Struct
from msgspec.msgpack import Decoder, encode

from ugate.errors import UgateError
from ugate.interfaces import MeshAddress
from ugate.protocols.signed import isQuick, isSigned
from ugate.tenancy.config.texts import DOMAIN_NAME
from ugate.tenancy.keyids import keyidOf, pointOf

if TYPE_CHECKING:
    from ugate.interfaces import IIdentity

MAX_SIZE: Final = 1200
"""Bytes of a record: what passes every network in one piece."""

MAX_ADDRESSES: Final = 8
"""Addresses in a record."""

MAX_NAMES: Final = 8
"""Names in a record."""

LONGEST: Final = 86400
"""Seconds that a record may be good for, unless told otherwise."""

SKEW: Final = 60.0
"""Seconds that clocks may differ, unless told otherwise."""

_MAGIC: Final = b"ugR\1"
_SIGNED: Final = b"ugate node record, version 1\0"
"""In front of what is signed: so a signature of a record is none of anything else."""

_HEAD: Final = Packed("!4sBQQIHH")
_P256, _ED25519, _RSA = 1, 2, 3
_POINT: Final = 65
_RAW: Final = 32
_PAIR: Final = 64
_SIZES: Final = {_P256: range(_POINT, _POINT + 1), _ED25519: range(_RAW, _RAW + 1), _RSA: range(270, 600)}
_NUMBER_MOST: Final = 2**64 - 1
_PORT_MOST: Final = 65535
_NAME_MOST: Final = 253
_NAME: Final = re.compile(DOMAIN_NAME)
_TRANSPORT: Final = re.compile(r"[a-z][a-z0-9]{0,31}")


class RecordError(UgateError):
    """
    A record that is not believed; the message says what is wrong with it.

    @since: ugate NEXT
    """


class _Body(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    addresses: Annotated[tuple[tuple[str, str, int], ...], Meta(max_length=MAX_ADDRESSES)]
    names: Annotated[tuple[str, ...], Meta(max_length=MAX_NAMES)]
    padding: bytes


_BODY: Final = Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Heading:
    """
    What a record says before anything of it is checked: enough to drop it cheaply.

    @since: ugate NEXT
    """

    kind: int
    """The type of its key, as a number."""

    key: bytes
    """Its key."""

    issued: float
    """When it says that it was issued, in seconds since 1970."""

    sequence: int
    """Its number among those of the same moment."""

    lifetime: int
    """Seconds that it is good for."""

    bodyAt: int
    """Where its body begins."""

    signatureAt: int
    """Where its signature begins."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """
    What a node has said of itself, and signed.

    @since: ugate NEXT
    """

    keyid: str
    """Who it is: the KEYID of the key that signed it."""

    addresses: tuple[MeshAddress, ...]
    """The ways to it, best first; an empty host is where the record came from."""

    names: tuple[str, ...]
    """What else it claims to be called, in lower case."""

    issued: float
    """When, in seconds since 1970, by its clock."""

    sequence: int
    """Its number among those of the same moment."""

    lifetime: int
    """Seconds that it is good for; 0 takes back what was said before."""

    @property
    def order(self) -> tuple[float, int]:
        """
        What is greater in a later record of the same node.
        """
        return self.issued, self.sequence

    @property
    def expires(self) -> float:
        """
        When it is good no more, in seconds since 1970.
        """
        return self.issued + self.lifetime


def sign(
    identity: IIdentity,
    addresses: Iterable[MeshAddress],
    *,
    issued: float,
    lifetime: int,
    sequence: int = 0,
    names: Iterable[str] = (),
    block: int = 1,
) -> bytes:
    """
    A record of our own.

    @param addresses: the ways to us, best first; an empty host is where the record comes from.
    @param issued: when, in seconds since 1970.
    @param lifetime: seconds; 0 takes back what was said before.
    @param sequence: to be greater than that of any other record of the same moment.
    @param block: the size becomes a multiple of that, up to 256: so those of many nodes are of the same.
    @raise RecordError: there can be none of that, and why.
    @raise UgateError: our key is of a type that names nobody.
    @since: ugate NEXT
    """
    public = identity.certificate.public_key()
    kind, key = _packed(public)
    said = _Body(tuple((each.transport, each.host, each.port) for each in addresses), tuple(names), b"")
    _checkBody(said)
    milliseconds = round(issued * 1000)
    if not (0 <= milliseconds <= _NUMBER_MOST and 0 <= sequence <= _NUMBER_MOST and 0 <= lifetime <= LONGEST):
        raise RecordError(f"a record of {issued} for {lifetime} seconds: wanted at most {LONGEST}")
    size = _HEAD.size + len(key) + len(encode(said)) + _signatureSize(kind, public)
    body = encode(_Body(said.addresses, said.names, bytes(-size % block)))
    content: bytes = (
        _HEAD.pack(_MAGIC, kind, milliseconds, sequence, lifetime, len(key), len(body)) + key + body
    )
    data = content + _flat(kind, identity.sign(_SIGNED + content))
    if len(data) > MAX_SIZE:
        raise RecordError(f"a record of {len(data)} bytes: wanted at most {MAX_SIZE}; say less")
    return data


def _signatureSize(kind: int, key: Any) -> int:
    size: int = key.key_size // 8 if kind == _RSA else _PAIR
    return size


def _flat(kind: int, signature: bytes) -> bytes:
    """
    A signature as records have it.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if kind != _P256:
        return signature
    r, s = decode_dss_signature(signature)
    return r.to_bytes(_PAIR // 2, "big") + s.to_bytes(_PAIR // 2, "big")


def peek(data: bytes) -> Heading:
    """
    What a record says, unchecked.  Quick: nothing is computed.

    @raise RecordError: it is no record at all, and why.
    @since: ugate NEXT
    """
    if len(data) > MAX_SIZE:
        raise RecordError(f"{len(data)} bytes: wanted at most {MAX_SIZE}")
    if len(data) < _HEAD.size:
        raise RecordError(f"{len(data)} bytes are no record")
    magic, kind, milliseconds, sequence, lifetime, keySize, bodySize = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise RecordError("no record of this version")
    if kind not in _SIZES or keySize not in _SIZES[kind]:
        raise RecordError(f"a key of type {kind} and {keySize} bytes: wanted P-256, Ed25519 or RSA")
    bodyAt = _HEAD.size + keySize
    signatureAt = bodyAt + bodySize
    if signatureAt >= len(data):
        raise RecordError("it is cut off")
    key = data[_HEAD.size : bodyAt]
    return Heading(kind, key, milliseconds / 1000, sequence, lifetime, bodyAt, signatureAt)


def read(
    data: bytes, now: float, *, skew: float = SKEW, longest: int = LONGEST, heading: Heading | None = None
) -> NodeRecord:
    """
    What somebody says of itself.

    @param now: the time, in seconds since 1970.
    @param skew: seconds that clocks may differ.
    @param longest: seconds that it may be good for.
    @param heading: what L{peek} said of it, if it was asked.
    @raise RecordError: it is not to be believed, and why.
    @since: ugate NEXT
    """
    head = peek(data) if heading is None else heading
    if head.issued > now + skew:
        raise RecordError(f"it is from the future, by {head.issued - now:.0f} seconds; see the clocks")
    if head.lifetime > longest:
        raise RecordError(f"it would be good for {head.lifetime} seconds: wanted at most {longest}")
    if head.issued + head.lifetime < now - skew:
        raise RecordError(f"it is too old, by {now - head.issued - head.lifetime:.0f} seconds")
    key = _unpacked(head.kind, head.key)
    signature = data[head.signatureAt :]
    if head.kind == _P256:
        signature = _inDER(signature)
    if not isSigned(key, signature, _SIGNED + data[: head.signatureAt]):
        raise RecordError("its signature is wrong")
    try:
        body = _BODY.decode(data[head.bodyAt : head.signatureAt])
    except (MsgspecError, ValueError) as error:
        raise RecordError(f"its body cannot be read: {error}") from error
    _checkBody(body)
    addresses = tuple(MeshAddress(*each) for each in body.addresses)
    return NodeRecord(keyidOf(key), addresses, body.names, head.issued, head.sequence, head.lifetime)


def _checkBody(body: _Body) -> None:
    """
    @raise RecordError: something in it cannot be, and what.
    """
    if len(body.addresses) > MAX_ADDRESSES:
        raise RecordError(f"{len(body.addresses)} addresses: wanted at most {MAX_ADDRESSES}")
    if len(body.names) > MAX_NAMES:
        raise RecordError(f"{len(body.names)} names: wanted at most {MAX_NAMES}")
    for transport, host, port in body.addresses:
        if _TRANSPORT.fullmatch(transport) is None:
            raise RecordError(f"the transport {transport[:40]!r}: wanted letters and digits")
        if host and not _isHost(host):
            raise RecordError(f"the host {host[:80]!r}: wanted an address or a name")
        if not 0 < port <= _PORT_MOST:
            raise RecordError(f"port {port}: wanted 1 to {_PORT_MOST}")
    for name in body.names:
        if len(name) > _NAME_MOST or _NAME.fullmatch(name) is None or name != name.lower():
            raise RecordError(f"the name {name[:80]!r}: wanted one as of a host, in lower case")


def _isHost(host: str) -> bool:
    if len(host) <= _NAME_MOST and _NAME.fullmatch(host) is not None:
        return True
    try:
        # What a zone means differs from host to host.
        return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False


def _packed(key: Any) -> tuple[int, bytes]:
    """
    A public key as records have it.

    @raise UgateError: it is of a type that names nobody.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = pointOf(key)
    if len(point) == _POINT:
        return _P256, point
    if len(point) == _RAW:
        return _ED25519, point
    return _RSA, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _unpacked(kind: int, data: bytes) -> Any:
    """
    The public key in a record.

    @raise RecordError: it is none, is weak, takes too long to check, or is written in another way than others
        would: the same key has to be the same bytes.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key: Any
    try:
        if kind == _P256:
            key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
        elif kind == _ED25519:
            key = Ed25519PublicKey.from_public_bytes(data)
        else:
            key = load_der_public_key(data)
            if not isinstance(key, RSAPublicKey):
                raise ValueError("of another type")
            if not isQuick(key):
                raise ValueError("it is too large")
        if _packed(key) != (kind, data):
            raise ValueError("of another type, or written in another way")
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RecordError(f"its key cannot be used: {error}") from error
    return key


def _inDER(signature: bytes) -> bytes:
    """
    A signature of P-256, which a record has as two numbers, as others write it; none if it has another size.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if len(signature) != _PAIR:
        return b""
    half = _PAIR // 2
    return encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )
