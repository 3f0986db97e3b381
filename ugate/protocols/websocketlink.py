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

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.errors import Refused
from ugate.interfaces import IChannel, IPending
from ugate.protocols.h2calm import Patience
from ugate.protocols.h2frames import ConnectionFault, rest
from ugate.protocols.mux import MuxStream
from ugate.protocols.negotiate import connectionBelow
from ugate.protocols.sockets import cut, endWriting, undelivered
from ugate.protocols.websocketframes import (
    BINARY,
    CLOSE,
    LARGEST,
    PING,
    PONG,
    Code,
    Fault,
    FrameReader,
    frame,
    goodbye,
)
from ugate.stream import StreamInfo

WINDOW: Final = 1 << 18
"""Bytes kept for a reader that does not take them; then nothing more is read."""

KEEPALIVE: Final = 25.0
"""Seconds of silence after which the peer is asked whether it is still there, and that it has to answer."""

GOODBYE: Final = 10.0
"""Seconds that a peer has to end its direction, after both were closed here."""

ODD: Final = 1000
"""How many frames without data may come at once."""

ODD_RATE: Final = 20.0
"""How many of these may come a second, after that."""

_CLEAN: Final = frozenset((Code.NORMAL, Code.NONE))
_NO_CLOSE: Final = "it ended without a Close frame"
_FULL: Final = 1 << 20
"""What is said of how much is unsent when the transport takes no more."""


