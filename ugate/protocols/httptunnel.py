# -*- test-case-name: ugate.test.test_httptunnel -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is left of HTTP after C{101 Switching Protocols}, or after a C{CONNECT}: bytes
both ways.
"""

from __future__ import annotations

from typing import Protocol as Shape

from twisted.internet.interfaces import IProducer

from ugate.protocols.httpupstream import Upstream


class ClientTransport(Shape):
    """
    What the transport of a client has to have, as in
    L{twisted.internet.interfaces.ITCPTransport}, L{IConsumer
    <twisted.internet.interfaces.IConsumer>} and L{IPushProducer
    <twisted.internet.interfaces.IPushProducer>}.
    """

    def write(self, data: bytes) -> None:
        """
        Send.
        """

    def loseConnection(self) -> None:
        """
        Close after what was written is sent.
        """

    def abortConnection(self) -> None:
        """
        Close now.
        """

    def loseWriteConnection(self) -> None:
        """
        End our direction after what was written is sent.
        """

    def pauseProducing(self) -> None:
        """
        Deliver no more.
        """

    def resumeProducing(self) -> None:
        """
        Deliver more.
        """

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Ask this producer to pause when much is written.
        """

    def unregisterProducer(self) -> None:
        """
        Ask it no more.
        """


class Tunnel:
    """
    A tunnel between a client and a target.

    @since: ugate NEXT
    """

    def __init__(self, transport: ClientTransport, upstream: Upstream) -> None:
        """
        @param transport: the client's; its producer is registered already.
        @param upstream: the stream to the target.
        """
        self._transport = transport
        self._upstream = upstream
        self._clientEnded = False
        self._isEnded = False

    def start(self, data: bytes) -> None:
        """
        Pass on what has come before.

        @param data: from the client.
        """
        early = self._upstream.tunnel(self)
        if early:
            self._transport.write(early)
        if data:
            self._upstream.sendRaw(data)

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the client.
        """
        self._upstream.sendRaw(data)

    def readConnectionLost(self) -> None:
        """
        The client sends no more.
        """
        self._clientEnded = True
        self._upstream.sendEnd()
        if self._isEnded:
            self._transport.loseConnection()

    def targetData(self, data: bytes) -> None:
        """
        Bytes from the target.
        """
        self._transport.write(data)

    def targetEnded(self) -> None:
        """
        The target sends no more.
        """
        self._isEnded = True
        # A transport with a paused producer would wait for more of it, and not close.
        self._transport.unregisterProducer()
        if self._clientEnded:
            self._transport.loseConnection()
        else:
            self._transport.loseWriteConnection()

    def targetLost(self) -> None:
        """
        The target is gone.
        """
        if self._isEnded:
            self._transport.loseConnection()
        else:
            self._transport.abortConnection()

    def targetFull(self, full: bool) -> None:
        """
        The target reads slower than the client sends, or no longer so.
        """
        if full:
            self._transport.pauseProducing()
        else:
            self._transport.resumeProducing()
