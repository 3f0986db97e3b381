# -*- test-case-name: ugate.test.test_copying,ugate.test.test_copying_limited -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The relay for transports that have no socket to give: TLS, a stream of a
multiplexed link, stdio, memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from ugate.buffers import Buffers
from ugate.errors import Refused
from ugate.leg import Leg
from ugate.metering import Meter, Meters
from ugate.protocols.muxwriting import Cutting, Writing
from ugate.protocols.negotiate import connectionBelow
from ugate.protocols.sockets import closeNow, cut, endNow, endWriting, isBroken, mayWait, writeNow
from ugate.shares import Share

RECEIVE: Final = 1 << 18
"""Bytes that are received at once from a socket, if nothing limits its stream."""

BULK: Final = 1 << 20
"""Bytes after which a direction is moved by the kernel, where it can be."""

STALLED: Final = 1 << 17
"""Bytes that a transport keeps which says that it is full, and one more piece."""


class Copying:
    """
    Two legs that feed each other, with back-pressure both ways: each transport
    is the producer of the other.

    @ivar refusal: why the target did not want it after all, if it said so.
    @since: ugate NEXT
    """

    __slots__ = (
        *("_below", "_clock", "_finished", "_kept", "_legs", "_open", "_producers"),
        *("active", "received", "refusal", "sent"),
    )

    def __init__(
        self,
        clock: IReactorTime,
        a: Leg,
        b: Leg,
        finished: Callable[[str], object],
        meters: Meters | None = None,
    ) -> None:
        """
        @param a: the leg of who asked.
        @param b: the leg to the target.
        @param finished: called once with why, when both directions have ended.
        @param meters: what limits it, if anything does.
        """
        self._clock = clock
        self._legs = (a, b)
        self._finished: Callable[[str], object] | None = finished
        self._open = 2
        self._producers = _producers(a, b, meters)
        self._kept = set[Leg]() if meters is None else {a, b}
        """Whose bytes are copied, and will be."""
        self._below = {a: connectionBelow(a.transport), b: connectionBelow(b.transport)}
        if meters is None:
            for below in self._below.values():
                if below is not None:
                    below.bufferSize = RECEIVE
        self.sent = self.received = 0
        self.refusal: Refused | None = None
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
            early = leg.takeEarly()
            if early and leg.deliver is not None:
                leg.deliver(early)
        for leg in self._legs:
            if leg.gone is not None:
                self._lost(leg, leg.gone)
        for leg in deaf:
            self._deafened(leg)
        for leg, other in both:
            if self._finished is not None:
                _transport(other).registerProducer(self._producer(leg), True)
        for leg in self._legs:
            if leg.paused:
                leg.paused = False
                if leg.gone is None:
                    self._producer(leg).resumeProducing()
        for leg in ended:
            self._ended(leg)
        if self._finished is not None:
            self._forward()

    def _connect(self, leg: Leg, other: Leg) -> None:
        below = self._below[other]
        write = _transport(other).write if below is None else partial(writeNow, below)
        outward = leg is self._legs[0]
        seconds = self._clock.seconds

        def deliver(data: bytes) -> None:
            self.active = seconds()
            if outward:
                self.sent += len(data)
            else:
                self.received += len(data)
            write(data)
            if (self.sent if outward else self.received) > BULK and leg not in self._kept:
                self._lend(leg)

        producer = self._producer(leg)
        leg.deliver = deliver if isinstance(producer, _Producer) else producer.after(deliver)
        leg.ended = lambda: self._ended(leg)
        leg.deafened = lambda: self._deafened(leg)
        leg.lost = lambda reason: self._lost(leg, reason)

    def _forward(self) -> None:
        """
        Two streams of HTTP/2 feed each other without us.
        """
        a, b = map(_transport, self._legs)
        if getattr(a, "channel", None) is not None and getattr(b, "channel", None) is not None:
            from ugate.protocols.h2forward import forward

            forward(a, b, *(self._counting(leg) for leg in self._legs))

    def _counting(self, leg: Leg) -> Callable[[int], object]:
        """
        What counts bytes that are delivered past a leg.
        """
        outward = leg is self._legs[0]
        seconds = self._clock.seconds
        producer = self._producer(leg)
        count = None if isinstance(producer, _Producer) else producer.count

        def moved(size: int) -> None:
            self.active = seconds()
            if outward:
                self.sent += size
            else:
                self.received += size
            if count is not None:
                count(size)
            elif leg not in self._kept and (self.sent if outward else self.received) > BULK:
                self._lend(leg)

        return moved

    def _lend(self, leg: Leg) -> None:
        """
        Much came from one of them: it need not come here, if the other is a stream of HTTP/2.
        """
        from ugate.framing import lend

        self._kept.add(leg)
        lend(self._clock, _transport(leg), _transport(self._other(leg)), self._counting(leg))

    def _ended(self, leg: Leg) -> None:
        if self._finished is None:
            return
        if self._isReset(leg):
            self._lost(leg, Failure(CONNECTION_LOST))
            return
        self._open -= 1
        other = self._other(leg)
        _transport(other).unregisterProducer()
        self._producer(leg).end()
        if self._open:
            below = self._below[other]
            if below is None or not endNow(below):
                endWriting(_transport(other))
        else:
            self.close("done", abort=False)

    def _isReset(self, leg: Leg) -> bool:
        """
        Whether what looks like its end is none: a write has met the error, which the kernel tells once.  Then
        the bytes still wait here, or in a pipe.
        """
        below = self._below[leg]
        if below is None or not below.connected or below._writeDisconnected:
            return False
        return mayWait(below) and isBroken(below.socket)

    def _deafened(self, leg: Leg) -> None:
        if not self._other(leg).eof:
            self.close("nobody reads there", abort=True)

    def _lost(self, leg: Leg, reason: Failure) -> None:
        if self._finished is None:
            return
        clean = isinstance(reason.value, ConnectionDone)
        if clean and not leg.eof:
            # A transport without half-close ends both directions at once.
            leg.eof = True
            self._open -= 1
        if clean:
            self.close("done", abort=False)
        else:
            if leg is self._legs[1] and isinstance(reason.value, Refused):
                self.refusal = reason.value
            self._close(reason.getErrorMessage(), True, getattr(reason.value, "isTruncated", False))

    def _producer(self, leg: Leg) -> _AnyProducer:
        return self._producers[0 if leg is self._legs[0] else 1]

    def _other(self, leg: Leg) -> Leg:
        a, b = self._legs
        return b if leg is a else a

    def close(self, reason: str, abort: bool) -> None:
        """
        End both, either after what was written or at once.

        @param reason: for the log of the stream.
        @param abort: whether to drop what is still buffered and reset.
        """
        self._close(reason, abort, False)

    def _close(self, reason: str, abort: bool, isTruncated: bool) -> None:
        """
        @param isTruncated: whether what a stream of a link still has to send goes first.
        """
        finished, self._finished = self._finished, None
        if finished is None:
            return
        for leg in self._legs:
            self._producer(leg).end()
            leg.deliver = _discard
            leg.ended = leg.deafened = leg.lost = None
            if leg.gone is not None:
                continue
            transport = _transport(leg)
            transport.unregisterProducer()
            if not abort:
                below = self._below[leg] if leg.eof else None
                if below is None or not closeNow(below):
                    transport.loseConnection()
            elif isTruncated and isinstance(transport, Writing):
                transport.registerProducer(Cutting(transport), False)
            else:
                cut(transport)
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

    def end(self) -> None:
        """
        It produces no more.
        """


