# -*- test-case-name: ugate.test.test_shares,ugate.test.test_metering_random -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What one direction of a stream has in a meter, be it moved by us or by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ugate.metering import MOST, QUANTUM, Meter


class Lent(Protocol):
    """
    What somebody else moves, who stops at a count.
    """

    allowed: int
    """Up to which count it may move; what is on its way already is moved anyway."""

    @property
    def count(self) -> int:
        """How many bytes it has moved."""


class Share:
    """
    What one direction of a stream has in a meter.

    @since: ugate NEXT
    """

    __slots__ = ("_chunk", "_credit", "_meter", "_resume", "_round", "_rounds", "_seen", "_whole", "lent")

    def __init__(self, meter: Meter, resume: Callable[[], object], whole: bool = False) -> None:
        """
        @param resume: called when it may go on after L{room} was 0.
        @param whole: whether what comes may be more than there is room for.
        """
        self._meter = meter
        self._rounds = meter.rounds
        self._resume = resume
        self._credit = 0
        self._round = -1
        self._whole = whole
        self._chunk = 0
        self._seen = 0
        self.lent: Lent | None = None
        """Who moves it, if somebody else does."""

    def room(self) -> int:
        """
        How many bytes may pass now.  With 0 it is in line from now on, and what it was
        made with is called.
        """
        if self._credit > 0 and self._round == self._rounds.number:
            return self._credit
        room = self._meter.ask()
        if not room:
            self._meter.enter(self)
        return room

    def take(self, count: int) -> None:
        """
        So many bytes have passed.
        """
        self._credit -= count
        if self._whole:
            # As many, or so, will come when it may go on.
            self._chunk = count
        self._meter.take(count)

    @property
    def isWaiting(self) -> bool:
        """
        Who moves by himself waits for as long as he does so.
        """
        return self.lent is not None

    def serve(self, room: float, most: int) -> float:
        """
        Go on with so many bytes.
        """
        room = min(room, MOST)
        if self.lent is not None:
            return self._allow(self.lent, room)
        credit = self._credit = max(int(room), self._chunk, 1)
        self._round = self._rounds.number
        self._resume()
        return credit

    def lend(self, lent: Lent) -> None:
        """
        From now on somebody else moves it, up to what we allow.
        """
        credit = self._credit if self._round == self._rounds.number else 0
        lent.allowed = lent.count + max(0, credit)
        self.lent = lent
        self._seen = lent.count
        self._rounds.lent[self] = None
        self._meter.enter(self)

    def _allow(self, lent: Lent, room: float) -> float:
        # What he has not needed is for the others; he gets more as soon as he needs more.
        count = lent.count
        if count < lent.allowed:
            room = min(room, max(2 * self._credit, QUANTUM))
        lent.allowed = count + int(room)
        return room

    def charge(self) -> None:
        """
        Take what somebody else has moved meanwhile.
        """
        assert self.lent is not None
        moved = self.lent.count - self._seen
        self._seen += moved
        self._credit = moved
        if moved:
            self._meter.take(moved)

    def settle(self) -> None:
        """
        Nobody else moves it any more.
        """
        if self.lent is not None:
            self.charge()
            self.lent = None
            self._credit = 0
            del self._rounds.lent[self]
            self._meter.leave(self)

    def stop(self) -> None:
        """
        It has ended.
        """
        self.settle()
        self._meter.leave(self)
        self._resume = _nothing


def _nothing() -> None:
    """
    Nobody is there to go on.
    """
