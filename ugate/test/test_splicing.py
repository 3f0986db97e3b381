# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.splicing}: one direction in one thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

from ugate import splice, splicing
from ugate.splice import Direction, openPipe
from ugate.test.socketfakes import SocketTestCase, descriptors, tcpPair, unixPair
from ugate.test.splicefakes import QUIET, SpliceTestCase, noise

MEGABYTE = 1 << 20


class PipeTests(SocketTestCase):
    """
    The pipe of a direction.
    """

    def size(self) -> int:
        """
        What the kernel grants.
        """
        reader, writer = openPipe()
        try:
            self.assertFalse(os.get_blocking(reader) or os.get_blocking(writer))
            return fcntl.fcntl(writer, 1032)
        finally:
            os.close(reader)
            os.close(writer)

    def refuse(self, above: int, error: OSError) -> None:
        """
        From now on, grant no more than this.
        """
        real = fcntl.fcntl

        def control(descriptor: int, command: int, size: int = 0) -> int:
            if command == 1031 and size > above:
                raise error
            return real(descriptor, command, size)

        self.patch(fcntl, "fcntl", control)

    def test_large(self) -> None:
        """
        It is as large as wanted, if the kernel grants that.
        """
        self.assertEqual(self.size(), splice.PIPE_SIZE)

    def test_smaller(self) -> None:
        """
        A user with many pipes gets a smaller one, or one as it comes.
        """
        self.refuse(1 << 18, PermissionError(errno.EPERM, "too much"))
        self.assertEqual(self.size(), 1 << 18)

    def test_smallest(self) -> None:
        """
        Or one as it comes, whatever the kernel has against it.
        """
        for error in (PermissionError(errno.EPERM, "too much"), OSError(errno.ENOMEM, "no memory")):
            self.refuse(0, error)
            self.assertEqual(self.size(), 65536)

    def test_none(self) -> None:
        """
        With no descriptors there is no direction, and nothing is left of it.
        """

        def pipe2(flags: int) -> Any:
            raise OSError(errno.EMFILE, "no descriptors")

        self.patch(os, "pipe2", pipe2)
        one, other = tcpPair()
        self.assertRaises(OSError, Direction, one, other)
        before = descriptors()
        self.assertRaises(OSError, Direction, one, other)
        self.assertEqual(descriptors() - before, set())
        one.close()
        other.close()


