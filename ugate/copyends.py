# -*- test-case-name: ugate.test.test_copying,ugate.test.test_copying_limited -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Either end of a stream that is copied: where its bytes go, and who holds them up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from ugate.buffers import Buffers
from ugate.leg import Leg
from ugate.metering import Meter
from ugate.protocols.negotiate import connectionBelow
from ugate.protocols.sockets import sendNow
from ugate.shares import Share

if TYPE_CHECKING:
    from ugate.copying import Copying

RECEIVE: Final = 1 << 18
"""Bytes that are received at once from a socket, if nothing limits its stream."""

BULK: Final = 1 << 20
"""Bytes after which a direction is moved by the kernel, where it can be."""

STALLED: Final = 1 << 17
"""Bytes that a transport keeps which says that it is full, and one more piece."""


@implementer(IPushProducer)
class End:
    """
    One leg of a stream, and its transport as the producer of the other one.

    @ivar below: the socket below its transport, if there is nothing but that.
    @ivar other: the other end, as long as the stream is up.
    @ivar limited: the producer in its place, if its speed or what is kept of it is limited.
    """

    __slots__ = (
        *("_copying", "_isKept", "_number", "_write"),
        *("below", "leg", "limited", "other", "transport"),
    )

    def __init__(self, copying: Copying, leg: Leg, number: int, limited: LimitedProducer | None) -> None:
        """
        @param copying: what it is an end of.
        @param number: by which that counts its bytes.
        """
        self.transport = transport = _transport(leg)
        self._copying = copying
        self._number = number
        self.leg = leg
        self.below = connectionBelow(transport)
        self.limited = limited
        self._isKept = limited is not None
        """Whether its bytes are copied, and will be."""
        self.other: End | None = None

    def join(self, other: End) -> None:
        """
        What comes goes there from now on.
        """
        self.other = other
        below, limited, leg = other.below, self.limited, self.leg
        self._write: Callable[[bytes], object] = (
            other.transport.write if below is None else partial(sendNow, below)
        )
        if limited is not None:
            leg.deliver = limited.after(self.deliver)
        else:
            leg.deliver = self.deliver
            if self.below is not None:
                self.below.bufferSize = RECEIVE
        leg.ended = self._ended
        leg.deafened = self._deafened
        leg.lost = self._lost

    def produce(self) -> None:
        """
        The other one may hold it up from now on.
        """
        other = self.other
        if other is not None:
            (other.below or other.transport).registerProducer(self.limited or self, True)

    def part(self) -> None:
        """
        The stream is over.
        """
        leg = self.leg
        self.other = None
        leg.deliver = _discard
        leg.ended = leg.deafened = leg.lost = None
        if self.limited is not None:
            self.limited.end()

    def deliver(self, data: bytes) -> None:
        """
        Pass it on.
        """
        copying, number = self._copying, self._number
        copying.active = copying.seconds()
        counts = copying.counts
        counts[number] = moved = counts[number] + len(data)
        self._write(data)
        if moved > BULK and not self._isKept:
            self._lend()

    def moved(self, size: int) -> None:
        """
        So many bytes were delivered past the leg.
        """
        copying, number = self._copying, self._number
        copying.active = copying.seconds()
        counts = copying.counts
        counts[number] = moved = counts[number] + size
        if self.limited is not None:
            self.limited.count(size)
        elif moved > BULK and not self._isKept:
            self._lend()

    def _lend(self) -> None:
        """
        Much came from here: it need not come through us, if the other one is a stream of HTTP/2.
        """
        from ugate.framing import lend

        self._isKept = True
        if self.other is not None:
            lend(self.transport, self.other.transport, self.moved)

    def _ended(self) -> None:
        self._copying.ended(self)

    def _deafened(self) -> None:
        if self.other is not None and not self.other.leg.eof:
            self._copying.close("nobody reads there", abort=True)

    def _lost(self, reason: Failure) -> None:
        self._copying.lost(self, reason)

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        The other one has no room.
        """
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The other one has room again.
        """
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The other one is lost.  We hear why from its leg; to close, as a transport
        does that is told this, would end cleanly what was reset.
        """


@implementer(IPushProducer)
class LimitedProducer:
    """
    A transport as the producer of the other one, when it is held up by more than that.
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
        See L{End.stopProducing}.
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


def _transport(leg: Leg) -> Any:
    # What is asked of it is spread over half a dozen interfaces of Twisted's.
    return leg.transport


def _discard(data: bytes) -> None:
    """
    What comes after the end has nobody to go to.
    """
