# -*- test-case-name: ugate.test.test_testingfaults -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What can go wrong in a network, as values: L{MemoryMesh.apply
<ugate.testing.mesh.MemoryMesh.apply>} puts them between two hosts.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ugate.testing.wire import Hindrance, Strike


def _atLeast(least: int, name: str, value: int) -> None:
    if value < least:
        raise ValueError(f"{name}={value}: wanted {least} or more")


class WireFault:
    """
    A fault of one direction of connections that are up, or come up later.
    """

    __slots__ = ()

    def hindrance(self, clock: IReactorTime) -> Hindrance:
        """
        What it does to one wire.
        """
        return Hindrance()


@dataclass(frozen=True, slots=True)
class Reset(WireFault):
    """
    The connection is reset: both ends lose it, and what had not arrived.

    @since: ugate NEXT
    """

    after: int = 0
    """Bytes that still arrive before."""

    def __post_init__(self) -> None:
        _atLeast(0, "after", self.after)

    def hindrance(self, clock: IReactorTime) -> Hindrance:
        """
        What it does to one wire.
        """
        return _Until(self.after, Strike.RESET)


@dataclass(frozen=True, slots=True)
class HalfClose(WireFault):
    """
    The receiver reads the end although the sender goes on: what that sends is lost.

    @since: ugate NEXT
    """

    after: int = 0
    """Bytes that still arrive before."""

    def __post_init__(self) -> None:
        _atLeast(0, "after", self.after)

    def hindrance(self, clock: IReactorTime) -> Hindrance:
        """
        What it does to one wire.
        """
        return _Until(self.after, Strike.END)


@dataclass(frozen=True, slots=True)
class Stall(WireFault):
    """
    Nothing arrives any more, no end and no reset either, until the fault is lifted.

    @since: ugate NEXT
    """

    after: int = 0
    """Bytes that still arrive before."""

    def __post_init__(self) -> None:
        _atLeast(0, "after", self.after)

    def hindrance(self, clock: IReactorTime) -> Hindrance:
        """
        What it does to one wire.
        """
        return _Until(self.after, None)


class _Until(Hindrance):
    """
    So many bytes, and then something else.
    """

    def __init__(self, left: int, strike: Strike | None) -> None:
        self._left = left
        self._strike = strike
        self._stalls = strike is None

    def room(self, wanted: int) -> int:
        return min(wanted, self._left)

    def passed(self, count: int) -> None:
        self._left -= count

    def holds(self) -> bool:
        return self._stalls and not self._left

    def strike(self) -> Strike | None:
        if self._left or self._strike is None:
            return None
        strike, self._strike = self._strike, None
        return strike


@dataclass(frozen=True, slots=True)
class SlowReader(WireFault):
    """
    The receiver takes its time.

    @since: ugate NEXT
    """

    rate: int
    """Bytes that it takes in a second of the mesh's clock, 1 at least."""

    def __post_init__(self) -> None:
        _atLeast(1, "rate", self.rate)

    def hindrance(self, clock: IReactorTime) -> Hindrance:
        """
        What it does to one wire.
        """
        return _Slow(clock, self.rate)


class _Slow(Hindrance):
    """
    So many bytes at once, and as many again a second later.
    """

    def __init__(self, clock: IReactorTime, rate: int) -> None:
        self._clock = clock
        self._rate = self._left = rate
        self._timer: IDelayedCall | None = None

    def room(self, wanted: int) -> int:
        if wanted and self._timer is None:
            self._timer = self._clock.callLater(1.0, self._again)
        return min(wanted, self._left)

    def passed(self, count: int) -> None:
        self._left -= count

    def _again(self) -> None:
        self._timer = None
        self._left = self._rate

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass(frozen=True, slots=True)
class SplitWrites(WireFault):
    """
    What was written at once arrives in pieces.

    @since: ugate NEXT
    """

    most: int = 1
    """How many bytes a piece has at most; with 1 the stream is split at every byte."""

    seed: int = 0
    """With the same seed, the pieces are of the same sizes."""

    def __post_init__(self) -> None:
        _atLeast(1, "most", self.most)

    def hindrance(self, clock: IReactorTime) -> Hindrance:
        """
        What it does to one wire.
        """
        return _Split(self.most, self.seed)


class _Split(Hindrance):
    """
    Few bytes at once.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most = most
        self._random = Random(seed)

    def piece(self, wanted: int) -> int:
        return min(wanted, self._random.randint(1, self._most))


@dataclass(frozen=True, slots=True)
class Refuse:
    """
    Who connects is refused, although something listens there.

    @since: ugate NEXT
    """

    number: int = errno.ECONNREFUSED
    """The error that the connecting side gets."""


@dataclass(frozen=True, slots=True)
class Blackhole:
    """
    Who connects gets no answer at all.

    @since: ugate NEXT
    """


@dataclass(frozen=True, slots=True)
class LostName:
    """
    A host can no longer look a name up.

    @since: ugate NEXT
    """

    name: str
    """The name."""

    answers: bool = True
    """Whether the resolver says that there is no such name; else it never answers."""


DialFault: TypeAlias = Refuse | Blackhole
"""A fault of connections that are being made."""

Fault: TypeAlias = WireFault | Refuse | Blackhole | LostName
"""All that can be applied."""

NO_ROUTE: Final = Refuse(errno.ENETUNREACH)
"""There is no route to that host."""
