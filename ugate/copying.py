# -*- test-case-name: ugate.test.test_copying,ugate.test.test_copying_limited -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The relay for transports that have no socket to give: TLS, a stream of a
multiplexed link, stdio, memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from ugate.copyends import End, LimitedProducer
from ugate.errors import Refused
from ugate.leg import Leg
from ugate.metering import Meters
from ugate.protocols.muxwriting import Cutting, Writing
from ugate.protocols.sockets import closeNow, cut, endNow, endWriting, isBroken, mayWait


class Copying:
    """
    Two legs that feed each other, with back-pressure both ways: each transport
    is the producer of the other.

    @ivar counts: how many bytes came from either.
    @ivar refusal: why the target did not want it after all, if it said so.
    @since: ugate NEXT
    """

    __slots__ = ("_ends", "_finished", "_legs", "_open", "active", "counts", "refusal", "seconds")

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
        self._legs = (a, b)
        self._finished: Callable[[str], object] | None = finished
        self._open = 2
        self.counts = [0, 0]
        self.refusal: Refused | None = None
        self.seconds = clock.seconds
        self.active = clock.seconds()
        up = down = None
        if meters is not None:
            up = LimitedProducer(a.transport, meters.up, meters.buffers)
            down = LimitedProducer(b.transport, meters.down, meters.buffers)
        self._ends: tuple[End, ...] = (End(self, a, 0, up), End(self, b, 1, down))

    @property
    def sent(self) -> int:
        """
        Bytes from who asked to the target.
        """
        return self.counts[0]

    @property
    def received(self) -> int:
        """
        Bytes from the target to who asked.
        """
        return self.counts[1]

    def start(self) -> None:
        """
        Deliver what is waiting and go on from there.
        """
        one, two = self._ends
        if one.leg.isFresh and two.leg.isFresh:
            one.join(two)
            two.join(one)
            one.produce()
            if self._finished is not None:
                two.produce()
        else:
            self._catchUp(one, two)
        if self._finished is not None and one.below is None and two.below is None:
            self._forward(one, two)

    def _catchUp(self, one: End, two: End) -> None:
        """
        Begin with what happened before.
        """
        ends = one, two
        ended = [end for end in ends if end.leg.eof]
        deaf = [end for end in ends if end.leg.deaf]
        one.join(two)
        two.join(one)
        # Before there are producers: resuming is up to us as long as nobody else pauses.
        for end in ends:
            early = end.leg.takeEarly()
            if early and end.leg.deliver is not None:
                end.leg.deliver(early)
        for end in ends:
            if end.leg.gone is not None:
                self.lost(end, end.leg.gone)
        for end in deaf:
            if end.leg.deafened is not None:
                end.leg.deafened()
        for end in ends:
            if self._finished is not None:
                end.produce()
        for end in ends:
            if end.leg.paused:
                end.leg.paused = False
                if end.leg.gone is None:
                    (end.limited or end).resumeProducing()
        for end in ended:
            self.ended(end)

    def _forward(self, one: End, two: End) -> None:
        """
        Two streams of HTTP/2 feed each other without us.
        """
        a, b = one.transport, two.transport
        if getattr(a, "channel", None) is not None and getattr(b, "channel", None) is not None:
            from ugate.protocols.h2forward import forward

            forward(a, b, one.moved, two.moved)

    # Of the ends.

    def ended(self, end: End) -> None:
        """
        Nothing more comes from one.
        """
        other = end.other
        if other is None or self._finished is None:
            return
        if _isReset(end):
            self.lost(end, Failure(CONNECTION_LOST))
            return
        self._open -= 1
        (other.below or other.transport).unregisterProducer()
        if end.limited is not None:
            end.limited.end()
        if not self._open:
            self.close("done", abort=False)
        elif other.below is None or not endNow(other.below):
            endWriting(other.transport)

    def lost(self, end: End, reason: Failure) -> None:
        """
        One is gone.
        """
        if self._finished is None:
            return
        clean = isinstance(reason.value, ConnectionDone)
        if clean and not end.leg.eof:
            # A transport without half-close ends both directions at once.
            end.leg.eof = True
            self._open -= 1
        if clean:
            self.close("done", abort=False)
        else:
            if end is self._ends[1] and isinstance(reason.value, Refused):
                self.refusal = reason.value
            self._close(reason.getErrorMessage(), True, getattr(reason.value, "isTruncated", False))

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
        ends, self._ends = self._ends, ()
        for end in ends:
            end.part()
            if end.leg.gone is not None:
                continue
            transport = end.transport
            (end.below or transport).unregisterProducer()
            if not abort:
                below = end.below if end.leg.eof else None
                if below is None or not closeNow(below):
                    transport.loseConnection()
            elif isTruncated and isinstance(transport, Writing):
                transport.registerProducer(Cutting(transport), False)
            else:
                cut(transport)
        finished(reason)


def _isReset(end: End) -> bool:
    """
    Whether what looks like its end is none: a write has met the error, which the kernel tells once.  Then
    the bytes still wait here, or in a pipe.
    """
    below = end.below
    if below is None or not below.connected or below._writeDisconnected:
        return False
    return mayWait(below) and isBroken(below.socket)
