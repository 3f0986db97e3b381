# -*- test-case-name: ugate.test.test_passwords_hashes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Passwords of people, kept as scrypt (RFC 7914) or argon2id hashes in a file with a line C{NAME:HASH} for each.

C{python -m ugate.tenancy.passwords NAME} asks for a password and prints such a line.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import scrypt
from typing import Final, TypeAlias

from ugate.errors import StringError
from ugate.tenancy.argon2hashes import Argon2Hash
from ugate.tenancy.credentialfiles import MAX_BYTES, checked, checkName, readLines

__all__ = ["MAX_BYTES", "AnyHash", "PasswordHash", "checkName", "checkUsers", "hashFromText", "readPasswords"]

_MAX_MEMORY: Final = 256 * 1024 * 1024
_MAX_WORK: Final = 1 << 22
_PHC: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_SHAPE: Final = "wanted a line that `python -m ugate.tenancy.passwords NAME` prints"


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """
    What a password is checked against.  C{str()} gives its PHC string.

    @since: ugate NEXT
    """

    salt: bytes = field(repr=False)
    """Random, so that the same password has another hash elsewhere."""

    key: bytes = field(repr=False)
    """What scrypt makes of the password and the salt."""

    ln: int = 15
    """The cost, as a power of two."""

    r: int = 8
    """The block size; a check takes 128 * r * 2**ln bytes of memory."""

    p: int = 1
    """How often the work is done."""

    @classmethod
    def ofPassword(cls, password: bytes, ln: int = 15, r: int = 8, p: int = 1) -> PasswordHash:
        """
        Hash a password with a new salt; this takes some 50 ms.
        """
        salt = os.urandom(16)
        return cls(salt, cls(salt, bytes(32), ln, r, p)._derived(password), ln, r, p)

    @classmethod
    def fromText(cls, text: str) -> PasswordHash:
        """
        Read a PHC string, C{$scrypt$ln=15,r=8,p=1$SALT$HASH} with base64 that has no padding.

        @raise StringError: it is none, or asks for more memory or time than a login may cost.
        """
        match = _PHC.fullmatch(text)
        if match is None:
            raise StringError(f"not a hash $scrypt$ln=15,r=8,p=1$SALT$HASH; {_SHAPE}")
        ln, r, p = (int(number) for number in match.groups()[:3])
        try:
            salt, key = (b64decode(part + "=" * (-len(part) % 4)) for part in match.groups()[3:])
        except Base64Error as error:
            raise StringError(f"the salt or the hash is not base64; {_SHAPE}") from error
        if not (8 <= len(salt) <= 64 and 16 <= len(key) <= 64):
            raise StringError(f"a salt of {len(salt)} and a hash of {len(key)} bytes; wanted 8-64 and 16-64")
        cost = r * p << ln
        if not (ln >= 10 and r and p and 128 * r << ln <= _MAX_MEMORY and cost <= _MAX_WORK):
            raise StringError(f"ln={ln},r={r},p={p} is too cheap or too costly; wanted ln=15,r=8,p=1")
        return cls(salt, key, ln, r, p)

    @property
    def cost(self) -> tuple[str, int, int, int]:
        """
        What a check costs.
        """
        return "scrypt", self.ln, self.r, self.p

    def decoy(self) -> PasswordHash:
        """
        One that no password has, at the same cost.
        """
        return PasswordHash(os.urandom(16), os.urandom(32), self.ln, self.r, self.p)

    def _derived(self, password: bytes) -> bytes:
        memory = 128 * self.r * ((1 << self.ln) + self.p + 2) + 65536
        size = len(self.key)
        return scrypt(password, salt=self.salt, n=1 << self.ln, r=self.r, p=self.p, maxmem=memory, dklen=size)

    def matches(self, password: bytes) -> bool:
        """
        Whether this is the password.  Takes some 50 ms, without holding the interpreter.
        """
        return hmac.compare_digest(self.key, self._derived(password))

    def __str__(self) -> str:
        salt, key = (b64encode(part).rstrip(b"=").decode() for part in (self.salt, self.key))
        return f"$scrypt$ln={self.ln},r={self.r},p={self.p}${salt}${key}"


AnyHash: TypeAlias = PasswordHash | Argon2Hash
"""What a password file has for somebody."""


def hashFromText(text: str) -> AnyHash:
    """
    Read the PHC string of either kind.

    @raise StringError: it is none, or cannot be checked here.
    """
    return Argon2Hash.fromText(text) if text.startswith("$argon2") else PasswordHash.fromText(text)


def readPasswords(path: str) -> dict[bytes, AnyHash]:
    """
    Read a password file: C{NAME:HASH} lines, comments with C{#} and blank lines.

    @raise ConfigError: it cannot be read, is open to everyone, or the lines in
        it are wrong; with every mistake.
    @since: ugate NEXT
    """
    users: dict[bytes, AnyHash] = {}
    lines: dict[bytes, int] = {}

    def take(line: bytes, number: int) -> None:
        name, users[name] = _readLine(line, lines)
        lines[name] = number

    readLines(path, "password file", take, hidden=True)
    return users


def _readLine(line: bytes, lines: Mapping[bytes, int]) -> tuple[bytes, AnyHash]:
    """
    Read one line.

    @param lines: the names so far, and where they are.
    @raise StringError: it is wrong; what it says holds no part of a hash.
    """
    name, colon, text = line.partition(b":")
    if not colon:
        raise StringError(f"no ':' after a name; {_SHAPE}")
    checkName(name)
    if name in lines:
        raise StringError(f"{name.decode()!r} is on line {lines[name]} too; wanted each name once")
    return name, hashFromText(text.decode(errors="replace"))


checkUsers = checked(readPasswords)
"""A check for the C{users} of a policy."""
