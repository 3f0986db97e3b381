# -*- test-case-name: ugate.test.test_pump,ugate.test.test_pump_tls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How two sockets come to be joined; L{ugate.pump} moves the bytes afterwards.
"""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING, Final

from ugate.interfaces import Detached
from ugate.joined import Joined, Side
from ugate.metered import Metered
from ugate.metering import Meters
from ugate.poll import Poll, SocketReactor
from ugate.protocols.sockets import sendAtOnce

if TYPE_CHECKING:
    from ugate.protocols.tlssocket import Room

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT


class Joining(Poll, ABC):
    """
    The sockets that are joined, and what the epoll waits for on each.

    @since: ugate NEXT
    """

    def __init__(self, reactor: SocketReactor) -> None:
        """
        @param reactor: see L{canPoll<ugate.poll.canPoll>}.
        """
        super().__init__(reactor)
        self._sides: dict[int, Side] = {}
        self._seconds = reactor.seconds
        self._room: Room | None = None

    @abstractmethod
    def end(self, joined: Joined, reason: str, abort: bool) -> None:
        """
        End a stream before its time.
        """

    @abstractmethod
    def _flush(self, side: Side) -> None:
        """
        Send what is waiting for this socket.
        """

    @abstractmethod
    def _broken(self, side: Side, error: OSError) -> None:
        """
        Its connection broke.
        """

    def join(
        self,
        a: Detached,
        b: Detached,
        fromA: bytes,
        fromB: bytes,
        finished: Callable[[str], object],
        meters: Meters | None = None,
    ) -> Joined:
        """
        Move bytes between two sockets until both directions have ended.

        @param fromA: what already came from C{a} for C{b}.
        @param fromB: what already came from C{b} for C{a}.
        @param finished: called once with why it ended.
        @param meters: what limits it, if anything does.
        """
        one, two = Side(a), Side(b)
        joined = Joined(self, one, two, finished)
        tick = int(self._seconds() * 4)
        for side, other, detached, early in (
            (one, two, a, fromA + a.unread),
            (two, one, b, fromB + b.unread),
        ):
            side.flow = joined
            side.other = other
            side.tick = tick
            if detached.waiting is self:
                side.mask = _IN
            self._sides[side.fd] = side
            if early:
                side.count = len(early)
                other.out += early
        if joined.inTLS:
            self._secure(joined)
        if meters is not None:
            self._limit(joined, meters)
        try:
            # The target first: it has to work on what it is sent.
            for side in (two, one):
                sendAtOnce(side.socket)
                if (side.out or side.owes) and joined.ending is None:
                    self._flush(side)
            for side in (one, two):
                # Nothing is read that would have to wait behind what came before.
                if joined.ending is None:
                    self._arm(side, side.mask & _OUT | (0 if side.other.out else _IN))
        except OSError as error:
            self.end(joined, f"relay: {error.strerror}", abort=True)
        return joined

    def _secure(self, joined: Joined) -> None:
        """
        It is TLS at least on one side, so the kernel cannot splice it.
        """
        for side in (joined.a, joined.b):
            side.copyOnly = True
            if not isinstance(side.socket, socket):
                side.socket.use(self._room or self._makeRoom())
                side.owes = side.socket.owes

    def _makeRoom(self) -> Room:
        from ugate.protocols.tlssocket import Room

        self._room = Room()
        return self._room

    def _limit(self, joined: Joined, meters: Meters) -> None:
        for side, meter in ((joined.a, meters.up), (joined.b, meters.down)):
            if meter is not None:
                Metered(side, meter, self._listen)
                meter.take(side.count)
        joined.buffers = meters.buffers
        if meters.buffers is not None:
            meters.buffers.hold(len(joined.a.out) + len(joined.b.out))

    def _listen(self, side: Side, readable: bool) -> None:
        """
        Wait for one more thing, or one less; for who limits a side.
        """
        if side.fd not in self._sides:
            return
        try:
            self._arm(side, side.mask | _IN if readable else side.mask & ~_IN)
        except OSError as error:
            self._broken(side, error)

    def _arm(self, side: Side, mask: int) -> None:
        """
        Wait for C{mask} there; with 0 for nothing, not even for errors, which
        would be reported for ever.
        """
        if mask == side.mask:
            return
        if not side.mask:
            self._epoll.register(side.fd, mask)
        elif mask:
            self._epoll.modify(side.fd, mask)
        else:
            self._epoll.unregister(side.fd)
        side.mask = mask
