# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of credentials share: files that change, and keys, tokens and certificates.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from twisted.internet.defer import Deferred, succeed

from ugate.tenancy.tokens import Token


def write(path: str, text: str | bytes, mode: int = 0o600) -> str:
    """
    Replace a file by another one.
    """
    new = Path(path + ".new")
    new.write_bytes(text.encode() if isinstance(text, str) else text)
    os.chmod(new, mode)
    os.rename(new, path)
    return path


def tokenLine(name: str, token: str, expires: float | None = None) -> str:
    """
    The line of a token.
    """
    return f"{Token(name, sha256(token.encode()).digest(), expires)}\n"


def publicLine(key: Any) -> str:
    """
    A public key as C{ssh-keygen} writes it, without a name.
    """
    line: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line.decode()


def sshString(data: bytes) -> bytes:
    """
    A string of SSH.
    """
    return len(data).to_bytes(4, "big") + data


def certificate(begins: float, ends: float) -> bytes:
    """
    A certificate in DER that is good between two times.
    """
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    start = datetime(1970, 1, 1, tzinfo=timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start + timedelta(seconds=begins))
        .not_valid_after(start + timedelta(seconds=ends))
        .sign(key, None)
    )
    der: bytes = made.public_bytes(Encoding.DER)
    assert made.fingerprint(hashes.SHA256()) == sha256(der).digest()
    return der


class Counted:
    """
    Runs each check of a password at once, and counts them.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, call: Callable[[], bool]) -> Deferred[bool]:
        self.count += 1
        return succeed(call())
