# -*- test-case-name: ugate.test.test_buffers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How much memory streams may hold: bytes that wait here for somebody to take them.
"""

from __future__ import annotations


class Buffers:
    """
    The bytes that somebody's streams hold, and those of all below him.

    What has come is kept, however much it is: a stream holds a bounded number of bytes,
    so it is enough to begin nothing new when there is no room.

    @ivar used: how many are held.
    @ivar limit: how many may be; L{None} for any number.
    @since: ugate NEXT
    """

    __slots__ = ("_parent", "limit", "used")

    def __init__(self, limit: int | None = None, parent: Buffers | None = None) -> None:
        self._parent = parent
        self.limit = limit
        self.used = 0

    def fits(self, count: int) -> bool:
        """
        Whether there is room for so many more.
        """
        each: Buffers | None = self
        while each is not None:
            if each.limit is not None and each.used + count > each.limit:
                return False
            each = each._parent
        return True

    def hold(self, count: int) -> None:
        """
        So many more are held; with a negative number, so many less.
        """
        each: Buffers | None = self
        while each is not None:
            each.used += count
            each = each._parent
