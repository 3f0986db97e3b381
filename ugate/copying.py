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

from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure

from ugate.leg import Leg
from ugate.protocols.sockets import cut, endWriting


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
        both = ((a, b), (b, a))
        ended = [leg for leg in self._legs if leg.eof]
        deaf = [leg for leg in self._legs if leg.deaf]
        for leg, other in both:
            self._connect(leg, other)
        # Before there are producers: resuming is up to us as long as nobody else pauses.
        for leg in self._legs:
            early, leg.early = leg.early, b""
            if early and leg.deliver is not None:
                leg.deliver(early)
        for leg in self._legs:
            if leg.gone is not None:
                self._lost(leg, leg.gone)
        for leg in deaf:
            self._deafened(leg)
        for leg, other in both:
            if self._finished is not None:
                _transport(other).registerProducer(_Producer(_transport(leg)), True)
        for leg in self._legs:
            if leg.paused:
                leg.paused = False
                if leg.gone is None:
                    _transport(leg).resumeProducing()
        for leg in ended:
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
        leg.deafened = lambda: self._deafened(leg)
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

    def _deafened(self, leg: Leg) -> None:
        if not self._other(leg).eof:
            self.close("nobody reads there", abort=True)

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
            leg.ended = leg.deafened = leg.lost = None
            if leg.gone is not None:
                continue
            transport = _transport(leg)
            transport.unregisterProducer()
            if abort:
                cut(transport)
            else:
                transport.loseConnection()
        finished(reason)


@implementer(IPushProducer)
class _Producer:
    """
    A transport as the producer of the other one.
    """

    __slots__ = ("pauseProducing", "resumeProducing")

    def __init__(self, transport: Any) -> None:
        self.pauseProducing = transport.pauseProducing
        self.resumeProducing = transport.resumeProducing

    def stopProducing(self) -> None:
        """
        The other one is lost.  We hear why from its leg; to close, as a transport
        does that is told this, would end cleanly what was reset.
        """


def _discard(data: bytes) -> None:
    """
    What comes after the end has nobody to go to.
    """


def _transport(leg: Leg) -> Any:
    # What is asked of it is spread over half a dozen interfaces of Twisted's.
    return leg.transport
