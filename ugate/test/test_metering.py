# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.metering} and L{ugate.shares}.
"""

from __future__ import annotations

from ugate.metering import BURST, TICK, Meter, Meters
from ugate.test.meterfakes import MEGABYTE, PLENTY, MeterTestCase, most


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
