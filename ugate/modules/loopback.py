# -*- test-case-name: ugate.test.test_agent -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A connection within this process: what one side writes, the other receives a turn of the reactor later.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure

_FULL = 65536
"""How many bytes may be on their way before who writes them is asked to wait."""

_HERE = UNIXAddress(b"module")


@implementer(ITransport, IConsumer, IPushProducer)
class Side:
    """
    One side of a connection.
    """

    disconnecting = False
    _paused = False
    _waiting = False
    _over = False
    _turn: Any = None
    _producer: Any = None
    _streaming = True
    other: Side
    protocol: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._sent: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """
        See L{ITransport}.
        """
        if self._over or self.disconnecting or not data:
            return
        self._sent.append(data)
        self._size += len(data)
        if self._size >= _FULL and self._producer is not None and self._streaming and not self._waiting:
            self._waiting = True
            self._producer.pauseProducing()
        self._later()

    def writeSequence(self, data: Any) -> None:
        """
        See L{ITransport}.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        See L{ITransport}.
        """
        self.disconnecting = True
        self._later()

    def abortConnection(self) -> None:
        """
        End both sides, whatever is on its way.
        """
        self._sent.clear()
        self.loseConnection()

    def _later(self) -> None:
        if self._turn is None and not self._over:
            self._turn = self._reactor.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._turn = None
        other = self.other
        if self._over or (other._paused and self._sent):
            # resumeProducing() will have it delivered.
            return
        data, self._size = b"".join(self._sent), 0
        self._sent.clear()
        if data:
            other.protocol.dataReceived(data)
        if self._producer is not None and (self._waiting or not self._streaming) and not self._over:
            self._waiting = False
            self._producer.resumeProducing()
        if self._sent or self._producer is not None:
            return
        if self.disconnecting and not self._over:
            self._end()
            other._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._paused = False
        if self.other._sent or self.other.disconnecting:
            self.other._later()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{IConsumer}.
        """
        self._producer, self._streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        self._producer = None
        if self.disconnecting:
            self._later()

    def getPeer(self) -> IAddress:
        """
        See L{ITransport}.
        """
        return _HERE

    def getHost(self) -> IAddress:
        """
        See L{ITransport}.
        """
        return _HERE


@implementer(IStreamClientEndpoint)
class LoopbackEndpoint:
    """
    Connects to a factory of this process.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, server: Any) -> None:
        """
        @param server: the factory.
        """
        self._reactor = reactor
        self._server = server

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        served: Any = self._server.buildProtocol(_HERE)
        client: Any = protocolFactory.buildProtocol(_HERE)
        if served is None or client is None:
            return fail(ConnectionRefusedError())
        near, far = Side(self._reactor), Side(self._reactor)
        near.other, near.protocol = far, client
        far.other, far.protocol = near, served
        served.makeConnection(far)
        client.makeConnection(near)
        return succeed(client)
