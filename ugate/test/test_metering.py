# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.metering} and L{ugate.shares}.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.metering import AT_ONCE, BURST, QUANTUM, TICK, Meter, Meters
from ugate.shares import Share
from ugate.test.meterfakes import Mover, Source, most

MEGABYTE = 1_000_000
PLENTY = 1_000 * MEGABYTE


class MeterTestCase(SynchronousTestCase):
    """
    Has a clock.
    """

    def setUp(self) -> None:
        self.clock = Clock()

    def source(self, meter: Meter, count: int = PLENTY, chunk: int = 65536, whole: bool = False) -> Source:
        """
        A stream that has much to say.
        """
        source = Source(self.clock, meter, chunk, whole)
        source.give(count)
        return source

    def emptied(self, rate: float) -> Meter:
        """
        A meter without the burst that the first would have.
        """
        meter = Meter(self.clock, rate)
        meter.take(meter.room())
        return meter

    def run_(self, seconds: float, movers: Sequence[Mover] = (), step: float = 0.005) -> None:
        """
        Let time go by.
        """
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            for mover in movers:
                mover.move(step)

    def close(self, count: float, wanted: float, off: float = 0.05) -> None:
        """
        It is about this number.
        """
        self.assertTrue(abs(count - wanted) <= wanted * off, f"{count:,.0f} is not {wanted:,.0f}")

    def quiet(self) -> None:
        """
        No timer is left.
        """
        self.run_(TICK * 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TakeTests(MeterTestCase):
    """
    A meter by itself.
    """

    def test_unlimited(self) -> None:
        """
        Without a rate all may pass, and is counted.
        """
        meter = Meter(self.clock, None)
        source = self.source(meter)
        self.assertEqual((source.waiting, source.sum, meter.total), (0, PLENTY, PLENTY))
        self.assertGreater(meter.room(), 1 << 20)
        self.assertIs(meter.rate, None)
        self.quiet()

    def test_debt(self) -> None:
        """
        What was too much is missing later.
        """
        meter = Meter(self.clock, 1000)
        self.assertEqual(meter.room(), 200)
        meter.take(1200)
        self.assertEqual(meter.room(), -1000)
        self.clock.advance(1)
        self.assertEqual(meter.room(), 0)
        self.clock.advance(0.1)
        self.assertEqual(meter.room(), 100)
        self.assertEqual(meter.total, 1200)

    def test_burst(self) -> None:
        """
        A pause makes room for no more than a burst, also if the first that passes has not asked.
        """
        meter = Meter(self.clock, 1000)
        self.clock.advance(1000)
        self.assertEqual(meter.room(), 1000 * BURST)
        self.clock.advance(1000)
        meter.take(1200)
        self.assertEqual(meter.room(), -1000)

    def test_clockSetBack(self) -> None:
        """
        A clock that is set back makes no debts.
        """
        meter = Meter(self.clock, 1000)
        self.clock.rightNow -= 3600
        self.assertEqual(meter.room(), 200)
        meter.take(200)
        self.clock.advance(0.125)
        self.assertEqual(meter.room(), 125)

    def test_chain(self) -> None:
        """
        What passes a meter passes all above it, and the least room is what there is.
        """
        root = Meter(self.clock, 10_000)
        middle = Meter(self.clock, None, root)
        leaf, other = Meter(self.clock, 5_000, middle), Meter(self.clock, 20_000, middle)
        self.assertEqual((leaf.room(), other.room()), (1000, 2000))
        other.take(1500)
        self.assertEqual((leaf.room(), other.room(), root.room()), (500, 500, 500))
        self.assertEqual((root.total, middle.total, leaf.total), (1500, 1500, 0))

    def test_watch(self) -> None:
        """
        Who watches a meter hears of all that passes it.
        """
        root = Meter(self.clock, None)
        heard: list[int] = []
        root.watch = heard.append
        Meter(self.clock, None, root).take(7)
        root.take(8)
        self.assertEqual(heard, [7, 8])

    def test_nothing(self) -> None:
        """
        At a rate of 0 nothing passes until there is another one.
        """
        meter = Meter(self.clock, 0)
        source = self.source(meter, 1000)
        self.run_(5)
        self.assertEqual(source.sum, 0)
        meter.change(1000)
        self.run_(2)
        self.assertEqual(source.sum, 1000)

    def test_meters(self) -> None:
        """
        Whoever has no limits has none of the three.
        """
        none = Meters()
        self.assertEqual((none.up, none.down, none.buffers), (None, None, None))


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


class ChangeTests(MeterTestCase):
    """
    Another rate on a reload.
    """

    def test_change(self) -> None:
        """
        It holds at once, for who is under way too.
        """
        meter = Meter(self.clock, 10 * MEGABYTE)
        source = self.source(meter)
        self.run_(1)
        for rate in (MEGABYTE, 5 * MEGABYTE, 5 * MEGABYTE):
            meter.change(rate)
            self.assertEqual(meter.rate, rate)
            before = source.sum
            self.run_(10)
            self.close(source.sum - before, 10 * rate)

    def test_none(self) -> None:
        """
        Without a rate who waits goes on; with one again it holds.
        """
        meter = Meter(self.clock, 1000)
        source = self.source(meter, 100 * MEGABYTE)
        meter.change(None)
        self.run_(TICK * 2)
        self.assertEqual(source.waiting, 0)
        meter.change(MEGABYTE)
        source.give(PLENTY)
        before = source.sum
        self.run_(10)
        self.close(source.sum - before, 10 * MEGABYTE)

    def test_debt(self) -> None:
        """
        A debt from a high rate is not paid at a low one for ever.
        """
        meter = Meter(self.clock, 1000 * MEGABYTE)
        meter.take(300 * MEGABYTE)
        meter.change(1000)
        self.clock.advance(1)
        self.assertGreater(meter.room(), 0)


class ParentTests(MeterTestCase):
    """
    Meters below meters.
    """

    def test_child(self) -> None:
        """
        The lower rate holds, be it above or below.
        """
        for up, down in ((MEGABYTE, 5 * MEGABYTE), (5 * MEGABYTE, MEGABYTE)):
            child = Meter(self.clock, down, Meter(self.clock, up))
            source = self.source(child)
            self.run_(10)
            self.close(source.sum, 10 * MEGABYTE)

    def test_fair(self) -> None:
        """
        Children have equal parts of what their parent has, however many streams each has.
        """
        root = Meter(self.clock, 4 * MEGABYTE)
        many, one = Meter(self.clock, None, root), Meter(self.clock, None, root)
        sources = [self.source(many) for _ in range(30)]
        single = self.source(one)
        self.run_(10)
        self.close(single.sum, 20 * MEGABYTE, 0.1)
        self.close(sum(source.sum for source in sources), 20 * MEGABYTE, 0.1)

    def test_fairRest(self) -> None:
        """
        What a child may not use is for its siblings.
        """
        root = Meter(self.clock, 4 * MEGABYTE)
        slow, fast = Meter(self.clock, MEGABYTE, root), Meter(self.clock, None, root)
        a, b = self.source(slow), self.source(fast)
        self.run_(10)
        self.close(a.sum, 10 * MEGABYTE)
        self.close(b.sum, 30 * MEGABYTE)

    def test_notHeldUp(self) -> None:
        """
        One at its limit does not keep a sibling waiting for as long as their parent has room.
        """
        root = Meter(self.clock, 100 * MEGABYTE)
        slow, free = Meter(self.clock, MEGABYTE, root), Meter(self.clock, None, root)
        self.source(slow)
        sibling = self.source(free, 0)
        for _ in range(400):
            sibling.give(1500)
            self.assertEqual(sibling.waiting, 0)
            self.clock.advance(0.005)

    def test_lowRateAbove(self) -> None:
        """
        A parent with a low rate is not outdone by children without any.
        """
        root = Meter(self.clock, 1000)
        children = [Meter(self.clock, None, root) for _ in range(5)]
        sources = [self.source(child) for child in children for _ in range(3)]
        self.run_(30)
        moved = [each for source in sources for each in source.moved]
        self.assertLessEqual(most(moved, 10), 10_500 + 200)
        self.assertGreater(root.total, 29_000)

    def test_deep(self) -> None:
        """
        As deep as one likes.
        """
        meter = Meter(self.clock, MEGABYTE)
        for _ in range(16):
            meter = Meter(self.clock, None, meter)
        source = self.source(meter)
        self.run_(10)
        self.close(source.sum, 10 * MEGABYTE)


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
