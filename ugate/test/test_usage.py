# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.usage}.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.usage import SAVE_EVERY, ForgottenUsage, Usage, UsageFile, monthAt


def at(*parts: int) -> float:
    """
    A time of UTC.
    """
    return datetime(*parts, tzinfo=timezone.utc).timestamp()  # type: ignore[arg-type,misc]


class MonthTests(SynchronousTestCase):
    """
    L{monthAt}.
    """

    def test_ends(self) -> None:
        """
        A month goes from its first second to its last, in UTC.
        """
        for when, month, end in (
            (at(2026, 3, 1), "2026-03", at(2026, 4, 1)),
            (at(2026, 3, 31, 23, 59, 59), "2026-03", at(2026, 4, 1)),
            (at(2026, 12, 5), "2026-12", at(2027, 1, 1)),
            (at(2028, 2, 29), "2028-02", at(2028, 3, 1)),
        ):
            self.assertEqual(monthAt(when), (month, end))

    @given(st.floats(0, 4e9))
    def test_any(self, when: float) -> None:
        """
        Each time is before the end of its month, which is where the next one begins.
        """
        month, end = monthAt(when)
        self.assertLess(when, end)
        self.assertLessEqual(end - when, 31 * 86400)
        self.assertEqual(monthAt(end - 0.5)[0], month)
        self.assertGreater(monthAt(end)[0], month)


class UsageTests(SynchronousTestCase):
    """
    L{Usage}.
    """

    def setUp(self) -> None:
        self.now = at(2026, 3, 30)
        self.usage = Usage(lambda: self.now)

    def test_counts(self) -> None:
        """
        Each tenant has its own, found by its path.
        """
        self.assertEqual(self.usage.of("alice").add(3, 4), 7)
        self.assertEqual(self.usage.of("alice").add(10, 0), 17)
        self.assertEqual(self.usage.of("alice").both, (13, 4))
        self.assertEqual(self.usage.of("bob").both, (0, 0))

    def test_nextMonth(self) -> None:
        """
        A new month begins at 0.
        """
        used, other = self.usage.of("alice"), self.usage.of("bob")
        used.add(3, 4)
        other.add(1, 1)
        self.assertEqual((self.usage.month, self.usage.ends), ("2026-03", at(2026, 4, 1)))
        self.now = at(2026, 4, 1)
        self.assertEqual(used.add(5, 0), 5)
        self.assertEqual(other.both, (0, 0))
        self.assertEqual((self.usage.month, self.usage.ends), ("2026-04", at(2026, 5, 1)))

    def test_setBack(self) -> None:
        """
        A clock that is set back brings no month back, so it takes no bytes away.
        """
        used = self.usage.of("alice")
        self.now = at(2026, 4, 1)
        used.add(5, 0)
        self.now = at(2026, 3, 31, 23)
        self.assertEqual((used.add(1, 0), self.usage.month), (6, "2026-04"))


class FileTestCase(SynchronousTestCase):
    """
    Has a file.
    """

    def setUp(self) -> None:
        self.now = at(2026, 3, 10)
        self.path = self.mktemp()
        self.clock = Clock()
        self.usage = self.open()

    def open(self, inThread: Callable[[Callable[[], None]], object] | None = None) -> UsageFile:
        """
        Begin, as a process does.
        """
        usage = UsageFile(self.path, self.clock, lambda: self.now, inThread)
        usage.start()
        return usage

    def logged(self, work: Callable[[], object]) -> list[str]:
        """
        What is said of that.
        """
        with capturedLogs() as events:
            work()
        return [formatEvent(event) for event in events if _isOurs(event)]


