# -*- test-case-name: ugate.test.test_sshkrl -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Lists of keys and certificates of SSH that are revoked (OpenSSH, PROTOCOL.krl).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Final

from ugate.errors import ProtocolError
from ugate.protocols.sshcertificate import SSHCertificate
from ugate.protocols.sshpackets import Reader, words

MAGIC: Final = b"SSHKRL\n\0"

_VERSION: Final = 1
_CERTIFICATES: Final = 1
_KEYS: Final = 2
_SHA1: Final = 3
_SHA256: Final = 5
_SERIALS: Final = 0x20
_RANGE: Final = 0x21
_BITMAP: Final = 0x22
_TITLES: Final = 0x23


@dataclass(slots=True)
class _Authority:
    """
    What was revoked of one CA.
    """

    serials: set[int] = field(default_factory=set)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    bitmaps: list[tuple[int, int]] = field(default_factory=list)
    titles: set[str] = field(default_factory=set)

    def has(self, certificate: SSHCertificate) -> bool:
        """
        Whether that is among it.
        """
        serial = certificate.serial
        return (
            serial in self.serials
            or certificate.title in self.titles
            or any(low <= serial <= high for low, high in self.ranges)
            or any(serial >= offset and bits >> (serial - offset) & 1 for offset, bits in self.bitmaps)
        )


class Revoked:
    """
    Keys and certificates that are good no more.

    @since: ugate NEXT
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        """
        @param keys: public keys, as SSH sends them.
        """
        self._keys = set(keys)
        self._digests: set[bytes] = set()
        self._authorities: dict[bytes, _Authority] = {}

    def hasKey(self, blob: bytes) -> bool:
        """
        Whether a key is among them.
        """
        if blob in self._keys:
            return True
        digests = self._digests
        return bool(digests) and (sha256(blob).digest() in digests or sha1(blob).digest() in digests)

    def has(self, certificate: SSHCertificate) -> bool:
        """
        Whether a certificate, its key, or its CA is.
        """
        if self.hasKey(certificate.key) or self.hasKey(certificate.authority):
            return True
        each = (self._authorities.get(key) for key in (certificate.authority, b""))
        return any(authority is not None and authority.has(certificate) for authority in each)

    @classmethod
    def fromBytes(cls, data: bytes) -> Revoked:
        """
        Read a KRL.

        @raise ProtocolError: it is none, or has something in it that is not known here.
        """
        if not data.startswith(MAGIC):
            raise ProtocolError("no list of revoked keys (KRL)")
        reader = Reader(data[len(MAGIC) :])
        if reader.number() != _VERSION:
            raise ProtocolError("a KRL of another version")
        for _ in range(3):
            reader.long()
        reader.string()
        reader.string()
        revoked = cls()
        while not reader.isOver:
            revoked._section(reader.byte(), reader.string())
        return revoked

    def _section(self, kind: int, data: bytes) -> None:
        reader = Reader(data)
        if kind == _CERTIFICATES:
            authority = self._authorities.setdefault(reader.string(), _Authority())
            reader.string()
            while not reader.isOver:
                _part(authority, reader.byte(), Reader(reader.string()))
        elif kind in (_KEYS, _SHA1, _SHA256):
            found = self._keys if kind == _KEYS else self._digests
            while not reader.isOver:
                found.add(reader.string())
        else:
            raise ProtocolError(f"a KRL with a section of type {kind}, which is not known here")


def _part(authority: _Authority, kind: int, reader: Reader) -> None:
    if kind == _SERIALS:
        while not reader.isOver:
            authority.serials.add(reader.long())
    elif kind == _RANGE:
        authority.ranges.append((reader.long(), reader.long()))
    elif kind == _BITMAP:
        authority.bitmaps.append((reader.long(), int.from_bytes(reader.string(), "big")))
    elif kind == _TITLES:
        while not reader.isOver:
            authority.titles.add(words(reader.string()))
    else:
        raise ProtocolError(f"a KRL with certificates of type {kind}, which is not known here")
