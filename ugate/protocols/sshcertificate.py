# -*- test-case-name: ugate.test.test_usercertificates -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Certificates of OpenSSH (PROTOCOL.certkeys), of users and of hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final

from ugate.errors import ProtocolError, StringError
from ugate.protocols.sshpackets import Reader, string, words
from ugate.protocols.sshsignatures import FIDO, isSigned, keyFromBlob

USER: Final = 1
HOST: Final = 2

SUFFIX: Final = b"-cert-v01@openssh.com"
"""How the names of their types end."""

_OWNER: Final = b"@openssh.com"

_FIELDS: Final[Mapping[bytes, int]] = {
    b"ssh-ed25519": 1,
    b"ssh-rsa": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    FIDO[0]: 2,
    FIDO[1]: 3,
}
"""How many strings a key is of."""

_MOST: Final = 256
"""Names, and options, of one certificate."""

FORWARDING: Final = b"permit-port-forwarding"
NO_TOUCH: Final = b"no-touch-required"
VERIFY: Final = b"verify-required"


def certifiedName(kind: bytes) -> bytes:
    """
    How certificates of a type of keys are called, or signatures that come with them.
    """
    return kind.removesuffix(_OWNER) + SUFFIX


_TYPES: Final[Mapping[bytes, bytes]] = {certifiedName(kind): kind for kind in _FIELDS}


@dataclass(frozen=True, slots=True)
class SSHCertificate:
    """
    What a CA says of a key.  Nothing of it is believed before C{isSignedBy}.

    @since: ugate NEXT
    """

    key: bytes
    """The key, as SSH sends it."""

    serial: int
    """Its number."""

    kind: int
    """L{USER} or L{HOST}."""

    title: str
    """What the CA calls it: the key id."""

    principals: tuple[str, ...]
    """The names that it is good for."""

    begins: int
    """From when on it is good, in seconds since 1970."""

    ends: int
    """Until when."""

    critical: Mapping[bytes, bytes]
    """What has to hold."""

    extensions: frozenset[bytes]
    """What it lets somebody do."""

    authority: bytes
    """The key of the CA, as SSH sends it."""

    signed: bytes = field(repr=False)
    """What the CA has signed."""

    signature: bytes = field(repr=False)
    """Its signature."""

    @classmethod
    def fromBlob(cls, blob: bytes) -> SSHCertificate:
        """
        Read what SSH sends.

        @raise ProtocolError: it is none.
        """
        reader = Reader(blob)
        kind = _TYPES.get(reader.string(), b"")
        count = _FIELDS.get(kind)
        if count is None:
            raise ProtocolError("a certificate of an unknown type")
        reader.string()
        key = string(kind) + b"".join(string(reader.string()) for _ in range(count))
        serial, what, title = reader.long(), reader.number(), words(reader.string())
        names = tuple(words(each) for each in _strings(reader.string()))
        begins, ends = reader.long(), reader.long()
        critical, extensions = _options(reader.string()), _options(reader.string())
        reader.string()
        authority = reader.string()
        signed = blob[: len(blob) - len(reader.rest())]
        signature = reader.string()
        if not reader.isOver:
            raise ProtocolError("more than a certificate")
        return cls(
            key,
            serial,
            what,
            title,
            names,
            begins,
            ends,
            critical,
            frozenset(extensions),
            authority,
            signed,
            signature,
        )

    def isSignedBy(self, authority: bytes) -> bool:
        """
        Whether a CA has said so.  What was signed with SHA-1, or by another certificate, was not.
        """
        return self.authority == authority and isSigned(authority, self.signed, self.signature)

    def checkFor(self, kind: int, name: str, now: float) -> None:
        """
        Return if it is good for a name, now.

        @raise StringError: it is not, and why.
        """
        if self.kind != kind:
            raise StringError(f"it is not one of a {'user' if kind == USER else 'host'}")
        if not self.begins <= now < self.ends:
            raise StringError("it has ended" if now >= self.ends else "it is not good yet")
        if name not in self.principals:
            raise StringError(f"it is for {', '.join(self.principals) or 'nobody'}, and not for {name}")
        try:
            keyFromBlob(Reader(self.key).string(), self.key)
        except ProtocolError as error:
            raise StringError(str(error)) from error

    def checkOptions(self, address: str) -> None:
        """
        Return if what has to hold does, for somebody at an address.

        @raise StringError: it does not, or nobody here knows what it means.
        """
        for name, data in self.critical.items():
            if name == VERIFY and Reader(self.key).string() in FIDO:
                # Its signatures are what that is about.
                continue
            if name != b"source-address":
                raise StringError(f"it demands {words(name)}, which there is not here")
            if not _isWithin(address, words(Reader(data).string())):
                raise StringError(f"it is not good at {address}")


def _strings(data: bytes) -> list[bytes]:
    reader, found = Reader(data), list[bytes]()
    while not reader.isOver:
        found.append(reader.string())
        if len(found) > _MOST:
            raise ProtocolError(f"a certificate with more than {_MOST} names or options")
    return found


def _options(data: bytes) -> dict[bytes, bytes]:
    parts = _strings(data)
    if len(parts) % 2 or len(set(parts[::2])) * 2 != len(parts):
        raise ProtocolError("options of a certificate that are no pairs, or one twice")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _isWithin(address: str, ranges: str) -> bool:
    """
    @raise StringError: these are no ranges.
    """
    try:
        return any(ip_address(address) in ip_network(each, strict=False) for each in ranges.split(","))
    except ValueError as error:
        raise StringError(f"it is for addresses that cannot be read: {ranges}") from error
