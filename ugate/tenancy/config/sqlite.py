# -*- test-case-name: ugate.test.test_config_sqlite -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections from an SQLite database: rows that any program may write with plain SQL.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from zope.interface import implementer

from ugate.errors import UgateError, suggestion
from ugate.interfaces import IWatching, IWritableStore
from ugate.tenancy.config.callbacks import Callbacks
from ugate.tenancy.config.folder import signature
from ugate.tenancy.config.jsontext import readJSON
from ugate.tenancy.config.managed import checkPut
from ugate.tenancy.config.mistakes import Mistake, oneOf
from ugate.tenancy.config.sections import (
    KINDS,
    ONLY,
    IDiagnosed,
    Kind,
    Order,
    Section,
    childPath,
    isWithin,
)
from ugate.tenancy.config.tree import Place, Source, Unread

SCHEMA: Final = """\
CREATE TABLE IF NOT EXISTS sections (
    tenant TEXT NOT NULL DEFAULT 'root',
    kind TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    position REAL NOT NULL DEFAULT 0,
    section TEXT NOT NULL,
    PRIMARY KEY (tenant, kind, name)
);
CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS sections_insert AFTER INSERT ON sections BEGIN
    INSERT INTO changes (tenant) VALUES (new.tenant);
END;
CREATE TRIGGER IF NOT EXISTS sections_update AFTER UPDATE ON sections BEGIN
    INSERT INTO changes (tenant) VALUES (old.tenant);
    INSERT INTO changes (tenant) SELECT new.tenant WHERE new.tenant <> old.tenant;
END;
CREATE TRIGGER IF NOT EXISTS sections_delete AFTER DELETE ON sections BEGIN
    INSERT INTO changes (tenant) VALUES (old.tenant);
END;
CREATE TRIGGER IF NOT EXISTS changes_few AFTER INSERT ON changes WHEN new.number % 1000 = 0 BEGIN
    DELETE FROM changes WHERE number <= new.number - 100000;
END;
"""
"""
What is made in a database that has none of it.  C{section} is JSON; C{position} orders what is in a list;
C{changes} has the tenants of whom something changed, for programs that have the database open.
"""

_PATIENCE: Final = 1.0
_ROWS: Final = "SELECT tenant, kind, name, section FROM sections"
_ORDER: Final = " ORDER BY tenant, kind, position, name"


@dataclass(frozen=True, slots=True)
class _Row:
    """
    One section as it stands in the database.
    """

    text: str
    section: Section
    mistakes: tuple[Mistake, ...]


