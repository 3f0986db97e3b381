# -*- test-case-name: ugate.test.test_identityenrolled -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A key of our own that a CA certifies.  Until it has, the key certifies itself; and what the CA gave stays,
also when it has ended, until there is something newer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import UgateError
from ugate.tenancy.identityfiles import Keypair, isCertifiedBy, readChain, readRoots, signatureOf
from ugate.tenancy.identityown import RENEWED, Own, certifiedNames, isSelfSigned, namesIn
from ugate.tenancy.keyids import keyidOf
from ugate.tenancy.statefolder import writeWhole

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

_CERTIFICATE: Final = "ca-cert.pem"
_ROOTS: Final = "ca-roots.pem"
_CRL: Final = "ca-crl.pem"


def crlIn(folder: str) -> str:
    """
    Where the list of revocations of the CA is.
    """
    return os.path.join(folder, _CRL)


class Enrolled(Own):
    """
    A key of our own with a certificate of a CA.

    @since: ugate NEXT
    """

    @property
    def chainPath(self) -> str:
        """
        Where the certificate of the CA for us is.
        """
        return os.path.join(self.folder, _CERTIFICATE)

    @property
    def rootsPath(self) -> str:
        """
        Where the certificate of the CA itself is.
        """
        return os.path.join(self.folder, _ROOTS)

    def signature(self) -> object:
        """
        What is different when the files are.
        """
        return super().signature(), signatureOf((self.chainPath, self.rootsPath))

    def load(self) -> Keypair:
        """
        See L{Own}; with the certificate of the CA, if there is one that can be used.

        @raise UgateError: the key can neither be read nor made.
        """
        own = super().load()
        chain = self._given(own.key)
        roots = self.roots()
        return Keypair(own.key, chain or own.chain, roots)

    def roots(self) -> tuple[Certificate, ...]:
        """
        What the CA gave as its own certificates.
        """
        if not os.path.lexists(self.rootsPath):
            return ()
        try:
            return readRoots(self.rootsPath)
        except UgateError as error:
            self.log.error("{error}; the CA is asked again", error=error)
            return ()

    def _given(self, key: Any) -> tuple[Certificate, ...]:
        if not os.path.lexists(self.chainPath):
            return ()
        try:
            chain = readChain(self.chainPath)
        except UgateError as error:
            self.log.error("{error}; the CA is asked again", error=error)
            return ()
        if not isCertifiedBy(key, chain[0]):
            self.log.error(
                "{path}: it is not of the key in {key}; the CA is asked again",
                path=self.chainPath,
                key=self.keyPath,
            )
            return ()
        return chain

    def wanted(self, key: Any) -> tuple[str, ...]:
        """
        The names that its section wants.
        """
        return namesIn(self.section, keyidOf(key.public_key()))

    def isFitting(self, held: Keypair) -> bool:
        """
        Whether what we have is by the CA whose roots we have, with the names that are wanted.
        """
        certificate = held.certificate
        missing = {*self.wanted(held.key)} - {*certifiedNames(certificate)}
        return not (missing or isSelfSigned(certificate)) and isBy(certificate, held.roots)

    def renewAt(self, held: Keypair) -> float:
        """
        When it has to be renewed, in seconds since 1970.
        """
        begins, ends = held.certificate.not_valid_before_utc, held.certificate.not_valid_after_utc
        return ends.timestamp() - (ends - begins).total_seconds() * RENEWED

    def take(self, chain: bytes, roots: bytes, host: str) -> None:
        """
        Keep what the CA has given.

        @param chain: the certificates of our key, in PEM.
        @param roots: those of the CA.
        @param host: that of our key as a host of SSH, if it gave one.
        @raise UgateError: they cannot be written.
        """
        writeWhole(self.rootsPath, roots)
        if host:
            writeWhole(self.hostPath, host.encode() + b"\n")
        elif os.path.lexists(self.hostPath):
            os.unlink(self.hostPath)
        # The last: it is what counts.
        writeWhole(self.chainPath, chain)


def isBy(certificate: Certificate, roots: Sequence[Certificate]) -> bool:
    """
    Whether one of these has signed a certificate.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    for root in roots:
        try:
            certificate.verify_directly_issued_by(root)
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            continue
        return True
    return False


def isOlder(crl: CertificateRevocationList, other: CertificateRevocationList) -> bool:
    """
    Whether a list of revocations was made before another one of the same CA: by their numbers, which only
    grow (RFC 5280, 5.2.3), or by their times where one has no number.
    """
    number, otherNumber = _numberOf(crl), _numberOf(other)
    if number is None or otherNumber is None:
        return crl.last_update_utc < other.last_update_utc
    return number < otherNumber


def _numberOf(crl: CertificateRevocationList) -> int | None:
    from cryptography.x509 import CRLNumber, ExtensionNotFound

    try:
        return crl.extensions.get_extension_for_class(CRLNumber).value.crl_number
    except ExtensionNotFound:
        return None


def requestFor(key: Any, names: Sequence[str]) -> bytes:
    """
    A request for a certificate: PKCS #10, in PEM.

    @param key: the private key, which signs it and stays here.
    @param names: of hosts, and URIs, which have C{://} in them.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, keyidOf(key.public_key()).lower())])
    builder = x509.CertificateSigningRequestBuilder(subject).add_extension(
        x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name) for name in names]
        ),
        critical=False,
    )
    made = builder.sign(key, None if isinstance(key, Ed25519PrivateKey) else SHA256())
    return made.public_bytes(Encoding.PEM)
