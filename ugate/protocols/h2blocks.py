# -*- test-case-name: ugate.test.test_h2blocks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Header blocks of HTTP/2 that are met again and again (RFC 7541).

One that is wholly of indexed fields changes no table.  So it means the same as before, until
another kind of block has come, or the table was resized.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

MOST: Final = 256
"""How many are remembered."""

LONGEST: Final = 64
"""Bytes of one that is."""

_INDEXED: Final = bytes(range(0x81, 0xFF))
"""Fields that are one byte each: entries of the tables (RFC 7541, 6.1)."""

K = TypeVar("K")
V = TypeVar("V")


class Blocks(Generic[K, V]):
    """
    What one direction has met.

    @ivar known: what is remembered.
    @since: ugate NEXT
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[K, V] = {}

    def passed(self, block: bytes) -> bool:
        """
        A block went or came that is not known: what was, may mean something else now.

        @return: whether this one may be remembered.
        """
        if block.translate(None, _INDEXED):
            self.known.clear()
            return False
        return 0 < len(block) <= LONGEST

    def learn(self, key: K, value: V) -> None:
        """
        Remember one that may be.
        """
        if len(self.known) >= MOST:
            self.known.clear()
        self.known[key] = value

    def clear(self) -> None:
        """
        The table may be another.
        """
        self.known.clear()
