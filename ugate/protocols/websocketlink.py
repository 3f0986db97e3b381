# -*- test-case-name: ugate.test.test_websocketlink -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A stream of bytes in the binary messages of one WebSocket connection (RFC 6455), once its handshake is over.

WebSocket has no directions that end one by one: a Close frame is answered by one.  But when, is left
to who answers; so here a Close frame ends the direction of who sends it, and is answered when the other
direction ends.  An end without one is a loss.
"""

from __future__ import annotations

from typing import Any, Final

from zope.interface import implementer

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import IChannel, IPending
from ugate.protocols.h2calm import Patience
from ugate.protocols.h2frames import ConnectionFault
from ugate.protocols.mux import MuxStream
from ugate.protocols.sockets import endWriting
from ugate.protocols.websocketframes import (
    BINARY,
    CLOSE,
    LARGEST,
    PONG,
    Code,
    Fault,
    FrameReader,
    frame,
    goodbye,
)
from ugate.protocols.websocketwire import WINDOW, WebSocketStreams, WebSocketWire
from ugate.stream import StreamInfo, Target

ODD: Final = 1000
"""How many frames without data may come at once."""

ODD_RATE: Final = 20.0
"""How many of these may come a second, after that."""

_CLEAN: Final = frozenset((Code.NORMAL, Code.NONE))
_NO_CLOSE: Final = "it ended without a Close frame"
_FULL: Final = 1 << 20
"""What is said of how much is unsent when the transport takes no more."""


@implementer(IHalfCloseableProtocol, IChannel)
class WebSocketLink(WebSocketWire):
    """
    The protocol of a connection whose only stream is a L{MuxStream}, for the protocol inside.

    @ivar inner: what the stream is for.
    @since: ugate NEXT
    """

    log = Logger()
    _unread = 0

    def __init__(
        self,
        streams: WebSocketStreams,
        inner: IProtocol | None,
        info: StreamInfo | None = None,
        target: Target | None = None,
    ) -> None:
        """
        @param streams: those which it is one of.
        @param inner: what the stream is for; L{None} to begin it later.
        @param info: what is known of it; L{None} for a stream that we have asked for.
        @param target: what we have asked for.
        """
        self._streams = streams
        self._info = info
        self._target = target
        self.inner = inner
        calm = Patience(ODD, ODD_RATE, streams.seconds, "frames without data")
        self._reader = FrameReader(not streams.isClient, calm)

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "websocket"

    # The protocol of the connection below.

    def connectionMade(self) -> None:
        """
        Begin.
        """
        super().connectionMade()
        transport: Any = self.transport
        info = self._info or StreamInfo(transport.getPeer(), transport.getHost(), self._target)
        isPending = self._info is not None and IPending.providedBy(transport)
        self.stream = MuxStream(self, info, isPending)
        self.stream.keeper = self
        if self.inner is not None:
            self.stream.begin(self.inner)

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes of frames.
        """
        if self._isOver:
            return
        self._hasHeard = True
        reader = self._reader
        try:
            pieces = reader.feed(data)
        except (Fault, ConnectionFault) as fault:
            self._broke(fault)
            return
        for piece in pieces:
            self._unread += len(piece)
            self.stream.received(piece)
        if self._unread > WINDOW and not (self._isHeld or self._isOver):
            self._isHeld = True
            self._below.pauseProducing()
        if reader.pong is not None:
            self._isRead = self._isRead or reader.pong == self._token
            reader.pong = None
        # Only the last is answered, and none as long as nothing goes out: nobody makes us keep them.
        isMute = self._isBlocked or self._isFinished or self._isOver or self.stream.isPending
        if reader.ping is not None and not isMute:
            ping, reader.ping = reader.ping, None
            self._send(frame(PONG, ping, self._streams.isClient))
        if reader.close is not None and not (self._isEnded or self._isOver):
            self._closeCame(*reader.close)

    def _closeCame(self, code: int, text: str) -> None:
        self._isEnded = True
        if code in _CLEAN:
            self.stream.ended()
            self._closeIfDone()
            return
        why = f"the peer closed it with {code}" + (f": {text}" if text else "")
        self._leave(why, code)

    def readConnectionLost(self) -> None:
        """
        The connection below has ended: with a Close frame before, as it may, or in the middle.
        """
        if self._isOver:
            self._below.loseConnection()
        elif not self._isEnded:
            self.lose(_NO_CLOSE)
            self.cut()

    def writeConnectionLost(self) -> None:
        """
        The connection below takes no more.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection below is gone.
        """
        self._streams.left(self)
        if not self._isOver:
            self._isOver = True
            lost = Failure(ConnectionLost(_NO_CLOSE)) if reason.check(ConnectionDone) else reason
            self.stream.closed(lost)

    # How it ends.

    def _closeIfDone(self) -> None:
        if self._isFinished and self._isEnded and not self._isOver:
            self.stop()
            self.stream.closed(Failure(ConnectionDone()))
            self._streams.closing.start(self)
            # The side of the server closes first (RFC 6455, 7.1.1).
            if not self._streams.isClient:
                self._below.loseConnection()

    def _broke(self, fault: Fault | ConnectionFault) -> None:
        code = fault.code if isinstance(fault, Fault) else Code.POLICY
        self.log.info(
            "{peer} breaks WebSocket, {code:d}: {error}",
            peer=str(self.stream.info),
            code=code,
            error=str(fault),
        )
        self._leave(f"the peer broke WebSocket: {fault}", code, str(fault))

    def _leave(self, why: str, code: int, text: str = "") -> None:
        """
        Close, when what was written is sent; the peer has not for ever to read why.
        """
        if self.stream.isPending:
            # Nothing may be said in frames yet.
            self.lose(why)
            self.cut()
            return
        if not self._isFinished:
            self._send(frame(CLOSE, goodbye(code, text), self._streams.isClient))
        self.lose(why)
        self._streams.closing.start(self)
        # With bytes unread, to close would be to reset, and the peer would not hear why.
        endWriting(self._below)

    # The channel of the stream above.

    @property
    def unsent(self) -> int:
        """
        See L{IChannel}.
        """
        return _FULL if self._isBlocked else 0

    def write(self, data: bytes) -> None:
        """
        See L{IChannel}.
        """
        if self._isOver or self._isFinished:
            return
        self._token, self._isRead = None, False
        isClient = self._streams.isClient
        if len(data) <= LARGEST:
            self._send(frame(BINARY, data, isClient))
            return
        view = memoryview(data)
        pieces: list[bytes | bytearray | memoryview] = []
        for at in range(0, len(data), LARGEST):
            pieces += frame(BINARY, view[at : at + LARGEST], isClient)
        self._send(pieces)

    def finish(self) -> None:
        """
        See L{IChannel}.
        """
        if not (self._isFinished or self._isOver):
            self._send(frame(CLOSE, goodbye(Code.NORMAL), self._streams.isClient))
            self._isFinished = True
            if self._streams.isClient and isinstance(self.transport, MuxStream):
                # Where the server ends its stream first, some proxies reset it, with what they have not sent.
                self._below.unregisterProducer()
                endWriting(self._below)
            self._closeIfDone()

    def consumed(self, count: int) -> None:
        """
        See L{IChannel}.
        """
        self._unread -= count
        if self._isHeld and self._unread <= WINDOW >> 1 and not self._isOver:
            self._isHeld = False
            self._below.resumeProducing()

    def reset(self) -> None:
        """
        See L{IChannel}.
        """
        self.stop()
        self.cut()

    def accept(self) -> None:
        """
        See L{IChannel}.
        """
        self._below.accept()

    def refuse(self, reason: Refused) -> None:
        """
        See L{IChannel}.
        """
        self.stop()
        self._below.refuse(reason)

    # The keeper of the stream above.

    def answered(self, stream: MuxStream) -> None:
        """
        Nothing: who accepts streams counts them.
        """

    def closing(self, stream: MuxStream) -> None:
        """
        It is closed here: the peer has to end its direction, too.
        """
        self._streams.closing.start(self)

    def over(self, stream: MuxStream) -> None:
        """
        Nothing: it is the only one.
        """
