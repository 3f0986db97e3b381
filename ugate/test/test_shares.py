# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.shares}: who waits, and for how long.
"""

from __future__ import annotations

from ugate.metering import AT_ONCE, BURST, QUANTUM, TICK, Meter
from ugate.shares import Share
from ugate.test.meterfakes import MEGABYTE, MeterTestCase


class ShareTests(MeterTestCase):
    """
    Who waits, and for how long.
    """

    def test_one(self) -> None:
        """
        One stream has the whole rate, from its beginning and later.
        """
        for rate in (500, 20_000, MEGABYTE, 400 * MEGABYTE):
            source = self.source(Meter(self.clock, rate), 20 * rate)
            self.run_(10)
            first = source.sum
            self.close(first, 10 * rate)
            self.run_(10)
            self.close(source.sum - first, 10 * rate, 0.02)
            source.share.stop()
            self.quiet()

    def test_wholePieces(self) -> None:
        """
        So it has in pieces that cannot be made smaller, for which a debt is paid.
        """
        source = self.source(Meter(self.clock, MEGABYTE), whole=True)
        self.run_(10)
        self.close(source.sum, 10 * MEGABYTE)
        self.assertEqual(source.sum % 65536, 0)

    def test_small(self) -> None:
        """
        Small pieces pass at once as long as there is room.
        """
        source = self.source(Meter(self.clock, MEGABYTE), 0)
        for _ in range(500):
            source.give(1500)
            self.assertEqual(source.waiting, 0)
            self.clock.advance(0.002)
        self.quiet()

    def test_notInTinyPieces(self) -> None:
        """
        A stream that waits gets what comes in a round at once, not each byte as it comes.
        """
        source = self.source(Meter(self.clock, MEGABYTE))
        for _ in range(10_000):
            self.clock.advance(0.0001)
        self.close(len(source.moved), 1 / TICK + BURST * MEGABYTE / 65536, 0.2)

    def test_fair(self) -> None:
        """
        Many streams have equal parts, whether their pieces can be made smaller or not.
        """
        for whole in (False, True):
            meter = Meter(self.clock, 10 * MEGABYTE)
            sources = [self.source(meter, whole=whole) for _ in range(20)]
            self.run_(1)
            before = [source.sum for source in sources]
            self.run_(10)
            self.close(sum(source.sum for source in sources) - sum(before), 100 * MEGABYTE)
            for source, had in zip(sources, before, strict=True):
                self.close(source.sum - had, 5 * MEGABYTE, 0.1)

    def test_moreThanRoom(self) -> None:
        """
        So they have if there are more of them than get anything in one round.
        """
        meter = Meter(self.clock, MEGABYTE)
        sources = [self.source(meter) for _ in range(5 * AT_ONCE)]
        self.run_(20)
        self.close(meter.total, 20 * MEGABYTE)
        sums = [source.sum for source in sources]
        self.assertLess(max(sums[60:]) - min(sums[60:]), 2.1 * QUANTUM)

    def test_noSmallPieces(self) -> None:
        """
        What is left of a round is not given to the last in line, who would be so each time.
        """
        meter = self.emptied(186_351)
        sources = [self.source(meter, chunk=chunk) for chunk in (33245, 42280, 9040)]
        self.run_(10)
        for source in sources:
            self.close(source.sum, 621_170)

    def test_low(self) -> None:
        """
        The lowest rates hold too.
        """
        for rate in (1, 3, 10, 999, 20_000, 41_000):
            meter = self.emptied(rate)
            sources = [self.source(meter) for _ in range(3)]
            self.run_(100, step=TICK)
            self.close(meter.total, 100 * rate)
            for source in sources:
                source.share.stop()

    def test_manyServedInSlices(self) -> None:
        """
        At no time are more served than the reactor can do without; all of them are before
        anybody is again, and the rate holds.
        """
        root = Meter(self.clock, None)
        sources = [self.source(Meter(self.clock, MEGABYTE, root)) for _ in range(AT_ONCE * 6)]
        self.run_(1, step=0.001)
        for source in sources:
            self.close(source.sum, 1.2 * MEGABYTE, 0.06)
        counts: dict[float, int] = {}
        for source in sources:
            for when, _ in source.moved[4:]:
                counts[when] = counts.get(when, 0) + 1
        self.assertLessEqual(max(counts.values()), 2 * AT_ONCE)

    def test_greedyAndModest(self) -> None:
        """
        Who wants little gets it in full, and the others share the rest.
        """
        meter = self.emptied(MEGABYTE)
        greedy = [self.source(meter) for _ in range(4)]
        modest = self.source(meter, 0)
        for _ in range(1000):
            modest.give(500)
            self.clock.advance(0.01)
        self.assertLess(modest.waiting, 5000)
        for source in greedy:
            self.close(source.sum, (10 * MEGABYTE - 500_000) / 4)

    def test_idle(self) -> None:
        """
        Nobody is given what nobody is there to use: after a pause of all but one, that
        one has everything.
        """
        meter = Meter(self.clock, MEGABYTE)
        few = [self.source(meter, 100_000) for _ in range(10)]
        one = self.source(meter)
        self.run_(5)
        self.assertEqual([source.waiting for source in few], [0] * 10)
        before = one.sum
        self.run_(10)
        self.close(one.sum - before, 10 * MEGABYTE, 0.02)

    def test_staleCredit(self) -> None:
        """
        Streams that were given room and did not use it do not have it for ever.
        """
        meter = Meter(self.clock, MEGABYTE)
        sources = [self.source(meter, 65536) for _ in range(100)]
        self.run_(30)
        self.assertEqual({source.waiting for source in sources}, {0})
        for source in sources:
            source.give(MEGABYTE)
        self.run_(1)
        self.assertLess(sum(source.sum for source in sources) - 100 * 65536, 1.5 * MEGABYTE)

    def test_stop(self) -> None:
        """
        What has ended is out of line, and is called no more.
        """
        meter = Meter(self.clock, 1000)
        sources = [self.source(meter) for _ in range(3)]
        sources[1].share.stop()
        before = sources[1].sum
        self.run_(2)
        self.assertEqual(sources[1].sum, before)
        for source in sources:
            source.share.stop()
            source.share.stop()
        self.quiet()

    def test_stopAnother(self) -> None:
        """
        Who goes on may end another one whose turn it would be.
        """
        meter = Meter(self.clock, MEGABYTE)
        first, second = self.source(meter), self.source(meter)
        first.resume = second.share.stop  # type: ignore[method-assign]
        first.share._resume = second.share.stop
        before = second.sum
        self.run_(1)
        self.assertEqual(second.sum, before)

    def test_error(self) -> None:
        """
        One that fails to go on is no reason for the others to stop, wherever they are.
        """
        root = Meter(self.clock, 10 * MEGABYTE)
        leaf = Meter(self.clock, None, root)
        share = Share(leaf, lambda: 1 / 0)
        root.take(3 * MEGABYTE)
        good = [self.source(leaf), self.source(root), self.source(leaf)]
        self.assertEqual(share.room(), 0)
        last = self.source(leaf)
        with self.assertRaises(ZeroDivisionError):
            self.run_(1)
        self.run_(3)
        for source in (*good, last):
            self.assertGreater(source.sum, MEGABYTE)

    def test_timer(self) -> None:
        """
        There is one timer, however many wait, and none when nobody does; it can be stopped
        before it finds that out.
        """
        root = Meter(self.clock, None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        meters = [Meter(self.clock, MEGABYTE, root) for _ in range(10)]
        sources = [self.source(meter, 500_000) for meter in meters]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.run_(2)
        self.assertEqual({source.waiting for source in sources}, {0})
        self.quiet()
        last = self.source(meters[0])
        meters[3].stop()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        last.share.stop()
        meters[3].stop()
        meters[3].stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # It begins again.
        again = self.source(meters[0])
        before = again.sum
        self.run_(1)
        self.assertGreater(again.sum, before)
