# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Certificates of any kind, made for tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ugate.tenancy.identityown import keyText
from ugate.tenancy.keyids import keyidOf

NOW = 1_800_000_000.0
"""The time of all tests."""

DAY = 86400.0


def p256() -> Any:
    """
    A new key.
    """
    return generate_private_key(SECP256R1())


@dataclass
class Holder:
    """
    Somebody with a key and a certificate.
    """

    key: Any
    certificate: x509.Certificate

    @property
    def keyid(self) -> str:
        """
        What the key is known by.
        """
        return keyidOf(self.key.public_key())

    def pem(self) -> bytes:
        """
        The certificate as it is in a file.
        """
        return self.certificate.public_bytes(Encoding.PEM)

    def write(self, folder: Path, key: str, certificate: str, above: Iterable[Holder] = ()) -> None:
        """
        Write both, with a mode that is right.
        """
        path = folder / key
        path.write_bytes(keyText(self.key))
        path.chmod(0o600)
        (folder / certificate).write_bytes(b"".join([self.pem(), *(each.pem() for each in above)]))


def certified(
    names: Iterable[str] = (),
    by: Holder | None = None,
    *,
    key: Any = None,
    subject: str = "peer",
    begins: float = NOW - DAY,
    ends: float = NOW + DAY,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    serial: int | None = None,
) -> Holder:
    """
    Somebody who is certified.

    @param names: DNS names, and URIs, which have C{://} in them.
    @param by: who does it; L{None} for the key itself.
    """
    key = key or p256()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateBuilder(
        name if by is None else by.certificate.subject,
        name,
        key.public_key(),
        serial or x509.random_serial_number(),
        datetime.fromtimestamp(begins, timezone.utc),
        datetime.fromtimestamp(ends, timezone.utc),
    )
    given = [x509.UniformResourceIdentifier(each) if "://" in each else x509.DNSName(each) for each in names]
    if given:
        builder = builder.add_extension(x509.SubjectAlternativeName(given), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = key if by is None else by.key
    return Holder(key, builder.sign(signer, None if isinstance(signer, Ed25519PrivateKey) else SHA256()))


def authority(
    subject: str = "root", by: Holder | None = None, length: int | None = None, **more: Any
) -> Holder:
    """
    Somebody who may certify others.
    """
    basic = x509.BasicConstraints(True, length), True
    return certified((), by, subject=subject, extensions=[basic], **more)


def listOf(
    issuer: Holder, serials: Iterable[int], signer: Any = None, number: int | None = None, age: float = 1
) -> bytes:
    """
    A CRL.

    @param number: its number, if it has one.
    @param age: how many days ago it was made.
    """
    at = datetime.fromtimestamp(NOW, timezone.utc)
    builder = x509.CertificateRevocationListBuilder(
        issuer.certificate.subject, at - timedelta(days=age), at + timedelta(days=1)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, at - timedelta(hours=1)).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(signer or issuer.key, SHA256()).public_bytes(Encoding.PEM)
