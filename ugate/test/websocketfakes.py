# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A WebSocket connection whose transport is in memory, and frames that are written by hand.
"""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused
from ugate.interfaces import IHalfCloseableTransport
from ugate.protocols.websocketframes import (
    CLOSE,
    Code,
    FrameReader,
    frame,
    goodbye,
)
from ugate.protocols.websocketlink import WebSocketLink
from ugate.protocols.websocketwire import WebSocketStreams
from ugate.stream import StreamInfo, Target
from ugate.test.httpfakes import CLIENT, PROXY, FakeClient
from ugate.testing import Conversation

INFO = StreamInfo(CLIENT, PROXY, Target("db", 1), protocol="websocket")
BULK = bytes(range(256)) * 1024


@implementer(IHalfCloseableTransport)
class Wire(FakeClient):
    """
    The transport of a link.
    """

    refusal: Refused | None = None

    def refuse(self, reason: Refused) -> None:
        """
        Note it.
        """
        self.refusal = reason

    @property
    def isPaused(self) -> bool:
        """
        Whether nothing more is read.
        """
        return self.producerState == "paused"


@implementer(IPushProducer)
class FakeProducer:
    """
    Remembers what it is told.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """
        Less.
        """
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """
        More.
        """
        self.calls.append("resume")

    def stopProducing(self) -> None:
        """
        No more.
        """
        self.calls.append("stop")


class LinkCase(SynchronousTestCase):
    """
    One link, and what is written to it by hand.
    """

    isClient = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.streams = WebSocketStreams(self.clock, self.isClient)
        self.inner = Conversation()
        self.wire = Wire()
        self.link = WebSocketLink(self.streams, self.inner, None if self.isClient else INFO)
        self.link.makeConnection(self.wire)
        if not self.isClient:
            self.link.stream.accept()

    def tearDown(self) -> None:
        self.link.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], self.clock.getDelayedCalls())

    def send(self, kind: int, payload: bytes = b"") -> None:
        """
        The peer sends a frame.
        """
        self.link.dataReceived(b"".join(frame(kind, payload, not self.isClient)))

    def close(self, code: int = Code.NORMAL) -> None:
        """
        The peer sends a Close frame.
        """
        self.send(CLOSE, goodbye(code))

    def told(self) -> tuple[bytes, bytes | None, tuple[int, str] | None]:
        """
        What the peer got since the last time: bytes of the stream, of a Ping, and of a Close frame.
        """

        class Anything:
            def spend(self) -> None:
                """All are borne."""

        reader = FrameReader(self.isClient, Anything())
        return b"".join(reader.feed(self.wire.take())), reader.ping, reader.close

    def why(self) -> str:
        """
        Why the stream is lost, which it is, and not cleanly.
        """
        assert self.inner.lost is not None
        self.assertIsNone(self.inner.lost.check(ConnectionDone))
        return self.inner.lost.getErrorMessage()
