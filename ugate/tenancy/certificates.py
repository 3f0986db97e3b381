# -*- test-case-name: ugate.test.test_certificates -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Certificates of clients, known by their fingerprints: a file with a line C{NAME:sha256:HEX} for each, as
C{openssl x509 -noout -fingerprint -sha256} prints the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256

from ugate.errors import StringError
from ugate.tenancy.credentialfiles import Reread, checked, checkName, digestFromHex, readEach


def readCertificates(path: str) -> dict[bytes, str]:
    """
    Read a file of fingerprints.

    @return: names by fingerprint.
    @raise ConfigError: it cannot be used; with every mistake.
    @since: ugate NEXT
    """

    def readLine(line: bytes) -> tuple[bytes, str]:
        name, _, rest = line.partition(b":")
        known = checkName(name)
        kind, _, text = rest.decode(errors="replace").partition(":")
        if kind != "sha256":
            raise StringError("no sha256: after the name; wanted NAME:sha256:FINGERPRINT")
        return digestFromHex(text), known

    return readEach(path, "file of fingerprints", "fingerprint", readLine)


checkCertificates = checked(readCertificates)
"""A check for the C{certificates} of a policy."""


class CertificateFile:
    """
    Whose certificates are whose, by a file that is read again when it changes.

    @since: ugate NEXT
    """

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        """
        @param now: the time of day.
        @raise ConfigError: the file cannot be used.
        """
        self._now = now
        self._file = Reread(path, readCertificates, "fingerprints")

    def nameFor(self, der: bytes) -> str | None:
        """
        Whose certificate that is; L{None} if it is of nobody here, or not good now by its own dates.
        """
        self._file.refresh()
        name = self._file.value.get(sha256(der).digest())
        return name if name is not None and self._isCurrent(der) else None

    def _isCurrent(self, der: bytes) -> bool:
        from cryptography.x509 import load_der_x509_certificate

        try:
            certificate = load_der_x509_certificate(der)
        except ValueError:
            return False
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return begins.timestamp() <= self._now() <= ends.timestamp()
