# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpconnection}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.httpconnection import FLUSH, LINGER, MAX_LINGER, HttpConnection
from ugate.test.httpfakes import FakeClient


class Noting(HttpConnection):
    """
    Notes how it ends.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.ends: list[bool] = []

    def stopped(self, clean: bool) -> None:
        """
        Note it.
        """
        self.ends.append(clean)


class ConnectionTests(SynchronousTestCase):
    """
    The deadline, the pauses and the ends.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.connection = Noting(self.clock)
        self.connection.makeConnection(self.client)
        self.client.registerProducer(StringTransport(), True)

    def test_interface(self) -> None:
        """
        It is a protocol, which lets go of nothing by itself.
        """
        verifyObject(IProtocol, self.connection)
        HttpConnection(self.clock).stopped(True)

    def test_deadline(self) -> None:
        """
        There is one deadline, which may be taken back even when it is over.
        """
        rung: list[int] = []
        self.connection.arm(5, lambda: rung.append(1))
        self.connection.arm(7, lambda: rung.append(2))
        self.clock.advance(6)
        self.assertEqual(rung, [])
        self.clock.advance(1)
        self.assertEqual(rung, [2])
        self.connection.disarm()
        self.connection.arm(5, lambda: rung.append(3))
        self.connection.disarm()
        self.clock.advance(10)
        self.assertEqual(rung, [2])

    def test_pause(self) -> None:
        """
        The transport is told of changes alone.
        """
        self.connection.pause(False)
        self.connection.pause(True)
        self.assertEqual(self.client.producerState, "paused")
        self.client.producerState = "other"
        self.connection.pause(True)
        self.assertEqual(self.client.producerState, "other")
        self.connection.pause(False)
        self.assertEqual(self.client.producerState, "producing")

    def test_close(self) -> None:
        """
        A closed connection sends no more, and closes once.
        """
        self.connection.send(b"a")
        self.connection.close()
        self.assertIsNone(self.client.producer)
        self.connection.close()
        self.connection.abort()
        self.connection.send(b"b")
        self.assertEqual((self.client.take(), self.connection.ends), (b"a", [True]))
        self.assertTrue(self.client.disconnecting and not self.client.aborted)

    def test_flush(self) -> None:
        """
        A client that does not read the rest is cut off.
        """
        self.connection.close()
        self.clock.advance(FLUSH - 0.1)
        self.assertFalse(self.client.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.client.aborted)

    def test_abort(self) -> None:
        """
        An aborted connection is not clean.
        """
        self.connection.abort()
        self.assertEqual((self.client.aborted, self.connection.ends), (True, [False]))

    def test_linger(self) -> None:
        """
        A client is heard for a while after our end, even if it was paused.
        """
        self.connection.pause(True)
        self.connection.linger()
        self.assertEqual((self.client.writeEnded, self.client.producerState), (True, "producing"))
        self.connection.discard(b"x" * MAX_LINGER)
        self.clock.advance(LINGER - 0.1)
        self.assertFalse(self.client.disconnecting)
        self.clock.advance(0.1)
        self.assertTrue(self.client.disconnecting)

    def test_lingerLimit(self) -> None:
        """
        But not for whatever it sends.
        """
        self.connection.linger()
        self.connection.discard(b"x" * MAX_LINGER)
        self.assertFalse(self.client.disconnecting)
        self.connection.discard(b"x")
        self.assertTrue(self.client.disconnecting)