@implementer(IWritableStore, IWatching, IDiagnosed)
class SQLiteStore:
    """
    The sections in the table C{sections} of a database; see L{SCHEMA}.

    It reads when it is made and when it is told to, and after L{start} soon after another program wrote.
    What is wrong with it never raises: see C{mistakes()}; then the sections of before stay.

    @since: ugate NEXT
    """

    isWritable = True

    def __init__(self, path: str, kinds: Mapping[str, Kind] = KINDS) -> None:
        """
        @param path: of the database; it is made if there is none.
        @param kinds: the kinds that there are.
        """
        self._path = path
        self._kinds = kinds
        self._callbacks = Callbacks()
        self._rows: dict[str, dict[str, dict[str, _Row]]] = {}
        self._places: dict[str, Place] = {}
        self._wrong: dict[str, list[Mistake]] = {}
        self._connection: sqlite3.Connection | None = None
        self._file: object = None
        self._version = -1
        self._number = 0
        self._fault: Mistake | None = None
        self._watch: Any = None
        self._refresh()

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind, those of a list by their C{position}.
        """
        return list(self._rows.get(tenant, {}).get(kind, ()))

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        return self._rows[tenant][kind][name].section

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back whenever a change was found or made.
        """
        return self._callbacks.add(callback)

    def mistakes(self) -> list[Mistake]:
        """
        Why the database cannot be read now, and what is wrong with rows beside what is in them.
        """
        found = [mistake for tenant in sorted(self._wrong) for mistake in self._wrong[tenant]]
        return found if self._fault is None else [self._fault, *found]

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether the database could be read.
        """
        return self._fault is None

    def tenants(self) -> Mapping[str, Place]:
        """
        Whose sections there are, each with the place of one.
        """
        return self._places

    def start(self, reactor: Any) -> None:
        """
        Notice what other programs write from now on.
        """
        from ugate.tenancy.config.watching import Watch

        if self._watch is None:
            self._watch = Watch(reactor, self._noticed, self._suspects, lambda *_: self.reload())
            self._watch.setFolders([os.path.dirname(os.path.abspath(self._path))])

    def stop(self) -> None:
        """
        Notice nothing more, and close the database.
        """
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        self._close()

    def reload(self) -> bool:
        """
        Read what others changed, and call back if anything did.

        @return: whether anything did.
        """
        before = self._fault
        touched = self._refresh()
        if not touched and (before is None) == (self._fault is None):
            return False
        self._callbacks.call(touched)
        return True

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        Write a section.

        @raise KeyError: there is no such kind.
        @raise UgateError: it cannot be written.
        """
        checkPut(self._kinds, tenant, kind, name)
        try:
            text = json.dumps(section, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise UgateError(f"{kind} {name} cannot be written as JSON: {error}") from error
        isListed = self._kinds[kind].order is Order.LISTED
        if isListed and name == ONLY:
            numbers = [int(each) for each in self.names(tenant, kind) if each.isdecimal()]
            name = str(1 + max(numbers, default=0))
        last = "(SELECT COALESCE(MAX(position), 0) + 1 FROM sections WHERE tenant = ? AND kind = ?)"
        statement = (
            f"INSERT INTO sections (tenant, kind, name, position, section) VALUES (?, ?, ?, {last}, ?)"
            " ON CONFLICT (tenant, kind, name) DO UPDATE SET section = excluded.section"
        )
        self._write([(statement, (tenant, kind, name, tenant, kind, text))])

    def delete(self, tenant: str, kind: str, name: str) -> None:
        """
        Take a section out; with one of C{tenants}, all that is below it too.

        @raise KeyError: there is none of that name.
        @raise UgateError: it cannot be written.
        """
        if name not in self.names(tenant, kind):
            raise KeyError(f"{self._path} has no {kind} {name}".rstrip())
        one = "DELETE FROM sections WHERE tenant = ? AND kind = ? AND name = ?"
        statements: list[tuple[str, tuple[str, ...]]] = [(one, (tenant, kind, name))]
        if kind == "tenants":
            child = childPath(tenant, name)
            gone = [path for path in self._rows if isWithin(path, child)]
            statements += [("DELETE FROM sections WHERE tenant = ?", (path,)) for path in gone]
        self._write(statements)

    def _write(self, statements: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in statements:
                    connection.execute(statement, values)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise UgateError(f"{self._path} cannot be written: {error}") from error
        self.reload()

    def _open(self) -> sqlite3.Connection:
        """
        The connection to the file that has this path now.
        """
        seen = signature(self._path)
        file = seen[3:5] if isinstance(seen, tuple) else None
        if self._connection is not None and file == self._file:
            return self._connection
        self._close()
        if file is None:
            # Not even an administrator's secrets are in it; but who uses the gateway is nobody's business.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            # A database that cannot be written is good enough to be read.
            if "readonly" not in str(error):
                connection.close()
                raise
        except sqlite3.Error:
            connection.close()
            raise
        seen = signature(self._path)
        self._connection, self._file = connection, seen[3:5] if isinstance(seen, tuple) else None
        self._number = -1
        self._checkpoint(connection)
        return connection

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """
        Let nothing be in the log beside the database if that is possible now: whoever puts another database
        in its place would have the log applied to that.
        """
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            # Busy, or not ours to write: then it is done another time.
            pass
        finally:
            connection.execute(f"PRAGMA busy_timeout = {1000 * _PATIENCE:.0f}")

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _refresh(self) -> frozenset[str]:
        """
        Read what changed since it was last read.

        @return: whose sections did.
        """
        try:
            if self._connection is not None and not os.path.exists(self._path):
                raise FileNotFoundError("No such file or directory")
            connection = self._open()
            # Asked before, so that what comes between is read now and looked for once more.
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            connection.execute("BEGIN")
            try:
                touched = self._read(connection)
            finally:
                connection.execute("ROLLBACK")
            self._version = version
            if touched:
                self._checkpoint(connection)
        except (sqlite3.Error, OSError) as error:
            place = Place(Source(self._path, numbered=False))
            reason = getattr(error, "strerror", None) or error
            self._fault = Mistake(place, f"{reason}; wanted an SQLite database that can be read")
            return frozenset()
        self._fault = None
        return touched

    def _read(self, connection: sqlite3.Connection) -> frozenset[str]:
        low, high = connection.execute("SELECT MIN(number), MAX(number) FROM changes").fetchone()
        high = high or 0
        if self._number >= 0 and (
            high == self._number or (low is not None and low <= self._number + 1 <= high)
        ):
            query = "SELECT DISTINCT tenant FROM changes WHERE number > ?"
            tenants: Collection[str] = [row[0] for row in connection.execute(query, (self._number,))]
            rows = [
                row
                for tenant in tenants
                for row in connection.execute(f"{_ROWS} WHERE tenant = ?{_ORDER}", (tenant,))
            ]
        else:
            # It is another database, or so much changed that what exactly is not known any more.
            rows = connection.execute(_ROWS + _ORDER).fetchall()
            tenants = self._rows.keys() | {row[0] for row in rows}
        self._number = high
        fresh: dict[str, dict[str, dict[str, _Row]]] = {}
        for tenant, kind, name, text in rows:
            old = self._rows.get(tenant, {}).get(kind, {}).get(name)
            row = old if old is not None and old.text == text else self._row(tenant, kind, name, text)
            fresh.setdefault(tenant, {}).setdefault(kind, {})[name] = row
        touched = {t for t in tenants if _texts(self._rows.get(t, {})) != _texts(fresh.get(t, {}))}
        for tenant in touched:
            kept = [row for sections in fresh.get(tenant, {}).values() for row in sections.values()]
            self._wrong.pop(tenant, None)
            self._places.pop(tenant, None)
            self._rows.pop(tenant, None)
            if kept:
                self._rows[tenant] = fresh[tenant]
                self._places[tenant] = kept[0].section.place
                wrong = [mistake for row in kept for mistake in row.mistakes]
                if wrong:
                    self._wrong[tenant] = wrong
        return frozenset(touched)

    def _row(self, tenant: str, kind: str, name: str, text: str) -> _Row:
        text = str(text)
        source = Source(f"{self._path}: {tenant} {kind} {name}".rstrip(), text.split("\n"), numbered=False)
        place = Place(source)
        written, mistakes = readJSON(source)
        if kind not in self._kinds:
            known = oneOf(self._kinds)
            message = f"unknown kind {kind!r}; wanted {known}{suggestion(kind, self._kinds)}"
            mistakes.append(Mistake(place, message))
        elif self._kinds[kind].order is Order.SINGLE and name != ONLY:
            mistakes.append(Mistake(place, f"there is one {kind}; wanted '' for its name, not {name!r}"))
        short = self._kinds[kind].short if kind in self._kinds else ""
        return _Row(text, Section(written or Unread(place), short, place), tuple(mistakes))

    def _noticed(self, folder: str, name: str, isListing: bool) -> None:
        if name.startswith(os.path.basename(self._path)) and self._isSuspect():
            self._watch.soon(())

    def _suspects(self) -> Iterator[tuple[Collection[str], bool]]:
        if self._isSuspect():
            yield (), True

    def _isSuspect(self) -> bool:
        """
        Whether another connection wrote, or the file is another one.
        """
        seen = signature(self._path)
        if self._fault is not None or self._connection is None or seen[3:5] != self._file:
            return True
        try:
            return bool(self._connection.execute("PRAGMA data_version").fetchone()[0] != self._version)
        except sqlite3.Error:
            return True


def _texts(kinds: Mapping[str, Mapping[str, _Row]]) -> list[tuple[str, str, str]]:
    return [(kind, name, row.text) for kind, rows in kinds.items() for name, row in rows.items()]
