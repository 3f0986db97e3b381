# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.splicingprocess}: bulk that another process moves.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs

from ugate import splice, splicing, splicingprocess
from ugate.slots import PLACES, UNLIMITED
from ugate.splicingprocess import SplicingProcess
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase, Stream
from ugate.test.socketfakes import unixPair
from ugate.test.splicefakes import noise

LONG = splicing._IDLE * 2


class ProcessTestCase(PumpTestCase):
    """
    Where there can be another process.
    """

    process = True
    skip = (
        None
        if splice.available and splicingprocess.available
        else "this system cannot lend to another process"
    )

    @property
    def other(self) -> SplicingProcess:
        """
        The other process.
        """
        splicers: Any = self.pump._lender._splicers
        self.assertIsInstance(splicers, SplicingProcess)
        return splicers  # type: ignore[no-any-return]

    def lent(self, **how: Any) -> Stream:
        """
        A stream whose one direction is there.
        """
        stream = self.join(**how)
        stream.a.give(noise(2 * MEGABYTE))
        self.until(lambda: stream.lent == (True, False), "the loan")
        # It has begun when all is through.
        self.arrive(stream.b, noise(2 * MEGABYTE))
        self.until(lambda: stream.counts == (2 * MEGABYTE, 0), "the count")
        return stream


class MoveTests(ProcessTestCase):
    """
    What it does.
    """

    def test_lazy(self) -> None:
        """
        There is no process before there is bulk, and one afterwards.
        """
        stream = self.join()
        stream.a.give(b"few")
        self.arrive(stream.b, b"few")
        self.assertIsNone(self.pump._lender._splicers)
        stream.a.give(noise(3 * MEGABYTE))
        self.until(lambda: stream.lent == (True, False), "the loan")
        self.assertIn(self.other, self.reactor.getReaders())
        self.assertTrue(verifyObject(IReadDescriptor, self.other))
        self.assertEqual(self.threadsSince(), 0)

    def test_eachWay(self) -> None:
        """
        Much data arrives as it was sent, either way, then the end, and is counted.
        """
        data = noise(24 * MEGABYTE)
        for back in (False, True):
            stream = self.join()
            source, sink = (stream.b, stream.a) if back else (stream.a, stream.b)
            source.give(data, end=True)
            self.until(lambda: any(stream.lent), "the loan")  # noqa: B023
            self.arrive(sink, data)
            self.until(lambda: sink.ended, "the end")  # noqa: B023
            sink.give(b"answer", end=True)
            self.arrive(source, b"answer")
            self.over(stream, "done")
            self.assertEqual(stream.counts, (6, len(data)) if back else (len(data), 6))

    def test_bothWays(self) -> None:
        """
        So it does both ways at once.
        """
        forth, back = noise(20 * MEGABYTE, 1), noise(24 * MEGABYTE, 2)
        stream = self.join()
        stream.a.give(forth, end=True)
        stream.b.give(back, end=True)
        self.until(lambda: stream.lent == (True, True), "two loans")
        self.arrive(stream.b, forth)
        self.arrive(stream.a, back)
        self.over(stream, "done")
        self.assertEqual(stream.counts, (len(forth), len(back)))

    def test_many(self) -> None:
        """
        There may be more directions than threads, and a place serves one after another.
        """
        data = noise(3 * MEGABYTE)
        for _ in range(2):
            streams = [self.join() for _ in range(6)]
            for stream in streams:
                stream.a.give(data, end=True)
                stream.b.give(data, end=True)
            for stream in streams:
                self.arrive(stream.a, data)
                self.arrive(stream.b, data)
                self.over(stream, "done")
        self.assertEqual(len(self.other._free), PLACES)

    def test_unix(self) -> None:
        """
        UNIX sockets are no different.
        """
        data = noise(8 * MEGABYTE)
        stream = self.join(pair=unixPair)
        stream.a.give(data, end=True)
        self.until(lambda: any(stream.lent), "the loan")
        self.arrive(stream.b, data)

    def test_giveBack(self) -> None:
        """
        A direction that is quiet comes back, goes on as it began, and can go again.
        """
        stream = self.join()
        for _ in range(2):
            before = len(stream.b.got)
            stream.a.give(bytes(2 * MEGABYTE))
            self.until(lambda: stream.lent == (True, False), "the loan")
            self.until(lambda: len(stream.b.got) == before + 2 * MEGABYTE, "all")  # noqa: B023
            self.until(lambda: stream.lent == (False, False), "the return")
            stream.a.give(b"few")
            self.until(lambda: stream.b.got.endswith(b"few"), "a few")
        self.assertEqual(stream.counts, (len(stream.b.got), 0))

    def test_live(self) -> None:
        """
        What has been moved, and when, is known while it is lent.
        """
        stream = self.lent()
        self.until(lambda: len(stream.b.got) == 2 * MEGABYTE, "all")
        self.until(lambda: stream.counts[0] == 2 * MEGABYTE, "the count")
        self.assertEqual(stream.lent, (True, False))
        self.assertLess(abs(self.reactor.seconds() - stream.joined.active), LONG)

    def test_allowance(self) -> None:
        """
        It moves no more than it is allowed to, and goes on when it is allowed more.
        """
        stream = self.lent()
        self.until(lambda: stream.counts[0] == 2 * MEGABYTE, "the beginning")
        lent: Any = stream.joined.a.lent
        lent.allowed = 3 * MEGABYTE - stream.joined.a.count
        # What it does at this moment it may do with the old allowance, for once.
        stream.a.give(b"x")
        self.until(lambda: stream.counts[0] == 2 * MEGABYTE + 1, "one more")
        stream.a.give(noise(4 * MEGABYTE, 2))
        self.until(lambda: stream.counts[0] == 3 * MEGABYTE, "what is allowed")
        # Not even when it was quiet for long does it come back to be read here.
        end = time.monotonic() + LONG
        self.until(lambda: time.monotonic() > end, "a while")
        self.assertEqual((stream.counts[0], stream.lent), (3 * MEGABYTE, (True, False)))
        lent.allowed = UNLIMITED
        self.arrive(stream.b, noise(2 * MEGABYTE) + b"x" + noise(4 * MEGABYTE, 2))


