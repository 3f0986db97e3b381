# -*- test-case-name: ugate.test.test_mtlsstream,ugate.test.test_mtlsleaving,ugate.test.test_mtls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The stream inside of a TLS connection whose handshake is over.

Twisted's own ends both directions when the peer ends its one.  TLS 1.3 has them end one
by one (RFC 8446, 6.1), and a client that has said all may still wait for its answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from zope.interface import implementer

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
)
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import (
    BufferingTLSTransport,
    TLSMemoryBIOFactory,
    _AggregateSmallWrites,
    _NullAggregator,
)
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import Detached, IDetachable, IDetachableTLS, IHalfCloseableTransport, IPending
from ugate.protocols.sockets import detachable
from ugate.protocols.tlsmemory import canLeave, out, takeOut
from ugate.protocols.tlsrecords import ANSWERED, ANSWERS, Records
from ugate.protocols.tlssocket import TLSSocket

_LOT: Final = 32768
_NOTHING: Final = _NullAggregator()
"""Collects no writes."""


@implementer(IHalfCloseableProtocol)
class TLSStream(BufferingTLSTransport):
    """
    A TLS transport that can end one direction, as its peer can.

    @since: ugate NEXT
    """

    ended = False
    """Whether the peer has said that it sends no more."""

    _answers = ANSWERS
    """Bytes that OpenSSL may still answer of itself."""

    def __conform__(self, interface: object) -> None:
        """
        Only by adapters: without this the transports below would be asked, one after the other.
        """

    def detacher(self) -> IDetachableTLS | None:
        """
        As C{IDetachableTLS(stream, None)}, and quicker.
        """
        below = detachable(self.transport) if self.canDetach else None
        return None if below is None else _SocketBelow(self, below)

    def makeConnection(self, transport: Any) -> None:
        """
        Begin, with what came behind the handshake.
        """
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        if self._handshakeDone and self._tlsConnection is not None:
            self._flushReceiveBIO()

    @property
    def canDetach(self) -> bool:
        """
        Whether there is nothing between what was written here and what is on its way.
        """
        connection = self._tlsConnection
        return (
            self._handshakeDone
            and connection is not None
            and not (self._aborted or self.disconnecting or self.ended or self._lostTLSConnection)
            and self._producer is None
            and not self._appSendBuffer
            and canLeave(connection)
        )

    def leave(self, below: IDetachable) -> Detached:
        """
        Give the socket away, and OpenSSL with it.

        @param below: the transport below us.
        """
        detached, connection, hop = self._part(below)
        unread, isOver = takeOut(connection)
        secure: Any = TLSSocket(detached.socket, connection, detached.unsent, hop)
        if isOver:
            secure.over()
        return Detached(secure, unread, b"", detached.waiting, detached.reactor)

    def part(self, below: IDetachable) -> tuple[Detached, Records]:
        """
        See L{IDetachableTLS.part}.

        @param below: the transport below us.
        """
        detached, connection, hop = self._part(below)
        return detached, Records(connection, hop)

    def _part(self, below: IDetachable) -> tuple[Detached, Any, str]:
        # What was written in this turn goes first.
        self._aggregator.close()
        # It has us, as we have it: OpenSSL's memory would wait for the collector of garbage.
        self._aggregator = _NOTHING
        self.write = _NOTHING.write  # type: ignore[method-assign]
        detached = below.detach()
        connection = self._tlsConnection
        self._lostTLSConnection = True
        self.connected = False
        self.factory.unregisterProtocol(self)
        nothing: Any = None
        self.wrappedProtocol = self.transport = self._tlsConnection = nothing
        if detached.unread:
            connection.bio_write(detached.unread)
            detached = Detached(detached.socket, b"", detached.unsent, detached.waiting, detached.reactor)
        return detached, connection, getattr(self.factory, "hop", "")

    def _checkHandshakeStatus(self) -> None:
        if self._tlsConnection is not None:
            super()._checkHandshakeStatus()  # type: ignore[no-untyped-call]

    def abortConnection(self) -> None:
        """
        Cut it, if it is still ours.
        """
        if self._tlsConnection is not None:
            super().abortConnection()  # type: ignore[no-untyped-call]

    def _flushReceiveBIO(self) -> None:
        connection = self._tlsConnection
        while not (self._lostTLSConnection or self.ended):
            try:
                data = connection.recv(_LOT)
            except WantReadError:
                break
            except ZeroReturnError:
                self._peerEnded()
                break
            except Error:
                self._tlsShutdownFinished(Failure())
            else:
                self._answers += len(data) // ANSWERED
                if not self._aborted:
                    ProtocolWrapper.dataReceived(self, data)
        if self._tlsConnection is not None:
            self._answer()

    def _answer(self) -> None:
        """
        Send what OpenSSL has to say to what it received.
        """
        answer = out(self._tlsConnection)
        if not answer:
            return
        if self._handshakeDone:
            self._answers -= len(answer)
        if self._answers < 0:
            self._reason = Failure(ConnectionLost("TLS: it wants new keys too often"))
            self.abortConnection()
            return
        below: Any = self.transport
        below.write(answer)

    def _peerEnded(self) -> None:
        """
        The peer has said in TLS that it sends no more.
        """
        inner: Any = self.wrappedProtocol
        # What was written in this turn goes out first.
        self._aggregator.flush()
        pending = self._producer is not None or bool(self._appSendBuffer)
        # Asked of its class: Twisted's TLS claims to provide what its transport does.
        half = IHalfCloseableProtocol.implementedBy(type(inner))
        if self._aborted or not (pending if self.disconnecting else half):
            self._shutdownTLS()
            self._tlsShutdownFinished(None)
            return
        self.ended = True
        if half:
            inner.readConnectionLost()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        from ugate.protocols.tlsalerts import lossFrom

        isFirst = self._reason is None
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]
        error = None if reason is None else reason.value
        if error is not None and isFirst and self._handshakeDone:
            self._reason = Failure(lossFrom(error))

    def readConnectionLost(self) -> None:
        """
        The peer has ended the connection below: with TLS ended before, as it may, or in the
        middle, and then nobody knows whether that was all.
        """
        if self.ended or self._lostTLSConnection:
            return
        self._tlsConnection.bio_shutdown()
        self._flushReceiveBIO()

    def writeConnectionLost(self) -> None:
        """
        The connection below takes no more.
        """

    def unregisterProducer(self) -> None:
        """
        Nobody produces any more; what was written in this turn goes out before an end.
        """
        self._aggregator.flush()
        super().unregisterProducer()  # type: ignore[no-untyped-call]

    def loseWriteConnection(self) -> None:
        """
        Send no more, and go on reading until the peer has ended, too.
        """
        self.loseConnection()


