# -*- test-case-name: ugate.test.test_trustfiles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Files of peers: of those that were met, a line C{NAME KEYID} each; and of those that are believed no more,
which is a CRL in PEM, or a line for each serial number or KEYID.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ugate.errors import StringError, UgateError
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source
from ugate.tenancy.credentialfiles import Reread, checked, readLines
from ugate.tenancy.identityfiles import readFile
from ugate.tenancy.keyids import keyidIn

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

_MAX_REVOKED: Final = 10 * 1024 * 1024
_CRL: Final = b"-----BEGIN X509 CRL-----"
_CRL_END: Final = b"-----END X509 CRL-----"
_SERIAL: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{2})+|[0-9A-Fa-f]{1,40})")
_KEYID_LENGTH: Final = 52
_MAX_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Met:
    """
    A key that somebody had.

    @since: ugate NEXT
    """

    keyid: str
    """Which key."""

    line: int
    """Where that is written."""


def normalName(name: str) -> str:
    """
    A name as it is compared: in lower case, without a dot behind it.
    """
    return name.rstrip(".").lower()


def isWritable(name: str) -> bool:
    """
    Whether a name can be in a file of known peers.
    """
    return (
        0 < len(name) <= _MAX_NAME
        and name.isprintable()
        and not name.startswith("#")
        and not any(each.isspace() for each in name)
    )


def readKnown(path: str) -> dict[str, Met]:
    """
    Read a file of known peers; one that is not there knows nobody.

    @return: by their names.
    @raise ConfigError: it cannot be used; with every mistake.
    @since: ugate NEXT
    """
    known: dict[str, Met] = {}

    def take(line: bytes, number: int) -> None:
        try:
            parts = line.decode().split()
        except UnicodeDecodeError as error:
            raise StringError("not UTF-8; wanted the file saved as UTF-8") from error
        if len(parts) != 2 or not isWritable(parts[0]):
            raise StringError("wanted NAME KEYID, with nothing else in the line")
        keyid = keyidIn(parts[1])
        if keyid is None or len(parts[1]) != _KEYID_LENGTH:
            raise StringError(
                f"{parts[1][:60]!r} is no KEYID; wanted 52 letters and digits, as ucli shows it"
            )
        name = normalName(parts[0])
        if not name:
            raise StringError("a name of dots alone; wanted NAME KEYID")
        if name in known:
            raise StringError(f"{name} is on line {known[name].line} too; wanted each name once")
        known[name] = Met(keyid, number)

    if os.path.lexists(path):
        readLines(path, "file of known peers", take)
    return known


checkKnown = checked(readKnown)
"""A check for the C{known} of a trust."""