class WebSocketStreams:
    """
    What the connections of one place have in common: their timers.

    @ivar isClient: whether we connect, and mask what we send.
    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, isClient: bool, keepalive: float = KEEPALIVE) -> None:
        """
        @param clock: what tells the time.
        """
        self.isClient = isClient
        self.seconds = clock.seconds
        self.quiet: Deadlines[WebSocketLink] = Deadlines(clock, keepalive, lambda link: link.silent())
        self.closing: Deadlines[WebSocketLink] = Deadlines(clock, GOODBYE, lambda link: link.late())

    def left(self, link: WebSocketLink) -> None:
        """
        One is over; the last stops the timers.
        """
        for deadlines in (self.quiet, self.closing):
            deadlines.stop(link)
            if not len(deadlines):
                deadlines.close()


@implementer(IHalfCloseableProtocol, IPushProducer, IChannel)
class WebSocketLink(Protocol):
    """
    The protocol of a connection whose only stream is a L{MuxStream}, for the protocol inside.

    @ivar inner: what the stream is for.
    @ivar stream: its transport.
    @since: ugate NEXT
    """

    log = Logger()
    stream: MuxStream
    _bare: tcp.Connection | None = None
    """The transport, if it is a socket and nothing more."""
    _isBlocked = _isHeld = False
    """Whether the transport takes no more, and whether we let it read no more."""
    _isFinished = _isEnded = False
    """Whether we have sent a Close frame, and whether the peer has."""
    _isOver = False
    """Whether nothing is done any more."""
    _unread = 0
    _left = -1
    """How much had not arrived when that was last looked at."""
    _hasHeard = _hasSaid = _isAsked = False
    """Whether anything came or went since the last look at the time, and whether a Pong is waited for."""

    def __init__(
        self, streams: WebSocketStreams, inner: IProtocol | None, info: StreamInfo | None = None
    ) -> None:
        """
        @param streams: those which it is one of.
        @param inner: what the stream is for; L{None} to begin it later.
        @param info: what is known of it; L{None} for a stream that we have asked for.
        """
        self._streams = streams
        self._info = info
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
        transport: Any = self.transport
        self._bare = connectionBelow(transport)
        if self._bare is not None:
            self._bare.bufferSize = WINDOW
        transport.registerProducer(self, True)
        info = self._info or StreamInfo(transport.getPeer(), transport.getHost())
        isPending = self._info is not None and IPending.providedBy(transport)
        self.stream = MuxStream(self, info, isPending)
        self.stream.keeper = self
        self._streams.quiet.start(self)
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
        if not (self._isEnded or self._isOver):
            self._lose(Failure(ConnectionLost(_NO_CLOSE)))
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

    def _lose(self, reason: Failure) -> None:
        """
        The stream is gone.
        """
        self._rest()
        self.stream.closed(reason)

    def _rest(self) -> None:
        """
        Do no more for the stream.
        """
        self._isOver = True
        self._streams.left(self)
        self._below.unregisterProducer()

    def late(self) -> None:
        """
        The time to end is over, unless something still arrives there.
        """
        before, self._left = self._left, _unsent(self.transport)
        if self._left in (0, before):
            self.cut()
        else:
            self._streams.closing.start(self)

    def cut(self) -> None:
        """
        End it now.
        """
        self._streams.left(self)
        cut(self.transport)

    # How it ends.

    def _closeIfDone(self) -> None:
        if self._isFinished and self._isEnded and not self._isOver:
            self._lose(Failure(ConnectionDone()))
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
            self._lose(Failure(ConnectionLost(why)))
            self.cut()
            return
        if not self._isFinished:
            self._send(frame(CLOSE, goodbye(code, text), self._streams.isClient))
        self._lose(Failure(ConnectionLost(why)))
        self._streams.closing.start(self)
        # With bytes unread, to close would be to reset, and the peer would not hear why.
        endWriting(self._below)

    # Whether it is still there.

    def silent(self) -> None:
        """
        The time between two looks has passed.
        """
        heard, said = self._hasHeard, self._hasSaid
        self._hasHeard = self._hasSaid = False
        if self._isAsked and not (heard or self._isHeld or self._isBlocked or self._isEnded):
            self._lose(Failure(ConnectionLost("it does not answer")))
            self.cut()
            return
        self._isAsked = False
        if not ((heard and said) or self._isBlocked or self._isFinished or self.stream.isPending):
            self._isAsked = True
            self._send(frame(PING, b"", self._streams.isClient))
            self._hasSaid = False
        self._streams.quiet.start(self)

    # The producer of the transport below.

    def pauseProducing(self) -> None:
        """
        The transport has enough for now.
        """
        self._isBlocked = True

    def resumeProducing(self) -> None:
        """
        The transport takes more.
        """
        self._isBlocked = False
        if not self._isOver:
            self.stream.drained()

    def stopProducing(self) -> None:
        """
        The transport takes no more; why, is said by C{connectionLost}.
        """
        self._isBlocked = True

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
        isClient = self._streams.isClient
        if len(data) <= LARGEST:
            self._send(frame(BINARY, data, isClient))
            return
        view = memoryview(data)
        pieces: list[bytes | bytearray | memoryview] = []
        for at in range(0, len(data), LARGEST):
            pieces += frame(BINARY, view[at : at + LARGEST], isClient)
        self._send(pieces)

    def _send(self, pieces: list[Any]) -> None:
        """
        To the kernel at once if nothing is ahead of it, without putting the pieces together first.
        """
        self._hasSaid = True
        bare = self._bare
        if (
            bare is not None
            and bare.connected
            and not (bare.dataBuffer or bare._tempDataBuffer or bare.disconnecting)
            and not bare._writeDisconnecting
        ):
            try:
                sent = bare.socket.sendmsg(pieces)
            except OSError:
                # Full, or broken: the transport finds out which.
                sent = 0
            pieces = rest(pieces, sent)
        if pieces:
            self._below.write(b"".join(pieces))

    def finish(self) -> None:
        """
        See L{IChannel}.
        """
        if not (self._isFinished or self._isOver):
            self._send(frame(CLOSE, goodbye(Code.NORMAL), self._streams.isClient))
            self._isFinished = True
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
        self._rest()
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
        self._rest()
        self._below.refuse(reason)

    @property
    def _below(self) -> Any:
        """
        The transport: what is asked of it is spread over half a dozen interfaces of Twisted's.
        """
        return self.transport

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


def _unsent(transport: Any) -> int:
    """
    How many bytes of what was written have not arrived, as far as that can be known.
    """
    while transport is not None:
        if isinstance(transport, MuxStream):
            channel = transport.channel
            return 0 if channel is None else int(channel.unsent)
        if isinstance(transport, FileDescriptor):
            kept = len(transport.dataBuffer) - transport.offset + sum(map(len, transport._tempDataBuffer))
            isSocket = isinstance(transport, tcp.Connection) and transport.connected
            return kept + (undelivered(transport.fileno()) if isSocket else 0)
        transport = getattr(transport, "transport", None)
    return 0