class UsageFileTests(FileTestCase):
    """
    L{UsageFile}.
    """

    def test_folder(self) -> None:
        """
        The folder is made; one that cannot be is told at once, with what to do.
        """
        self.path = os.path.join(self.mktemp(), "state", "usage.json")
        self.open().of("alice")
        self.assertEqual(0o700, stat.S_IMODE(os.stat(os.path.dirname(self.path)).st_mode))
        self.path = "/dev/null/state/usage.json"
        usage = UsageFile(self.path, self.clock, lambda: self.now)
        (line,) = self.logged(lambda: (usage.of("alice"), usage.of("bob")))
        self.assertIn("/dev/null/state: Not a directory; the bytes of this month cannot be kept", line)
        self.assertIn("--state", line)

    def test_noFolder(self) -> None:
        """
        Without a folder all is forgotten, which is said once, and only if there is something.
        """
        usage = ForgottenUsage(lambda: self.now)
        (line,) = self.logged(lambda: (usage.of("alice"), usage.of("bob"), usage.of("alice")))
        self.assertEqual([], self.logged(usage.claim))
        self.assertIn("a restart forgets the bytes", line)

    def test_another(self) -> None:
        """
        Another process with the same folder is told of, unless it has ended.
        """
        self.usage.claim()
        self.assertIn("another process keeps", "".join(self.logged(lambda: self.open().of("alice"))))
        self.usage.stop()
        other = self.open()
        self.assertEqual([], self.logged(lambda: other.of("alice")))

    def test_restart(self) -> None:
        """
        What was used is known to the next process; nobody but its user may read it.
        """
        self.usage.of("alice").add(3, 4)
        self.usage.of("alice/dev").add(1, 0)
        self.usage.of("bob")
        self.usage.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        again = self.open()
        self.assertEqual([again.of(p).both for p in ("alice", "alice/dev", "bob")], [(3, 4), (1, 0), (0, 0)])
        self.assertFalse(os.path.exists(f"{self.path}.new"))

    def test_crash(self) -> None:
        """
        So it is to one that begins after a crash, but for what was used since it was last saved.
        """
        used = self.usage.of("alice")
        used.add(3, 4)
        self.clock.advance(SAVE_EVERY)
        used.add(100, 0)
        self.clock.advance(SAVE_EVERY - 1)
        self.assertEqual(self.open().of("alice").both, (3, 4))
        self.clock.advance(1)
        self.assertEqual(self.open().of("alice").both, (103, 4))

    def test_nothing(self) -> None:
        """
        With nothing used there is no timer, and no file.
        """
        self.usage.of("alice").add(0, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.usage.stop()
        self.assertFalse(os.path.exists(self.path))

    def test_sometimes(self) -> None:
        """
        It is saved when something has changed, not else.
        """
        self.usage.of("alice").add(1, 0)
        self.clock.advance(SAVE_EVERY)
        before = os.stat(self.path).st_ino
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.usage.stop()
        self.assertEqual(os.stat(self.path).st_ino, before)

    def test_lastMonth(self) -> None:
        """
        What was used in another month is nothing now.
        """
        self.usage.of("alice").add(3, 4)
        self.usage.stop()
        self.now = at(2026, 4, 2)
        self.assertEqual(self.open().of("alice").both, (0, 0))

    def test_broken(self) -> None:
        """
        A file that is none of ours is put aside, which is said, and all begins at 0.
        """
        for content in (
            b"",
            b"{",
            b"[]",
            b'{"month": 3, "tenants": {}}',
            b'{"month":"2026-03","tenants":{"a":[1]}}',
        ):
            with open(self.path, "wb") as file:
                file.write(content)
            usage = UsageFile(self.path, self.clock, lambda: self.now)
            said = self.logged(usage.start)
            self.assertEqual(usage.of("alice").both, (0, 0))
            usage.stop()
            self.assertEqual(len(said), 1)
            self.assertIn("counted from 0", said[0])
            self.assertFalse(os.path.exists(self.path))
            with open(f"{self.path}.broken", "rb") as file:
                self.assertEqual(file.read(), content)

    def test_unreadable(self) -> None:
        """
        One that can neither be read nor be put aside is no reason not to begin.
        """
        os.mkdir(self.path)

        def refuse(*args: object) -> None:
            raise PermissionError(errno.EPERM, "not yours")

        self.patch(os, "replace", refuse)
        said = self.logged(self.open)
        self.assertEqual(len(said), 2)
        self.assertIn("not yours", said[1])

    def test_fullDisk(self) -> None:
        """
        When it cannot be saved that is said, the file stays as it was, and it is tried again.
        """
        used = self.usage.of("alice")
        used.add(1, 0)
        self.clock.advance(SAVE_EVERY)

        def refuse(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "the disk is full")

        fsync = os.fsync
        self.patch(os, "fsync", refuse)
        used.add(1, 0)
        said = self.logged(lambda: self.clock.advance(SAVE_EVERY))
        self.assertEqual(len(said), 1)
        self.assertIn("the disk is full", said[0])
        self.assertEqual(self.open().of("alice").both, (1, 0))
        self.patch(os, "fsync", fsync)
        used.add(1, 0)
        self.usage.stop()
        self.assertEqual(self.open().of("alice").both, (3, 0))


class ThreadTests(FileTestCase):
    """
    Where a thread waits for the disk.
    """

    def test_late(self) -> None:
        """
        One that comes late does not undo what was saved after it.
        """
        queue: list[Callable[[], None]] = []
        usage = self.open(queue.append)
        usage.of("alice").add(1, 0)
        self.clock.advance(SAVE_EVERY)
        usage.of("alice").add(1, 0)
        self.clock.advance(SAVE_EVERY)
        usage.of("alice").add(1, 0)
        usage.stop()
        self.assertEqual(len(queue), 2)
        for work in reversed(queue):
            work()
        self.assertEqual(self.open().of("alice").both, (3, 0))

    def test_works(self) -> None:
        """
        What it is given is what was used when it was to be saved.
        """
        queue: list[Callable[[], None]] = []
        usage = self.open(queue.append)
        usage.of("alice").add(1, 0)
        self.clock.advance(SAVE_EVERY)
        usage.of("alice").add(1, 0)
        queue.pop()()
        self.assertEqual(self.open().of("alice").both, (1, 0))


def _isOurs(event: LogEvent) -> bool:
    return str(event["log_namespace"]).startswith("ugate.tenancy.usage")
