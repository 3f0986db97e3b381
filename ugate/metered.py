# -*- test-case-name: ugate.test.test_metered,ugate.test.test_metered_lent -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A side of joined sockets from which no more is received than its meter has room for.
"""

from __future__ import annotations

from collections.abc import Callable

from ugate.joined import Side
from ugate.metering import Meter
from ugate.shares import Share


class Metered:
    """
    Stands where the C{recv} of a side was, so that all others have nothing to ask.

    @since: ugate NEXT
    """

    __slots__ = ("_listen", "_recv", "_side")

    def __init__(self, side: Side, meter: Meter, listen: Callable[[Side, bool], object]) -> None:
        """
        @param listen: begins or ends to wait for the side's socket to be readable.
        """
        self._side = side
        self._listen = listen
        self._recv = side.recv
        side.recv = self.recv
        side.share = Share(meter, self._resume)

    def recv(self, size: int, flags: int) -> bytes:
        """
        Receive, or get in line.

        @raise BlockingIOError: there is nothing, or no room for it.
        """
        side = self._side
        assert side.share is not None
        room = side.share.room()
        if not room:
            self._listen(side, False)
            raise BlockingIOError
        # TLS gives whole records, which may be more.
        data: bytes = self._recv(min(size, room), flags)
        side.share.take(len(data))
        return data

    def _resume(self) -> None:
        side = self._side
        # Who waits for another thing is told to listen when that has come.
        if not (side.eof or side.lent or side.other.out):
            self._listen(side, True)
