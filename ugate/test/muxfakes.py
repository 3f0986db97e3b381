# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A channel that remembers what it is asked for, and protocols for its streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import IChannel
from ugate.protocols.mux import MuxStream
from ugate.stream import Principal, StreamInfo, Target

INFO = StreamInfo(
    IPv4Address("TCP", "10.0.0.1", 40000),
    IPv4Address("TCP", "10.0.0.2", 443),
    Target("db", 5432),
    Principal("alice", "certificate"),
)


@implementer(IChannel)
class FakeChannel:
    """
    A channel.

    @ivar calls: what it was asked for: bytes that were written stand for themselves.
    @ivar isFull: whether what is written stays unsent.
    @ivar taken: how many bytes were said to be consumed.
    """

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.unsent = 0
        self.isFull = False
        self.taken = 0

    def write(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.calls.append(data)
        if self.isFull:
            self.unsent += len(data)

    def finish(self) -> None:
        """
        Note it.
        """
        self.calls.append("finish")

    def consumed(self, count: int) -> None:
        """
        Count it.
        """
        self.taken += count

    def reset(self) -> None:
        """
        Note it.
        """
        self.calls.append("reset")

    def accept(self) -> None:
        """
        Note it.
        """
        self.calls.append("accept")

    def refuse(self, reason: Refused) -> None:
        """
        Note it.
        """
        self.calls.append(reason)

    def drain(self, stream: MuxStream) -> None:
        """
        All is sent.
        """
        self.isFull = False
        self.unsent = 0
        stream.drained()


class Whole(Protocol):
    """
    A protocol that knows nothing of halves.

    @ivar heard: what it was told: bytes stand for themselves.
    @ivar does: what it does when it is told something, by what that is.
    """

    def __init__(self, **does: Callable[[Any], object]) -> None:
        self.heard: list[object] = []
        self.does = does
        self._depth = 0

    def _hears(self, what: object, name: str) -> None:
        assert not self._depth, "called while it is being called"
        self._depth += 1
        try:
            self.heard.append(what)
            self.does.get(name, lambda _: None)(self.transport)
        finally:
            self._depth -= 1

    def connectionMade(self) -> None:
        """
        Note it.
        """
        self._hears("made", "made")

    def dataReceived(self, data: bytes) -> None:
        """
        Note it.
        """
        self._hears(data, "data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Note why.
        """
        self._hears(reason.type, "lost")


@implementer(IHalfCloseableProtocol)
class Half(Whole):
    """
    One that does.
    """

    def readConnectionLost(self) -> None:
        """
        Note it.
        """
        self._hears("read lost", "ended")

    def writeConnectionLost(self) -> None:
        """
        Note it.
        """
        self._hears("write lost", "finished")


@implementer(IPushProducer)
class Pusher:
    """
    A push producer.

    @ivar calls: what it was told.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """
        Note it.
        """
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """
        Note it.
        """
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.calls.append("stop")


@implementer(IPullProducer)
class Puller:
    """
    A pull producer.

    @ivar pieces: what it has to say, one at a time; L{None} for nothing just now.
    """

    isStopped = False

    def __init__(self, stream: MuxStream, pieces: list[bytes | None]) -> None:
        self.stream = stream
        self.pieces = pieces

    def resumeProducing(self) -> None:
        """
        Say the next piece.
        """
        if not self.pieces:
            self.stream.unregisterProducer()
            return
        piece = self.pieces.pop(0)
        if piece is not None:
            self.stream.write(piece)

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.isStopped = True
