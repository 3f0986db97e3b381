# -*- test-case-name: ugate.test.test_httpstream -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A stream that exists only inside of a forward proxy: the requests of one client
to one target, as a transport for whatever carries streams on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol as Shape
from typing import cast

from zope.interface import implementer

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import IPending
from ugate.stream import StreamInfo


class StreamOwner(Shape):
    """
    Who has made the stream: what comes out of it goes there.
    """

    def streamAccepted(self) -> None:
        """
        The target is reached: bytes may be delivered.
        """

    def streamRefused(self, reason: Refused) -> None:
        """
        It is not, and the stream is at its end.
        """

    def streamData(self, data: bytes) -> None:
        """
        The target has sent bytes.
        """

    def streamEnded(self) -> None:
        """
        The target will send no more; it may still be listening.
        """

    def streamLost(self, clean: bool) -> None:
        """
        The stream is at its end.

        @param clean: whether the target closed it after its last byte; else
            bytes may be missing.
        """

    def streamFull(self, full: bool) -> None:
        """
        Stop delivering bytes, or go on.
        """


@implementer(ITransport, IConsumer, IPushProducer, IHalfCloseableDescriptor, IPending)
class HttpStream:
    """
    The transport of one such stream.

    As with a socket, the protocol on it is never called from inside a call that
    it makes to close, and C{connectionLost} comes once, last.

    @since: ugate NEXT
    """

    disconnecting = False

    def __init__(self, info: StreamInfo, host: IAddress, clock: IReactorTime, owner: StreamOwner) -> None:
        """
        @param info: what C{getPeer} returns.
        @param host: what C{getHost} returns.
        @param clock: for the calls that have to come later.
        @param owner: who is told of everything.
        """
        self._info = info
        self._host = host
        self._clock = clock
        self._owner = owner
        self._protocol: IProtocol | None = None
        self._producer: IPushProducer | None = None
        self._answered = False
        self._announced = False
        self._deaf = False
        self._held = False
        self._writable = True

    # For the owner.

    def start(self, protocol: IProtocol) -> None:
        """
        Put a protocol on this transport.
        """
        self._protocol = protocol
        protocol.makeConnection(self)

    def deliver(self, data: bytes) -> None:
        """
        Bytes for the target.
        """
        if self._protocol is not None and not (self.disconnecting or self._deaf):
            self._protocol.dataReceived(data)

    def deliverEnd(self) -> None:
        """
        There will be no more bytes for the target.  What knows no half-closed
        streams takes this for the end of both directions.
        """
        if self._protocol is None or self.disconnecting:
            return
        half = IHalfCloseableProtocol(self._protocol, None)
        if half is not None:
            half.readConnectionLost()
        else:
            self._finish(ConnectionDone())
            self._owner.streamLost(False)

    def hold(self, held: bool) -> None:
        """
        Ask for no more bytes from the target, or for more.
        """
        if held == self._held:
            return
        self._held = held
        if self._producer is not None:
            if held:
                self._producer.pauseProducing()
            else:
                self._producer.resumeProducing()

    def close(self, reason: Exception | None = None) -> None:
        """
        End the stream; the owner hears no more of it.

        @param reason: why; L{None} for a good end.
        """
        self._finish(reason or ConnectionDone())

    def _finish(self, reason: Exception) -> None:
        """
        Tell the protocol, soon, and once.
        """
        if self.disconnecting:
            return
        self.disconnecting = True
        self._writable = False
        self._clock.callLater(0, self._lost, reason)

    def _lost(self, reason: Exception) -> None:
        """
        The end, for the protocol.
        """
        protocol, self._protocol = self._protocol, None
        self._producer = None
        if protocol is not None:
            protocol.connectionLost(Failure(reason))

    # IPending

    def accept(self) -> None:
        """
        The target is reached.
        """
        self._answer()
        if not self.disconnecting:
            # Whoever accepts is not ready for bytes before it returns.
            self._clock.callLater(0, self._announce)

    def _announce(self) -> None:
        """
        Tell the owner, once, unless it has given up.
        """
        if not (self._announced or self.disconnecting):
            self._announced = True
            self._owner.streamAccepted()

    def refuse(self, reason: Refused) -> None:
        """
        The target is not reached.
        """
        self._answer()
        if not self.disconnecting:
            self._finish(ConnectionDone())
            self._owner.streamRefused(reason)

    def _answer(self) -> None:
        """
        @raise RuntimeError: the stream has its answer already.
        """
        if self._answered:
            raise RuntimeError(f"{self._info}: accept() or refuse() for a second time")
        self._answered = True

    # ITransport, IConsumer

    def write(self, data: bytes) -> None:
        """
        Bytes from the target.

        @raise RuntimeError: the stream was not accepted.
        """
        if not self._answered:
            raise RuntimeError(f"{self._info}: write() before accept()")
        self._announce()
        if self._writable and data:
            self._owner.streamData(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Bytes from the target, in pieces.
        """
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """
        The target has sent its last byte.
        """
        if self._writable:
            self._announce()
            self._writable = False
            self._owner.streamEnded()

    def readConnectionLost(self, reason: Failure) -> None:
        """
        There are no more bytes for the target.
        """
        self.deliverEnd()

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        The target has sent its last byte.
        """
        self.loseWriteConnection()

    def loseConnection(self) -> None:
        """
        The target has closed.  Before an answer this is a refusal without a reason.
        """
        if not self.disconnecting:
            self._finish(ConnectionDone())
            self._owner.streamLost(self._answered)

    def abortConnection(self) -> None:
        """
        The target is gone, and bytes may be missing.
        """
        if not self.disconnecting:
            self._finish(ConnectionAborted())
            self._owner.streamLost(False)

    def getPeer(self) -> StreamInfo:
        """
        What is known of the stream.
        """
        return self._info

    def getHost(self) -> IAddress:
        """
        Where the client is connected to.
        """
        return self._host

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Let the client's pace rule who sends the bytes of the target.

        @raise ValueError: it is no streaming producer.
        @raise RuntimeError: there is one already.
        """
        if not streaming:
            raise ValueError(f"{producer!r}: only streaming producers are served here")
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered and was not unregistered")
        if self.disconnecting:
            producer.stopProducing()
            return
        self._producer = cast(IPushProducer, producer)
        if self._held:
            self._producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        Nobody is asked to pause any more.
        """
        self._producer = None

    # IPushProducer: of the bytes for the target

    def pauseProducing(self) -> None:
        """
        The target takes no more for now.
        """
        if not self.disconnecting:
            self._owner.streamFull(True)

    def resumeProducing(self) -> None:
        """
        The target takes more.
        """
        if not self.disconnecting:
            self._owner.streamFull(False)

    def stopProducing(self) -> None:
        """
        The target takes no more, ever.  How the stream ended, cleanly or not, is
        for the protocol to say.
        """
        self._deaf = True
