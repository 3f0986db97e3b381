# -*- test-case-name: ugate.test.test_metering,ugate.test.test_meter_lent,ugate.test.test_metering_random -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How many bytes a second may pass: meters, one below the other.

A meter fills with time and is emptied by what passes, below zero too, so that what
was too much now is missing later.  As long as there is room, a stream (L{ugate.shares})
asks and takes.  When there is none it waits, and once in a round those who wait get equal
parts, from the topmost meter down.  Only meters for which somebody waits take part in a
round.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import inf
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ugate.buffers import Buffers

TICK: Final = 0.025
"""Seconds from one round to the next."""

BURST: Final = 0.2
"""Seconds whose bytes may pass at once after a pause."""

QUANTUM: Final = 4096
"""Bytes below which no part is divided further."""

AT_ONCE: Final = 128
"""How many may be served without a turn for others in between."""

_SOONEST: Final = 0.002
MOST: Final = 1 << 30
"""Bytes that are given at once where any number may pass."""


class Waiter(Protocol):
    """
    Who waits for a part of what a meter lets through.
    """

    def serve(self, room: float, most: int) -> float:
        """
        Go on with so many bytes, for so many at once.

        @return: how many of the bytes are spoken for now.
        """

    @property
    def isWaiting(self) -> bool:
        """Whether it waits for another part."""


class Charged(Protocol):
    """
    What bytes pass through without us.
    """

    def charge(self) -> object:
        """
        Take what has passed meanwhile.
        """


