# -*- test-case-name: ugate.test.test_credentialfiles -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Files of credentials with a line for each: passwords, tokens, keys, certificates.
"""

from __future__ import annotations

import os
import re
import stat
from calendar import timegm
from collections.abc import Callable
from datetime import datetime
from time import gmtime, strftime
from typing import Final, Generic, TypeVar

from twisted.logger import Logger

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source

MAX_BYTES: Final = 255
"""How long a name and a password may be: what SOCKS5 can say (RFC 1929)."""

_MAX_FILE: Final = 10 * 1024 * 1024
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)Z)?")

T = TypeVar("T")


def readWhole(path: str, what: str, most: int = _MAX_FILE, *, hidden: bool = False) -> bytes:
    """
    Read a file that decides who may come.

    @param what: what the file is, in words.
    @param most: bytes of it.
    @param hidden: whether not even reading is for everyone.
    @raise ConfigError: it cannot be read, others may change it, or it is too long.
    """
    whole = Place(Source(path, numbered=False))
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(most + 1)
    except OSError as error:
        wanted = f"wanted a {what} that can be read"
        raise ConfigError([Mistake(whole, f"{error.strerror or error}; {wanted}")]) from error
    if stat.S_ISREG(mode):
        if hidden and mode & (stat.S_IROTH | stat.S_IWOTH):
            raise ConfigError([Mistake(whole, f"everyone may read or write it; run: chmod o-rwx {path}")])
        if mode & stat.S_IWOTH:
            raise ConfigError([Mistake(whole, f"everyone may write it; run: chmod o-w {path}")])
    if len(data) > most:
        raise ConfigError([Mistake(whole, f"the file is over {most >> 20} MiB; wanted a {what}")])
    return data


def readLines(
    path: str, what: str, readLine: Callable[[bytes, int], object], *, hidden: bool = False
) -> None:
    """
    Read a file, line by line; empty ones and those that begin with C{#} are left out.

    @param readLine: takes a line and its number; raises L{StringError}, without a secret in it.
    @raise ConfigError: see L{readWhole}, as for the rest; or it has mistakes: all of them.
    """
    source = Source(path)
    mistakes = []
    for number, line in enumerate(readWhole(path, what, hidden=hidden).split(b"\n"), 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            readLine(line, number)
        except StringError as error:
            mistakes.append(Mistake(Place(source, number), str(error)))
    if mistakes:
        raise ConfigError(mistakes)


def readEach(path: str, what: str, noun: str, readLine: Callable[[bytes], tuple[bytes, T]]) -> dict[bytes, T]:
    """
    Read a file whose lines are each of another one.

    @param what: what the file is, for mistakes.
    @param noun: what a line has of which each may be there once.
    @param readLine: reads a line: what must be there once, and what it stands for; raises L{StringError}.
    @return: the one by the other.
    @raise ConfigError: it cannot be used; with every mistake.
    """
    found: dict[bytes, T] = {}
    lines: dict[bytes, int] = {}

    def take(line: bytes, number: int) -> None:
        key, value = readLine(line)
        if key in found:
            raise StringError(f"the same {noun} as on line {lines[key]}; wanted each once")
        found[key] = value
        lines[key] = number

    readLines(path, what, take)
    return found


def checkName(name: bytes, colons: bool = False) -> str:
    """
    Whether somebody may have this name.

    @param colons: whether there may be some in it.
    @return: the same as text.
    @raise StringError: not, and why.
    """
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise StringError("a name that is not UTF-8; wanted the file saved as UTF-8") from error
    if not 0 < len(name) <= MAX_BYTES:
        raise StringError(f"a name of {len(name)} bytes; wanted 1 to {MAX_BYTES}")
    if not text.isprintable() or text[0] == "#" or text != text.strip():
        raise StringError(f"{text!r} is no name; wanted printable characters, no '#' before it")
    if ":" in text and not colons:
        raise StringError(f"{text!r} is no name; wanted printable characters, no ':' and no '#' before it")
    return text


def digestFromHex(text: str) -> bytes:
    """
    A SHA-256 digest; there may be colons between its bytes.

    @raise StringError: it is none; the message does not repeat it.
    """
    if _HEX.fullmatch(text) is None:
        raise StringError(f"{len(text)} characters where 64 hexadecimal digits were wanted, after sha256:")
    return bytes.fromhex(text.replace(":", ""))


def timeFromText(text: str) -> float:
    """
    A time in UTC, as seconds since 1970; a day means its beginning.

    @raise StringError: it is none.
    """
    match = _TIME.fullmatch(text) if text.isascii() else None
    if match is not None:
        try:
            wanted = datetime.strptime(f"{match[1]} {match[2] or '00:00:00'}", "%Y-%m-%d %H:%M:%S")
            return float(timegm(wanted.timetuple()))
        except ValueError:
            pass
    raise StringError(f"{text[:40]!r} is no time; wanted YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ, in UTC")


def timeToText(seconds: float) -> str:
    """
    What L{timeFromText} reads, to the second.
    """
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def checked(read: Callable[[str], object]) -> Callable[[str], None]:
    """
    A check for a path in the config: whether the file there has no mistakes.

    @param read: reads it, and raises L{ConfigError}.
    """

    def check(path: str) -> None:
        try:
            read(path)
        except ConfigError as error:
            raise StringError("; ".join(map(str, error.mistakes))) from error

    return check


class Reread(Generic[T]):
    """
    What is in a file, which is read again when it changes.  A file that has mistakes after a change is told
    in the log, once, and what was in it before stays.

    @ivar value: what was read last.
    """

    _log = Logger()

    def __init__(self, path: str, read: Callable[[str], T], what: str) -> None:
        """
        @param read: reads it.
        @param what: what is in it, for the log.
        @raise ConfigError: it cannot be used.
        """
        self.path = path
        self._read = read
        self._what = what
        self._seen = self._signature()
        self.value = read(path)

    def refresh(self) -> bool:
        """
        Read the file again if it changed.

        @return: whether C{value} is a new one.
        """
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        try:
            self.value = self._read(self.path)
        except ConfigError as error:
            self._log.error(
                "The {what} from before stay, because of mistakes:\n{error}", what=self._what, error=error
            )
            return False
        self._log.info("{path}: the {what} were read again", path=self.path, what=self._what)
        return True

    def _signature(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
