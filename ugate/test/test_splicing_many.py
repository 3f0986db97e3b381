# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.splicing}: many directions and few threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ugate.splice import Direction
from ugate.splicing import Splicers
from ugate.test.socketfakes import Peer, descriptors
from ugate.test.splicefakes import QUIET, SpliceTestCase, noise

MEGABYTE = 1 << 20
WORDS = noise(150_000)


class ShareTests(SpliceTestCase):
    """
    One thread for several directions.
    """

    threads = 1

    def queue(self) -> tuple[Peer, Peer, Direction]:
        """
        A direction whose sink takes nothing: what its source had to say is in the pipe.
        """
        source, sink, direction, back = self.stream(sinkBuffers=8192)
        self.drop(back)
        sink.limit = 0
        source.give(WORDS)
        self.assertEqual(source.unsent, 0)
        self.splicers.lend(direction)
        self.until(lambda: direction.queued, "a queue")
        self.rest()
        self.assertEqual(direction.count + direction.queued, len(WORDS))
        return source, sink, direction

    def test_many(self) -> None:
        """
        All arrive whole.
        """
        data = noise(3 * MEGABYTE)
        streams = [self.oneWay() for _ in range(5)]
        for source, _, _ in streams:
            source.give(data, end=True)
        for _, sink, direction in streams:
            self.arrive(sink, data)
            self.until(lambda direction=direction: direction in self.returned, "the end")  # type: ignore[misc]
            self.assertTrue(direction.eof)
            self.assertEqual(direction.count, len(data))

    def test_bothWays(self) -> None:
        """
        The two directions of one stream can be with the same thread.
        """
        one, two, forth, back = self.stream()
        question, answer = noise(6 * MEGABYTE, 1), noise(6 * MEGABYTE, 2)
        self.splicers.lend(forth)
        self.splicers.lend(back)
        one.give(question, end=True)
        two.give(answer, end=True)
        self.arrive(two, question)
        self.arrive(one, answer)
        self.until(lambda: len(self.returned) == 2, "both ends")
        self.assertTrue(forth.eof and back.eof)

    def test_quietBesideBusy(self) -> None:
        """
        A quiet direction goes back, even if its sockets are busy the other way.
        """
        one, two, forth, back = self.stream(buffers=8192)
        self.splicers.lend(forth)
        self.splicers.lend(back)
        data = noise(2 * MEGABYTE)
        two.limit = 0
        one.give(data)
        self.until(lambda: forth.queued, "a queue")

        self.reactor.advance(QUIET * 0.6)
        # The sink of one is the source of the other; it takes a part.
        two.limit = MEGABYTE
        self.until(lambda: len(two.got) == MEGABYTE and forth.queued, "a part")
        self.reactor.advance(QUIET * 0.6)
        self.until(lambda: self.returned, "the quiet one")
        self.assertEqual(self.returned, [back])
        two.limit = None
        self.arrive(two, data)
        self.assertNotIn(forth, self.returned)

    def test_slowBesideFast(self) -> None:
        """
        A sink that takes a little now and then does not keep the others from theirs.
        """
        # The time that a call takes says how fast a sink is.
        self.reactor.seconds = time.monotonic  # type: ignore[method-assign]
        self.restart()
        slowSource, slow, direction, back = self.stream(sinkBuffers=8192)
        self.drop(back)
        slowSource.give(noise(12 * MEGABYTE))
        self.splicers.lend(direction)
        # First it takes all there is, and then becomes slow, which one call may not see.
        self.until(lambda: len(slow.got) > 4 * MEGABYTE, "a part")
        self.trickle(slow, lambda: len(slow.got) > 6 * MEGABYTE, "the first slow part")
        source, sink, _ = self.oneWay()
        data = noise(MEGABYTE)
        source.give(data)
        before = len(slow.got)
        self.trickle(slow, lambda: len(sink.got) == len(data), "the fast one")
        # Even a machine with much else to do does the one long before the other.
        self.assertLess(len(slow.got) - before, 700_000)

    def trickle(self, slow: Peer, condition: Callable[[], bool], what: str) -> None:
        """
        Wait for something, while a peer takes two megabytes a second.
        """
        began, before = time.monotonic(), len(slow.got)

        def check() -> bool:
            slow.limit = before + int((time.monotonic() - began) * 2_000_000)
            return condition()

        self.until(check, what)

    def test_queueWhenOthersCome(self) -> None:
        """
        What is in the pipe when a thread gets more to do goes on as soon as the sink
        takes it, though nothing more comes from the source.
        """
        _, sink, direction = self.queue()
        source, other, _ = self.oneWay()
        source.give(b"word")
        self.arrive(other, b"word")
        self.assertTrue(direction.queued)
        sink.limit = None
        self.arrive(sink, WORDS)

    def test_recall(self) -> None:
        """
        Any of them comes back when it is wanted; the others go on.
        """
        _, _, stalled = self.queue()
        source, sink, other = self.oneWay()
        _, _, silent = self.oneWay()
        source.give(b"one ")
        self.arrive(sink, b"one ")
        self.splicers.recall(stalled)
        self.splicers.recall(silent)
        self.until(lambda: len(self.returned) == 2, "the directions")
        source.give(b"two")
        self.arrive(sink, b"one two")
        self.assertNotIn(other, self.returned)

    def test_recallAtOnce(self) -> None:
        """
        Also one that the thread has not yet looked at.
        """
        _, _, forth, back = self.stream()
        for direction in (forth, back):
            self.splicers.lend(direction)
            self.splicers.recall(direction)
        self.until(lambda: len(self.returned) == 2, "the directions")

    def test_stop(self) -> None:
        """
        To stop drops them all; L{tearDown} sees that nothing is left of them.
        """
        self.queue()
        for _ in range(3):
            self.oneWay()
        self.splicers.stop()
        self.assertEqual(self.returned, [])

    def test_reset(self) -> None:
        """
        One that breaks goes back; the others go on.
        """
        broken, _, direction = self.oneWay()
        source, sink, other = self.oneWay()
        broken.reset()
        self.until(lambda: self.returned, "the broken one")
        self.assertIsNot(direction.error, None)
        source.give(b"word")
        self.arrive(sink, b"word")
        self.assertEqual((self.returned, other.error), ([direction], None))


