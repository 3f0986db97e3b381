# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of framed links share: two links in HTTP/2 that are one connection, and sockets on either side.
"""

from __future__ import annotations

import socket
from typing import Any

from ugate import framing
from ugate.copying import Copying
from ugate.endpoints.connecting import Dialed
from ugate.leg import Leg
from ugate.protocols.h2link import H2Link
from ugate.protocols.mux import MuxStream
from ugate.stream import StreamInfo, Target
from ugate.test.h2fakes import HOST, PEER
from ugate.test.socketfakes import Peer, SocketTestCase, tcpPair
from ugate.test.splicefakes import noise

TARGET = Target("127.0.0.1", 9)


class Way:
    """
    A stream with a peer at either end.

    @ivar a: that of the client.
    @ivar b: that of the server.
    @ivar target: what C{b} is connected to.
    @ivar reasons: why each half ended.
    """

    def __init__(self, a: Peer, b: Peer, target: Leg) -> None:
        self.a = a
        self.b = b
        self.target = target
        self.reasons: list[str] = []
        self.halves: list[Copying] = []


class FramingTestCase(SocketTestCase):
    """
    Has the links.
    """

    skip = None if framing.available else "this system has no splice(2)"
    buffers = 0
    unit = 1 << 20
    """How much is a piece of bulk."""

    def setUp(self) -> None:
        super().setUp()
        self.client = H2Link(self.reactor, StreamInfo(HOST, PEER), True)
        self.server = H2Link(self.reactor, StreamInfo(PEER, HOST), False)
        self.connect()
        self.ways: list[Way] = []
        self.until(lambda: self.client.room, "the links to be up")

    def connect(self) -> None:
        """
        Have a connection below the links.
        """
        one, two = tcpPair(self.buffers)
        self.clientSocket = self.transport(one, self.client)
        self.transport(two, self.server)

    def transport(self, connected: socket.socket, protocol: Any) -> Any:
        """
        A transport on a socket.
        """
        connected.setblocking(False)
        transport = Dialed(connected, TARGET, protocol, self.reactor)
        protocol.makeConnection(transport)
        transport.startReading()
        return transport

    def stop(self) -> None:
        for link in (self.client, self.server):
            link.abort("the test is over")
        for way in self.ways:
            for half in way.halves:
                half.close("the test is over", abort=True)
        self.rest()
        self.assertEqual([], self.reactor.getReaders() + self.reactor.getWriters())

    def leg(self, buffers: int = 0) -> tuple[Peer, Leg]:
        """
        A socket, and the peer at its other end.
        """
        far, near = tcpPair(buffers)
        self.peers.append(Peer(far))
        leg = Leg()
        self.transport(near, leg)
        return self.peers[-1], leg

    def way(self, buffers: int = 0) -> Way:
        """
        Another stream.
        """
        far, target = self.leg(buffers)
        near, leg = self.leg(buffers)
        way = Way(near, far, target)

        def joined(one: Leg, two: Leg) -> None:
            half = Copying(self.reactor, one, two, way.reasons.append)
            way.halves.append(half)
            half.start()

        def accepted(stream: MuxStream) -> None:
            stream.accept()
            inner = Leg()
            stream.begin(inner)
            joined(inner, target)

        def opened(stream: MuxStream) -> None:
            inner = Leg()
            stream.begin(inner)
            joined(leg, inner)

        self.server.incoming = accepted
        self.client.open(self.client.info.but(target=TARGET)).addCallback(opened)
        self.until(lambda: len(way.halves) == 2, "a stream")
        self.ways.append(way)
        return way

    def arrive(self, peer: Peer, data: bytes) -> None:
        """
        All that was sent comes, as it was.
        """
        self.until(lambda: len(peer.got) >= len(data), f"{len(data)} bytes")
        self.assertEqual(data, bytes(peer.got))

    def passBy(self, most: float) -> None:
        """
        Bulk of each direction goes past the protocols on either side, all but so many times what it is.
        """
        for back in (False, True):
            way = self.way()
            source, sink = (way.b, way.a) if back else (way.a, way.b)
            seen = 0
            for half in way.halves:
                for leg in half._legs:
                    receive = leg.dataReceived

                    def counted(data: bytes, receive: Any = receive) -> None:
                        nonlocal seen
                        seen += len(data)
                        receive(data)

                    leg.dataReceived = counted  # type: ignore[method-assign]
            data = noise(32 * self.unit)
            source.give(data)
            self.arrive(sink, data)
            self.assertLess(seen, most * len(data))
