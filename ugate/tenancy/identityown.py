# -*- test-case-name: ugate.test.test_identityfiles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A key of our own: made when it is first needed, certified by itself, and certified again before that ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.tenancy.identityfiles import (
    Keypair,
    isCertifiedBy,
    readChain,
    readKey,
    readRoots,
    signatureOf,
)
from ugate.tenancy.keyids import keyidOf, namesOf
from ugate.tenancy.statefolder import makeFolder, writeWhole

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from ugate.tenancy.config.identityschema import Identity

LIFE: Final = timedelta(days=365)
"""How long a certificate of our own is good."""

EARLY: Final = timedelta(hours=1)
"""How long before it is made it begins, for those whose clocks are behind."""

RENEWED: Final = 1 / 3
"""What part of its life is left when it is renewed."""


def makeKey(kind: str) -> Any:
    """
    A new private key: C{p256} or C{ed25519}.

    @since: ugate NEXT
    """
    if kind == "ed25519":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    return generate_private_key(SECP256R1())


def isOfKind(key: Any, kind: str) -> bool:
    """
    Whether a private key is of that kind.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return isinstance(key, Ed25519PrivateKey if kind == "ed25519" else EllipticCurvePrivateKey)


def keyText(key: Any) -> bytes:
    """
    A private key as it is in a file.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text


def namesIn(section: Identity, keyid: str) -> tuple[str, ...]:
    """
    The names that a key has by its section.
    """
    names = namesOf(keyid, section.namespace, section.account, section.domain)
    return (*names[:-1], section.pod, names[-1]) if section.pod else names


def selfSigned(key: Any, names: tuple[str, ...], now: float) -> Certificate:
    """
    A certificate of a key by itself.

    @param names: DNS names, and URIs, which have C{://} in them.
    @param now: when, in seconds since 1970.
    @since: ugate NEXT
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    at = datetime.fromtimestamp(int(now), timezone.utc)
    public = key.public_key()
    # A KEYID fits into the 64 characters that there may be.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, keyidOf(public).lower())])
    usage = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
        .not_valid_before(at - EARLY)
        .not_valid_after(at + LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
                    for name in names
                ]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(key, None if isinstance(key, Ed25519PrivateKey) else SHA256())


def certifiedNames(certificate: Certificate) -> tuple[str, ...]:
    """
    The names in a certificate: DNS names, then URIs.

    @since: ugate NEXT
    """
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *found.get_values_for_type(x509.UniformResourceIdentifier),
    )


def isSelfSigned(certificate: Certificate) -> bool:
    """
    Whether a certificate is by its own key.

    @since: ugate NEXT
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    if certificate.issuer != certificate.subject:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


class Own:
    """
    A key of our own, in a folder of our own.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, folder: str, section: Identity, now: Callable[[], float] = time.time) -> None:
        """
        @param folder: made if it is not there.
        @param section: what kind of key, and which names.
        @param now: the time of day.
        """
        self.folder = folder
        self.section = section
        self._now = now

    @property
    def keyPath(self) -> str:
        """
        Where the key is.
        """
        return os.path.join(self.folder, "key.pem")

    @property
    def certificatePath(self) -> str:
        """
        Where its certificate is.
        """
        return os.path.join(self.folder, "cert.pem")

    @property
    def hostPath(self) -> str:
        """
        Where the certificate of the key as a host of SSH is, if there is one.
        """
        return os.path.join(self.folder, "ssh-host-cert.pub")

    def signature(self) -> object:
        """
        What is different when the files are.
        """
        return signatureOf((self.keyPath, self.certificatePath))

    def load(self) -> Keypair:
        """
        Read what is there, and make what is missing or about to end.

        @raise UgateError: it can neither be read nor made.
        """
        makeFolder(self.folder)
        section = self.section
        if not os.path.lexists(self.keyPath):
            made = makeKey(section.kind)
            if writeWhole(self.keyPath, keyText(made), isNew=True):
                self.log.info(
                    "{path}: a new key, {keyid}", path=self.keyPath, keyid=keyidOf(made.public_key())
                )
        key = readKey(self.keyPath)
        if not isOfKind(key, section.kind):
            self.log.warn(
                "{path} is not of the kind {kind} and stays what it is; put it away for a new one, which has "
                "another name",
                path=self.keyPath,
                kind=section.kind,
            )
        chain = readChain(self.certificatePath) if os.path.lexists(self.certificatePath) else ()
        if not chain or self._isStale(key, chain):
            chain = (self._certified(key),)
        return Keypair(key, chain, readRoots(section.roots) if section.roots else ())

    def isDue(self, held: Keypair) -> bool:
        """
        Whether its certificate is by itself and has to be renewed.
        """
        certificate = held.certificate
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        left = ends.timestamp() - self._now()
        return left < (ends - begins).total_seconds() * RENEWED and isSelfSigned(certificate)

    def _isStale(self, key: Any, chain: tuple[Certificate, ...]) -> bool:
        """
        Whether there has to be another certificate.

        @raise UgateError: there has to be, but this one is by others.
        """
        certificate = chain[0]
        isOurs = isSelfSigned(certificate)
        if not isCertifiedBy(key, certificate):
            if isOurs:
                return True
            raise UgateError(
                f"{self.certificatePath}: it is not of the key in {self.keyPath}, and not by itself; put it "
                "away, or the key back"
            )
        names = namesIn(self.section, keyidOf(key.public_key()))
        return isOurs and (self.isDue(Keypair(key, chain)) or certifiedNames(certificate) != names)

    def _certified(self, key: Any) -> Certificate:
        from cryptography.hazmat.primitives.serialization import Encoding

        certificate = selfSigned(key, namesIn(self.section, keyidOf(key.public_key())), self._now())
        writeWhole(self.certificatePath, certificate.public_bytes(Encoding.PEM))
        self.log.info("{path}: a new certificate, by its own key", path=self.certificatePath)
        return certificate