# The rest is what a negotiation, which is always below, has Twisted's TLS claim to provide.
@implementer(IPending, IHalfCloseableTransport, IConsumer, IPushProducer)
class ServedStream(TLSStream):
    """
    That of a server, above a negotiation whose handshake is over.

    @since: ugate NEXT
    """

    _handshakeDone = True
    _aggregator: _AggregateSmallWrites | _NullAggregator = _NOTHING

    def __init__(self, factory: TLSStreams, inner: IProtocol, connection: Any) -> None:
        """
        @param connection: an C{OpenSSL.SSL.Connection}, after its handshake.
        """
        # Not Twisted's, which makes at once what is only needed if something is written here.
        ProtocolWrapper.__init__(self, factory, inner)
        self._tlsConnection = connection
        self._appSendBuffer: list[bytes] = []

    def write(self, data: bytes) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}; small writes of one turn go together.
        """
        self._aggregator = _AggregateSmallWrites(super().write, self.factory._clock)
        self.write = self._aggregator.write  # type: ignore[method-assign]
        self.write(data)

    def writeSequence(self, sequence: Iterable[bytes]) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.
        """
        self.write(b"".join(sequence))

    def makeConnection(self, transport: Any) -> None:
        """
        Begin, with what came behind the handshake.
        """
        # What Twisted's does besides is for handshakes, and costs more than the rest of a stream.
        connection = self._tlsConnection
        self.factory.registerProtocol(self)
        self.transport = transport
        self.connected = 1
        inner: Any = self.wrappedProtocol
        inner.makeConnection(self)
        if self._tlsConnection is connection:
            if IHandshakeListener.providedBy(inner):
                inner.handshakeCompleted()
            self._flushReceiveBIO()

    def accept(self) -> None:
        """
        See L{IPending}.
        """
        below: Any = self.transport
        below.accept()

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        below: Any = self.transport
        below.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        below: Any = self.transport
        below.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        below: Any = self.transport
        below.stopProducing()

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending}: TLS has no word for it, and a proper end would look like an answer.
        """
        self.abortConnection()


@implementer(IDetachableTLS)
class _SocketBelow:
    """
    A stream in TLS over a bare socket.
    """

    __slots__ = ("_below", "_stream")

    def __init__(self, stream: TLSStream, below: IDetachable) -> None:
        self._stream = stream
        self._below = below

    def detach(self) -> Detached:
        """
        See L{IDetachableTLS.detach}.
        """
        return self._stream.leave(self._below)

    def part(self) -> tuple[Detached, Records]:
        """
        See L{IDetachableTLS.part}.
        """
        return self._stream.part(self._below)


def _socketBelow(stream: TLSStream) -> IDetachableTLS | None:
    return stream.detacher() if isinstance(stream, TLSStream) else None


registerAdapter(_socketBelow, TLSStream, IDetachableTLS)


@implementer(IOpenSSLServerConnectionCreator)
class _Ready:
    """
    Gives each protocol the connection that it has already.
    """

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        return tlsProtocol.getHandle()


class TLSStreams(TLSMemoryBIOFactory):
    """
    Makes the streams inside of connections whose handshakes are over.

    @since: ugate NEXT
    """

    def __init__(self, wrapped: IProtocolFactory, clock: IReactorTime) -> None:
        """
        @param wrapped: what the streams are for.
        """
        super().__init__(_Ready(), False, wrapped, clock)
        # Twisted's would begin the handshake anew.
        self._creatorCallable = _Ready().serverConnectionForTLS

    def streamFor(self, addr: IAddress, connection: Any) -> ServedStream | None:
        """
        The protocol of one stream.
        """
        inner = self.wrappedFactory.buildProtocol(addr)
        if inner is None:
            return None
        return ServedStream(self, inner, connection)
