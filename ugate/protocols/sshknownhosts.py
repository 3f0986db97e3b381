# -*- test-case-name: ugate.test.test_sshknownhosts -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which keys hosts have, by files C{known_hosts} of OpenSSH (sshd(8)).
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from hashlib import sha256
from re import Pattern, compile
from typing import Final

from ugate.errors import ProtocolError, StringError
from ugate.protocols.sshcertificate import HOST, SUFFIX, SSHCertificate
from ugate.protocols.sshpackets import Reader
from ugate.protocols.sshsignatures import ALGORITHMS

AUTHORITY: Final = "@cert-authority"
REVOKED: Final = "@revoked"

_HASHED: Final = "|1|"
_DEFAULT_PORT: Final = 22
_SIGNS: Final = {b"ssh-rsa": (b"rsa-sha2-512", b"rsa-sha2-256")}


def fingerprint(blob: bytes) -> str:
    """
    What people compare: as C{ssh-keygen -l} shows it.
    """
    return "SHA256:" + b64encode(sha256(blob).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class KnownHost:
    """
    One line.
    """

    hosts: str
    """The patterns of its hosts, or one name, hashed."""

    key: bytes
    """The key, as SSH sends it."""

    marker: str = ""
    """L{AUTHORITY}, L{REVOKED} or nothing."""

    @classmethod
    def fromLine(cls, line: str) -> KnownHost:
        """
        Read a line.

        @raise StringError: it is none, and why.
        """
        parts = line.split()
        marker = parts.pop(0) if parts[0].startswith("@") else ""
        if marker not in ("", AUTHORITY, REVOKED):
            raise StringError(f"{marker[:40]} is no marker that is known here")
        if len(parts) < 3:
            raise StringError("wanted HOSTS KEY-TYPE BASE64")
        try:
            key = b64decode(parts[2], validate=True)
            if Reader(key).string() != parts[1].encode():
                raise StringError(f"its key is not of the type {parts[1][:40]}")
        except (Base64Error, ValueError, ProtocolError) as error:
            raise StringError(
                str(error) if isinstance(error, StringError) else "its key is broken"
            ) from error
        return cls(parts[0], key, marker)

    def means(self, name: str) -> bool:
        """
        Whether it is of that host.

        @param name: as in such a file: C{[HOST]:PORT} for other ports than 22.
        """
        if self.hosts.startswith(_HASHED):
            return _isHashOf(self.hosts[len(_HASHED) :], name)
        found = False
        for pattern in self.hosts.split(","):
            isNot = pattern.startswith("!")
            if _glob(pattern[isNot:]).fullmatch(name) is not None:
                if isNot:
                    return False
                found = True
        return found


def _glob(pattern: str) -> Pattern[str]:
    # Only * and ? are special there.
    return compile(translate(pattern.lower().replace("[", "[[]")))


def _isHashOf(text: str, name: str) -> bool:
    salt, _, digest = text.partition("|")
    try:
        wanted = b64decode(digest, validate=True)
        return hmac.compare_digest(hmac.digest(b64decode(salt, validate=True), name.encode(), "sha1"), wanted)
    except (Base64Error, ValueError):
        return False


class KnownHosts:
    """
    All that is known.

    @since: ugate NEXT
    """

    def __init__(self, lines: Iterable[KnownHost] = ()) -> None:
        """
        @param lines: of all files.
        """
        self.lines = tuple(lines)

    @classmethod
    def fromText(cls, text: str) -> KnownHosts:
        """
        Read a file.  Lines that are none are left out, as OpenSSH does it.
        """
        found = []
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                try:
                    found.append(KnownHost.fromLine(line))
                except StringError:
                    continue
        return cls(found)

    def _of(self, host: str, port: int) -> list[KnownHost]:
        name = host.lower() if port == _DEFAULT_PORT else f"[{host.lower()}]:{port}"
        return [line for line in self.lines if line.means(name)]

    def algorithms(self, host: str, port: int) -> tuple[bytes, ...]:
        """
        How a host is asked to sign: first by what it can be known by.
        """
        lines = self._of(host, port)
        kinds = [Reader(line.key).string() for line in lines if not line.marker]
        known = [each for kind in dict.fromkeys(kinds) for each in _SIGNS.get(kind, (kind,))]
        certified = tuple(each + SUFFIX for each in ALGORITHMS)
        first = certified if any(line.marker == AUTHORITY for line in lines) else ()
        rest = known + [each for each in ALGORITHMS if each not in known]
        return (*first, *(each for each in rest if each in ALGORITHMS))

    def check(self, host: str, port: int, blob: bytes, now: float) -> None:
        """
        Return if a host is known by that key or certificate.

        @param blob: what it has shown to have.
        @param now: the time of day.
        @raise StringError: it is not, and why.
        """
        lines = self._of(host, port)
        revoked = {line.key for line in lines if line.marker == REVOKED}
        kind = Reader(blob).string()
        if kind.endswith(SUFFIX):
            self._checkCertificate(host, lines, revoked, SSHCertificate.fromBlob(blob), now)
            return
        shown = f"its key is {fingerprint(blob)}"
        if blob in revoked:
            raise StringError(f"{shown}, which is revoked")
        keys = [line.key for line in lines if not line.marker]
        if blob not in keys:
            others = [fingerprint(key) for key in keys if Reader(key).string() == kind]
            wanted = f"it has to be {' or '.join(others)}" if others else "no line is of that host and key"
            raise StringError(f"{shown}, and {wanted}")

    def _checkCertificate(
        self,
        host: str,
        lines: list[KnownHost],
        revoked: set[bytes],
        certificate: SSHCertificate,
        now: float,
    ) -> None:
        authorities = [line.key for line in lines if line.marker == AUTHORITY]
        shown = f"its certificate {certificate.title!r} is by the CA {fingerprint(certificate.authority)}"
        if certificate.key in revoked or certificate.authority in revoked:
            raise StringError(f"{shown}, and revoked")
        if not any(certificate.isSignedBy(key) for key in authorities):
            raise StringError(f"{shown}, which no line names for that host")
        try:
            certificate.checkFor(HOST, host.lower(), now)
            certificate.checkOptions("")
        except StringError as error:
            raise StringError(f"{shown}: {error}") from error
