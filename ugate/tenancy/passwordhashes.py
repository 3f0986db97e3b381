# -*- test-case-name: ugate.test.test_passwords_hashes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Passwords of people, kept as scrypt hashes (RFC 7914) in a file with a line C{NAME:HASH} for each.

C{python -m ugate.tenancy.passwords NAME} asks for a password and prints such a line.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import scrypt
from typing import Final

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source

MAX_BYTES: Final = 255
"""How long a name and a password may be: what SOCKS5 can say (RFC 1929)."""

_MAX_FILE: Final = 10 * 1024 * 1024
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


def readPasswords(path: str) -> dict[bytes, PasswordHash]:
    """
    Read a password file: a line C{NAME:HASH} each; C{#} begins a comment.

    @return: the hashes by name.
    @raise ConfigError: it cannot be read, other users of this machine may read or write it, or lines in
        it are wrong; with every mistake.
    @since: ugate NEXT
    """
    whole = Place(Source(path, numbered=False))
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        wanted = "wanted a password file that can be read"
        raise ConfigError([Mistake(whole, f"{error.strerror or error}; {wanted}")]) from error
    if stat.S_ISREG(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigError([Mistake(whole, f"everyone may read or write it; run: chmod o-rwx {path}")])
    if len(data) > _MAX_FILE:
        raise ConfigError([Mistake(whole, "the file is over 10 MiB; wanted a password file")])
    source = Source(path)
    users: dict[bytes, PasswordHash] = {}
    lines: dict[bytes, int] = {}
    mistakes = []
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            name, users[name] = _readLine(line, lines)
            lines[name] = number
        except StringError as error:
            mistakes.append(Mistake(Place(source, number), str(error)))
    if mistakes:
        raise ConfigError(mistakes)
    return users


def _readLine(line: bytes, lines: Mapping[bytes, int]) -> tuple[bytes, PasswordHash]:
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
    return name, PasswordHash.fromText(text.decode(errors="replace"))


def checkName(name: bytes) -> None:
    """
    Whether somebody may have this name in a password file.

    @raise StringError: not, and why.
    """
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise StringError("a name that is not UTF-8; wanted the file saved as UTF-8") from error
    if not 0 < len(name) <= MAX_BYTES:
        raise StringError(f"a name of {len(name)} bytes; wanted 1 to {MAX_BYTES}")
    if not text.isprintable() or ":" in text or text[0] == "#" or text != text.strip():
        raise StringError(f"{text!r} is no name; wanted printable characters, no ':' and no '#' before it")


def checkUsers(path: str) -> None:
    """
    Whether this is the path of a password file without mistakes: a check for the C{users} of a policy.

    @raise StringError: not; with every mistake.
    """
    try:
        readPasswords(path)
    except ConfigError as error:
        raise StringError("; ".join(map(str, error.mistakes))) from error
