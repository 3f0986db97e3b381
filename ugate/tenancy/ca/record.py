# -*- test-case-name: ugate.test.test_carecord -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The record of what a CA has certified: an SQLite database, so that several processes may have it open, and
what was written stays.  What has ended is forgotten.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from ugate.errors import UgateError
from ugate.tenancy.ca.errors import Busy, NoSuch, TooMany

MAX_ISSUED: Final = 1_000_000
"""How many certificates that have not ended there may be."""

MAX_PER_KEY: Final = 64
"""How many of these may be of the same key and kind."""

MAX_TOKENS: Final = 10_000
"""How many enrolment tokens that have not ended there may be."""

_WAIT: Final = 5.0
"""Seconds that one process waits for another one's change."""

_KEPT: Final = 3600.0
"""Seconds for which what has ended is kept: a list of what is revoked has it once more."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS issued (
    serial TEXT PRIMARY KEY, kind TEXT NOT NULL, keyid TEXT NOT NULL, title TEXT NOT NULL,
    names TEXT NOT NULL, who TEXT NOT NULL, begins REAL NOT NULL, ends REAL NOT NULL,
    life REAL NOT NULL, host INTEGER NOT NULL, revoked REAL, reason TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS issuedKey ON issued (keyid, kind);
CREATE INDEX IF NOT EXISTS issuedEnds ON issued (ends);
CREATE INDEX IF NOT EXISTS issuedRevoked ON issued (revoked) WHERE revoked IS NOT NULL;
CREATE TABLE IF NOT EXISTS barred (title TEXT PRIMARY KEY, ends REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
    digest BLOB PRIMARY KEY, name TEXT NOT NULL, uses INTEGER, ends REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (number INTEGER NOT NULL);
INSERT INTO changes SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM changes);
"""

_IS_MADE: Final = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'changes'"

_COLUMNS: Final = "serial, kind, keyid, title, names, who, begins, ends, life, host, revoked, reason"


