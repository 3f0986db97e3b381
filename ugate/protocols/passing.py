# -*- test-case-name: ugate.test.test_negotiate -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A transport that is another one, as far as bytes go.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport, IUNIXTransport

from ugate.interfaces import IHalfCloseableTransport
from ugate.protocols.sockets import cut, endWriting


@implementer(ITransport, IConsumer, IPushProducer, IHalfCloseableTransport)
class Passing:
    """
    Passes on to C{transport} what it is asked to do.

    @ivar transport: the transport below; L{None} before there is one, and once
        it has given its socket away.
    @ivar peer: what C{getPeer} answers.
    @since: ugate NEXT
    """

    transport: Any = None
    peer: IAddress

    def getPeer(self) -> IAddress:
        """
        What is known of the other side.
        """
        return self.peer

    def getHost(self) -> IAddress:
        """
        The local address.
        """
        host: IAddress = self.transport.getHost()
        return host

    def write(self, data: bytes) -> None:
        """
        See L{ITransport}.
        """
        self.transport.write(data)

    def writeSequence(self, data: Any) -> None:
        """
        See L{ITransport}.
        """
        self.transport.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        See L{ITransport}.
        """
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        """
        Drop what is buffered, and reset.
        """
        cut(self.transport)

    def loseWriteConnection(self) -> None:
        """
        See L{IHalfCloseableTransport}.
        """
        endWriting(self.transport)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{IConsumer}.
        """
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.transport.stopProducing()

    # Twisted's TLS claims to be a TCP transport whatever is below it, and protocols inside believe it.

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        See L{twisted.internet.interfaces.ITCPTransport}; nothing where there is no such thing.
        """
        if self._has("setTcpNoDelay"):
            self.transport.setTcpNoDelay(enabled)

    def getTcpNoDelay(self) -> bool:
        """
        See L{twisted.internet.interfaces.ITCPTransport}; no where there is no such thing.
        """
        return self._has("getTcpNoDelay") and bool(self.transport.getTcpNoDelay())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        See L{twisted.internet.interfaces.ITCPTransport}; nothing where there is no such thing.
        """
        if self._has("setTcpKeepAlive"):
            self.transport.setTcpKeepAlive(enabled)

    def getTcpKeepAlive(self) -> bool:
        """
        See L{twisted.internet.interfaces.ITCPTransport}; no where there is no such thing.
        """
        return self._has("getTcpKeepAlive") and bool(self.transport.getTcpKeepAlive())

    def _has(self, name: str) -> bool:
        # That of a UNIX socket has the methods, and fails in them.
        return hasattr(self.transport, name) and not IUNIXTransport.providedBy(self.transport)
