# -*- test-case-name: ugate.test.test_datagrams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A flow of datagrams as a transport.

It has no end of its own and nothing to wait for: what cannot be passed on is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IConsumer, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure

from ugate.errors import ProtocolError
from ugate.interfaces import IDatagrams, IHalfCloseableTransport
from ugate.protocols.capsules import Capsules, capsule


@implementer(ITransport, IConsumer, IPushProducer, IHalfCloseableTransport, IDatagrams)
class DatagramStream:
    """
    See L{IDatagrams}.  Whoever has the datagrams subclasses it, calls C{begin} with a protocol, C{arrived}
    or C{arrivedAll} with what comes, C{lost} when there will be no more; and has C{postAll},
    and C{closed} if it has anything to let go of.

    @ivar peer: what C{getPeer} answers: a L{StreamInfo}, if the flow is offered to a gateway.
    @ivar isClosed: whether it is over.
    @ivar failed: called when something that was sent to the peer did not get there, if that is known.
    @since: ugate NEXT
    """

    dropped = 0
    isClosed = False
    failed: Callable[[OSError], object] | None = None
    disconnecting = False
    _protocol: Any = None
    _isPaused = False
    _capsules: Capsules | None = None

    def __init__(self, peer: IAddress, host: IAddress) -> None:
        """
        @param host: the local address.
        """
        self.peer = peer
        self.host = host

    # For whoever has the datagrams.

    def begin(self, protocol: IProtocol) -> None:
        """
        Give it its protocol.
        """
        self._protocol = protocol
        protocol.makeConnection(self)

    def arrived(self, datagram: bytes) -> None:
        """
        One came from the peer.
        """
        self.arrivedAll((datagram,))

    def arrivedAll(self, datagrams: Sequence[bytes]) -> None:
        """
        Some came from the peer, at least one.
        """
        if self._isPaused or self._protocol is None:
            self.dropped += len(datagrams)
        else:
            self._protocol.dataReceived(b"".join(map(capsule, datagrams)))

    def lost(self, reason: BaseException | None = None) -> None:
        """
        There will be no more.

        @param reason: why, if it is a failure.
        """
        if self.isClosed:
            return
        self.isClosed = self.disconnecting = True
        self.receive(self._late)
        self.closed()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone() if reason is None else reason))

    def _late(self, datagrams: Sequence[bytes]) -> None:
        """
        What comes when all is over.
        """
        self.dropped += len(datagrams)

    def closed(self) -> None:
        """
        It is over: let go of what it has.
        """

    def fail(self, error: OSError) -> None:
        """
        Something that was sent did not get to the peer.
        """
        if self.failed is not None:
            self.failed(error)

    def undelivered(self, error: OSError) -> None:
        """
        Something that the peer has sent did not get where it was to go: whoever can tell the peer does.
        """

    # IDatagrams

    def post(self, datagram: bytes) -> None:
        """
        See L{IDatagrams.post}.
        """
        self.postAll((datagram,))

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}: here, nobody takes them.
        """
        self.dropped += len(datagrams)

    def receive(self, receiver: Callable[[Sequence[bytes]], object]) -> None:
        """
        See L{IDatagrams.receive}.
        """
        # What is called so often has nothing to look at.
        self.arrivedAll = receiver  # type: ignore[method-assign,assignment]

    # ITransport

    def write(self, data: bytes) -> None:
        """
        Send the datagrams whose capsules are complete.
        """
        if self.isClosed:
            return
        if self._capsules is None:
            self._capsules = Capsules()
        try:
            datagrams = self._capsules.receive(data)
        except ProtocolError as error:
            self.lost(error)
            return
        if datagrams:
            self.postAll(datagrams)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        See L{ITransport}.
        """
        self.write(b"".join(data))

    def getPeer(self) -> IAddress:
        """
        What is known of the other side.
        """
        return self.peer

    def getHost(self) -> IAddress:
        """
        The local address.
        """
        return self.host

    def loseConnection(self) -> None:
        """
        It is over: nothing is under way.
        """
        self.lost()

    def abortConnection(self) -> None:
        """
        The same, for whoever wants to be told that it was no clean end.
        """
        self.lost(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """
        Datagrams have no half of an end.
        """
        self.lost()

    # IConsumer, IPushProducer

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        See L{IConsumer}: it is never held up.
        """

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """

    def pauseProducing(self) -> None:
        """
        What comes meanwhile is dropped.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._isPaused = False

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.lost()
