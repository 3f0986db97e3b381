# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.metered}: what threads and processes move may not be all they can.
"""

from __future__ import annotations

from ugate import splice, splicingprocess
from ugate.metering import TICK, Meter, Meters
from ugate.pump import BULK
from ugate.test.meteredfakes import MeteredTestCase
from ugate.test.pumpfakes import MEGABYTE, Stream
from ugate.test.splicefakes import noise


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
