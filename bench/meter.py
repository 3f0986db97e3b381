# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Counters that several processes share.

Every row that measures a speed works the same way: load processes and targets count in a slot each, and one
observer reads all slots at two moments.  No process has to agree with another about when the measured window
begins or ends.
"""

from __future__ import annotations

import mmap
import os

SLOTS = 64
"""How many counters there are; the first belongs to the bulk target, the others to load processes."""

TARGET_SLOT = 0
"""The counter of the process that receives what clients send."""

_WIDTH = 8


class Meter:
    """
    A page of unsigned 64-bit counters in shared memory, each with a single writer.

    @ivar fd: the descriptor to hand to a child process, which then makes a L{Meter} of it.
    @ivar counts: the counters.
    """

    def __init__(self, fd: int | None = None) -> None:
        """
        @param fd: a descriptor inherited from the parent; without it a new page is made.
        @raise OSError: if the system has no C{memfd_create}.
        """
        if fd is None:
            fd = os.memfd_create("bench-meter", 0)
            os.ftruncate(fd, SLOTS * _WIDTH)
        self.fd = fd
        self.counts = memoryview(mmap.mmap(fd, SLOTS * _WIDTH)).cast("Q")

    def clear(self, slot: int) -> None:
        """
        Set one counter to zero, before its writer starts.

        @param slot: which counter.
        """
        self.counts[slot] = 0
