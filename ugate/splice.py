# -*- test-case-name: ugate.test.test_splicing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One way of a stream, from a socket to another inside the kernel: by a pipe, and C{splice(2)}.

No SPLICE_F_MORE: it holds back the last segment for 200 ms.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socket
from typing import Final

from ugate.slots import UNLIMITED

PIPE_SIZE: Final = 1 << 20
"""Bytes a pipe should hold; the kernel may grant less to a user with many."""

_SMALLER_PIPE: Final = 1 << 18
_F_SETPIPE_SZ: Final = 1031

SLICE: Final = 0.02
"""Seconds that a thread blocks in one call before it looks for new work."""

_TIMEVAL: Final = struct.pack("ll", 0, int(SLICE * 1e6))

NO_ROOM: Final = errno.EMFILE
"""The error of a direction for which there is no room, and that can go on without a thread."""

available: Final = hasattr(os, "splice")
"""Whether this system has splice(2) at all."""


def openPipe() -> tuple[int, int]:
    """
    A pipe for splicing, as large as the kernel grants.

    @raise OSError: no descriptors are left.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for size in (PIPE_SIZE, _SMALLER_PIPE):
        try:
            fcntl.fcntl(writer, _F_SETPIPE_SZ, size)
            break
        except OSError:
            # Over /proc/sys/fs/pipe-user-pages-soft, most likely; a small pipe works as well.
            continue
    return reader, writer


class Direction:
    """
    One way of a stream while a thread moves it.  Only that thread touches it.

    @since: ugate NEXT
    """

    __slots__ = (
        "_pipe", "active", "allowed", "count", "eof", "error", "queued", "recalled", "sink", "source",
    )  # fmt: skip

    def __init__(self, source: socket, sink: socket) -> None:
        """
        @raise OSError: no descriptors are left for a pipe.
        """
        self.source = source
        self.sink = sink
        self.queued = 0
        """Bytes in the pipe."""
        self.count = 0
        """Bytes that the sink has taken."""
        self.active = 0.0
        """When bytes last moved, by the clock of the thread."""
        self.allowed = UNLIMITED
        """Up to which C{count} it may move bytes; set by the lender."""
        self.eof = False
        """The source has ended, and the sink has everything."""
        self.error: OSError | None = None
        """What broke it, if anything did."""
        self.recalled = False
        """The lender wants it back; set by the lender."""
        # For as long as there is the socket: the thread that moves the other way may let
        # it block at any time, and then nobody may wait longer.
        source.setsockopt(SOL_SOCKET, SO_RCVTIMEO, _TIMEVAL)
        sink.setsockopt(SOL_SOCKET, SO_SNDTIMEO, _TIMEVAL)
        self._pipe = openPipe()

    def closePipe(self) -> None:
        """
        Give the descriptors back.
        """
        os.close(self._pipe[0])
        os.close(self._pipe[1])

    def note(self, now: float) -> None:
        """
        Something was moved.

        @param now: by the clock of the thread.
        """
        self.active = now

    def renew(self) -> None:
        """
        See what L{allowed} is now, if somebody else keeps it.
        """

    @property
    def isSpent(self) -> bool:
        """
        Whether it may take nothing, for now.
        """
        return self.count >= self.allowed and not self.queued

    def setBlocking(self, blocking: bool) -> None:
        """
        Let the calls of L{move} wait, for L{_SLICE} at most, or not at all.
        """
        os.set_blocking(self.source.fileno(), blocking)
        os.set_blocking(self.sink.fileno(), blocking)

    def move(self, flags: int, limit: int = PIPE_SIZE) -> None:
        """
        One chunk into the pipe, if it is empty, and out what the sink takes at once.

        Not to be called while L{isSpent}.

        @param limit: how much to send at most.
        @raise BlockingIOError: one of the two is not ready: the source if
            C{queued} is 0, else the sink.
        @raise OSError: the connection broke.
        """
        reader, writer = self._pipe
        if not self.queued:
            # With an empty pipe, "try again" can only mean the source.
            # The lender may have allowed less meanwhile, and nothing is what an end looks like.
            most = min(PIPE_SIZE, max(1, self.allowed - self.count))
            self.queued = os.splice(self.source.fileno(), writer, most, flags=flags)
            if not self.queued:
                self.eof = True
                return
        moved = os.splice(reader, self.sink.fileno(), min(self.queued, limit), flags=flags)
        self.queued -= moved
        self.count += moved