@implementer(IPushProducer)
class _LimitedProducer:
    """
    The same, when it is held up by more than the other transport.
    """

    __slots__ = ("_buffers", "_isEnded", "_isFull", "_isShort", "_share", "_transport")

    def __init__(self, transport: Any, meter: Meter | None, buffers: Buffers | None) -> None:
        self._transport = transport
        self._buffers = buffers
        self._isEnded = self._isFull = self._isShort = False
        self._share = None if meter is None else Share(meter, self._resume, whole=True)

    def after(self, deliver: Callable[[bytes], object]) -> Callable[[bytes], object]:
        """
        Count what was delivered.
        """
        share = self._share
        if share is None:
            return deliver

        def counted(data: bytes) -> None:
            deliver(data)
            self.count(len(data))

        return counted

    def count(self, size: int) -> None:
        """
        So many bytes were delivered.
        """
        share = self._share
        if share is None:
            return
        share.take(size)
        if not (self._isEnded or self._isShort or share.room()):
            self._isShort = True
            self._transport.pauseProducing()

    def _resume(self) -> None:
        self._isShort = False
        if not self._isFull:
            self._transport.resumeProducing()

    def pauseProducing(self) -> None:
        """
        The other one has no room.
        """
        self._setFull(True)
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The other one has room again.
        """
        self._setFull(False)
        if not self._isShort:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{_Producer.stopProducing}.
        """

    def _setFull(self, isFull: bool) -> None:
        if isFull != self._isFull and self._buffers is not None and not self._isEnded:
            self._buffers.hold(STALLED if isFull else -STALLED)
        self._isFull = isFull

    def end(self) -> None:
        """
        It produces no more.
        """
        self._setFull(False)
        self._isEnded = True
        if self._share is not None:
            self._share.stop()


_AnyProducer: TypeAlias = _Producer | _LimitedProducer


def _producers(a: Leg, b: Leg, meters: Meters | None) -> tuple[_AnyProducer, _AnyProducer]:
    if meters is None:
        return _Producer(a.transport), _Producer(b.transport)
    return (
        _LimitedProducer(a.transport, meters.up, meters.buffers),
        _LimitedProducer(b.transport, meters.down, meters.buffers),
    )


def _discard(data: bytes) -> None:
    """
    What comes after the end has nobody to go to.
    """


def _transport(leg: Leg) -> Any:
    # What is asked of it is spread over half a dozen interfaces of Twisted's.
    return leg.transport
