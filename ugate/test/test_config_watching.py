# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.watching} and L{ugate.tenancy.config.notify}, and of stores that watch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from unittest import SkipTest

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from ugate.interfaces import IConfigStore, IWatching
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.tenancy.config.watching import LONGEST, POLL, QUIET
from ugate.test.test_config_files import told
from ugate.test.test_config_tenants import TenantCase

try:
    from ugate.tenancy.config import notify
except ImportError:
    notify = None  # type: ignore[assignment]


class WatchCase(TenantCase):
    """
    Tests with a clock, and a kernel that is asked when the test says so.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.calls: list[frozenset[str] | None] = []

    def watched(self, store: IConfigStore) -> None:
        """
        Start a store, and let it look once.
        """
        store.changed(self.calls.append)
        IWatching(store).start(self.reactor)
        self.addCleanup(IWatching(store).stop)
        self.settle()
        self.calls.clear()

    def tell(self) -> None:
        """
        Let the kernel tell what happened.
        """
        for reader in list(self.reactor.getReaders()):
            reader.doRead()

    def settle(self) -> None:
        """
        Let the kernel tell, and pass the time in which nothing more may come.
        """
        self.tell()
        self.reactor.pump([0.0] * 4 + [QUIET, 0.0])

    def age(self) -> None:
        """
        Let all files be old, so that their times are to be trusted.
        """
        past = time.time_ns() - 10_000_000_000
        for folder, _, names in os.walk(self.directory):
            for name in [".", *names]:
                os.utime(os.path.join(folder, name), ns=(past, past))


class ToldTests(WatchCase):
    """
    What the kernel tells of.
    """

    skip = None if notify else "the kernel tells nothing here"

    def test_file(self) -> None:
        """
        A file that is written is read, once it is quiet.
        """
        path = self.write("u.yaml", "node: {idle: 1}")
        store = FileStore(path)
        self.watched(store)
        with open(path, "w", encoding="utf-8") as file:
            file.write("node: {idle: 2}")
        self.tell()
        self.assertEqual([], self.calls)
        self.reactor.advance(QUIET)
        self.assertEqual(([{ROOT}], 2), (self.calls, store.section(ROOT, "node", ONLY)["idle"]))
        self.settle()
        self.assertEqual(1, len(self.calls))

    def test_replaced(self) -> None:
        """
        A file that another takes the place of, as editors do it, and what it is replaced by again.
        """
        path = self.write("u.yaml", "node: {idle: 1}")
        store = FileStore(path)
        self.watched(store)
        for idle in (2, 3):
            os.rename(self.write(".u.yaml.new", f"node: {{idle: {idle}}}"), path)
            self.settle()
            self.assertEqual(idle, store.section(ROOT, "node", ONLY)["idle"])
        self.assertEqual([{ROOT}] * 2, self.calls)

    def test_relative(self) -> None:
        """
        It makes no difference whether a path is relative.
        """
        self.write("u.yaml", "node: {idle: 1}")
        for path in (str(self.directory / "u.yaml"), str(self.directory)):
            self.assertFalse(os.path.isabs(path))
            for given in (path, os.path.abspath(path)):
                store = FileStore(given)
                self.watched(store)
                self.write("u.yaml", f"node: {{idle: {len(given)}}}")
                self.settle()
                self.assertEqual([{ROOT}], self.calls, given)
                store.stop()

    def test_debounced(self) -> None:
        """
        While more comes it waits, but not for ever.
        """
        path = self.write("u.yaml", "")
        self.watched(FileStore(path))
        steps = 0
        while not self.calls:
            steps += 1
            self.write("u.yaml", f"node: {{idle: {steps}}}")
            self.tell()
            self.reactor.advance(QUIET * 0.9)
        self.assertLess(abs(LONGEST - steps * QUIET * 0.9), 2 * QUIET)

    def test_folder(self) -> None:
        """
        In a folder: files that come, change and go; directories of tenants, too.
        """
        self.write("u.yaml", "")
        store = FileStore(str(self.directory))
        self.watched(store)
        steps: list[tuple[Callable[[], object], set[str]]] = [
            (lambda: self.write("v.yaml", "node: {idle: 1}"), {ROOT}),
            (lambda: self.write("tenants/alice/a.yaml", "dial: {a: 'socks:a:1'}"), {ROOT, "alice"}),
            (lambda: self.write("tenants/alice/b.yaml", "dial: {b: 'socks:a:1'}"), {"alice"}),
            (lambda: self.write("tenants/alice/b.yaml", "dial: {c: 'socks:a:1'}"), {"alice"}),
            (
                lambda: os.rename(self.directory / "tenants/alice", self.directory / "tenants/bob"),
                {"alice", "bob", ROOT},
            ),
            (lambda: self.write("tenants/bob/b.yaml", "dial: {d: 'socks:a:1'}"), {"bob"}),
            (lambda: os.unlink(self.directory / "v.yaml"), {ROOT}),
        ]
        for step, touched in steps:
            self.calls.clear()
            step()
            self.settle()
            # A directory is watched only when it is known, so what was made in it then is looked for.
            self.settle()
            self.assertEqual(touched, set().union(*(call or () for call in self.calls)))
        self.assertEqual(["a", "d"], store.names("bob", "dial"))

    def test_directoryGone(self) -> None:
        """
        When one directory goes away, the others are watched still.
        """
        self.write("u.yaml", "")
        self.write("tenants/alice/a.yaml", "")
        store = FileStore(str(self.directory))
        self.watched(store)
        os.unlink(self.directory / "tenants/alice/a.yaml")
        os.rmdir(self.directory / "tenants/alice")
        self.settle()
        self.settle()
        self.assertEqual([], store.names(ROOT, "tenants"))
        self.calls.clear()
        self.write("u.yaml", "node: {idle: 1}")
        self.settle()
        self.assertEqual([{ROOT}], self.calls)

    def test_folderGone(self) -> None:
        """
        While the whole folder is away, it is looked for now and then, and noticed when it is back.
        """
        self.write("u.yaml", "dial: {a: 'socks:a:1'}")
        store = FileStore(str(self.directory))
        self.watched(store)
        away = self.directory.parent / "away"
        os.rename(self.directory, away)
        self.settle()
        looks: list[object] = []
        update = store._watch._update

        def counted(*arguments: object) -> None:
            looks.append(arguments)
            update(*arguments)

        self.patch(store._watch, "_update", counted)
        for _ in range(100):
            self.tell()
            self.reactor.advance(POLL / 10)
        self.assertLess(len(looks), 12)
        self.assertEqual((1, ["a"]), (len(told(store)), store.names(ROOT, "dial")))
        os.rename(away, self.directory)
        self.reactor.pump([POLL, QUIET, 0.0, QUIET])
        self.assertEqual([], told(store))
        self.write("u.yaml", "dial: {b: 'socks:a:1'}")
        self.settle()
        self.assertEqual(["b"], store.names(ROOT, "dial"))

    def test_others(self) -> None:
        """
        Files that are not read do not matter.
        """
        path = self.write("u.yaml", "")
        for each in (path, str(self.directory)):
            self.watched(FileStore(each))
            self.age()
            self.settle()
            self.reactor.advance(POLL)
            self.settle()
            for name in ("README", "u.yaml~", ".u.yaml.swp"):
                self.write(name, "x")
            self.tell()
            calls = [
                call
                for call in self.reactor.getDelayedCalls()
                if call.getTime() <= self.reactor.seconds() + QUIET
            ]
            self.assertEqual([], calls)

    def test_swapped(self) -> None:
        """
        A mounted volume whose files are links that are swapped under it.
        """
        for number in (1, 2):
            self.write(f"..{number}/u.yaml", f"node: {{idle: {number}}}")
            self.write(f"..{number}/v.yaml", f"dial: {{d{number}: 'socks:a:1'}}")
        (self.directory / "..data").symlink_to("..1")
        for name in ("u.yaml", "v.yaml"):
            (self.directory / name).symlink_to(f"..data/{name}")
        stores = [FileStore(str(self.directory)), FileStore(str(self.directory / "u.yaml"))]
        for store in stores:
            self.watched(store)
        (self.directory / "..new").symlink_to("..2")
        os.rename(self.directory / "..new", self.directory / "..data")
        self.settle()
        for store in stores:
            self.assertEqual({"idle": 2}, dict(store.section(ROOT, "node", ONLY)))
        self.assertEqual(["d2"], stores[0].names(ROOT, "dial"))
        self.assertEqual([{ROOT}] * 2, self.calls)

    def test_noMore(self) -> None:
        """
        If the kernel will not tell of any more, files are looked at every few seconds.
        """
        if notify is None:
            raise SkipTest("the kernel tells nothing here")
        from twisted.internet.inotify import INotify, INotifyError

        def full(*arguments: object) -> None:
            raise INotifyError("No space left on device")

        for method in ("__init__", "watch"):
            path = self.write("u.yaml", f"node: {{idle: {len(method)}}}")
            store = FileStore(path)
            self.patch(INotify, method, full)
            self.watched(store)
            self.write("u.yaml", "node: {idle: 9}")
            self.settle()
            self.assertEqual([], self.calls)
            self.reactor.pump([POLL, QUIET])
            self.assertEqual([{ROOT}], self.calls)
            store.stop()

    def test_reactorStopped(self) -> None:
        """
        A reactor that stops has closed all before the store is stopped.
        """
        store = FileStore(self.write("u.yaml", ""))
        self.watched(store)
        for reader in list(self.reactor.getReaders()):
            reader.connectionLost(Failure(ConnectionDone()))
        store.stop()
        self.assertEqual([], self.flushLoggedErrors())

    def test_stopped(self) -> None:
        """
        After it was stopped nothing is told, and nothing is left.
        """
        path = self.write("u.yaml", "")
        store = FileStore(path)
        self.watched(store)
        store.start(self.reactor)
        self.write("u.yaml", "node: {idle: 1}")
        self.tell()
        descriptors = len(os.listdir("/proc/self/fd"))
        store.stop()
        store.stop()
        self.assertEqual(descriptors - 1, len(os.listdir("/proc/self/fd")))
        self.assertEqual(([], []), (self.reactor.getReaders(), self.reactor.getDelayedCalls()))
        self.assertEqual([], self.calls)
