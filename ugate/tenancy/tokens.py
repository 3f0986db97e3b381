# -*- test-case-name: ugate.test.test_tokens -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Bearer tokens, kept as SHA-256 digests in a file with a line C{NAME:sha256:HEX} for each, with C{:EXPIRES}
behind it if it does.

C{python -m ugate.tenancy.tokens NAME} makes a token, and prints it and its line.
"""

from __future__ import annotations

import hmac
import os
import re
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ugate.errors import StringError
from ugate.tenancy.credentialfiles import (
    Reread,
    checked,
    checkName,
    digestFromHex,
    readEach,
    timeFromText,
    timeToText,
)

PREFIX: Final = b"ugate_"
"""How a token begins, so that people, and programs that look for secrets, know one."""

_SHAPE: Final = re.compile(rb"ugate_[A-Za-z0-9_-]{43}")
_WANTED: Final = "wanted a line that `python -m ugate.tenancy.tokens NAME` prints"
_DAY: Final = 86400.0
_MAX_DAYS: Final = 36500.0
_NOTHING: Final[Mapping[bytes, Token]] = {}


@dataclass(frozen=True, slots=True)
class Token:
    """
    What is kept of a token.  C{str()} gives its line.

    @since: ugate NEXT
    """

    name: str
    """Whom it was made for."""

    digest: bytes = field(repr=False)
    """The SHA-256 of it."""

    expires: float | None = None
    """From when on it is good no more, in seconds since 1970."""

    @classmethod
    def fromLine(cls, line: bytes) -> Token:
        """
        Read a line.

        @raise StringError: it is wrong; what it says holds no part of a digest.
        """
        name, colon, rest = line.partition(b":")
        if not colon:
            raise StringError(f"no ':' after a name; {_WANTED}")
        known = checkName(name)
        kind, _, text = rest.decode(errors="replace").partition(":")
        digest, ends, expires = text.partition(":")
        if kind != "sha256":
            raise StringError(f"no sha256: after the name; {_WANTED}")
        if len(digest) != 2 * sha256().digest_size:
            raise StringError(f"{len(digest)} characters after sha256: where 64 were wanted; {_WANTED}")
        return cls(known, digestFromHex(digest), timeFromText(expires) if ends else None)

    def __str__(self) -> str:
        expires = "" if self.expires is None else f":{timeToText(self.expires)}"
        return f"{self.name}:sha256:{self.digest.hex()}{expires}"


def makeToken() -> str:
    """
    A new token: 32 random bytes in base64, with C{ugate_} before.
    """
    return (PREFIX + urlsafe_b64encode(os.urandom(32)).rstrip(b"=")).decode()


def isToken(text: bytes) -> bool:
    """
    Whether a text looks like a token.
    """
    return _SHAPE.fullmatch(text) is not None


def isJWT(text: bytes) -> bool:
    """
    Whether a text looks like one: a JSON object in base64 begins so.
    """
    return text.startswith(b"eyJ") and text.count(b".") == 2


def readTokens(path: str) -> dict[bytes, Token]:
    """
    Read a file of tokens.

    @return: by their digests.
    @raise ConfigError: it cannot be used; with every mistake.
    @since: ugate NEXT
    """

    def readLine(line: bytes) -> tuple[bytes, Token]:
        token = Token.fromLine(line)
        return token.digest, token

    return readEach(path, "file of tokens", "token", readLine)


checkTokens = checked(readTokens)
"""A check for the C{tokens} of a policy."""


class TokenFile:
    """
    Whom tokens were made for, by a file that is read again when it changes.

    @since: ugate NEXT
    """

    def __init__(self, path: str | None, now: Callable[[], float] = time.time) -> None:
        """
        @param path: of the file; L{None} if there are none.
        @param now: the time of day.
        @raise ConfigError: the file cannot be used.
        """
        self._now = now
        self._key = os.urandom(32)
        self._file = None if path is None else Reread(path, readTokens, "tokens")
        self._use()

    def _use(self) -> None:
        # By a keyed hash, so that how long it takes to find one says nothing of what is there.
        tokens = _NOTHING if self._file is None else self._file.value
        self._tokens = {self._keyed(digest): token for digest, token in tokens.items()}
        self._decoy = Token("", os.urandom(32))

    def _keyed(self, digest: bytes) -> bytes:
        return hmac.digest(self._key, digest, "sha256")

    def nameFor(self, text: bytes) -> str | None:
        """
        Whom a token was made for; L{None} if it is none of these, or has expired.
        """
        token = self.find(text)
        return None if token is None else token.name

    def find(self, text: bytes) -> Token | None:
        """
        What is kept of a token; L{None} as for L{nameFor}.
        """
        token = self._withDigest(sha256(text).digest())
        return token if isToken(text) else None

    def has(self, token: Token) -> bool:
        """
        Whether one that was found is still there, as it was, and has not expired.
        """
        return self._withDigest(token.digest) == token

    def _withDigest(self, digest: bytes) -> Token | None:
        if self._file is not None and self._file.refresh():
            self._use()
        token = self._tokens.get(self._keyed(digest), self._decoy)
        if not hmac.compare_digest(token.digest, digest):
            return None
        return None if token.expires is not None and self._now() >= token.expires else token


def main(arguments: Sequence[str] | None = None, now: Callable[[], float] = time.time) -> int:
    """
    Make a token, and print it and the line for the file.

    @param arguments: of the command line, without the program.
    @return: 0, or 1 if the name or the time cannot be used.
    """
    from argparse import ArgumentParser

    parser = ArgumentParser(
        "python -m ugate.tenancy.tokens",
        description="Make a bearer token. It goes to standard error, once; its line to standard output.",
    )
    parser.add_argument("name", metavar="NAME", help="whom it is for")
    parser.add_argument("--expires", metavar="DAYS", type=float, help="for how many days it is good")
    options = parser.parse_args(arguments)
    try:
        name = checkName(os.fsencode(options.name))
        expires = None
        if options.expires is not None:
            # Not the other way round: a number may be none.
            if not 0 < options.expires <= _MAX_DAYS:
                raise StringError(f"--expires {options.expires}: wanted days, from 0 to {_MAX_DAYS:.0f}")
            expires = now() + options.expires * _DAY
    except StringError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    token = makeToken()
    print(token, file=sys.stderr)
    print(Token(name, sha256(token.encode()).digest(), expires))
    return 0


if __name__ == "__main__":
    sys.exit(main())
