# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A peer of HTTP/2 that sends the frames it is told to, good or bad.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from hpack import Decoder, Encoder
from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.interfaces import IHalfCloseableTransport
from ugate.protocols import h2requests
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import (
    ACK,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    FrameReader,
    frameHead,
)
from ugate.protocols.h2link import H2Link
from ugate.protocols.websocketrules import Rules
from ugate.protocols.websockettunnels import Tunnels
from ugate.stream import StreamInfo, Target

PEER = IPv4Address("TCP", "192.0.2.1", 40000)
HOST = IPv4Address("TCP", "192.0.2.2", 15008)

CONNECT = [(":method", "CONNECT"), (":authority", "db.example:5432")]

Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream and payload."""


class Frames(FrameReader):
    """
    What a link has sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Frame] = []
        self._data = b""

    def dataBegins(self, stream: int, size: int, padding: int, flags: int) -> Any:
        self._now = (stream, flags)
        self._data = b""
        return self._more

    def _more(self, data: bytes) -> None:
        self._data += data

    def dataEnds(self) -> None:
        self.all.append((DATA, self._now[1], self._now[0], self._data))

    def frame(self, kind: int, flags: int, stream: int, whole: bytes) -> None:
        self.all.append((kind, flags, stream, whole[9:]))


@implementer(IHalfCloseableTransport)
class Wire(StringTransport):
    """
    A transport that can be ended one way, and cut.
    """

    aborted = False
    halfClosed = False

    def loseWriteConnection(self) -> None:
        self.halfClosed = True

    def abortConnection(self) -> None:
        self.aborted = True


class RawPeer:
    """
    The other end of a link.

    @ivar link: the link.
    @ivar decoder: unpacks header fields of the link, which all have to go through it.
    """

    def __init__(
        self,
        client: bool = False,
        limits: H2Limits | None = None,
        greet: bool = True,
        rules: Rules | None = None,
        asking: h2requests.Asking | None = None,
    ) -> None:
        """
        @param client: whether the link is that of a client.
        @param greet: whether to begin as one should.
        @param rules: which tunnels in WebSocket the link takes, if any.
        @param asking: how the link asks for streams.
        """
        self.clock = Clock()
        self.link = H2Link(
            self.clock,
            StreamInfo(PEER, HOST),
            client,
            limits,
            None if rules is None else Tunnels(self.clock, rules),
            asking,
        )
        self.wire = Wire(HOST, PEER)
        self.isClient = not client
        self._encoder = Encoder()
        self.decoder = Decoder()
        self._frames = Frames()
        self._seen = 0
        self.streams: list[Any] = []
        self.link.incoming = self.streams.append
        self.link.makeConnection(self.wire)
        if greet:
            self.greet()

    def greet(self, settings: Sequence[tuple[int, int]] = ()) -> None:
        """
        The preface, our settings, and our word on those of the link.
        """
        if self.isClient:
            self.raw(PREFACE)
        self.settings(*settings)
        self.send(SETTINGS, ACK)

    def raw(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self.link.dataReceived(data)

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        """
        Send a frame.
        """
        self.raw(frameHead(len(payload), kind, flags, stream) + payload)

    def settings(self, *settings: tuple[int, int]) -> None:
        """
        Send settings.
        """
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *each) for each in settings))

    def headers(
        self, stream: int, fields: Sequence[tuple[str, str]] = CONNECT, flags: int = END_HEADERS
    ) -> None:
        """
        Send a header.
        """
        self.send(HEADERS, flags, stream, self._encoder.encode(fields))

    def frames(self) -> list[Frame]:
        """
        What came since this was last asked.
        """
        data = self.wire.value()
        self.wire.clear()
        if not self.isClient and data.startswith(PREFACE):
            data = data[len(PREFACE) :]
        self._frames.feed(data)
        found = self._frames.all[self._seen :]
        self._seen = len(self._frames.all)
        return found

    def goneAway(self) -> tuple[int, int, bytes] | None:
        """
        The last stream, the code and the text of a GOAWAY that came.
        """
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                return (*struct.unpack(">LL", payload[:8]), payload[8:])
        return None

    def resets(self) -> list[tuple[int, int]]:
        """
        The streams that were reset, and with which code.
        """
        return [
            (stream, struct.unpack(">L", payload)[0])
            for kind, _, stream, payload in self.frames()
            if kind == RST_STREAM
        ]


class Upper:
    """
    In place of what is above a channel.
    """

    info = StreamInfo(PEER, HOST, Target("db.example", 5432), protocol="h2connect")

    def __init__(self, channel: Any, takes: bool = True) -> None:
        self.channel = channel
        self.takes = takes
        self.data = b""
        self.told: list[str] = []
        self.reason: Failure | None = None
        channel.attach(self)

    def received(self, data: bytes) -> None:
        self.data += data
        if self.takes:
            self.channel.consumed(len(data))

    def ended(self) -> None:
        self.told.append("ended")

    def drained(self) -> None:
        self.told.append("drained")

    def closed(self, reason: Failure) -> None:
        self.told.append("closed")
        self.reason = reason


INFO = StreamInfo(PEER, HOST, Target("db.example", 5432))
