# -*- test-case-name: ugate.test.test_slots -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What two processes know of directions that one has lent to the other: numbers in shared
memory that change all the time, and messages about what changes seldom.
"""

from __future__ import annotations

import struct
from mmap import mmap
from typing import Final

PLACES: Final = 4096
"""How many directions may be lent at once."""

LEND: Final = 1
"""Comes with the two sockets."""

RECALL: Final = 2
"""That direction is wanted back."""

ORDER: Final = struct.Struct("=BI")
"""C{LEND} or C{RECALL}, and the place."""

REPORT: Final = struct.Struct("=IqiB")
"""The place of a direction that comes back, the bytes left in its pipe, an error or 0, whether it ended."""

UNLIMITED: Final = (1 << 63) - 1
"""More bytes than any stream has."""

_WORDS: Final = 4
_BYTES: Final = 8
SIZE: Final = PLACES * _WORDS * _BYTES
"""Bytes of shared memory."""


class Slots:
    """
    The numbers of all lent directions.  Each is written by one process and read by the
    other, in one piece.

    @since: ugate NEXT
    """

    __slots__ = ("_numbers", "_times")

    def __init__(self, memory: mmap) -> None:
        """
        @param memory: L{SIZE} bytes that both processes have.
        """
        self._numbers = memoryview(memory).cast("q")
        self._times = memoryview(memory).cast("d")

    def begin(self, place: int) -> None:
        """
        A direction takes this place.
        """
        at = place * _WORDS
        self._numbers[at] = 0
        self._times[at + 1] = 0.0
        self._numbers[at + 2] = UNLIMITED

    def count(self, place: int) -> int:
        """
        Bytes that the sink has taken.
        """
        return self._numbers[place * _WORDS]

    def active(self, place: int) -> float:
        """
        When bytes last moved, by C{time.monotonic}, which all processes share; 0 for not yet.
        """
        return self._times[place * _WORDS + 1]

    def exchange(self, place: int, count: int, active: float) -> int:
        """
        Tell the lender L{count} and L{active}; for who moves them.

        @return: see L{allowed}.
        """
        at = place * _WORDS
        numbers = self._numbers
        numbers[at] = count
        self._times[at + 1] = active
        return numbers[at + 2]

    def allowed(self, place: int) -> int:
        """
        Up to which count bytes may be taken from the source.
        """
        return self._numbers[place * _WORDS + 2]

    def setAllowed(self, place: int, allowed: int) -> None:
        """
        See L{allowed}; for who lends it.
        """
        self._numbers[place * _WORDS + 2] = allowed

    def close(self) -> None:
        """
        Let go of the memory.
        """
        self._numbers.release()
        self._times.release()