class EndTests(ProcessTestCase):
    """
    How streams and the process end.
    """

    def test_abort(self) -> None:
        """
        A stream that is ended is reset at both ends, as soon as it is back.
        """
        stream = self.lent()
        stream.b.limit = len(stream.b.got)
        stream.joined.close("enough", abort=True)
        self.over(stream, "enough")
        for peer in (stream.a, stream.b):
            peer.limit = None
            self.until(lambda: peer.broken or peer.ended, "the reset")  # noqa: B023
            self.assertFalse(peer.ended, "a cut was told as a clean end")

    def test_reset(self) -> None:
        """
        A reset by one peer is one for the other.
        """
        for isFirst in (True, False):
            stream = self.lent()
            (stream.a if isFirst else stream.b).reset()
            other = stream.b if isFirst else stream.a
            self.until(lambda: other.broken or other.ended, "the reset")  # noqa: B023
            self.assertFalse(other.ended, "a reset was told as a clean end")
            self.until(lambda: stream.reasons, "the reason")  # noqa: B023
            self.assertIn("reset", stream.reasons[0])

    def test_stop(self) -> None:
        """
        When the pump stops, so does the process, and nobody is told of a clean end.
        """
        stream = self.lent()
        process = self.other._process
        self.pump.stop()
        self.stopped = True
        self.assertEqual(process.returncode, 0)
        self.assertEqual(stream.reasons, ["shutdown"])
        self.until(lambda: stream.b.broken or stream.b.ended, "the reset")
        self.assertFalse(stream.b.ended)

    def test_signals(self) -> None:
        """
        A signal to all of the group is none for the process that has bulk to end.
        """
        stream = self.lent()
        process = self.other._process
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        data = noise(8 * MEGABYTE, 3)
        stream.a.give(data)
        self.arrive(stream.b, noise(2 * MEGABYTE) + data)
        self.assertIsNone(process.poll())

    def test_dies(self) -> None:
        """
        If it dies, its streams are reset, which is told, and threads do its work from then on.
        """
        stream, quiet = self.lent(), self.join()
        with capturedLogs() as events:
            self.other._process.kill()
            self.over(stream, "relay: the process that moved it died")
        self.assertEqual([event["log_level"].name for event in events], ["error"])
        self.assertEqual(stream.counts[0], 2 * MEGABYTE)
        self.until(lambda: stream.b.broken, "the reset")
        data = noise(8 * MEGABYTE)
        quiet.a.give(data)
        self.until(lambda: any(quiet.lent), "a thread")
        self.assertIsInstance(self.pump._lender._splicers, splicing.Splicers)
        self.arrive(quiet.b, data)
        self.reactor.advance(LONG)

    def test_cannotStart(self) -> None:
        """
        If it cannot start, which is told once, threads do its work, and nothing is left of the attempt.
        """

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

        self.patch(subprocess, "Popen", refuse)
        data = noise(8 * MEGABYTE)
        with capturedLogs() as events:
            for _ in range(2):
                stream = self.join()
                stream.a.give(data)
                self.until(lambda: any(stream.lent), "a thread")  # noqa: B023
                self.arrive(stream.b, data)
        self.assertEqual([event["log_level"].name for event in events], ["warn"])
        self.assertIsInstance(self.pump._lender._splicers, splicing.Splicers)

    def test_deaf(self) -> None:
        """
        If it does not listen, what it has is brought back by killing it.
        """
        stream = self.lent()
        other = self.other
        channel, other._channel = other._channel, Deaf()  # type: ignore[assignment]
        try:
            stream.joined.close("enough", abort=True)
        finally:
            other._channel = channel
        self.over(stream, "enough")

    def test_full(self) -> None:
        """
        More directions than there are places stay here.
        """
        self.lent()
        self.other._free.clear()
        stream = self.join()
        data = noise(8 * MEGABYTE)
        with capturedLogs() as events:
            stream.a.give(data)
            self.arrive(stream.b, data)
        self.assertEqual((stream.lent, len(events)), ((False, False), 1))
        self.other._free.extend(range(1, PLACES))


class Deaf:
    """
    A channel at whose end nobody listens.
    """

    def send(self, data: bytes) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
