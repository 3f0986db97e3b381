# -*- test-case-name: ugate.test.test_testing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The transport on one end of a connection in memory.

All that Twisted's own transports have in common (buffers, producers, closing after
what was written) is Twisted's here too; only the socket is another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol, ITCPTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.testing.wire import End


def _nothing(reason: Failure) -> None:
    """
    Nobody else wants to know.
    """


@implementer(ITCPTransport)
class MemoryTransport(FileDescriptor):
    """
    A transport as a reactor makes it for a TCP or UNIX connection.

    @ivar protocol: what the connection is for.
    @ivar end: the end of the connection.
    @since: ugate NEXT
    """

    _log = Logger()
    protocol: Any

    def __init__(
        self,
        reactor: Any,
        end: End,
        host: IAddress,
        peer: IAddress,
        lost: Callable[[Failure], object] = _nothing,
    ) -> None:
        """
        @param reactor: whose turns it takes.
        @param host: what C{getHost} returns.
        @param peer: what C{getPeer} returns.
        @param lost: called when the connection is lost, after the protocol.
        """
        super().__init__(reactor)
        self.end = end
        self._host = host
        self._peer = peer
        self._lost = lost
        self._callLater = reactor.callLater
        self._aborting = False
        self._noDelay = self._keepAlive = False

    def start(self, protocol: IProtocol | None) -> None:
        """
        The connection is up.

        @param protocol: what it is for; L{None} to close it.
        """
        if protocol is None:
            self.end.close()
            self._lost(Failure(CONNECTION_DONE))
            return
        self.connected = 1
        self.protocol = protocol
        self.startReading()
        try:
            protocol.makeConnection(self)
        except Exception:
            self._log.failure("{protocol} failed in makeConnection", protocol=str(protocol))
            self.connectionLost(Failure())

    def doRead(self) -> Exception | None:
        """
        Read once, and give that to the protocol.
        """
        if self._aborting:
            return None
        try:
            data = self.end.receive(self.bufferSize)
        except OSError:
            return CONNECTION_LOST
        if data is None:
            return None
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def doWrite(self) -> Any:
        """
        Write once what is buffered.
        """
        return None if self._aborting else super().doWrite()  # type: ignore[no-untyped-call]

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """
        Write to the wire.
        """
        try:
            return self.end.send(data)
        except OSError:
            return CONNECTION_LOST

    def _closeWriteConnection(self) -> None:
        self.end.endSending()
        self._half("writeConnectionLost")

    def readConnectionLost(self, reason: Failure) -> None:
        """
        The other side has ended its direction.
        """
        if not self._half("readConnectionLost"):
            self.connectionLost(reason)

    def _half(self, name: str) -> bool:
        """
        Tell a protocol that knows of half-closed connections.
        """
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            return False
        try:
            getattr(protocol, name)()
        except Exception:
            self._log.failure("{protocol} failed in {name}", protocol=str(protocol), name=name)
            self.connectionLost(Failure())
        return True

    def abortConnection(self) -> None:
        """
        Drop what is buffered, and reset.
        """
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self.stopReading()
        self.stopWriting()
        self._callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone.
        """
        if self.end.isClosed:
            return
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.end.close(reset=reason.check(ConnectionAborted) is not None)
        protocol, self.protocol = self.protocol, None
        protocol.connectionLost(reason)
        self._lost(reason)

    def getHost(self) -> Any:
        """
        The address of this end.
        """
        return self._host

    def getPeer(self) -> Any:
        """
        The address of the other end.
        """
        return self._peer

    def getTcpNoDelay(self) -> bool:
        """
        See L{ITCPTransport}.
        """
        return self._noDelay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Remember it; nothing is delayed in memory.
        """
        self._noDelay = enabled

    def getTcpKeepAlive(self) -> bool:
        """
        See L{ITCPTransport}.
        """
        return self._keepAlive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Remember it; nothing is sent by itself in memory.
        """
        self._keepAlive = enabled

    def __str__(self) -> str:
        return self.end.name