class ThreadsTests(SpliceTestCase):
    """
    Who gets what.
    """

    def loads(self) -> list[int]:
        """
        How many directions each thread has.
        """
        return sorted(splicer.load for splicer in self.splicers._splicers)

    def test_bounded(self) -> None:
        """
        Threads are begun when they are needed, no more than allowed, and kept; each has
        about as much to do as the others.
        """
        self.assertEqual(self.threadsSince(), 0)
        lent = []
        for threads, loads in ((1, [1]), (2, [1, 1]), (2, [1, 2]), (2, [2, 2])):
            lent.append(self.oneWay()[2])
            self.assertEqual((self.threadsSince(), self.loads()), (threads, loads))
        for direction in lent:
            self.splicers.recall(direction)
        self.until(lambda: len(self.returned) == 4, "the directions")
        self.assertEqual((self.threadsSince(), self.loads()), (2, [0, 0]))
        self.oneWay()
        self.assertEqual((self.threadsSince(), self.loads()), (2, [0, 1]))

    def test_bothWays(self) -> None:
        """
        Two threads can each have one direction of a stream; all arrives both ways.
        """
        one, two, forth, back = self.stream()
        question, answer = noise(16 * MEGABYTE, 1), noise(16 * MEGABYTE, 2)
        self.splicers.lend(forth)
        self.splicers.lend(back)
        one.give(question, end=True)
        two.give(answer, end=True)
        self.arrive(two, question)
        self.arrive(one, answer)
        self.until(lambda: len(self.returned) == 2, "both ends")
        self.assertEqual((forth.error, back.error), (None, None))

    def stalledBack(self) -> tuple[Peer, Peer, Direction, Direction]:
        """
        A stream with a thread for each direction, where one is stalled.
        """
        one, two, forth, back = self.stream(buffers=8192)
        self.splicers.lend(forth)
        self.splicers.lend(back)
        one.limit = 0
        two.give(noise(2 * MEGABYTE))
        self.until(lambda: back.queued, "a queue")
        self.rest()
        return one, two, forth, back

    def test_noSpinning(self) -> None:
        """
        When a thread is through with one direction, the one that has the other and waits
        for its sink goes on to wait.
        """
        one, _, forth, _ = self.stalledBack()
        one.give(b"last", end=True)
        self.until(lambda: forth in self.returned, "the end of one direction")
        calls = 0
        real = os.splice

        def splice(*args: Any, **kwargs: Any) -> int:
            nonlocal calls
            calls += 1
            return real(*args, **kwargs)

        self.patch(os, "splice", splice)
        for _ in range(10):
            self.turn()
        self.assertLess(calls, 100)
        one.limit = None
        self.arrive(one, noise(2 * MEGABYTE))

    def test_othersBesideAStalledStream(self) -> None:
        """
        A thread that shares, and has one direction of a stream whose other direction is
        alone with its thread, does not wait for the sink of that one.
        """
        one, two, forth, back = self.stalledBack()
        two.limit = 0
        one.give(noise(8 * MEGABYTE))
        two.give(noise(8 * MEGABYTE))
        self.until(lambda: forth.queued, "a queue that way too")
        source, sink, _ = self.oneWay()
        data = noise(16 * MEGABYTE)
        source.give(data)

        for peer in (one, two):
            # There is some room again, for less than what waits.
            peer.limit = len(peer.got) + 50_000
        self.arrive(sink, data)
        self.assertTrue(forth.queued and back.queued)

    def test_noThread(self) -> None:
        """
        Without descriptors for another thread, one that there is has more to do; if
        there is none, it cannot be done.
        """
        self.oneWay()

        def eventfd(*args: int) -> int:
            raise OSError("no descriptors")

        self.patch(os, "eventfd", eventfd)
        source, sink, _ = self.oneWay()
        self.assertEqual((self.threadsSince(), self.loads()), (1, [2]))
        source.give(b"word")
        self.arrive(sink, b"word")
        none = Splicers(1, self.reactor.seconds, self.back)
        _, _, forth, back = self.stream()
        self.assertRaises(OSError, none.lend, forth)
        self.drop(forth, back)

    def test_cannotStart(self) -> None:
        """
        A thread that cannot start is told of as an error of the system, and keeps nothing.
        """

        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        _, _, forth, back = self.stream()
        before = descriptors()
        self.patch(threading.Thread, "start", start)
        self.assertRaises(OSError, self.splicers.lend, forth)
        self.assertEqual(descriptors() - before, set())
        self.drop(forth, back)
