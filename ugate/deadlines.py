# -*- test-case-name: ugate.test.test_deadlines -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One timer for many things that must each end within the same time.

A C{DelayedCall} for every connection costs more than the rest of its
negotiation; things with the same limit end in the order they began, so a
dictionary and one timer do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """
    Things under way, each with the same time to end.

    @ivar seconds: how long each may take that is started from now on.  With less than
        before, those may have to wait for what began earlier.
    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, seconds: float, expired: Callable[[T], object]) -> None:
        """
        @param clock: what tells the time.
        @param seconds: how long each may take.
        @param expired: called with each that took longer.
        """
        self._clock = clock
        self._now = clock.seconds
        self.seconds = seconds
        self._expired = expired
        self._due: dict[T, float] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._due))

    def start(self, thing: T) -> None:
        """
        From now on, C{thing} has its time; if it is under way already, anew.
        """
        due = self._due
        if thing in due:
            # The latest is the last.
            del due[thing]
        due[thing] = self._now() + self.seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self.seconds, self._tick)

    def stop(self, thing: T) -> None:
        """
        C{thing} has ended, or no longer matters.
        """
        self._due.pop(thing, None)

    @property
    def oldest(self) -> T:
        """
        What has been under way for longest.

        @raise StopIteration: nothing is.
        """
        return next(iter(self._due))

    def close(self) -> None:
        """
        Forget everything and stop the timer.
        """
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now = self._now()
        late = []
        for thing, due in self._due.items():
            if due > now:
                self._timer = self._clock.callLater(due - now, self._tick)
                break
            late.append(thing)
        try:
            for thing in late:
                # One that expires may stop another, or give it its time anew.
                if self._due.get(thing, inf) <= now:
                    del self._due[thing]
                    self._expired(thing)
        finally:
            # After an error in there the rest is still late.
            if self._due and self._timer is None:
                self._timer = self._clock.callLater(0, self._tick)
