# -*- test-case-name: ugate.test.test_keys -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Public keys of SSH and what they signed (RFC 4253, 6.6; RFC 5656, 3.1; RFC 8332; RFC 8709); and those of users
that are in FIDO tokens (PROTOCOL.u2f of OpenSSH).

Not by C{twisted.conch.ssh.keys}, which wants bcrypt, for what is not needed here, and takes SHA-1.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from ugate.errors import ProtocolError, StringError
from ugate.protocols.sshpackets import U32, Reader

ALGORITHMS: Final = (
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
)
"""How users and hosts may sign, best first: not with SHA-1."""

FIDO: Final = (b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com")
"""What else users may sign with: keys in FIDO tokens, best first."""

USERS: Final = ALGORITHMS + FIDO
"""How users may sign."""

_TOUCHED: Final = 0x01
_VERIFIED: Final = 0x04

_MIN_RSA: Final = 2048
_RSA: Final = {b"rsa-sha2-256": "SHA256", b"rsa-sha2-512": "SHA512"}
_CURVES: Final = {
    b"ecdsa-sha2-nistp256": "SHA256",
    b"ecdsa-sha2-nistp384": "SHA384",
    b"ecdsa-sha2-nistp521": "SHA512",
    b"sk-ecdsa-sha2-nistp256@openssh.com": "SHA256",
}


@dataclass(frozen=True, slots=True)
class Demands:
    """
    What a FIDO token has to say of its owner, for each signature.

    @since: ugate NEXT
    """

    touch: bool = True
    """That it was touched."""

    pin: bool = False
    """That its owner has proven to be that: by a PIN, or a finger."""


TOUCH: Final = Demands()
"""As it is unless a file says otherwise."""


def keyFromBlob(kind: bytes, blob: bytes) -> Any:
    """
    The key that SSH sends so.

    @raise StringError: it is none of that kind, or too weak.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        if Reader(blob).string() != kind:
            raise ValueError("another kind")
        key: Any = load_ssh_public_key(kind + b" " + b64encode(blob))
    except (ValueError, UnsupportedAlgorithm, ProtocolError) as error:
        raise StringError(f"the key is broken, or not of the type {kind.decode()}") from error
    if kind == b"ssh-rsa" and key.key_size < _MIN_RSA:
        raise StringError(f"an RSA key of {key.key_size} bits; wanted {_MIN_RSA}, or an ed25519 key")
    return key


def isSigned(blob: bytes, signed: bytes, signature: bytes, demands: Demands = TOUCH) -> bool:
    """
    Whether a key signed something.  A signature with SHA-1 is none.

    @param blob: the key, which is good.
    @param signature: as SSH sends it.
    @param demands: for keys in FIDO tokens.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        kind, reader = Reader(blob).string(), Reader(signature)
        algorithm, raw = reader.string(), reader.string()
        if kind in FIDO:
            signed = _attested(blob, signed, reader, demands)
        if not reader.isOver:
            return False
        _verify(keyFromBlob(kind, blob), kind, algorithm, raw, signed)
    except (ValueError, InvalidSignature, ProtocolError):
        return False
    return True


def _attested(blob: bytes, signed: bytes, reader: Reader, demands: Demands) -> bytes:
    """
    What a token signs, when it is asked to sign something.

    @param reader: what is behind its signature: what it says of its owner, and a number.
    @raise ValueError: it does not say what it has to.
    """
    flags, count = reader.byte(), reader.number()
    if (demands.touch and not flags & _TOUCHED) or (demands.pin and not flags & _VERIFIED):
        raise ValueError("not by its owner")
    parts = Reader(blob)
    while not parts.isOver:
        application = parts.string()
    return sha256(application).digest() + bytes((flags,)) + U32.pack(count) + sha256(signed).digest()


def _verify(key: Any, kind: bytes, algorithm: bytes, raw: bytes, signed: bytes) -> None:
    """
    @raise InvalidSignature: it did not sign that.
    @raise ValueError: that is no signature of such a key.
    @raise ProtocolError: it is cut off.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if kind == b"ssh-rsa" and algorithm in _RSA:
        # A number, of which PuTTY sends no zeros in front: one time in 256 that is shorter.
        raw = raw.rjust((key.key_size + 7) // 8, b"\0")
        key.verify(raw, signed, padding.PKCS1v15(), getattr(hashes, _RSA[algorithm])())
    elif algorithm != kind:
        raise ValueError("another algorithm")
    elif kind in _CURVES:
        reader = Reader(raw)
        numbers = [int.from_bytes(reader.string(), "big", signed=True) for _ in range(2)]
        if not reader.isOver:
            raise ValueError("more than two numbers")
        key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(getattr(hashes, _CURVES[kind])()))
    elif kind in (b"ssh-ed25519", FIDO[0]):
        key.verify(raw, signed)
    else:
        raise ValueError("another kind of key")
