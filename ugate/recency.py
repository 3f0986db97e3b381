# -*- test-case-name: ugate.test.test_recency -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which of many things was not used for longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Used(Protocol):
    """
    What is used.
    """

    @property
    def used(self) -> float:
        """When it last was."""


T = TypeVar("T", bound=Used)


class Recency(Generic[T]):
    """
    Things in the order in which they came.  That one was used is noticed only when it is its turn to go, and
    then it goes to the end instead: so to use one costs nothing here, and to find the oldest costs the same
    however many there are.

    @since: ugate NEXT
    """

    __slots__ = ("_placed",)

    def __init__(self) -> None:
        self._placed: dict[T, float] = {}
        """Each, and when it was used as far as was noticed."""

    def __len__(self) -> int:
        return len(self._placed)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._placed))

    def add(self, thing: T) -> None:
        """
        One more, which is in use.
        """
        self._placed[thing] = thing.used

    def discard(self, thing: T) -> None:
        """
        It is gone.
        """
        self._placed.pop(thing, None)

    def oldest(self) -> T | None:
        """
        The one that was not used for longest, or nearly; L{None} if there is none.
        """
        placed = self._placed
        while placed:
            thing = next(iter(placed))
            if thing.used <= placed[thing]:
                return thing
            del placed[thing]
            placed[thing] = thing.used
        return None
