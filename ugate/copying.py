# -*- test-case-name: ugate.test.test_copying -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The relay for transports that have no socket to give: TLS, a stream of a
multiplexed link, stdio, memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ugate.leg import Leg
from ugate.protocols.sockets import endWriting


class Copying:
    """
    Two legs that feed each other, with back-pressure both ways: each transport
    is the producer of the other.

    @since: ugate NEXT
    """

    __slots__ = ("_clock", "_finished", "_legs", "_open", "active", "received", "sent")

    def __init__(self, clock: IReactorTime, a: Leg, b: Leg, finished: Callable[[str], object]) -> None:
        """
        @param a: the leg of who asked.
        @param b: the leg to the target.
        @param finished: called once with why, when both directions have ended.
        """
        self._clock = clock
        self._legs = (a, b)
        self._finished: Callable[[str], object] | None = finished
        self._open = 2
        self.sent = self.received = 0
        self.active = clock.seconds()

    def start(self) -> None:
        """
        Deliver what is waiting and go on from there.
        """
        a, b = self._legs
        for leg, other in ((a, b), (b, a)):
            _transport(other).registerProducer(_transport(leg), True)
        for leg, other in ((a, b), (b, a)):
            self._connect(leg, other)
        for leg in (a, b):
            early, leg.early = leg.early, b""
            if early and leg.deliver is not None:
                leg.deliver(early)
            if leg.paused:
                leg.paused = False
                _transport(leg).resumeProducing()
            if leg.gone is not None:
                self._lost(leg, leg.gone)
            elif leg.eof:
                self._ended(leg)

    def _connect(self, leg: Leg, other: Leg) -> None:
        write = _transport(other).write
        outward = leg is self._legs[0]
        seconds = self._clock.seconds

        def deliver(data: bytes) -> None:
            self.active = seconds()
            if outward:
                self.sent += len(data)
            else:
                self.received += len(data)
            write(data)

        leg.deliver = deliver
        leg.ended = lambda: self._ended(leg)
        leg.lost = lambda reason: self._lost(leg, reason)

    def _ended(self, leg: Leg) -> None:
        if self._finished is None:
            return
        self._open -= 1
        other = self._other(leg)
        _transport(other).unregisterProducer()
        if self._open:
            endWriting(_transport(other))
        else:
            self.close("done", abort=False)

    def _lost(self, leg: Leg, reason: Failure) -> None:
        if self._finished is None:
            return
        clean = reason.check(ConnectionDone) is not None
        if clean and not leg.eof:
            # A transport without half-close ends both directions at once.
            leg.eof = True
            self._open -= 1
        if clean:
            self.close("done", abort=False)
        else:
            self.close(reason.getErrorMessage(), abort=True)

    def _other(self, leg: Leg) -> Leg:
        a, b = self._legs
        return b if leg is a else a

    def close(self, reason: str, abort: bool) -> None:
        """
        End both, either after what was written or at once.

        @param reason: for the log of the stream.
        @param abort: whether to drop what is still buffered and reset.
        """
        finished, self._finished = self._finished, None
        if finished is None:
            return
        for leg in self._legs:
            leg.deliver = _discard
            leg.ended = leg.lost = None
            if leg.gone is not None:
                continue
            transport = _transport(leg)
            transport.unregisterProducer()
            if abort:
                transport.abortConnection()
            else:
                transport.loseConnection()
        finished(reason)


def _discard(data: bytes) -> None:
    """
    What comes after the end has nobody to go to.
    """


def _transport(leg: Leg) -> Any:
    # What is asked of it is spread over half a dozen interfaces of Twisted's.
    return leg.transport