class AloneTests(SpliceTestCase):
    """
    A thread that has one direction only.
    """

    def test_bulk(self) -> None:
        """
        Much data arrives as it was sent, and is counted; the end comes after it.
        """
        data = noise(24 * MEGABYTE)
        source, sink, direction = self.oneWay()
        source.give(data, end=True)
        self.until(lambda: self.returned, "the end")
        self.assertEqual(self.returned, [direction])
        self.assertEqual((direction.count, direction.eof, direction.error), (len(data), True, None))
        self.arrive(sink, data)
        # Telling the sink is the lender's.
        self.assertFalse(sink.ended)

    def test_small(self) -> None:
        """
        Few bytes do not wait for more.
        """
        source, sink, direction = self.oneWay()
        for words in range(1, 6):
            source.give(b"word ")
            self.arrive(sink, b"word " * words)
        self.splicers.recall(direction)
        self.until(lambda: self.returned, "the direction")
        self.assertEqual(direction.count, 25)

    def test_unix(self) -> None:
        """
        UNIX sockets can be spliced, too.
        """
        data = noise(4 * MEGABYTE)
        source, sink, forth, back = self.stream(pair=unixPair)
        self.drop(back)
        self.splicers.lend(forth)
        source.give(data, end=True)
        self.arrive(sink, data)
        self.until(lambda: self.returned, "the end")
        self.assertTrue(forth.eof)

    def test_lessAllowed(self) -> None:
        """
        That it may take less than it has taken, which the lender may say at any time, is no end.
        """
        source, sink, forth, back = self.stream()
        self.drop(back)
        source.give(b"question")
        self.until(lambda: not source.unsent, "what was sent")
        forth.count = 100
        forth.allowed = 10
        self.assertTrue(forth.isSpent)
        forth.move(splicing._NONBLOCK)
        self.assertEqual((forth.eof, forth.count), (False, 101))
        self.arrive(sink, b"q")
        self.drop(forth)

    def test_quiet(self) -> None:
        """
        A direction that nothing came from for a while goes back, and not before.
        """
        source, sink, direction = self.oneWay()
        source.give(b"word")
        self.until(lambda: sink.got, "a word")
        self.reactor.advance(QUIET)
        for _ in range(5):
            self.turn()
        self.assertEqual(self.returned, [])
        self.reactor.advance(QUIET * 2)
        self.until(lambda: self.returned, "the direction")
        self.assertEqual((direction.eof, direction.error, direction.queued), (False, None, 0))
        # Nobody reads there any more.
        source.give(b"more")
        self.rest()
        self.assertEqual(sink.got, b"word")
        self.assertEqual(direction.source.recv(100), b"more")

    def test_notQuietWhileQueued(self) -> None:
        """
        A direction whose sink takes nothing is not quiet: its bytes have no other way.
        """
        data = noise(2 * MEGABYTE)
        source, sink, direction = self.oneWay(buffers=8192)
        sink.limit = 0
        source.give(data)
        self.until(lambda: direction.queued, "a queue")
        for _ in range(5):
            self.reactor.advance(QUIET * 2)
            self.turn()
        self.assertEqual(self.returned, [])
        sink.limit = None
        self.arrive(sink, data)

    def test_bounded(self) -> None:
        """
        What waits for a slow sink is no more than a pipe and the kernel's buffers.
        """
        source, sink, direction = self.oneWay(buffers=8192)
        sink.limit = 100_000
        source.give(bytes(8 * MEGABYTE))
        self.until(lambda: direction.queued and len(sink.got) == 100_000, "a queue")
        self.rest()
        self.assertLess(source.sent - len(sink.got), splice.PIPE_SIZE + MEGABYTE // 2)

    def test_sourceReset(self) -> None:
        """
        A source that breaks is told by the error and an empty queue.
        """
        source, sink, direction = self.oneWay()
        source.give(b"word")
        self.until(lambda: sink.got, "a word")
        source.reset()
        self.until(lambda: self.returned, "the direction")
        assert direction.error is not None
        self.assertEqual((direction.error.errno, direction.queued), (errno.ECONNRESET, 0))

    def test_sinkReset(self) -> None:
        """
        A sink that breaks is told by the error and a queue.
        """
        source, sink, direction = self.oneWay(buffers=8192)
        sink.limit = 0
        source.give(bytes(2 * MEGABYTE))
        self.until(lambda: direction.queued, "a queue")
        sink.reset()
        self.until(lambda: self.returned, "the direction")
        assert direction.error is not None
        self.assertIn(direction.error.errno, (errno.ECONNRESET, errno.EPIPE))
        self.assertTrue(direction.queued)

    def test_error(self) -> None:
        """
        What cannot be spliced is given back with the error, and sockets that do not block.
        """
        self.patch(os, "splice", self.invalid)
        _, _, direction = self.oneWay()
        self.until(lambda: self.returned, "the direction")
        assert direction.error is not None
        self.assertEqual((direction.error.errno, direction.count), (errno.EINVAL, 0))
        for end in (direction.source, direction.sink):
            self.assertFalse(os.get_blocking(end.fileno()))

    def invalid(self, *args: Any, **kwargs: Any) -> int:
        """
        In place of splice(2).
        """
        raise OSError(errno.EINVAL, "not these")

    def test_recall(self) -> None:
        """
        A direction comes back when it is wanted, whatever its sockets do.
        """
        stalled, lazy, direction = self.oneWay(buffers=8192)
        lazy.limit = 0
        stalled.give(bytes(2 * MEGABYTE))
        _, _, silent = self.oneWay()
        busySource, busySink, busy = self.oneWay()
        busySource.give(noise(64 * MEGABYTE))
        self.until(lambda: direction.queued and busySink.got, "a queue")
        for each in (direction, silent, busy):
            self.splicers.recall(each)
        self.until(lambda: len(self.returned) == 3, "the directions")
        self.assertEqual({each.error for each in self.returned}, {None})
        self.assertFalse(busy.eof)

    def test_stop(self) -> None:
        """
        To stop ends the threads, whatever they do; L{tearDown} sees what is left.
        """
        stalled, lazy, direction = self.oneWay(buffers=8192)
        lazy.limit = 0
        stalled.give(bytes(2 * MEGABYTE))
        self.oneWay()
        self.oneWay()
        self.until(lambda: direction.queued, "a queue")
        self.splicers.stop()
        self.splicers.stop()
        self.assertEqual(self.returned, [])
