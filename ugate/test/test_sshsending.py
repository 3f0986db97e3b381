# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshsending}: on sockets, past the reactor.
"""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet import tcp
from twisted.trial.unittest import SynchronousTestCase

try:
    from twisted.conch.ssh import transport as _  # noqa: F401
except ImportError as missing:
    raise SkipTest(f"Conch: {missing}") from missing

from ugate.protocols import sshbinary
from ugate.protocols.sshciphers import CIPHERS
from ugate.protocols.sshsettings import WireSettings
from ugate.protocols.sshwire import ServerWire
from ugate.test.socketfakes import SocketTestCase, tcpPair
from ugate.test.sshpair import DATA, Client, Factory, Pair


class SocketTests(SocketTestCase):
    """
    Both sides, each on a socket of its own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.acknowledged: list[Any] = []
        self.patch(sshbinary, "acknowledge", self.acknowledged.append)
        factory = Factory()
        factory.protocol = lambda: ServerWire(self.reactor, WireSettings())
        factory.startFactory()
        self.server: Any = factory.buildProtocol(None)
        self.client: Any = Client(self.reactor, WireSettings())
        self.ends: list[Any] = []
        for end, protocol in zip(tcpPair(), (self.server, self.client), strict=True):
            end.setblocking(False)
            connection: Any = tcp.Connection(end, protocol, self.reactor)
            connection.connected = 1
            connection.startReading()
            self.ends.append(connection)
            protocol.makeConnection(connection)
        self.until(lambda: self.server.service and self.client.service, "the service")

    def stop(self) -> None:
        for end in self.ends:
            end.abortConnection()
        self.reactor.turn()

    def test_acknowledged(self) -> None:
        """
        What comes before the login is over is acknowledged at once, and later as the kernel likes; then much
        is received at once.
        """
        self.assertEqual({end.socket for end in self.ends}, set(self.acknowledged))
        self.assertEqual([65536] * 2, [end.bufferSize for end in self.ends])
        self.server.sendPacket(52, b"")
        self.until(lambda: self.client.isAuthenticated, "the login")
        self.acknowledged.clear()
        self.client.sendPacket(DATA, b"hello")
        self.until(lambda: self.server.service.got, "a packet")
        self.assertEqual([], self.acknowledged)
        self.assertEqual([1 << 18] * 2, [end.bufferSize for end in self.ends])

    def test_atOnce(self) -> None:
        """
        A packet does not wait for the reactor.
        """
        self.client.sendPacket(DATA, b"hello")
        self.assertEqual([], self.reactor.getWriters())
        self.until(lambda: self.server.service.got == [b"hello"], "it")

    def test_full(self) -> None:
        """
        Who does not read makes the other side wait; then all comes, in order.
        """
        self.server.sendPacket(52, b"")
        self.until(lambda: self.client.isAuthenticated, "the login")
        self.ends[0].stopReading()
        sent = 0
        while not self.client._isFull:
            self.client.sendPacket(DATA, bytes((sent % 251,)) * 30000, b"end")
            sent += 1
        # What is not in the kernel is within what one write may leave.
        self.assertLess(len(self.ends[1].dataBuffer) + self.ends[1]._tempDataLen, 1 << 19)
        self.ends[0].startReading()
        self.until(lambda: len(self.server.service.got) == sent, "all of them")
        wanted = [bytes((number % 251,)) * 30000 + b"end" for number in range(sent)]
        self.assertTrue(wanted == self.server.service.got)
        self.until(lambda: not self.client._isFull, "room")


class TogetherTests(SynchronousTestCase):
    """
    Many packets in one write.
    """

    def setUp(self) -> None:
        self.pair = Pair()
        self.wrote: list[bytes] = []
        self.pair.client.transport.write = self.wrote.append

    def test_together(self) -> None:
        """
        What is sent in a call, and in calls within it, is one write at its end.
        """
        client = self.pair.client

        def both() -> None:
            client.sendPacket(DATA, b"one")
            client.together(lambda: client.sendPacket(DATA, b"two"))
            self.assertEqual([], self.wrote)

        client.together(both)
        self.assertEqual(1, len(self.wrote))
        client.sendPacket(DATA, b"three")
        self.assertEqual(2, len(self.wrote))
        self.pair.server.dataReceived(b"".join(self.wrote))
        self.assertEqual([b"one", b"two", b"three"], self.pair.server.service.got)

    def test_broken(self) -> None:
        """
        What was sent before the call failed is sent, and what comes later, too.
        """

        def broken() -> None:
            self.pair.client.sendPacket(DATA, b"one")
            raise ValueError("broken")

        self.assertRaises(ValueError, self.pair.client.together, broken)
        self.assertEqual(1, len(self.wrote))
        self.pair.client.sendPacket(DATA, b"two")
        self.assertEqual(2, len(self.wrote))

    @settings(max_examples=50)
    @given(st.sampled_from(CIPHERS), st.lists(st.integers(0, 3000), max_size=20), st.data())
    def test_pieces(self, cipher: bytes, sizes: list[int], drawn: st.DataObject) -> None:
        """
        However packets are cut on their way, they come as they were sent.
        """
        pair = Pair(ciphers=(cipher,))
        wrote: list[bytes] = []
        pair.client.transport.write = wrote.append
        sent = [bytes((number,)) * size for number, size in enumerate(sizes, 1)]
        for each in sent:
            pair.client.sendPacket(DATA, each)
        data = b"".join(wrote)
        while data:
            at = drawn.draw(st.integers(1, len(data)))
            pair.server.dataReceived(data[:at])
            data = data[at:]
        self.assertEqual(sent, pair.server.service.got)
