# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.metering}: what somebody else moves.
"""

from __future__ import annotations

from ugate.metering import QUANTUM, Meter
from ugate.shares import Share
from ugate.test.meterfakes import MEGABYTE, MeterTestCase, Mover, Source


class LentTests(MeterTestCase):
    """
    What somebody else moves.
    """

    def lend(self, meter: Meter, rate: float | None = None) -> tuple[Share, Mover]:
        """
        Somebody else moves a direction.
        """
        share, mover = Share(meter, lambda: self.fail("it has not waited")), Mover(self.clock, rate)
        share.lend(mover)
        return share, mover

    def test_one(self) -> None:
        """
        It has the whole rate, and all is charged, also what was moved last.
        """
        meter = Meter(self.clock, 10 * MEGABYTE)
        share, mover = self.lend(meter)
        self.run_(10, [mover])
        self.close(mover.count, 100 * MEGABYTE)
        mover.move(1)
        share.settle()
        self.assertEqual(meter.total, mover.count)
        share.settle()
        share.stop()
        self.quiet()

    def test_credit(self) -> None:
        """
        It begins with what it was given and has not used.
        """
        meter = Meter(self.clock, MEGABYTE)
        meter.take(MEGABYTE)
        share, mover = Share(meter, lambda: None), Mover(self.clock)
        self.assertEqual(share.room(), 0)
        self.clock.advance(0.9)
        share.take(10_000)
        share.lend(mover)
        self.assertEqual(mover.allowed, share.room())
        self.assertGreater(mover.allowed, 10_000)

    def test_unlimited(self) -> None:
        """
        Without a rate it is counted, and hardly held up.
        """
        root = Meter(self.clock, None)
        _, mover = self.lend(Meter(self.clock, None, root), 1000 * MEGABYTE)
        self.run_(5, [mover])
        self.close(root.total, 5000 * MEGABYTE)

    def test_fair(self) -> None:
        """
        Those that somebody else moves and those that we do have equal parts.
        """
        meter = self.emptied(12 * MEGABYTE)
        movers = [self.lend(meter)[1] for _ in range(3)]
        sources = [self.source(meter) for _ in range(3)]
        self.run_(10, movers)
        for count in [*(mover.sum for mover in movers), *(source.sum for source in sources)]:
            self.close(count, 20 * MEGABYTE, 0.1)

    def test_slow(self) -> None:
        """
        What a slow one does not use is for the others, and it is not held up.
        """
        meter = Meter(self.clock, 10 * MEGABYTE)
        slow = [self.lend(meter, 50_000)[1] for _ in range(10)]
        fast = self.lend(meter)[1]
        self.run_(10, [*slow, fast])
        for mover in slow:
            self.close(mover.count, 500_000)
        self.close(fast.count, 95 * MEGABYTE)

    def test_takenBack(self) -> None:
        """
        What was allowed and not used is not allowed for ever.
        """
        meter = Meter(self.clock, 10 * MEGABYTE)
        movers = [self.lend(meter)[1] for _ in range(20)]
        self.run_(2, movers)
        self.run_(5)
        self.assertLess(sum(mover.allowed - mover.count for mover in movers), 20 * QUANTUM + 1)

    def test_again(self) -> None:
        """
        It can come back and wait here, and be lent again.
        """
        meter = Meter(self.clock, 10 * MEGABYTE)
        source = Source(self.clock, meter)
        for _ in range(3):
            mover = Mover(self.clock)
            source.share.lend(mover)
            self.run_(1, [mover])
            source.share.settle()
            source.give(5 * MEGABYTE)
            self.run_(1)
            self.assertEqual(source.waiting, 0)
        self.close(meter.total, 49 * MEGABYTE)

    def test_child(self) -> None:
        """
        The rates of all above hold.
        """
        root = Meter(self.clock, 10 * MEGABYTE)
        movers = [self.lend(Meter(self.clock, 8 * MEGABYTE, root))[1] for _ in range(2)]
        self.run_(10, movers)
        for mover in movers:
            self.close(mover.count, 50 * MEGABYTE, 0.1)
