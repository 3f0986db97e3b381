# -*- test-case-name: ugate.test.test_websocketwire -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is between the frames of WebSocket and the transport below: how they are sent, whether the peer is still
there, and how long it has to go.
"""

from __future__ import annotations

from typing import Any, Final

from zope.interface import implementer

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.protocols.mux import MuxStream
from ugate.protocols.negotiate import connectionBelow
from ugate.protocols.sockets import cut, undelivered, writePieces
from ugate.protocols.tlsconnection import TLSConnection
from ugate.protocols.websocketframes import PING, frame

WINDOW: Final = 1 << 18
"""Bytes kept for a reader that does not take them; then nothing more is read."""

KEEPALIVE: Final = 25.0
"""Seconds of silence after which the peer is asked whether it is still there, and that it has to answer."""

GOODBYE: Final = 10.0
"""Seconds that a peer has to end its direction after both were closed here, and once more to close."""

STUCK: Final = 30
"""So many times as long nothing may have arrived of what it still has to get."""


class WebSocketStreams:
    """
    What the connections of one place have in common: their timers.

    @ivar isClient: whether we connect, and mask what we send.
    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, isClient: bool) -> None:
        """
        @param clock: what tells the time.
        """
        self.isClient = isClient
        self.seconds = clock.seconds
        self.quiet: Deadlines[WebSocketWire] = Deadlines(clock, KEEPALIVE, lambda wire: wire.silent())
        self.closing: Deadlines[WebSocketWire] = Deadlines(clock, GOODBYE, lambda wire: wire.late())

    def left(self, wire: WebSocketWire) -> None:
        """
        One is over; the last stops the timers.
        """
        for deadlines in (self.quiet, self.closing):
            deadlines.stop(wire)
            if not len(deadlines):
                deadlines.close()


@implementer(IPushProducer)
class WebSocketWire(Protocol):
    """
    The frames of a connection.

    @ivar stream: what is above.
    """

    stream: MuxStream
    _streams: WebSocketStreams
    _bare: tcp.Connection | None = None
    """The transport, if it is a socket and nothing more."""
    _isBlocked = _isHeld = False
    """Whether the transport takes no more, and whether we let it read no more."""
    _isFinished = _isEnded = False
    """Whether we have sent a Close frame, and whether the peer has."""
    _isOver = False
    """Whether nothing is done any more."""
    _left, _looks = -1, 0
    """How much had not arrived when that was last looked at, and how often it was the same."""
    _hasHeard = _hasSaid = _isAsked = False
    """Whether anything came or went since the last look at the time, and whether a Pong is waited for."""
    _asked = 0
    _token: bytes | None = None
    """What the last Ping said, if nothing was written after it."""
    _isRead = True
    """Whether the peer has answered such a one: it has read all, and has no reason not to read on."""

    def connectionMade(self) -> None:
        """
        Begin.
        """
        self._bare = connectionBelow(self.transport)
        if self._bare is not None:
            self._bare.bufferSize = WINDOW
        self._below.registerProducer(self, True)
        self._streams.quiet.start(self)

    def lose(self, why: str) -> None:
        """
        The stream is gone, and not as it should be.
        """
        self.stop()
        self.stream.closed(Failure(ConnectionLost(why)))

    def stop(self) -> None:
        """
        Do no more for the stream.
        """
        self._isOver = True
        self._streams.left(self)
        self._below.unregisterProducer()

    @property
    def _below(self) -> Any:
        """
        The transport: what is asked of it is spread over half a dozen interfaces of Twisted's.
        """
        return self.transport

    def _send(self, pieces: list[Any]) -> None:
        self._hasSaid = True
        writePieces(self.transport, self._bare, pieces)

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

    # Whether it is still there.

    def silent(self) -> None:
        """
        The time between two looks has passed.
        """
        heard, said = self._hasHeard, self._hasSaid
        self._hasHeard = self._hasSaid = False
        # Who holds up bulk for a reader that is slow cannot see a Ping behind it.
        if self._isAsked and self._isRead and not (heard or self._isHeld or self._isEnded):
            self.lose("it does not answer")
            self.cut()
            return
        self._isAsked = False
        if not ((heard and said) or self._isBlocked or self._isFinished or self.stream.isPending):
            self._isAsked = True
            self._asked += 1
            self._token = b"%d" % self._asked
            self._send(frame(PING, self._token, self._streams.isClient))
            self._hasSaid = False
        self._streams.quiet.start(self)

    def late(self) -> None:
        """
        The time to end is over, unless something still has to arrive there.
        """
        before, self._left = self._left, _unsent(self.transport)
        self._looks = self._looks + 1 if self._left == before else 0
        if self._looks >= (STUCK if self._left else 1):
            self.cut()
            return
        if not self._left:
            if not self._isOver:
                self.lose("it did not end in time")
            # Not a reset at first, which could take back what the peer has not read.
            self._below.loseConnection()
        self._streams.closing.start(self)

    def cut(self) -> None:
        """
        End it now.
        """
        self._streams.left(self)
        cut(self.transport)


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
            isSocket = isinstance(transport, tcp.Connection | TLSConnection) and transport.connected
            return kept + (undelivered(transport.fileno()) if isSocket else 0)
        transport = getattr(transport, "transport", None)
    return 0