class KnownFile:
    """
    Whose key is whose since they were first met.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, path: str) -> None:
        """
        @raise ConfigError: the file cannot be used.
        """
        self.path = path
        self._file = Reread(path, readKnown, "known peers")

    def find(self, name: str) -> Met | None:
        """
        The key that somebody had, if they were met.
        """
        self._file.refresh()
        return self._file.value.get(normalName(name))

    def has(self, keyid: str) -> bool:
        """
        Whether anybody was met with that key.
        """
        self._file.refresh()
        return any(met.keyid == keyid for met in self._file.value.values())

    def learn(self, name: str, keyid: str) -> None:
        """
        Somebody is met for the first time.

        @raise UgateError: that cannot be written.
        """
        name = normalName(name)
        if not isWritable(name):
            raise UgateError(f"{name[:60]!r} cannot be a name in {self.path}")
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                isOpen = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
                file.write(f"{chr(10) if isOpen else ''}{name} {keyid}\n".encode())
                os.fsync(file.fileno())
        except OSError as error:
            raise UgateError(f"{self.path}: {error.strerror or error}; wanted it to be writable") from error
        self._file.refresh()
        self.log.warn(
            "{name} is met for the first time, and has the key {keyid} from now on; see that this is right: "
            "there it is shown by ucli identity",
            name=name,
            keyid=keyid,
        )


@dataclass(frozen=True, slots=True)
class Revoked:
    """
    Who is believed no more.

    @since: ugate NEXT
    """

    serials: frozenset[int] = frozenset()
    """Serial numbers, whoever gave them."""

    keyids: frozenset[str] = frozenset()
    """Keys."""

    lists: tuple[CertificateRevocationList, ...] = ()
    """Lists of those who certify."""

    def why(self, certificate: Certificate, keyid: str | None) -> str:
        """
        Why a certificate is not believed; nothing if it may be.

        @param keyid: of its key.
        """
        number = certificate.serial_number
        if number in self.serials:
            return f"its serial number {number:x}"
        if keyid is not None and keyid in self.keyids:
            return f"its KEYID {keyid}"
        for each in self.lists:
            if each.issuer == certificate.issuer:
                found = each.get_revoked_certificate_by_serial_number(number)
                if found is not None and not _isRemoved(found):
                    return f"its serial number {number:x}, by {each.issuer.rfc4514_string()}"
        return ""


def _isRemoved(entry: object) -> bool:
    """
    Whether an entry of a list says that somebody is off the list again.
    """
    from cryptography import x509

    assert isinstance(entry, x509.RevokedCertificate)
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (x509.ExtensionNotFound, ValueError):
        return False
    return reason is x509.ReasonFlags.remove_from_crl


def readRevoked(path: str, issuers: Sequence[Certificate] = ()) -> Revoked:
    """
    Read who is believed no more.

    @param issuers: a list that one of them is said to have signed has to be so.
    @raise ConfigError: the file cannot be used; with every mistake.
    @since: ugate NEXT
    """
    try:
        data = readFile(path, _MAX_REVOKED)
    except UgateError as error:
        raise ConfigError([_mistake(path, str(error).removeprefix(f"{path}: "))]) from error
    if _CRL in data:
        lists = _lists(path, data)
        for each in lists:
            theirs = [issuer for issuer in issuers if issuer.subject == each.issuer]
            if theirs and not any(map(partial(_isBy, each), theirs)):
                by = each.issuer.rfc4514_string()
                raise ConfigError(
                    [_mistake(path, f"a CRL that {by} did not sign; wanted it as it was given out")]
                )
        return Revoked(lists=lists)
    serials: set[int] = set()
    keyids: set[str] = set()

    def take(line: bytes, number: int) -> None:
        text = line.decode(errors="replace").removeprefix("serial=")
        keyid = keyidIn(text)
        match = _SERIAL.fullmatch(text)
        if keyid is not None and len(text) == _KEYID_LENGTH:
            keyids.add(keyid)
        elif match is not None and len(match[1].replace(":", "")) <= 40:
            serials.add(int(match[1].replace(":", ""), 16))
        else:
            raise StringError(
                f"{text[:60]!r} is neither a serial number nor a KEYID; wanted hexadecimal digits, as "
                "openssl x509 -serial prints them, or a KEYID"
            )

    readLines(path, "list of serial numbers", take)
    return Revoked(frozenset(serials), frozenset(keyids))


def _lists(path: str, data: bytes) -> tuple[CertificateRevocationList, ...]:
    from cryptography.x509 import load_pem_x509_crl

    found = []
    at = data.find(_CRL)
    while at >= 0:
        end = data.find(_CRL_END, at)
        if end < 0:
            raise ConfigError([_mistake(path, "a CRL that has no end; wanted it in PEM, whole")])
        end += len(_CRL_END)
        try:
            crl = load_pem_x509_crl(data[at:end] + b"\n")
            # What is wrong within is to be seen now, not when somebody comes.
            crl.issuer, len(crl)
        except ValueError as error:
            raise ConfigError([_mistake(path, f"a CRL that cannot be read ({error}); wanted PEM")]) from error
        found.append(crl)
        at = data.find(_CRL, end)
    return tuple(found)


def _isBy(crl: CertificateRevocationList, issuer: Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _mistake(path: str, message: str) -> Mistake:
    return Mistake(Place(Source(path, numbered=False)), message)


checkRevoked = checked(readRevoked)
"""A check for the C{revoked} of a trust."""
