# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump} and L{ugate.metered}: joined sockets that may not do all they can.
"""

from __future__ import annotations

from ugate import splice, splicingprocess
from ugate.buffers import Buffers
from ugate.metering import TICK, Meter, Meters
from ugate.pump import BULK
from ugate.splice import PIPE_SIZE
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase, Stream
from ugate.test.splicefakes import QUIET, noise


class MeteredTestCase(PumpTestCase):
    """
    Has a meter: at the beginning 200 000 bytes may pass, then 25 000 in each round.
    """

    threads = 0
    RATE = 1_000_000
    FIRST = 200_000
    ROUND = 25_000

    def setUp(self) -> None:
        super().setUp()
        self.meter = Meter(self.reactor, self.RATE)

    def stop(self) -> None:
        super().stop()
        self.meter.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def rounds(self, count: int) -> None:
        """
        So many rounds go by.
        """
        for _ in range(count):
            self.reactor.advance(TICK)
            while self.turn(0.001):
                pass


class PumpTests(MeteredTestCase):
    """
    What is received and sent here.
    """

    def test_rate(self) -> None:
        """
        As much arrives as may, byte for byte, and then more in each round; the other
        direction is not held up.
        """
        data = noise(MEGABYTE)
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(data)
        self.rest()
        self.assertEqual(len(stream.b.got), self.FIRST)
        self.rounds(4)
        self.assertEqual(len(stream.b.got), self.FIRST + 4 * self.ROUND)
        stream.b.give(data)
        self.arrive(stream.a, data)
        self.rounds(30)
        self.arrive(stream.b, data)
        self.assertEqual((self.meter.total, *stream.counts), (MEGABYTE,) * 3)

    def test_down(self) -> None:
        """
        So it is the other way.
        """
        stream = self.join(meters=Meters(down=self.meter))
        stream.b.give(noise(MEGABYTE))
        stream.a.give(noise(MEGABYTE))
        self.arrive(stream.b, noise(MEGABYTE))
        self.rest()
        self.assertEqual(len(stream.a.got), self.FIRST)

    def test_both(self) -> None:
        """
        One meter may be there for both.
        """
        stream = self.join(meters=Meters(self.meter, self.meter))
        stream.a.give(noise(MEGABYTE))
        stream.b.give(noise(MEGABYTE))
        self.rounds(8)
        got = len(stream.a.got), len(stream.b.got)
        self.assertLess(abs(sum(got) - self.FIRST - 8 * self.ROUND), self.ROUND + 8)

    def test_early(self) -> None:
        """
        What came before counts, and is not held up.
        """
        early, unread = noise(150_000, 1), noise(150_000, 2)
        meters = Meters(up=self.meter)
        stream = self.join(meters=meters, early=(early, b""), unread=(unread, b""))
        self.arrive(stream.b, early + unread)
        stream.a.give(b"more")
        self.rest()
        self.assertEqual(len(stream.b.got), 300_000)
        self.rounds(4)
        self.assertEqual(len(stream.b.got), 300_000)
        self.rounds(1)
        self.arrive(stream.b, early + unread + b"more")

    def test_fair(self) -> None:
        """
        Streams have equal parts, also those that began later.
        """
        streams = [self.join(meters=Meters(up=self.meter)) for _ in range(4)]
        for stream in streams:
            stream.a.give(noise(2 * MEGABYTE))
            self.rest()
        before = [len(stream.b.got) for stream in streams]
        self.assertEqual(before, [self.FIRST, 0, 0, 0])
        self.rounds(12)
        for stream, had in zip(streams, before, strict=True):
            self.assertLess(abs(len(stream.b.got) - had - 3 * self.ROUND), 5000)

    def test_others(self) -> None:
        """
        One that has no meter, or another, is not held up by one that waits.
        """
        self.join(meters=Meters(up=self.meter)).a.give(bytes(MEGABYTE))
        free, other = self.join(), self.join(meters=Meters(up=Meter(self.reactor, self.RATE)))
        self.rest()
        for stream in (free, other):
            stream.a.give(b"question")
            self.arrive(stream.b, b"question")
            stream.b.give(b"answer")
            self.arrive(stream.a, b"answer")

    def test_end(self) -> None:
        """
        The end comes after all that was held up.
        """
        data = noise(300_000)
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(data, end=True)
        self.rest()
        self.assertFalse(stream.b.ended)
        self.rounds(5)
        self.arrive(stream.b, data)
        self.assertTrue(stream.b.ended)
        stream.b.give(b"", end=True)
        self.over(stream, "done")

    def test_cut(self) -> None:
        """
        One that waits can be ended, and nothing waits any more.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.joined.close("month's bytes used up", abort=True)
        self.over(stream, "month's bytes used up")
        self.assertFalse(self.meter.isWaiting and self.meter._queue)
        self.rounds(3)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_reset(self) -> None:
        """
        A reset by who waits is heard of when it is his turn, and one by the other at once.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.b.reset()
        self.over(stream, "target: reset")
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.a.reset()

        def isOver() -> bool:
            self.reactor.advance(TICK)
            return bool(stream.reasons)

        # After what it sent before.
        self.until(isOver, "the end")
        self.over(stream, "client: reset")

    def test_slow(self) -> None:
        """
        Who waits for a peer that does not read waits for that, and loses nothing.
        """
        data = noise(MEGABYTE)
        stream = self.join(buffers=8192, meters=Meters(up=self.meter))
        stream.b.limit = 0
        stream.a.give(data)
        self.rounds(4)
        self.assertTrue(stream.joined.b.out)
        stream.b.limit = None
        for _ in range(60):
            self.rounds(1)
        self.arrive(stream.b, data)

    def test_change(self) -> None:
        """
        Another rate holds for streams that are up.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(4 * MEGABYTE))
        self.rest()
        self.meter.change(4 * self.RATE)
        self.rounds(10)
        self.assertLess(abs(len(stream.b.got) - self.FIRST - 40 * self.ROUND), 8)
        self.meter.change(None)
        self.rounds(1)
        self.arrive(stream.b, bytes(4 * MEGABYTE))

    def test_noMoreDescriptors(self) -> None:
        """
        If it cannot go on, it ends, and the others go on.
        """
        good, bad = self.join(meters=Meters(up=self.meter)), self.join(meters=Meters(up=self.meter))
        for stream in (good, bad):
            stream.a.give(bytes(MEGABYTE))
        self.rest()
        arm = self.pump._arm

        def refuse(side: object, mask: int) -> None:
            if mask and side is bad.joined.a:
                raise OSError(28, "no room")
            arm(side, mask)  # type: ignore[arg-type]

        self.pump._arm = refuse  # type: ignore[method-assign]
        self.rounds(3)
        self.assertEqual((bad.reasons, good.reasons), (["client: no room"], []))


