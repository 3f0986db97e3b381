# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams without sockets, for meters.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.metering import TICK, Meter
from ugate.shares import Share


class Source:
    """
    One direction of a stream, which moves what it has as far as it may.

    @ivar waiting: bytes that have come and may not pass yet.
    @ivar moved: when how many passed.
    """

    def __init__(self, clock: Clock, meter: Meter, chunk: int = 65536, whole: bool = False) -> None:
        self.clock = clock
        self.waiting = 0
        self.moved: list[tuple[float, int]] = []
        self.chunk = chunk
        self.whole = whole
        self.isPaused = False
        self.share = Share(meter, self.resume, whole)

    def give(self, count: int) -> None:
        """
        So many bytes come.
        """
        self.waiting += count
        if not self.isPaused:
            self.go()

    def resume(self) -> None:
        """
        It is its turn.
        """
        self.isPaused = False
        self.go()

    def go(self) -> None:
        """
        Move what there is.
        """
        while self.waiting:
            room = self.share.room()
            if not room:
                self.isPaused = True
                return
            count = min(self.waiting, self.chunk)
            if not self.whole:
                count = min(count, room)
            self.waiting -= count
            self.moved.append((self.clock.seconds(), count))
            self.share.take(count)

    @property
    def sum(self) -> int:
        """
        How many bytes have passed.
        """
        return sum(count for _, count in self.moved)


class Mover:
    """
    Moves a lent direction as fast as it is allowed to, or slower.

    @ivar rate: how fast it can; L{None} for at once.
    """

    def __init__(self, clock: Clock, rate: float | None = None) -> None:
        self.clock = clock
        self.rate = rate
        self.count = 0
        self.allowed = 0
        self.moved: list[tuple[float, int]] = []

    def move(self, seconds: float) -> None:
        """
        Move what can be moved in this time.
        """
        can = self.allowed - self.count
        if self.rate is not None:
            can = min(can, int(self.rate * seconds))
        if can > 0:
            self.count += can
            self.moved.append((self.clock.seconds(), can))

    @property
    def sum(self) -> int:
        """
        How many bytes have passed.
        """
        return self.count


def most(moved: Sequence[tuple[float, int]], window: float) -> int:
    """
    The most bytes within any window of so many seconds.
    """
    moved = sorted(moved)
    best = current = start = 0
    for when, count in moved:
        current += count
        while moved[start][0] < when - window:
            current -= moved[start][1]
            start += 1
        best = max(best, current)
    return best


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