class Meter:
    """
    A rate that holds for all that passes through it, and through meters below it.

    @ivar rounds: when those who wait get their parts; one with all meters above and below.
    @ivar total: bytes that have passed.
    @ivar watch: called with each number of bytes, if it is set.
    @since: ugate NEXT
    """

    __slots__ = (
        "_burst", "_level", "_parent", "_quantum", "_queue", "_rate", "_seconds", "_short", "_stamp",
        "rounds", "total", "watch",
    )  # fmt: skip

    def __init__(self, clock: IReactorTime, rate: float | None, parent: Meter | None = None) -> None:
        """
        @param clock: what tells the time.
        @param rate: bytes a second; L{None} for any number.
        @param parent: the meter that all of this passes through as well.
        """
        self._seconds = clock.seconds
        self._parent = parent
        self.rounds: Rounds = Rounds(clock, self) if parent is None else parent.rounds
        self._queue: dict[Waiter, None] = {}
        self._stamp = clock.seconds()
        self._set(rate)
        self._level = self._burst
        # There was less than what was waited for; who comes new gets in line.
        self._short = False
        self.total = 0
        self.watch: Callable[[int], object] | None = None

    def _set(self, rate: float | None) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * BURST) if rate else 0.0
        # Not in tiny pieces, nor in such that what comes meanwhile would be too much.
        self._quantum = QUANTUM if rate is None else min(QUANTUM, self._burst / 2)

    @property
    def rate(self) -> float | None:
        """
        Bytes a second; L{None} for any number.
        """
        return self._rate

    def change(self, rate: float | None) -> None:
        """
        From now on another rate holds, for those too who are under way.
        """
        if rate == self._rate:
            return
        fresh = self._rate is None
        if not fresh:
            self._fill(self._seconds())
        self._stamp = self._seconds()
        self._set(rate)
        # What was given at the old rate has gone back.
        self.rounds.number += 1
        # A debt that was small once would take for ever to pay at a much smaller rate.
        self._level = self._burst if fresh else max(-self._burst, min(self._level, self._burst))

    def room(self) -> int:
        """
        How many bytes may pass now; below 1 for none.
        """
        now = self._seconds()
        room: float = MOST
        meter: Meter | None = self
        while meter is not None:
            if meter._rate is not None:
                room = min(room, meter._fill(now))
            meter = meter._parent
        return int(room // 1)

    def take(self, count: int) -> None:
        """
        So many bytes have passed, whether there was room or not.
        """
        now = self._seconds()
        meter: Meter | None = self
        while meter is not None:
            meter.total += count
            if meter._rate is not None:
                meter._fill(now)
                meter._level -= count
            if meter.watch is not None:
                meter.watch(count)
            meter = meter._parent

    def _fill(self, now: float) -> float:
        elapsed = now - self._stamp
        self._stamp = now
        # Clocks are set back at times.
        if elapsed > 0:
            assert self._rate is not None
            self._level = min(self._burst, self._level + elapsed * self._rate)
        return self._level

    def ask(self) -> int:
        """
        How many bytes may pass for somebody who is not in line; 0 if he has to be.
        """
        now = self._seconds()
        room: float = MOST
        meter: Meter | None = self
        while meter is not None:
            if meter._rate is not None:
                level = meter._fill(now)
                if meter._short or level < meter._quantum:
                    meter._short = True
                    return 0
                room = min(room, level)
            meter = meter._parent
        return int(room)

    def enter(self, waiter: Waiter) -> None:
        """
        Get in line.
        """
        self._queue[waiter] = None
        below, meter = self, self._parent
        while meter is not None:
            meter._queue[below] = None
            below, meter = meter, meter._parent
        self.rounds.start()

    def leave(self, waiter: Waiter) -> None:
        """
        Wait no longer.
        """
        self._queue.pop(waiter, None)

    def stop(self) -> None:
        """
        Stop the timer, which is one with all meters above and below, unless somebody waits.
        """
        self.rounds.stop()

    @property
    def hasWaiters(self) -> bool:
        """
        Whether somebody waits here or below.
        """
        return any(not isinstance(each, Meter) or each.hasWaiters for each in self._queue)

    @property
    def isWaiting(self) -> bool:
        """
        Whether somebody waits here, or may come when it should be his turn.
        """
        return bool(self._queue) or self._short

    def serve(self, room: float, most: int) -> float:
        """
        Let those who wait go on, in equal parts, the first in line first.

        @param room: how many bytes there are for all of them.
        @param most: how many to serve; the others stay in line.
        @return: how many bytes are spoken for now.
        """
        if self._rate is not None:
            level = self._fill(self._seconds())
            # In smaller parts, the same streams would have the small ones again and again.
            room = min(room, level) if level >= self._quantum else 0.0
        least = min(self._quantum, room)
        queue = self._queue
        batch = list(islice(queue, most))
        given = 0.0
        # Who goes on and has used what he got is to get in line again.
        self._short = bool(batch)
        for index, waiter in enumerate(batch):
            left = room - given
            if left <= 0:
                break
            if waiter not in queue:
                # Somebody who went on has ended it.
                continue
            del queue[waiter]
            part = max(left / (len(batch) - index), least)
            try:
                given += waiter.serve(part, max(1, most // len(batch)))
            finally:
                if waiter.isWaiting:
                    queue[waiter] = None
        # With nobody in line, who comes next may have what there is.
        self._short = self._short and given >= room
        return given


class Rounds:
    """
    The timer of a topmost meter and all below it.  There is none while nobody waits.
    """

    __slots__ = ("_clock", "_served", "_timer", "_top", "lent", "number")

    def __init__(self, clock: IReactorTime, top: Meter) -> None:
        self._clock = clock
        self._top = top
        self._timer: IDelayedCall | None = None
        self._served = 0
        self.lent: dict[Charged, None] = {}
        """Those that somebody else moves."""
        self.number = 0
        """Of this round; what was given in another one has gone back."""

    def start(self) -> None:
        """
        There is somebody who waits.
        """
        if self._timer is None:
            self._timer = self._clock.callLater(TICK, self._tick)

    def stop(self) -> None:
        """
        Forget the timer, if nobody waits.
        """
        if self._timer is not None and not self._top.hasWaiters:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        top = self._top
        if not top.isWaiting:
            self._served = 0
            return
        waiting = max(1, len(top._queue))
        part = min(1.0, AT_ONCE / waiting)
        if self._served == 0:
            self.number += 1
            for share in self.lent:
                share.charge()
        self._served += AT_ONCE
        if self._served >= waiting:
            self._served = 0
        # Before all else, so that an error in there is not the end of all limited streams.
        self._timer = self._clock.callLater(max(_SOONEST, TICK * part), self._tick)
        room = inf if top.rate is None else top.room() * part
        top.serve(room, AT_ONCE)


class Meters:
    """
    What holds for the streams of somebody.

    @since: ugate NEXT
    """

    __slots__ = ("buffers", "down", "up")

    def __init__(
        self, up: Meter | None = None, down: Meter | None = None, buffers: Buffers | None = None
    ) -> None:
        """
        @param up: for bytes from who asked to the target.
        @param down: for bytes from the target to who asked.
        @param buffers: for the memory that they take.
        """
        self.up = up
        self.down = down
        self.buffers = buffers