class LentTests(MeteredTestCase):
    """
    What threads move.
    """

    threads = 2
    RATE = 10_000_000
    FIRST = 2_000_000
    ROUND = 250_000
    skip = None if splice.available else "this system has no splice(2)"

    def begin(self, size: int) -> Stream:
        """
        A stream that a thread moves, and that waits.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(noise(size))
        while not any(stream.lent):
            self.reactor.advance(TICK)
            self.rest()
        self.settled()
        return stream

    def settled(self) -> None:
        """
        All has been moved that may be.
        """

        def isSettled() -> bool:
            return all(lent.count >= lent.allowed for lent in self.pump._lent)

        self.until(isSettled, "all that may be moved")
        while self.turn(0.005):
            pass

    def pass_(self, stream: Stream, size: int) -> None:
        """
        Rounds go by until so many bytes have arrived.
        """

        def isThere() -> bool:
            self.reactor.advance(TICK)
            return len(stream.b.got) >= size

        self.until(isThere, f"{size} bytes")

    def test_rate(self) -> None:
        """
        The same rate holds, before and after they have it, and nothing is lost.
        """
        stream = self.begin(8 * MEGABYTE)
        had = len(stream.b.got)
        self.assertGreater(had, BULK)
        self.assertLessEqual(had, self.FIRST)
        first = self.meter.room()
        for _ in range(8):
            self.reactor.advance(TICK)
            self.settled()
        moved = len(stream.b.got) - had
        self.assertLessEqual(moved, first + 8 * self.ROUND)
        self.assertGreater(moved, first + 6 * self.ROUND)
        self.assertEqual(stream.lent, (True, False))
        self.pass_(stream, 8 * MEGABYTE)
        self.arrive(stream.b, noise(8 * MEGABYTE))
        self.recover(stream)
        self.assertEqual((self.meter.total, stream.counts), (8 * MEGABYTE, (8 * MEGABYTE, 0)))

    def test_again(self) -> None:
        """
        One that came back is held up here, and can be lent again.
        """
        stream = self.begin(3 * MEGABYTE)
        self.pass_(stream, 3 * MEGABYTE)
        self.recover(stream)
        stream.a.give(noise(3 * MEGABYTE, 2))
        self.pass_(stream, 6 * MEGABYTE)
        self.recover(stream)
        self.arrive(stream.b, noise(3 * MEGABYTE) + noise(3 * MEGABYTE, 2))
        self.assertEqual(self.meter.total, 6 * MEGABYTE)

    def test_fair(self) -> None:
        """
        Those that threads move have what those have that are moved here.
        """
        lent = [self.begin(8 * MEGABYTE) for _ in range(2)]
        self.patch(splice, "available", False)
        self.pump._lender.lends = False
        here = [self.join(meters=Meters(up=self.meter)) for _ in range(2)]
        for stream in here:
            stream.a.give(noise(8 * MEGABYTE))
        self.rest()
        before = [len(stream.b.got) for stream in (*lent, *here)]
        for _ in range(20):
            self.reactor.advance(TICK)
            self.settled()
        moved = [len(s.b.got) - had for s, had in zip((*lent, *here), before, strict=True)]
        self.assertLessEqual(sum(moved), 24 * self.ROUND)
        for each in moved:
            self.assertLess(abs(each - 5 * self.ROUND), 2 * self.ROUND)

    def test_cut(self) -> None:
        """
        One that waits can be ended.
        """
        stream = self.begin(8 * MEGABYTE)
        stream.joined.close("month's bytes used up", abort=True)
        self.over(stream, "month's bytes used up")
        self.assertEqual(self.meter.total, stream.counts[0])
        for _ in range(3):
            self.reactor.advance(TICK)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_notCutWhileTheOtherIsLent(self) -> None:
        """
        A side that waits for its turn when the stream is ended is not listened to again, though
        the other direction has yet to come back.
        """
        stream = self.join(meters=Meters(up=self.meter, down=Meter(self.reactor, 1_000)))
        stream.b.give(bytes(MEGABYTE))
        stream.a.give(noise(8 * MEGABYTE))
        self.until(lambda: stream.lent == (True, False), "a thread")
        self.settled()
        stream.joined.close("enough", abort=True)
        for _ in range(20):
            self.reactor.advance(TICK)
        self.over(stream, "enough")

    def test_end(self) -> None:
        """
        The end comes after all that was held up.
        """
        data = noise(4 * MEGABYTE)
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(data, end=True)
        self.until(lambda: any(stream.lent), "a thread")

        def isOver() -> bool:
            self.reactor.advance(TICK)
            return stream.b.ended

        self.until(isOver, "the end")
        self.assertTrue(stream.b.got == data)


class ProcessTests(LentTests):
    """
    What another process moves.
    """

    process = True
    skip = None if splicingprocess.available else "this system cannot lend to another process"


class BuffersTests(PumpTestCase):
    """
    The memory that streams hold.
    """

    def setUp(self) -> None:
        super().setUp()
        self.buffers = Buffers(2 * PIPE_SIZE)
        self.meters = Meters(buffers=self.buffers)

    def stop(self) -> None:
        super().stop()
        self.assertEqual(self.buffers.used, 0)

    def test_rest(self) -> None:
        """
        What the kernel does not take counts until it does.
        """
        stream = self.join(buffers=8192, meters=self.meters)
        stream.b.limit = 0
        data = noise(MEGABYTE // 2)
        stream.a.give(data)
        self.rest()
        self.assertEqual(self.buffers.used, len(stream.joined.b.out))
        self.assertGreater(self.buffers.used, 0)
        stream.b.limit = None
        self.arrive(stream.b, data)
        self.assertEqual(self.buffers.used, 0)

    def test_early(self) -> None:
        """
        So does what came before.
        """
        stream = self.join(
            buffers=8192, meters=self.meters, early=(noise(MEGABYTE), b""), unsent=(noise(MEGABYTE, 2), b"")
        )
        waiting = len(stream.joined.a.out) + len(stream.joined.b.out)
        self.assertGreater(waiting, MEGABYTE)
        self.assertEqual(self.buffers.used, waiting)
        self.arrive(stream.a, noise(MEGABYTE, 2))
        self.arrive(stream.b, noise(MEGABYTE))
        self.assertEqual(self.buffers.used, 0)

    def test_cut(self) -> None:
        """
        What is dropped does not count any more.
        """
        stream = self.join(buffers=8192, meters=self.meters)
        stream.b.limit = 0
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.joined.close("idle", abort=True)
        self.assertEqual(self.buffers.used, 0)


class PipeTests(BuffersTests):
    """
    Pipes count with their size.
    """

    skip = None if splice.available else "this system has no splice(2)"

    def test_pipes(self) -> None:
        """
        There are as many as there is room for; all others go on, only slower, and have one
        when there is room again.
        """
        streams = [self.join(meters=self.meters) for _ in range(3)]
        for stream in streams[:2]:
            self.lend(stream)
        self.assertEqual(self.buffers.used, 2 * PIPE_SIZE)
        data = noise(4 * MEGABYTE)
        streams[2].a.give(data)
        self.arrive(streams[2].b, data)
        self.assertEqual(streams[2].lent, (False, False))
        self.assertFalse(streams[2].joined.a.copyOnly)
        self.recover(streams[0])
        self.recover(streams[1])
        self.assertEqual(self.buffers.used, 0)
        self.reactor.advance(QUIET)
        self.lend(streams[2])
        self.assertEqual(self.buffers.used, PIPE_SIZE)
