# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.metering}: whatever is taken whenever, the rate holds over ten seconds.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.metering import BURST, TICK, Meter
from ugate.test.meterfakes import Mover, Source, most

WINDOW = 10.0

RATES = st.one_of(st.none(), st.integers(1_000, 100_000), st.integers(200_000, 50_000_000))
"""For each of four meters: two are below the first, and one below the second."""

SIZES = st.one_of(st.integers(1, 3000), st.integers(1, 5_000_000))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.integers(0, 7), SIZES),
        st.tuples(st.just("advance"), st.integers(1, 40), st.sampled_from([1, 5, 25, 60, 250])),
        st.tuples(st.just("end"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("lend"), st.integers(0, 7), st.integers(0, 1)),
        st.tuples(st.just("settle"), st.integers(0, 7), st.just(0)),
    ),
    max_size=40,
)


class Tree:
    """
    Four meters, and two streams at each.
    """

    def __init__(self, rates: list[int | None]) -> None:
        self.clock = Clock()
        self.rates = rates
        first = Meter(self.clock, rates[0])
        second = Meter(self.clock, rates[1], first)
        self.meters = [first, second, Meter(self.clock, rates[2], first), Meter(self.clock, rates[3], second)]
        self.sources = [Source(self.clock, self.meters[index // 2]) for index in range(8)]
        self.movers: dict[int, Mover] = {}
        self.ended: set[int] = set()
        self.all: list[list[Mover]] = [[] for _ in range(8)]

    def act(self, what: str, index: int, value: int) -> None:
        """
        Let something happen.
        """
        if what == "give":
            if index not in self.movers and index not in self.ended:
                self.sources[index].give(value)
        elif what == "advance":
            for _ in range(index):
                self.clock.advance(value / 1000)
                for mover in self.movers.values():
                    mover.move(value / 1000)
        elif what == "end":
            self.settle(index)
            self.sources[index].waiting = 0
            self.sources[index].share.stop()
            self.ended.add(index)
        elif what == "lend":
            if index not in self.movers and index not in self.ended and not self.sources[index].isPaused:
                self.movers[index] = mover = Mover(self.clock, 300_000 if value else None)
                self.all[index].append(mover)
                self.sources[index].share.lend(mover)
        else:
            self.settle(index)

    def settle(self, index: int) -> None:
        """
        A direction comes back.
        """
        if self.movers.pop(index, None) is not None:
            self.sources[index].share.settle()

    def moved(self, below: int) -> list[tuple[float, int]]:
        """
        What has passed a meter.
        """
        inside = {0: range(8), 1: (2, 3, 6, 7), 2: (4, 5), 3: (6, 7)}[below]
        moved = [each for index in inside for each in self.sources[index].moved]
        return moved + [each for index in inside for mover in self.all[index] for each in mover.moved]


class RandomTests(SynchronousTestCase):
    """
    Any streams, in any order.
    """

    @settings(max_examples=150, deadline=None)
    @given(rates=st.lists(RATES, min_size=4, max_size=4), steps=STEPS)
    def test_rate(self, rates: list[int | None], steps: list[tuple[str, int, int]]) -> None:
        """
        In no ten seconds more passes than the rate allows, and what a pause allows at once.
        """
        tree = Tree(rates)
        for step in steps:
            tree.act(*step)
        for index, rate in enumerate(rates):
            if rate is not None:
                allowed = rate * WINDOW * 1.05 + rate * BURST
                self.assertLessEqual(most(tree.moved(index), WINDOW), allowed)

    @settings(max_examples=100, deadline=None)
    @given(rates=st.lists(RATES, min_size=4, max_size=4), steps=STEPS)
    def test_progress(self, rates: list[int | None], steps: list[tuple[str, int, int]]) -> None:
        """
        Whatever happened before, all that is left passes, and then there is no timer.
        """
        tree = Tree(rates)
        for step in steps:
            tree.act(*step)
        for index in range(8):
            tree.settle(index)
        for meter in tree.meters:
            meter.change(None if meter.rate is None else max(meter.rate, 2_000_000))
        for _ in range(10_000):
            if not any(source.waiting for source in tree.sources):
                break
            tree.clock.advance(TICK)
        self.assertEqual([source.waiting for source in tree.sources], [0] * 8)
        tree.clock.pump([TICK] * 4)
        self.assertEqual(tree.clock.getDelayedCalls(), [])
        for index, meter in enumerate(tree.meters):
            self.assertEqual(meter.total, sum(count for _, count in tree.moved(index)))

    @settings(max_examples=60, deadline=None)
    @given(
        rate=st.integers(50_000, 50_000_000),
        pieces=st.lists(st.integers(500, 65536), min_size=2, max_size=12),
    )
    def test_fair(self, rate: int, pieces: list[int]) -> None:
        """
        Streams that always have something have the same, in whatever pieces it comes.
        """
        clock = Clock()
        meter = Meter(clock, rate)
        meter.take(meter.room())
        sources = [Source(clock, meter, chunk) for chunk in pieces]
        for source in sources:
            source.give(1 << 40)
        for _ in range(400):
            clock.advance(TICK)
        fair = rate * WINDOW / len(pieces)
        for source in sources:
            self.assertLess(abs(source.sum - fair), fair * 0.1 + 5000)
