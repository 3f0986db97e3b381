# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.watching}, where the kernel tells nothing, and of databases that are watched.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from twisted.plugin import getPlugins

from ugate.interfaces import IStoreModule
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.tenancy.config.sqlite import SQLiteStore
from ugate.tenancy.config.stack import openStores
from ugate.tenancy.config.watching import POLL, QUIET, Watch
from ugate.test.test_config_files import told
from ugate.test.test_config_watching import WatchCase


class PollTests(WatchCase):
    """
    What the kernel does not tell of.
    """

    def setUp(self) -> None:
        super().setUp()
        # As where there is no such thing.
        self.patch(Watch, "_made", lambda self: None)

    def poll(self) -> None:
        """
        Pass the time until it looks.
        """
        self.reactor.pump([POLL] + [0.0] * 4 + [QUIET])

    def test_file(self) -> None:
        """
        A file is looked at every few seconds.
        """
        path = self.write("u.yaml", "node: {idle: 1}")
        store = FileStore(path)
        self.watched(store)
        self.poll()
        self.assertEqual([], self.calls)
        self.write("u.yaml", "node: {idle: 2}")
        self.poll()
        self.assertEqual(([{ROOT}], 2), (self.calls, store.section(ROOT, "node", ONLY)["idle"]))
        os.unlink(path)
        self.poll()
        self.assertEqual(1, len(told(store)))
        self.poll()
        self.assertEqual(2, len(self.calls))

    def test_many(self) -> None:
        """
        Many files are looked at in slices, between which others have their turn.
        """
        self.write("u.yaml", "")
        for number in range(500):
            self.write(f"tenants/t{number}.yaml", "")
        self.age()
        store = FileStore(str(self.directory))
        later = time.time_ns() + 10_000_000_000
        self.patch(time, "time_ns", lambda: later)
        self.watched(store)
        self.poll()
        self.assertEqual(2, list(store.suspects()).count(((), False)))
        self.write("tenants/t499.yaml", "dial: {d: 'socks:a:1'}")
        self.reactor.advance(POLL)
        self.assertEqual([], self.calls)
        self.reactor.pump([0.0] * 4 + [QUIET])
        self.assertEqual([{"t499"}], self.calls)

    def test_folder(self) -> None:
        """
        So are folders.
        """
        self.write("u.yaml", "")
        store = FileStore(str(self.directory))
        self.watched(store)
        self.write("tenants/alice/a.yaml", "")
        self.poll()
        self.write("tenants/alice/a.yaml", "dial: {d: 'socks:a:1'}")
        self.poll()
        self.assertEqual([{ROOT, "alice"}, {"alice"}], self.calls)

    def test_notAvailable(self) -> None:
        """
        Where the kernel cannot tell, that is told once.
        """
        store = FileStore(self.write("u.yaml", ""))
        self.watched(store)
        watch = store._watch
        for _ in range(2):
            watch._tell(OSError("no more"))
        self.assertTrue(watch._isTold)


class DatabaseTests(WatchCase):
    """
    A database that another program writes.
    """

    def test_written(self) -> None:
        """
        It is noticed, as soon as the kernel tells or else at the next look.
        """
        path = str(self.directory / "u.db")
        store = SQLiteStore(path)
        self.watched(store)
        other = sqlite3.connect(path)
        self.addCleanup(other.close)
        statement = "INSERT INTO sections (kind, name, section) VALUES ('dial', ?, '\"socks:a:1\"')"
        for name, wait in (("a", self.settle), ("b", lambda: self.reactor.pump([POLL, 0.0, QUIET]))):
            other.execute(statement, (name,))
            other.commit()
            wait()
            self.assertIn(name, store.names(ROOT, "dial"))
        self.assertEqual([{ROOT}] * 2, self.calls)

    def test_stack(self) -> None:
        """
        A stack starts and stops those that watch.
        """
        texts = [f"sqlite:{self.directory / 'u.db'}", self.write("u.yaml", ""), "env:NONE_SUCH"]
        stack = openStores(texts, modules=getPlugins(IStoreModule))
        self.watched(stack)
        Path(self.directory / "u.yaml").write_text("node: {idle: 1}", encoding="utf-8")
        stack.reload()
        self.assertEqual([{ROOT}], self.calls)
        stack.stop()
        self.assertEqual([], self.reactor.getReaders())
