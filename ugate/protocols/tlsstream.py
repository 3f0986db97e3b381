# -*- test-case-name: ugate.test.test_mtlsstream,ugate.test.test_mtls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The stream inside of a TLS connection whose handshake is over.

Twisted's own ends both directions when the peer ends its one.  TLS 1.3 has them end one
by one (RFC 8446, 6.1), and a client that has said all may still wait for its answer.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from zope.interface import implementer

from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import IPending

_LOT: Final = 32768


@implementer(IHalfCloseableProtocol)
class TLSStream(BufferingTLSTransport):
    """
    A TLS transport that can end one direction, as its peer can.

    @since: ugate NEXT
    """

    ended = False
    """Whether the peer has said that it sends no more."""

    def makeConnection(self, transport: Any) -> None:
        """
        Begin, with what came behind the handshake.
        """
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        if self._handshakeDone and self._tlsConnection is not None:
            self._flushReceiveBIO()

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
                if not self._aborted:
                    ProtocolWrapper.dataReceived(self, data)
        if self._tlsConnection is not None:
            self._flushSendBIO()

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


@implementer(IPending)
class ServedStream(TLSStream):
    """
    That of a server, above a negotiation whose handshake is over.

    @ivar ready: an C{OpenSSL.SSL.Connection}, after its handshake.
    @since: ugate NEXT
    """

    ready: Any = None

    def accept(self) -> None:
        """
        See L{IPending}.
        """
        below: Any = self.transport
        below.accept()

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending}: TLS has no word for it, and a proper end would look like an answer.
        """
        self.abortConnection()


@implementer(IOpenSSLServerConnectionCreator)
class _Ready:
    """
    Gives each protocol the connection that it has already.
    """

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        return tlsProtocol.ready


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
        stream = ServedStream(self, inner)
        stream.ready = connection
        return stream
