# -*- test-case-name: ugate.test.test_mux,ugate.test.test_muxends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One stream of a link as a transport, whatever protocol multiplexes it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from zope.interface import implementer

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IChannel, IHalfCloseableTransport, IPending
from ugate.protocols.muxkeeper import Keeper
from ugate.protocols.muxtelling import Telling
from ugate.stream import StreamInfo

LATE: Final = 65536
"""Bytes that a peer may still send to who has closed; whoever sends more finds a reset."""

SCRAP: Final = 1024
"""Bytes up to which pieces that are kept are put together, beyond the first few."""

_FEW: Final = 16


@implementer(ITransport, IConsumer, IPushProducer, IHalfCloseableTransport, IPending)
class MuxStream(Telling):
    """
    The transport of one stream of a link.  Its link calls C{received}, C{ended}, C{drained} and
    C{closed}, at any time; its protocol, once it has one, is never called while it is being called.

    @ivar info: what is known of it, which is what C{getPeer()} gives.
    @ivar isPending: whether its peer still waits for an answer.
    @ivar disconnecting: whether it is to close, or closed.
    @ivar keeper: who is told how it fares, if anybody.
    @cvar CAP: bytes kept that nobody has taken.  A link gives no larger window to a stream.
    @since: ugate NEXT
    """

    CAP = 1 << 22

    keeper: Keeper | None = None
    _late = 0
    """How many bytes came after we had closed."""

    def __init__(self, channel: IChannel, info: StreamInfo, isPending: bool = False) -> None:
        """
        @param channel: what moves its bytes.
        @param info: what is known of it.
        @param isPending: whether the peer has opened it, and waits for an answer.
        """
        self._channel = channel
        self.info = info
        self.isPending = isPending
        self._kept = deque()

    def __repr__(self) -> str:
        return f"<MuxStream {self.info}>"

    @property
    def channel(self) -> IChannel | None:
        """
        What moves its bytes, as long as it does.
        """
        return self._channel

    @property
    def isClear(self) -> bool:
        """
        Whether what comes now goes to its protocol at once.
        """
        return (
            not (self._kept or self._isPaused or self._isBusy or self.disconnecting)
            and self._channel is not None
        )

    # For the link.

    def received(self, data: bytes) -> None:
        """
        More bytes came.
        """
        if self._channel is None or not data:
            return
        if self._isFinished and self.disconnecting:
            self._drop(len(data))
            return
        if self._held + len(data) > self.CAP:
            self._cut(Failure(ConnectionLost(f"over {self.CAP} bytes came that nobody had asked for")))
            return
        if self._protocol is None or self._kept or self._isPaused or self._isBusy:
            self._keep(data)
            self._turn()
            return
        # Nothing is ahead of it: as C{_turn} does it, and quicker.
        self._isBusy = True
        try:
            self._protocol.dataReceived(data)
            if self._channel is not None:
                self._channel.consumed(len(data))
        except Exception:
            self._broken()
        self._isBusy = False
        if self._kept or self._isEnded or self._isFinished or self._why is not None:
            self._turn()

    def _keep(self, data: bytes) -> None:
        kept = self._kept
        if len(kept) > _FEW and len(data) + len(kept[-1]) < SCRAP:
            # A piece of one byte takes fifty.
            kept[-1] += data
        else:
            kept.append(data)
        self._held += len(data)

    def ended(self) -> None:
        """
        The peer has ended its direction.
        """
        self._isEnded = True
        self._turn()

    def drained(self) -> None:
        """
        All that was written is gone.
        """
        self._goOn()
        self._turn()

    def closed(self, reason: Failure) -> None:
        """
        It is gone from the link.

        @param reason: L{ConnectionDone} if both directions ended as they should; that the peer's did need
            not be said before.
        """
        if self._channel is not None:
            self._leave(reason)

    # For whoever made or accepted it.

    def begin(self, protocol: IProtocol) -> None:
        """
        Give it its protocol, and that all that has come.
        """
        self._isHalf = IHalfCloseableProtocol.providedBy(protocol)
        self._isBusy = True
        self._protocol = protocol
        try:
            protocol.makeConnection(self)
        except Exception:
            self._broken()
        finally:
            self._isBusy = False
        self._turn()

    # IPending

    def accept(self) -> None:
        """
        See L{IPending.accept}.
        """
        channel = self._channel
        if self.isPending and channel is not None:
            self._answered()
            channel.accept()
            self._finish()

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending.refuse}.
        """
        channel = self._channel
        if self.isPending and channel is not None:
            self._answered()
            channel.refuse(reason)
            self._leave(Failure(ConnectionAborted()))

    def _answered(self) -> None:
        if self.isPending:
            self.isPending = False
            if self.keeper is not None:
                self.keeper.answered(self)

    # ITransport

    def getPeer(self) -> IAddress:
        """
        What is known of it: a L{StreamInfo}.
        """
        return self.info

    def getHost(self) -> IAddress:
        """
        The local address of the link.
        """
        return self.info.host

    def loseConnection(self) -> None:
        """
        Close after what was written, and after what a producer still writes.
        """
        if self.isPending:
            step = "see what listens there"
            self.refuse(Refused(Cause.GENERAL, Phase.REMOTE, "peer", "closed without an answer", step))
        elif self._channel is None:
            self._forget()
        else:
            self.disconnecting = self._isFinishing = True
            self._finish()
        self._turn()

    def abortConnection(self) -> None:
        """
        Close at once, both directions; what is unsent, and what nobody has taken, is dropped.
        """
        if self._channel is None:
            self._forget()
            self._turn()
        else:
            self._cut(Failure(ConnectionAborted()))

    # IHalfCloseableTransport

    def loseWriteConnection(self) -> None:
        """
        See L{IHalfCloseableTransport}.
        """
        self._isFinishing = True
        self._finish()
        self._turn()

    def _finish(self) -> None:
        """
        End our direction, if it is time.
        """
        channel = self._channel
        if not self._isFinishing or self._producer is not None or channel is None or self.isPending:
            return
        if not self._isFinished:
            self._isFinished = True
            channel.finish()
        if self.disconnecting and self._channel is not None:
            held = self._held
            self._forget()
            if held:
                self._drop(held)
            if self._channel is not None and self.keeper is not None:
                self.keeper.closing(self)

    def _drop(self, count: int) -> None:
        """
        So many bytes came for who has closed.
        """
        self._late += count
        if self._late > LATE:
            self._cut(Failure(ConnectionAborted()))
        elif self._channel is not None:
            self._channel.consumed(count)

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._isPaused = False
        self._turn()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.loseConnection()

    # The end.

    def _cut(self, reason: Failure) -> None:
        channel = self._channel
        if channel is not None:
            channel.reset()
            self._leave(reason)

    def _leave(self, reason: Failure) -> None:
        """
        The channel is no more.
        """
        self._channel = None
        if self._why is not None:
            return
        self._why = reason
        if not isinstance(reason.value, ConnectionDone) or self.disconnecting:
            self._forget()
        else:
            self._isEnded = True
        self.disconnecting = True
        self._answered()
        if self._producer is not None:
            self._stopProducer()
        if self.keeper is not None:
            self.keeper.over(self)
        self._turn()
