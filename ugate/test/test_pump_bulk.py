# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump}: bulk, which threads move.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

from zope.interface import implementer

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher

from ugate import splice, splicing
from ugate.pump import BULK
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase
from ugate.test.socketfakes import unixPair
from ugate.test.splicefakes import QUIET, noise


class BulkTestCase(PumpTestCase):
    """
    Where there is splice(2).
    """

    skip = None if splice.available else "this system has no splice(2)"


class LendTests(BulkTestCase):
    """
    When threads get a direction, and when it comes back.
    """

    def test_eachWay(self) -> None:
        """
        Much data arrives as it was sent, either way, and is counted.
        """
        data = noise(24 * MEGABYTE)
        for back in (False, True):
            stream = self.join()
            source, sink = (stream.b, stream.a) if back else (stream.a, stream.b)
            source.give(data)
            self.until(lambda: any(stream.lent), "a thread")  # noqa: B023
            self.assertEqual(stream.lent, (not back, back))
            self.arrive(sink, data)
            self.recover(stream)
            self.assertEqual(stream.counts, (0, len(data)) if back else (len(data), 0))

    def test_bothWays(self) -> None:
        """
        So it does both ways at once, and the ends come after it.
        """
        forth, back = noise(20 * MEGABYTE, 1), noise(24 * MEGABYTE, 2)
        stream = self.join()
        stream.a.give(forth, end=True)
        stream.b.give(back, end=True)
        self.until(lambda: stream.lent == (True, True), "two threads")
        self.arrive(stream.b, forth)
        self.arrive(stream.a, back)
        self.over(stream, "done")
        self.assertEqual(stream.counts, (len(forth), len(back)))
        self.until(lambda: stream.a.ended and stream.b.ended, "the ends")

    def test_many(self) -> None:
        """
        There may be more directions than threads.
        """
        data = [noise(3 * MEGABYTE, seed) for seed in range(5)]
        streams = [self.join() for _ in data]
        for stream, each in zip(streams, data, strict=True):
            stream.a.give(each, end=True)
            stream.b.give(each[::-1], end=True)
        for stream, each in zip(streams, data, strict=True):
            self.arrive(stream.b, each)
            self.arrive(stream.a, each[::-1])
            self.over(stream, "done")
            self.assertEqual(stream.counts, (len(each), len(each)))

    def test_unix(self) -> None:
        """
        UNIX sockets are no different.
        """
        data = noise(8 * MEGABYTE)
        stream = self.join(pair=unixPair)
        stream.a.give(data, end=True)
        self.until(lambda: any(stream.lent), "a thread")
        self.arrive(stream.b, data)
        self.until(lambda: stream.b.ended, "the end")
        stream.b.give(data, end=True)
        self.arrive(stream.a, data)
        self.over(stream, "done")

    def test_onlyBulk(self) -> None:
        """
        So much within a quarter of a second is bulk, and the same in a longer time is not.
        """
        stream = self.join()
        piece = bytes(BULK // 4)
        for count in range(1, 8):
            stream.a.give(piece)
            self.arrive(stream.b, piece * count)
            self.reactor.advance(0.25)
        self.assertEqual(stream.lent, (False, False))
        for count in range(8, 12):
            stream.a.give(piece)
            self.arrive(stream.b, piece * count)
        self.assertEqual(stream.lent, (False, False))
        stream.a.give(b"x")
        self.until(lambda: any(stream.lent), "a thread")

    def test_giveBack(self) -> None:
        """
        A direction that is quiet comes back, and goes on as it began; it can go again.
        """
        stream = self.join()
        for _ in range(3):
            self.lend(stream)
            self.recover(stream)
            before = bytes(stream.b.got)
            stream.a.give(b"few")
            self.arrive(stream.b, before + b"few")
            stream.b.give(b"answer")
            self.until(lambda: stream.a.got.endswith(b"answer"), "an answer")
            stream.a.got.clear()
            self.assertEqual(stream.lent, (False, False))
        self.assertEqual(stream.counts, (len(stream.b.got), 18))

    def test_otherWayMeanwhile(self) -> None:
        """
        Few bytes the other way need no thread.
        """
        stream = self.join()
        self.lend(stream)
        for count in range(1, 6):
            stream.b.give(b"ack")
            self.arrive(stream.a, b"ack" * count)
        self.assertEqual(stream.lent, (True, False))

    def test_active(self) -> None:
        """
        When bytes last moved is known while a thread moves them, and afterwards.
        """
        stream = self.join()
        self.lend(stream)
        self.reactor.advance(QUIET / 2)
        self.assertLess(abs(stream.joined.active - self.reactor.seconds()), 0.3)
        self.patch(splicing, "_IDLE", 15.0)
        self.reactor.advance(10)
        then = self.reactor.seconds()
        self.assertEqual(stream.lent, (True, False))
        got = len(stream.b.got)
        stream.a.give(b"word")
        self.until(lambda: len(stream.b.got) == got + 4, "a word")
        self.until(lambda: abs(stream.joined.active - then) < 0.3, "the time of that")
        self.reactor.advance(20)
        self.until(lambda: stream.lent == (False, False), "the direction")
        self.assertLess(abs(stream.joined.active - then), 0.3)

    def test_slow(self) -> None:
        """
        A peer that does not read bounds what is under way, also with a thread.
        """
        stream = self.join(buffers=8192)
        data = noise(8 * MEGABYTE)
        stream.b.limit = 2 * MEGABYTE
        stream.a.give(data)
        self.until(lambda: len(stream.b.got) == 2 * MEGABYTE, "a part")
        self.rest()
        self.assertEqual(stream.lent, (True, False))
        self.assertLess(stream.a.sent, 4 * MEGABYTE)
        stream.b.limit = None
        self.arrive(stream.b, data)

    def test_slowFromTheStart(self) -> None:
        """
        A peer that reads late gets all in order, through a chunk that waited here, a
        thread, and here again.
        """
        stream = self.join(buffers=8192)
        data = noise(6 * MEGABYTE)
        stream.b.limit = 0
        stream.a.give(data)
        self.until(lambda: stream.joined.b.out, "a chunk that waits")
        stream.b.limit = None
        self.arrive(stream.b, data)
        self.recover(stream)
        stream.a.give(b"more", end=True)
        self.arrive(stream.b, data + b"more")


class WithoutTests(BulkTestCase):
    """
    Where the kernel will not splice.
    """

    def copied(self) -> None:
        """
        Bulk arrives, but by no thread.
        """
        data = noise(6 * MEGABYTE)
        stream = self.join()
        stream.a.give(data, end=True)
        self.arrive(stream.b, data)
        self.assertEqual(stream.lent, (False, False))
        self.assertTrue(stream.joined.a.copyOnly)
        self.until(lambda: stream.b.ended, "the end")
        stream.b.close()
        self.over(stream, "done")
        self.assertEqual(stream.counts, (len(data), 0))

    def lacking(self, where: Any, what: str) -> None:
        """
        There are no descriptors for this.
        """

        def refuse(*args: Any) -> Any:
            raise OSError(errno.EMFILE, "no descriptors are left")

        self.patch(where, what, refuse)

    def test_noPipe(self) -> None:
        """
        Without descriptors for a pipe, all goes on, only slower; that is logged once a
        direction.
        """
        self.lacking(splice, "openPipe")
        events = self.logged()
        self.copied()
        self.assertEqual(len(events), 1)
        self.assertIn("no descriptors are left", events[0])

    def test_noThread(self) -> None:
        """
        Without a thread, too, and the pipe is given back.
        """
        self.lacking(splicing, "Splicer")
        events = self.logged()
        self.copied()
        self.assertEqual(len(events), 1)

    def logged(self) -> list[str]:
        """
        Warnings, from now on.
        """
        events: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_level"] is LogLevel.warn:
                events.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return events

    def test_cannotSplice(self) -> None:
        """
        Sockets that cannot be spliced are given back by the thread, and are not tried
        again.
        """
        tried = 0

        def splice(*args: Any, **kwargs: Any) -> int:
            nonlocal tried
            tried += 1
            raise OSError(errno.EINVAL, "not these")

        self.patch(os, "splice", splice)
        data = noise(6 * MEGABYTE)
        stream = self.join()
        stream.a.give(data)
        self.arrive(stream.b, data)
        self.until(lambda: stream.lent == (False, False), "the direction")
        self.assertEqual((tried, stream.joined.a.copyOnly, stream.reasons), (1, True, []))
        self.assertEqual(stream.counts, (len(data), 0))

    def test_smallPipe(self) -> None:
        """
        With pipes as the kernel makes them, all is as usual.
        """

        def control(*args: Any) -> int:
            raise PermissionError(errno.EPERM, "too much")

        self.patch(fcntl, "fcntl", control)
        data = noise(6 * MEGABYTE)
        stream = self.join()
        stream.a.give(data, end=True)
        self.until(lambda: any(stream.lent), "a thread")
        self.arrive(stream.b, data)
        self.until(lambda: stream.b.ended, "the end")
