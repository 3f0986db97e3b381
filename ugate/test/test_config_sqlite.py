# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.sqlite}.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any

from ugate.errors import UgateError
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.schema import Limits, Listener, Policy, PolicyRule
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.tenancy.config.sqlite import SQLiteStore
from ugate.tenancy.config.whole import readConfigs
from ugate.test.test_config_files import StoreCase, told


class SQLiteCase(StoreCase):
    """
    Tests with a database, and another program that writes it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = str(self.directory / "u.db")
        self.store = SQLiteStore(self.path)
        self.addCleanup(self.store.stop)
        self.calls: list[frozenset[str] | None] = []
        self.store.changed(self.calls.append)
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.other.close)

    def insert(self, tenant: str, kind: str, name: str, section: str, position: float = 0) -> None:
        """
        Write a row as another program does.
        """
        row = (tenant, kind, name, position, section)
        self.other.execute("INSERT OR REPLACE INTO sections VALUES (?, ?, ?, ?, ?)", row)

    def wrong(self) -> list[str]:
        """
        What is wrong, without the path.
        """
        self.store.reload()
        error = self.assertRaises(ConfigError, readConfigs, self.store)
        return [str(mistake).removeprefix(f"{self.path}") for mistake in error.mistakes]


class ReadTests(SQLiteCase):
    """
    Rows that others wrote.
    """

    def test_read(self) -> None:
        """
        Rows are sections; those of a list are in the order of their positions.
        """
        self.insert(ROOT, "listen", "main", '"auto:tcp:1080"')
        self.insert(ROOT, "tenants", "alice", '{"limits": {"up": "10M"}}')
        self.insert("alice", "policy", "", '{"rules": [{"action": "allow", "who": "bob"}]}')
        self.insert(ROOT, "routes", "a", '{"match": "*", "via": "deny"}', 2)
        self.insert(ROOT, "routes", "b", '{"match": "x", "via": "direct"}', 1.5)
        self.assertTrue(self.store.reload())
        configs = readConfigs(self.store)
        self.assertEqual({"main": Listener("auto:tcp:1080")}, configs[ROOT].listen)
        self.assertEqual(Limits(up=10_000_000), configs[ROOT].tenants["alice"].limits)
        self.assertEqual(Policy(rules=(PolicyRule("allow", ("bob",)),)), configs["alice"].policy)
        self.assertEqual([("x",), ("*",)], [route.match for route in configs[ROOT].routes])
        self.assertEqual(f"{self.path}: root listen main", configs[ROOT].origins["listen", "main"])
        again = SQLiteStore(self.path)
        self.addCleanup(again.stop)
        self.assertEqual(configs, readConfigs(again))

    def test_changed(self) -> None:
        """
        Only whose rows changed are told, also when they are moved to another or taken out.
        """
        self.insert(ROOT, "dial", "a", '"socks:a:1"')
        self.insert(ROOT, "tenants", "alice", "{}")
        self.insert(ROOT, "tenants", "bob", "{}")
        self.store.reload()
        for statement in (
            "UPDATE sections SET section = '\"socks:b:1\"' WHERE kind = 'dial'",
            "UPDATE sections SET tenant = 'alice' WHERE kind = 'dial'",
            "UPDATE sections SET tenant = 'bob' WHERE kind = 'dial'",
            "DELETE FROM sections WHERE kind = 'dial'",
            "UPDATE sections SET section = '{}' WHERE kind = 'tenants'",
        ):
            self.other.execute(statement)
            self.store.reload()
        self.assertFalse(self.store.reload())
        self.assertEqual([{ROOT}, {ROOT}, {ROOT, "alice"}, {"alice", "bob"}, {"bob"}], self.calls)

    def test_forgotten(self) -> None:
        """
        If it is not known any more what changed, all is compared.
        """
        self.insert(ROOT, "dial", "a", '"socks:a:1"')
        self.store.reload()
        self.insert(ROOT, "tenants", "alice", "{}")
        self.insert("alice", "dial", "a", '"socks:a:1"')
        self.other.execute("DELETE FROM changes WHERE number < 3")
        self.store.reload()
        self.other.execute("DELETE FROM sections WHERE tenant = 'alice'")
        self.other.execute("DELETE FROM changes")
        self.insert(ROOT, "dial", "b", '"socks:a:1"')
        self.store.reload()
        self.assertEqual([{ROOT}, {ROOT, "alice"}, {ROOT, "alice"}], self.calls)

    def test_mistakes(self) -> None:
        """
        The place of a mistake is the row.
        """
        self.insert(ROOT, "listen", "a", '{"endpoint": 5, "opne": 1}')
        self.insert(ROOT, "lisen", "a", "{}")
        self.insert(ROOT, "policy", "x", "{}")
        self.insert(ROOT, "dial", "a", "{hops}")
        self.insert("alice", "policy", "", "{}")
        self.insert(ROOT, "tenants", "alcie", '{"limits": 5}')
        self.insert("alcie", "node", "", "{}")
        known = "wanted listen, dial, routes, policy, identity, trust, nodes, serve, node or tenants"
        self.assertEqual(
            [
                ": alcie node: node is of alcie, but holds for the whole process; wanted it of root only",
                ": alice policy: there is no tenant 'alice'; wanted a section alice in the tenants of root;"
                " did you mean 'alcie'?",
                ": root dial a: this is not JSON: 'h'; wanted a key in double quotes",
                f": root lisen a: unknown kind 'lisen'; {known}; did you mean 'listen'?",
                ": root listen a: listen.a.open is 1; wanted true or false",
                ": root listen a: unknown key 'opne' in listen.a; wanted endpoint, to or open; did you mean"
                " 'open'?",
                ": root policy x: there is one policy; wanted '' for its name, not 'x'",
                ": root tenants alcie: tenants.alcie.limits is 5; wanted a mapping with streams, opens, up,"
                " down, month or buffers",
            ],
            sorted(self.wrong()),
        )

    def test_excerpt(self) -> None:
        """
        The row is shown with what is wrong in it.
        """
        self.insert(ROOT, "node", "", '{"idle": "soon"}')
        self.store.reload()
        error = self.assertRaises(ConfigError, readConfigs, self.store)
        self.assertIn('\n  {"idle": "soon"}\n           ^^^^^^', str(error))


class FaultTests(SQLiteCase):
    """
    A database that cannot be read.
    """

    def test_kept(self) -> None:
        """
        What was read stays while it cannot be read, and that is told.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        self.other.close()
        self.store.stop()

        def noDatabase() -> None:
            with open(self.path, "w", encoding="utf-8") as file:
                file.write("something else" * 100)

        def folder() -> None:
            os.unlink(self.path)
            os.mkdir(self.path)

        backup = self.directory / "backup"
        for spoil in (noDatabase, folder):
            with open(self.path, "rb") as file:
                backup.write_bytes(file.read())
            spoil()
            self.assertTrue(self.store.reload())
            self.assertFalse(self.store.reload())
            (mistake,) = told(self.store)
            self.assertIn("wanted an SQLite database that can be read", mistake)
            self.assertFalse(self.store.isWhole(ROOT, "dial"))
            self.assertEqual(["a"], self.store.names(ROOT, "dial"))
            self.assertRaises(UgateError, self.store.put, ROOT, "dial", "b", {})
            if os.path.isdir(self.path):
                os.rmdir(self.path)
            os.rename(backup, self.path)
            self.assertTrue(self.store.reload())
            self.assertEqual([], told(self.store))

    def test_gone(self) -> None:
        """
        A database that went away is not made anew, so that what it had stays.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        os.unlink(self.path)
        self.store.reload()
        self.assertEqual((1, ["a"]), (len(told(self.store)), self.store.names(ROOT, "dial")))
        self.assertFalse(os.path.exists(self.path))

    def test_swapped(self) -> None:
        """
        A database in place of another is read.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        other = SQLiteStore(str(self.directory / "v.db"))
        other.put(ROOT, "dial", "b", {"hops": "socks:a:1"})
        other.stop()
        # Who else has the old one open would leave its log to the new one.
        self.other.close()
        self.calls.clear()
        os.rename(self.directory / "v.db", self.path)
        self.assertTrue(self.store.reload())
        self.assertEqual((["b"], [{ROOT}]), (self.store.names(ROOT, "dial"), self.calls))

    def test_locked(self) -> None:
        """
        While another program writes for long, a section cannot be put, and nothing is changed.
        """
        self.patch(self.store, "_connection", sqlite3.connect(self.path, timeout=0, isolation_level=None))
        self.other.execute("BEGIN IMMEDIATE")
        error = self.assertRaises(UgateError, self.store.put, ROOT, "dial", "a", {"hops": "x"})
        self.assertIn("cannot be written: database is locked", str(error))
        self.other.execute("ROLLBACK")
        self.store.put(ROOT, "dial", "a", {"hops": "x"})
        self.assertEqual([{ROOT}], self.calls)

    def test_readOnly(self) -> None:
        """
        A database that cannot be written is good enough to be read.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "x"})
        connect: Any = sqlite3.connect

        def readOnly(path: str, **options: Any) -> Any:
            return connect(f"file:{os.path.abspath(path)}?mode=ro", uri=True, **options)

        self.patch(sqlite3, "connect", readOnly)
        store = SQLiteStore(self.path)
        self.addCleanup(store.stop)
        self.assertEqual(([], ["a"]), (told(store), store.names(ROOT, "dial")))
        error = self.assertRaises(UgateError, store.put, ROOT, "dial", "b", {"hops": "x"})
        self.assertIn("attempt to write a readonly database", str(error))

    def test_nowhere(self) -> None:
        """
        A path at which no database can be.
        """
        (mistake,) = told(SQLiteStore("/nonexistent/u.db"))
        self.assertIn("/nonexistent/u.db: No such file or directory; wanted", mistake)


class WriteTests(SQLiteCase):
    """
    Sections that are put.
    """

    def test_put(self) -> None:
        """
        Sections are put, replaced and taken out; who put them is told at once.
        """
        self.store.put(ROOT, "dial", "a", {"hops": "socks:a:1"})
        self.store.put(ROOT, "dial", "a", {"hops": "socks:b:1"})
        self.assertEqual({"hops": "socks:b:1"}, dict(self.store.section(ROOT, "dial", "a")))
        self.store.put(ROOT, "policy", ONLY, {"private": "deny"})
        self.store.delete(ROOT, "dial", "a")
        self.assertEqual(([], [""]), (self.store.names(ROOT, "dial"), self.store.names(ROOT, "policy")))
        self.assertEqual([{ROOT}] * 4, self.calls)
        self.assertFalse(self.store.reload())

    def test_listed(self) -> None:
        """
        What is in a list is put at its end, and stays at its place when it is replaced.
        """
        for match in "ab":
            self.store.put(ROOT, "routes", ONLY, {"match": match, "via": "direct"})
        self.store.put(ROOT, "routes", "first", {"match": "c", "via": "direct"})
        self.store.put(ROOT, "routes", "1", {"match": "x", "via": "direct"})
        self.assertEqual(["1", "2", "first"], self.store.names(ROOT, "routes"))
        self.assertEqual("x", self.store.section(ROOT, "routes", "1")["match"])

    def test_tenants(self) -> None:
        """
        With a tenant goes all that is below it.
        """
        self.store.put(ROOT, "tenants", "a", {})
        self.store.put("a", "tenants", "b", {})
        self.store.put("a/b", "policy", ONLY, {})
        self.store.put(ROOT, "tenants", "ab", {})
        self.store.put("ab", "policy", ONLY, {})
        self.calls.clear()
        self.store.delete(ROOT, "tenants", "a")
        self.assertEqual([{ROOT, "a", "a/b"}], self.calls)
        self.assertEqual([ROOT, "ab"], list(readConfigs(self.store)))

    def test_refused(self) -> None:
        """
        What cannot be is not written.
        """
        put = self.store.put
        refused: list[Callable[[], object]] = [
            lambda: put(ROOT, "listen", "a b", {}),
            lambda: put("alice", "node", "", {}),
            lambda: put(ROOT, "policy", "x", {}),
            lambda: put(ROOT, "dial", "a", {"hops": object()}),
        ]
        for call in refused:
            self.assertRaises(UgateError, call)
        self.assertRaises(KeyError, put, ROOT, "bogus", "a", {})
        self.assertRaises(KeyError, self.store.delete, ROOT, "dial", "a")
        self.assertRaises(KeyError, self.store.section, ROOT, "dial", "a")
        self.assertEqual([], self.calls)