@dataclass(frozen=True, slots=True)
class Issued:
    """
    One certificate that was given out.

    @since: ugate NEXT
    """

    serial: str
    """Its number: hexadecimal for TLS, as C{openssl} prints it, decimal for SSH, as C{ssh-keygen} does."""

    kind: str
    """C{tls}, C{ssh-host} or C{ssh-user}."""

    keyid: str
    """What its key is known by."""

    title: str
    """What a certificate of SSH is called: its key id."""

    names: tuple[str, ...]
    """Its names, or principals."""

    who: str
    """Who asked for it, as C{METHOD:NAME}."""

    begins: float
    """Since when it is good, in seconds since 1970."""

    ends: float
    """Until when."""

    life: float
    """For how many seconds it was given, which is what a renewal gets."""

    host: bool = False
    """Whether a certificate as a host of SSH came with it, or with one before it."""

    revoked: float | None = None
    """When it was revoked."""

    reason: str = ""
    """Why."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """
    A token with which somebody may be certified.
    """

    digest: bytes
    """SHA-256 of it."""

    name: str
    """For whom it was made."""

    uses: int | None
    """How often it may still be used; L{None} for as often as one likes."""

    ends: float
    """Until when."""


class Record:
    """
    The database of a CA.  Each call is one transaction, unless it is within L{change}.  Any thread may call,
    but only one at a time.

    @since: ugate NEXT
    """

    def __init__(self, path: str) -> None:
        """
        @raise UgateError: it cannot be used.
        """
        self.path = path
        try:
            # SQLite would make it for all to read.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(
                path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            # Whoever only opens it waits for nobody.
            if not self._database.execute(_IS_MADE).fetchone()[0]:
                self._database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except (OSError, sqlite3.Error) as error:
            raise UgateError(f"{path}: {error}; wanted the record of a CA, to read and write") from error
        self._isOpen = False

    def close(self) -> None:
        """
        Let go of it.
        """
        self._database.close()

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            isHeld = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
            raise (Busy if isHeld else UgateError)(f"{self.path}: {error}") from error

    @contextmanager
    def change(self) -> Iterator[None]:
        """
        Do several things as one: all of them are kept, or none.
        """
        if self._isOpen:
            yield
            return
        self._do("BEGIN IMMEDIATE")
        self._isOpen = True
        try:
            yield
            self._do("COMMIT")
        finally:
            self._isOpen = False
            if self._database.in_transaction:
                self._database.rollback()

    def add(self, issued: Issued, now: float) -> None:
        """
        Something was certified.

        @raise TooMany: there are too many already.
        """
        with self.change():
            self._forget(now)
            same = self._count(
                "issued WHERE keyid = ? AND kind = ? AND ends > ?", issued.keyid, issued.kind, now
            )
            if same >= MAX_PER_KEY:
                raise TooMany(f"the key {issued.keyid} has {same} certificates already that have not ended")
            if self._count("issued") >= MAX_ISSUED:
                raise TooMany(f"{MAX_ISSUED} certificates have not ended; wanted fewer, or shorter lives")
            values = (
                *(
                    issued.serial,
                    issued.kind,
                    issued.keyid,
                    issued.title,
                    json.dumps(issued.names),
                    issued.who,
                ),
                *(issued.begins, issued.ends, issued.life, int(issued.host), issued.revoked, issued.reason),
            )
            self._do(f"INSERT INTO issued ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", *values)

    def _count(self, what: str, *values: Any) -> int:
        number: int = self._do(f"SELECT COUNT(*) FROM {what}", *values).fetchone()[0]
        return number

    def _forget(self, now: float) -> None:
        for table in ("issued", "barred", "tokens"):
            self._do(f"DELETE FROM {table} WHERE ends < ?", now - _KEPT)

    def find(self, serial: str) -> Issued | None:
        """
        What has that serial number.
        """
        return next(self._issued("WHERE serial = ?", serial), None)

    def isRevokedSince(self, issued: Issued) -> bool:
        """
        Whether it was revoked, or another one of the same key that did not come before it: else who has the
        key would go on with an older one.
        """
        # When it was made: how early one begins depends on its life.
        later = "issued WHERE keyid = ? AND kind = ? AND ends - life >= ? AND revoked IS NOT NULL"
        return self._count(later, issued.keyid, issued.kind, issued.ends - issued.life) > 0

    def markHost(self, serial: str) -> None:
        """
        Whoever has that certificate may have one as a host of SSH along with the next.
        """
        self._do("UPDATE issued SET host = 1 WHERE serial = ?", serial)

    def all(self, most: int = MAX_ISSUED) -> Iterator[Issued]:
        """
        All that have not been forgotten, those that end last first.

        @param most: how many of them.
        """
        return self._issued("ORDER BY ends DESC, serial LIMIT ?", most)

    def revoked(self, now: float) -> Iterator[Issued]:
        """
        Those that were revoked, and have not ended for long.
        """
        return self._issued("WHERE revoked IS NOT NULL AND ends > ? ORDER BY revoked, serial", now - _KEPT)

    def _issued(self, where: str, *values: Any) -> Iterator[Issued]:
        row: Any
        for row in self._do(f"SELECT {_COLUMNS} FROM issued {where}", *values).fetchall():
            cells = [*row]
            cells[4], cells[9] = tuple(json.loads(row[4])), bool(row[9])
            yield Issued(*cells)

    def revoke(self, what: str, reason: str, now: float, until: float) -> list[Issued]:
        """
        Revoke one certificate by its serial number, or all that have a key or a title, which
        is certified no more then.

        @param until: until when it is not.
        @return: what was revoked now.
        @raise NoSuch: there is nothing of that number or name.
        """
        with self.change():
            found = list(self._issued("WHERE serial = ?", what))
            if not found:
                found = list(self._issued("WHERE keyid = ? OR title = ?", what, what))
                if not found:
                    raise NoSuch(f"nothing was certified with the number or the name {what[:100]!a}")
                self._do("INSERT OR REPLACE INTO barred VALUES (?, ?)", what, until)
            fresh = [replace(each, revoked=now, reason=reason) for each in found if each.revoked is None]
            for each in fresh:
                self._do(
                    "UPDATE issued SET revoked = ?, reason = ? WHERE serial = ?", now, reason, each.serial
                )
            self._do("UPDATE changes SET number = number + 1")
            return fresh

    def changes(self) -> int:
        """
        How often something was revoked.
        """
        number: int = self._do("SELECT number FROM changes").fetchone()[0]
        return number

    def barred(self, now: float) -> list[str]:
        """
        Keys and titles that are certified no more.
        """
        return [row[0] for row in self._do("SELECT title FROM barred WHERE ends > ? ORDER BY title", now)]

    def isBarred(self, names: Iterable[str], now: float) -> bool:
        """
        Whether one of these is.
        """
        return any(self._count("barred WHERE title = ? AND ends > ?", name, now) for name in names)

    def addToken(self, token: Enrolment, now: float) -> None:
        """
        A token was made.

        @raise TooMany: there are too many already.
        """
        with self.change():
            self._forget(now)
            if self._count("tokens") >= MAX_TOKENS:
                raise TooMany(f"there are {MAX_TOKENS} tokens that have not ended")
            self._do(
                "INSERT INTO tokens VALUES (?, ?, ?, ?)", token.digest, token.name, token.uses, token.ends
            )

    def token(self, digest: bytes) -> Enrolment | None:
        """
        The token that has that digest.
        """
        row = self._do("SELECT digest, name, uses, ends FROM tokens WHERE digest = ?", digest).fetchone()
        return None if row is None else Enrolment(*row)

    def useToken(self, digest: bytes) -> None:
        """
        It was used once more.
        """
        self._do("UPDATE tokens SET uses = uses - 1 WHERE digest = ?", digest)

    def dropTokens(self, name: str) -> int:
        """
        Let the tokens that were made for somebody be good no more.

        @return: how many there were.
        """
        return self._do("DELETE FROM tokens WHERE name = ?", name).rowcount
