# -*- test-case-name: ugate.test.test_pump_tls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The time between a stream that ended without a word and the cut of it on the other side.

A reset drops what the kernel has not sent yet, so a peer that reads slowly would lose what
was there in time.  No epoll tells when all has arrived: the kernel is asked now and then.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from fcntl import ioctl
from struct import Struct
from termios import TIOCOUTQ
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from ugate.joined import Side
from ugate.poll import SocketReactor
from ugate.protocols.sockets import isClosed

_CHECK: Final = 0.05
"""Seconds between two looks."""

_INT: Final = Struct("i")


def underway(connected: Any) -> int:
    """
    How many bytes that were sent have not arrived; none if nobody is there any more.

    @param connected: a socket, or TLS on one.
    """
    if isClosed(connected):
        return 0
    try:
        count: int = _INT.unpack(ioctl(connected.fileno(), TIOCOUTQ, bytes(_INT.size)))[0]
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        # Something that keeps no such count.
        return 0
    return count


class Arrivals:
    """
    Sides that are to be cut when all that was sent there has arrived.  A stream that ends otherwise is
    forgotten, so who reads nothing is cut as an idle one.

    @since: ugate NEXT
    """

    def __init__(self, reactor: SocketReactor) -> None:
        """
        @param reactor: what tells the time.
        """
        self._reactor = reactor
        self._waiting: dict[Side, tuple[int, Callable[[], object]]] = {}
        self._timer: IDelayedCall | None = None

    def wait(self, side: Side, arrived: Callable[[], object]) -> None:
        """
        Wait for all that was sent there.

        @param arrived: called once; at once if nothing is on its way.
        """
        count = underway(side.socket)
        if not count:
            arrived()
            return
        self._waiting[side] = (count, arrived)
        if self._timer is None:
            self._timer = self._reactor.callLater(_CHECK, self._look)

    def forget(self, side: Side) -> None:
        """
        Its stream has ended.
        """
        self._waiting.pop(side, None)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __iter__(self) -> Iterator[Side]:
        return iter(tuple(self._waiting))

    def _look(self) -> None:
        self._timer = None
        for side, (before, arrived) in tuple(self._waiting.items()):
            count = underway(side.socket)
            if not count:
                del self._waiting[side]
                arrived()
            elif count != before:
                self._waiting[side] = (count, arrived)
                # It is not idle.
                side.tick = int(self._reactor.seconds() * 4)
        if self._waiting and self._timer is None:
            self._timer = self._reactor.callLater(_CHECK, self._look)
