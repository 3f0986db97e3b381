# -*- test-case-name: ugate.test.test_ca -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a CA signs for TLS: its own root, certificates of nodes, and lists of those that are revoked (RFC 5280).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import UgateError
from ugate.tenancy.ca.record import Issued
from ugate.tenancy.ca.requests import Wanted

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

ROOT_LIFE: Final = 3652 * 86400.0
"""Seconds that a root is good for."""

EARLY: Final = 300.0
"""Seconds that a certificate begins early, for those whose clocks are behind; at most a tenth of its life."""

CRL_LIFE: Final = 86400.0
"""Seconds after which a list is to be replaced."""

_USAGES: Final = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def at(seconds: float) -> datetime:
    """
    A time as certificates have it.
    """
    return datetime.fromtimestamp(int(seconds), timezone.utc)


def earlier(now: float, life: float) -> float:
    """
    When something begins that is made now.
    """
    return now - min(EARLY, life / 10)


def _usage(*names: str) -> Any:
    from cryptography.x509 import KeyUsage

    return KeyUsage(**{each: each in names for each in _USAGES})


def makeRoot(key: Any, name: str, domain: str, now: float) -> Certificate:
    """
    The certificate of a CA.

    @param name: what it is called.
    @param domain: the trust domain that it certifies for.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public = key.public_key()
    builder = (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
        .not_valid_before(at(earlier(now, ROOT_LIFE)))
        .not_valid_after(at(now + ROOT_LIFE))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{domain}")]), False
        )
    )
    return builder.sign(key, SHA256())


def domainOf(root: Certificate) -> str:
    """
    The trust domain that a CA certifies for.

    @raise UgateError: its certificate does not say.
    """
    from ugate.tenancy.identityown import certifiedNames

    for name in certifiedNames(root):
        if name.startswith("spiffe://"):
            return name.removeprefix("spiffe://").partition("/")[0]
    raise UgateError("the certificate of the CA names no trust domain; wanted spiffe://DOMAIN in it")


def makeCertificate(
    key: Any, root: Certificate, wanted: Wanted, begins: float, ends: float, serial: int
) -> Certificate:
    """
    Certify somebody.

    @param key: the private key of the root.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    # RSA is for the key exchange of TLS 1.2 as well.
    usages = ("digital_signature", *(("key_encipherment",) if isinstance(wanted.key, RSAPublicKey) else ()))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.keyid.lower())])
    names = [
        x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name) for name in wanted.names
    ]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder(root.subject, subject, wanted.key, serial)
        .not_valid_before(at(begins))
        .not_valid_after(at(ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(*usages), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(wanted.key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, SHA256())


_TIME_BITS: Final = 48
"""Those of a time in milliseconds."""


def makeCRL(
    key: Any, root: Certificate, revoked: Iterable[Issued], now: float, changes: int = 0
) -> CertificateRevocationList:
    """
    The list of certificates that are revoked.

    @param changes: how often something was revoked; the number of the list goes up with it at any time.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    builder = x509.CertificateRevocationListBuilder(root.subject, at(now), at(now + CRL_LIFE))
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    ).add_extension(x509.CRLNumber(changes << _TIME_BITS | int(now * 1000)), critical=False)
    for each in revoked:
        entry = x509.RevokedCertificateBuilder(int(each.serial, 16), at(each.revoked or now))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, SHA256())
