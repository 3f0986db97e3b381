# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections in TLS for tests, and what is above them.
"""

from __future__ import annotations

from dataclasses import replace

from OpenSSL import SSL
from zope.interface import implementer

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.protocols.tlsconnection import TLSConnection
from ugate.protocols.tlsmemory import out
from ugate.protocols.tlsrecords import Records
from ugate.test.h2fakes import HOST, PEER
from ugate.test.socketfakes import SocketTestCase
from ugate.test.tlssocketfakes import TLSPeer, parted

VERSIONS = (0, SSL.OP_NO_TLSv1_3)
MUCH = 1 << 20


@implementer(IPushProducer)
class Inner(Protocol):
    """
    What is above.
    """

    takesViews = False

    def __init__(self) -> None:
        self.got = b""
        self.kinds: set[type] = set()
        self.lost: list[BaseException] = []
        self.calls: list[str] = []

    def dataReceived(self, data: bytes | memoryview) -> None:
        self.kinds.add(type(data))
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.value is not None
        self.lost.append(reason.value)

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class TLSConnectionTestCase(SocketTestCase):
    """
    Connections in TLS on real sockets, with OpenSSL as their peer.
    """

    def setUp(self) -> None:
        super().setUp()
        self.connections: list[TLSConnection] = []

    def stop(self) -> None:
        for each in self.connections:
            each.abortConnection()
        self.rest()
        self.assertEqual([], self.reactor.getReaders() + self.reactor.getWriters())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def begin(
        self, buffers: int = 0, version: int = 0, early: bytes = b"", unsent: bytes = b"",
        views: bool = False, kind: type[Records] = Records,
    ) -> tuple[TLSPeer, Inner, TLSConnection]:  # fmt: skip
        """
        A peer, and what is at our end.

        @param early: what the peer sent before.
        """
        peer, detached, records = parted(self, buffers, version, kind)
        if early:
            peer.connection.send(early)
            records.connection.bio_write(out(peer.connection))
        inner = Inner()
        inner.takesViews = views
        connection = TLSConnection(replace(detached, unsent=unsent), records, inner, PEER, HOST)
        self.connections.append(connection)
        inner.makeConnection(connection)
        connection.begin()
        return peer, inner, connection
