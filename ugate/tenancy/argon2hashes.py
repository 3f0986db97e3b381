# -*- test-case-name: ugate.test.test_argon2hashes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Passwords as argon2id hashes (RFC 9106), where argon2-cffi is installed.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Any, Final

from ugate.errors import StringError

_PHC: Final = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_VERSION: Final = 19
_MAX_MEMORY: Final = 256 * 1024
_MAX_WORK: Final = 1 << 20


def _lowLevel() -> Any:
    """
    @raise StringError: it is not installed.
    """
    try:
        from argon2 import low_level
    except ImportError as error:
        raise StringError(
            "argon2id hashes need argon2-cffi, which is not installed: pip install 'ugate[argon2]'"
        ) from error
    return low_level


@dataclass(frozen=True, slots=True)
class Argon2Hash:
    """
    What a password is checked against.  C{str()} gives its PHC string.

    @since: ugate NEXT
    """

    salt: bytes = field(repr=False)
    """Random, so that the same password has another hash elsewhere."""

    key: bytes = field(repr=False)
    """What argon2id makes of the password and the salt."""

    m: int = 65536
    """The memory of a check, in KiB."""

    t: int = 3
    """How often that is gone through."""

    p: int = 4
    """In how many lanes."""

    @classmethod
    def ofPassword(cls, password: bytes, m: int = 65536, t: int = 3, p: int = 4) -> Argon2Hash:
        """
        Hash a password with a new salt.

        @raise StringError: argon2-cffi is not installed.
        """
        salt = os.urandom(16)
        return cls(salt, cls(salt, bytes(32), m, t, p)._derived(password), m, t, p)

    @classmethod
    def fromText(cls, text: str) -> Argon2Hash:
        """
        Read a PHC string, C{$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH} with base64 that has no padding.

        @raise StringError: it is none, asks for more memory or time than a login may cost, or
            argon2-cffi is not installed.
        """
        match = _PHC.fullmatch(text) if text.isascii() else None
        if match is None:
            raise StringError("not a hash $argon2id$v=19$m=65536,t=3,p=4$SALT$HASH")
        m, t, p = (int(number) for number in match.groups()[:3])
        try:
            salt, key = (b64decode(part + "=" * (-len(part) % 4)) for part in match.groups()[3:])
        except Base64Error as error:
            raise StringError("the salt or the hash is not base64") from error
        if not (8 <= len(salt) <= 64 and 16 <= len(key) <= 64):
            raise StringError(f"a salt of {len(salt)} and a hash of {len(key)} bytes; wanted 8-64 and 16-64")
        if not (t and 0 < p <= 16 and max(1024, 8 * p) <= m <= _MAX_MEMORY and m * t <= _MAX_WORK):
            raise StringError(f"m={m},t={t},p={p} is too cheap or too costly; wanted m=65536,t=3,p=4")
        _lowLevel()
        return cls(salt, key, m, t, p)

    @property
    def cost(self) -> tuple[str, int, int, int]:
        """
        What a check costs.
        """
        return "argon2id", self.m, self.t, self.p

    def decoy(self) -> Argon2Hash:
        """
        One that no password has, at the same cost.
        """
        return Argon2Hash(os.urandom(16), os.urandom(32), self.m, self.t, self.p)

    def _derived(self, password: bytes) -> bytes:
        argon2 = _lowLevel()
        made: bytes = argon2.hash_secret_raw(
            password, self.salt, self.t, self.m, self.p, len(self.key), argon2.Type.ID, _VERSION
        )
        return made

    def matches(self, password: bytes) -> bool:
        """
        Whether this is the password.  Takes some 50 ms, without holding the interpreter.
        """
        return hmac.compare_digest(self.key, self._derived(password))

    def __str__(self) -> str:
        salt, key = (b64encode(part).rstrip(b"=").decode() for part in (self.salt, self.key))
        return f"$argon2id$v={_VERSION}$m={self.m},t={self.t},p={self.p}${salt}${key}"
