# -*- test-case-name: ugate.test.test_idling -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams that end when nothing has moved on them for some time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_CHECKS: Final = 8
"""How often idle streams are looked for within one idle time."""


class Moved(Protocol):
    """
    What moves.
    """

    @property
    def active(self) -> float:
        """When it last did, by the reactor's clock."""


T = TypeVar("T", bound=Moved)


class Idling(Generic[T]):
    """
    Some streams, one timer, and how long each may be idle.

    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, seconds: float, expired: Callable[[T], object]) -> None:
        """
        @param clock: what tells the time.
        @param expired: called with each that was idle for longer; it takes that out.
        """
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._streams: dict[T, None] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._streams))

    def add(self, stream: T) -> None:
        """
        Look after one more.
        """
        self._streams[stream] = None
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds / _CHECKS, self._sweep)

    def discard(self, stream: T) -> None:
        """
        It has ended.
        """
        self._streams.pop(stream, None)

    def change(self, seconds: float) -> None:
        """
        Let them be idle for another time, those that are there, too.
        """
        if seconds != self._seconds:
            self._seconds = seconds
            if self._timer is not None:
                self._timer.reset(seconds / _CHECKS)

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        oldest = self._clock.seconds() - self._seconds
        for stream in self:
            if stream.active < oldest:
                self._expired(stream)
        if self._streams:
            self._timer = self._clock.callLater(self._seconds / _CHECKS, self._sweep)
