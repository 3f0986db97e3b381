# -*- test-case-name: ugate.test.test_pace -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How long to wait for more, where a chunk costs the same whatever is in it.

Whoever takes from a fast source all that is there, at once, takes little, is woken often, and
keeps the source's own process from its core.  To let a lot come first makes one stream faster
by a third, and takes a fifth less of the processors.  But the end of a message must not wait
for what does not come: so only a source that has been fast for a while is waited for, not longer
than a millisecond, and when that was in vain, not again for a while.
"""

from __future__ import annotations

import select
from socket import SO_RCVLOWAT, SOL_SOCKET, socket
from typing import Final

LOT: Final = 1 << 18
"""Bytes that are waited for."""

WHILE: Final = 0.004
"""Seconds that a source has to be fast first."""

FAST: Final = 300_000_000
"""Bytes a second that are fast: then a lot comes in a millisecond."""

_LONGEST: Final = 1
"""Milliseconds that are waited, the least that poll(2) can."""


class Pace:
    """
    Whether one source is waited for.

    @ivar patient: whether it is, now.
    @since: ugate NEXT
    """

    __slots__ = ("_count", "_poll", "_since", "_source", "patient")

    def __init__(self, source: socket, now: float, count: int) -> None:
        """
        @param source: a connected socket.
        @param now: the time.
        @param count: bytes that came from it so far.
        """
        self._source = source
        self._since = now
        self._count = count
        self._poll: select.poll | None = None
        self.patient = False

    def note(self, now: float, count: int) -> None:
        """
        Something came.

        @param now: when.
        @param count: bytes that came so far.
        @raise OSError: the socket is broken.
        """
        passed = now - self._since
        if passed < WHILE:
            return
        isFast = count - self._count >= FAST * passed
        self._since = now
        self._count = count
        if isFast and not self.patient:
            if self._poll is None:
                self._poll = select.poll()
                self._poll.register(self._source, select.POLLIN)
            self._source.setsockopt(SOL_SOCKET, SO_RCVLOWAT, LOT)
            self.patient = True
        elif not isFast:
            self.hurry()

    def wait(self) -> None:
        """
        Wait for a lot, while L{patient}.

        @raise OSError: the socket is broken.
        """
        assert self._poll is not None
        if not self._poll.poll(_LONGEST):
            self.hurry()

    def hurry(self) -> None:
        """
        Do not wait any longer.

        @raise OSError: the socket is broken.
        """
        if self.patient:
            self.patient = False
            self._source.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 1)
