# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.leg}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.buffers import Buffers
from ugate.leg import EARLY_LIMIT, Leg


class LegTests(SynchronousTestCase):
    """
    One end of a stream.
    """

    def setUp(self) -> None:
        self.leg = Leg()
        self.transport = StringTransport()
        self.leg.makeConnection(self.transport)

    def test_interfaces(self) -> None:
        """
        It is a protocol that knows of half-closed connections.
        """
        verifyObject(IProtocol, self.leg)
        verifyObject(IHalfCloseableProtocol, self.leg)

    def test_early(self) -> None:
        """
        What arrives while nobody takes it is kept, in order.
        """
        self.leg.dataReceived(b"one ")
        self.leg.dataReceived(b"two")
        self.assertEqual((self.leg.early, self.leg.paused), (b"one two", False))

    def test_limit(self) -> None:
        """
        When so much has arrived, the sender is paused, once.
        """
        self.leg.dataReceived(bytes(EARLY_LIMIT - 1))
        self.assertEqual(self.transport.producerState, "producing")
        self.leg.dataReceived(b"x")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertTrue(self.leg.paused)
        # What was on its way already.
        self.transport.producerState = "producing"
        self.leg.dataReceived(b"y")
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(len(self.leg.early), EARLY_LIMIT + 1)

    def test_deliver(self) -> None:
        """
        Once somebody takes it, nothing is kept, and nobody paused.
        """
        got: list[bytes] = []
        self.leg.deliver = got.append
        self.leg.dataReceived(b"x" * EARLY_LIMIT)
        self.leg.dataReceived(b"y")
        self.assertEqual(got, [b"x" * EARLY_LIMIT, b"y"])
        self.assertEqual((self.leg.early, self.transport.producerState), (b"", "producing"))

    def test_ended(self) -> None:
        """
        It remembers that its peer has ended, and tells who wants to know; the
        connection stays.
        """
        self.leg.readConnectionLost()
        self.assertTrue(self.leg.eof)
        told: list[bool] = []
        other = Leg()
        other.ended = lambda: told.append(other.eof)
        other.readConnectionLost()
        self.assertEqual(told, [True])
        self.assertEqual((self.transport.disconnecting, self.leg.gone), (False, None))

    def test_deaf(self) -> None:
        """
        It remembers that its peer takes no more, and tells who wants to know.
        """
        self.leg.writeConnectionLost()
        self.assertTrue(self.leg.deaf)
        told: list[bool] = []
        other = Leg()
        other.deafened = lambda: told.append(other.deaf)
        other.writeConnectionLost()
        self.assertEqual((told, self.transport.disconnecting), ([True], False))

    def test_lost(self) -> None:
        """
        It remembers why the connection is gone, and tells who wants to know.
        """
        reason = Failure(ConnectionLost())
        self.leg.connectionLost(reason)
        self.assertIs(self.leg.gone, reason)
        told: list[Failure] = []
        self.leg.lost = told.append
        other = Failure(ConnectionDone())
        self.leg.connectionLost(other)
        self.assertEqual((told, self.leg.gone), ([other], other))

    def test_apart(self) -> None:
        """
        Legs share nothing.
        """
        self.leg.dataReceived(b"mine")
        self.leg.readConnectionLost()
        self.assertEqual((Leg().early, Leg().eof, Leg().gone, Leg().paused), (b"", False, None, False))


class CountTests(SynchronousTestCase):
    """
    What a leg keeps is somebody's memory.
    """

    def test_kept(self) -> None:
        """
        It counts from when it is known whose it is until it is taken.
        """
        buffers = Buffers()
        leg = Leg()
        leg.makeConnection(StringTransport())
        leg.dataReceived(b"one ")
        leg.count(buffers)
        leg.dataReceived(b"two")
        self.assertEqual(buffers.used, 7)
        self.assertEqual((leg.takeEarly(), buffers.used), (b"one two", 0))
        leg.dataReceived(b"three")
        self.assertEqual((leg.takeEarly(), leg.takeEarly(), buffers.used), (b"three", b"", 0))
