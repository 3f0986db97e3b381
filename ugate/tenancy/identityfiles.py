# -*- test-case-name: ugate.test.test_identityfiles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Files of a key and what certifies it, as Istio, Kubernetes and people lay them out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ugate.errors import StringError, UgateError
from ugate.tenancy.keyids import keyidOf, pointOf

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from ugate.tenancy.config.identityschema import Identity

LAYOUTS: Final = (
    ("key.pem", "cert-chain.pem", "root-cert.pem"),
    ("tls.key", "tls.crt", "ca.crt"),
    ("key.pem", "cert.pem", ""),
)
"""Of Istio, of a secret of Kubernetes, and plain: key, certificates, roots."""

MAX_FILE: Final = 1024 * 1024
MAX_ROOTS: Final = 4 * 1024 * 1024

_WANTED: Final = (
    "wanted key.pem with cert-chain.pem, as Istio has it, tls.key with tls.crt, as Kubernetes has it, "
    "or key.pem with cert.pem"
)


@dataclass(frozen=True, slots=True)
class Keypair:
    """
    A private key and what certifies it.

    @since: ugate NEXT
    """

    key: Any = field(repr=False)
    """The private key, of cryptography."""

    chain: tuple[Certificate, ...]
    """The certificate of the key, and those that certify it."""

    roots: tuple[Certificate, ...] = ()
    """Whom those believe who gave it to us."""

    @property
    def certificate(self) -> Certificate:
        """
        That of the key.
        """
        return self.chain[0]


def readFile(path: str, most: int, *, isSecret: bool = False) -> bytes:
    """
    All of a file.

    @param isSecret: whether others may not read it.
    @raise UgateError: it cannot be read, or others may read or write it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(most + 1)
    except OSError as error:
        raise UgateError(f"{path}: {error.strerror or error}; wanted a file that can be read") from error
    if stat.S_ISREG(mode):
        if isSecret and mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            raise UgateError(
                f"{path}: others may read or write this key; run: chmod o-rwx,g-w {path}"
                " (of a secret of Kubernetes: defaultMode: 0440)"
            )
        if mode & stat.S_IWOTH:
            raise UgateError(f"{path}: everyone may write it; run: chmod o-w {path}")
    if len(data) > most:
        raise UgateError(f"{path}: over {most // 1024} KiB; wanted a PEM file")
    return data


def readKey(path: str) -> Any:
    """
    A private key.

    @raise UgateError: it cannot be used, and why; nothing of it is in the message.
    @since: ugate NEXT
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = readFile(path, MAX_FILE, isSecret=True)
    try:
        key: Any = load_pem_private_key(data, None)
        pointOf(key.public_key())
    except StringError as error:
        raise UgateError(f"{path}: {error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No cause: who knows what it says.
        raise UgateError(f"{path}: no private key; wanted one in PEM, without a password") from None
    return key


def readChain(path: str, most: int = MAX_FILE) -> tuple[Certificate, ...]:
    """
    Certificates, in their order.

    @raise UgateError: there are none.
    @since: ugate NEXT
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(readFile(path, most)))
    except ValueError as error:
        raise UgateError(f"{path}: no certificates ({error}); wanted them in PEM") from error


def readRoots(path: str) -> tuple[Certificate, ...]:
    """
    Certificates to believe.

    @raise UgateError: there are none.
    @since: ugate NEXT
    """
    return readChain(path, MAX_ROOTS)


def checkRoots(path: str) -> None:
    """
    A check for C{roots} in the config.

    @raise StringError: there are none in that file, and why.
    """
    try:
        readRoots(path)
    except UgateError as error:
        raise StringError(str(error)) from error


def isCertifiedBy(key: Any, certificate: Certificate) -> bool:
    """
    Whether a certificate is of a private key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return keyidOf(key.public_key()) == keyidOf(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return False


def readKeypair(key: str, certificates: str, roots: str = "") -> Keypair:
    """
    A key and what certifies it.

    @raise UgateError: they cannot be used, or do not belong together.
    @since: ugate NEXT
    """
    private, chain = readKey(key), readChain(certificates)
    if not isCertifiedBy(private, chain[0]):
        raise UgateError(
            f"{certificates}: its first certificate is not of the key in {key}; wanted both from one place"
        )
    return Keypair(private, chain, readRoots(roots) if roots else ())


def signatureOf(paths: Iterable[str]) -> tuple[object, ...]:
    """
    What is different when one of these files is.
    """
    return tuple(map(_signature, paths))


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


class Files:
    """
    A key that others give us, and renew.

    @since: ugate NEXT
    """

    def __init__(self, section: Identity) -> None:
        """
        @param section: with a C{dir}, or with C{key} and C{cert}.
        """
        self.section = section

    def paths(self) -> tuple[str, str, str]:
        """
        Where they are now: key, certificates, roots or nothing.

        @raise UgateError: nowhere.
        """
        section = self.section
        if section.key is not None:
            return section.key, section.cert or "", section.roots or ""
        folder = section.dir or ""
        for key, chain, roots in LAYOUTS:
            found = os.path.join(folder, key), os.path.join(folder, chain)
            if all(map(os.path.exists, found)):
                theirs = os.path.join(folder, roots) if roots else ""
                return (*found, section.roots or (theirs if theirs and os.path.exists(theirs) else ""))
        raise UgateError(f"{folder}: there is no key with its certificate; {_WANTED}")

    def signature(self) -> object:
        """
        What is different when the files are.
        """
        try:
            paths = self.paths()
        except UgateError:
            return None
        return paths, signatureOf(path for path in paths if path)

    def load(self) -> Keypair:
        """
        @raise UgateError: they cannot be used, and why.
        """
        return readKeypair(*self.paths())

    def isDue(self, held: Keypair) -> bool:
        """
        Whoever gave it renews it.
        """
        return False
