# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websocketwire}: who is slow, and who is gone.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from ugate.protocols.websocketframes import (
    BINARY,
    PING,
    PONG,
    Code,
)
from ugate.protocols.websocketlink import ODD
from ugate.protocols.websocketwire import KEEPALIVE, WINDOW
from ugate.test.websocketfakes import FakeProducer, LinkCase


class PressureTests(LinkCase):
    """
    Who is slow.
    """

    def test_reader(self) -> None:
        """
        What nobody takes is kept up to a limit, and then nothing is read.
        """
        self.inner.pause()
        self.send(BINARY, bytes(WINDOW))
        self.assertFalse(self.wire.isPaused)
        self.send(BINARY, b"x")
        self.assertTrue(self.wire.isPaused)
        # Nobody asks a peer that we do not listen to whether it is there.
        self.clock.pump([KEEPALIVE] * 5)
        self.assertTrue(self.inner.isOpen)
        self.inner.resume()
        self.assertEqual((WINDOW + 1, False), (len(self.inner.received), self.wire.isPaused))

    def test_writer(self) -> None:
        """
        A producer waits for the transport, and the end for the producer.
        """
        producer = FakeProducer()
        self.link.stream.registerProducer(producer, True)
        self.inner.halfClose()
        self.link.pauseProducing()
        self.inner.write(b"one")
        self.assertEqual(["pause"], producer.calls)
        self.link.resumeProducing()
        self.assertEqual(["pause", "resume"], producer.calls)
        self.assertEqual((b"one", None, None), self.told())
        self.inner.write(b"two")
        self.link.stream.unregisterProducer()
        self.assertEqual((b"two", None, (Code.NORMAL, "")), self.told())

    def test_producerEnds(self) -> None:
        """
        When the connection is gone, who produces is told.
        """
        producer = FakeProducer()
        self.link.stream.registerProducer(producer, True)
        self.link.stopProducing()
        self.link.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(["stop"], producer.calls)

    def test_pings(self) -> None:
        """
        A Ping is answered; as long as nothing goes out the last is kept, and no more.
        """
        self.send(PING, b"one")
        self.assertEqual(b"\x8a\x03one", self.wire.take())
        self.link.pauseProducing()
        for number in range(100):
            self.send(PING, b"%d" % number)
        self.assertEqual(b"", self.wire.take())
        self.link.resumeProducing()
        self.send(BINARY, b"x")
        self.assertEqual(b"\x8a\x0299", self.wire.take())

    def test_flood(self) -> None:
        """
        So many frames that carry nothing are borne at once, and no more.
        """
        for kind in (PING, PONG, BINARY):
            self.setUp()
            for _ in range(ODD):
                self.send(kind)
            self.assertTrue(self.inner.isOpen)
            self.wire.take()
            self.send(kind)
            self.assertIn("too many frames", self.why())
            close = self.told()[2]
            assert close is not None
            self.assertEqual(Code.POLICY, close[0])
            self.link.connectionLost(Failure(ConnectionDone()))

    def test_keepalive(self) -> None:
        """
        When nothing comes or goes, the peer is asked whether it is there, and has to answer.
        """
        self.clock.advance(KEEPALIVE)
        self.assertEqual((b"", b"1", None), self.told())
        self.send(PONG, b"1")
        self.clock.advance(KEEPALIVE)
        self.assertEqual((b"", b"2", None), self.told())
        self.send(BINARY, b"x")
        # It only listens, and what is between may take a side that says nothing for idle.
        self.clock.advance(KEEPALIVE)
        self.assertEqual((b"", b"3", None), self.told())
        self.clock.advance(KEEPALIVE)
        self.assertIn("does not answer", self.why())
        self.assertTrue(self.wire.aborted)

    def test_slowReader(self) -> None:
        """
        Who has not read all that was sent cannot answer a Ping behind it, and is not cut; when it has, it
        has to.
        """
        self.inner.write(b"x")
        self.clock.pump([KEEPALIVE] * 5)
        self.assertTrue(self.inner.isOpen)
        asked = self.told()[1] or b""
        # Not by a Pong that nobody asked for, nor by one of a Ping in front of what was written.
        self.inner.write(b"y")
        self.send(PONG, b"")
        self.send(PONG, asked)
        self.clock.pump([KEEPALIVE] * 5)
        self.assertTrue(self.inner.isOpen)
        self.send(PONG, self.told()[1] or b"")
        self.clock.pump([KEEPALIVE] * 2)
        self.assertIn("does not answer", self.why())

    def test_busy(self) -> None:
        """
        Nobody is asked while bytes go both ways.
        """
        for _ in range(5):
            self.send(BINARY, b"x")
            self.inner.write(b"y")
            self.clock.advance(KEEPALIVE)
        self.assertEqual((b"yyyyy", None), self.told()[:2])

    def test_halfKeepalive(self) -> None:
        """
        A peer that has ended may say nothing more; it is told now and then that we are there.
        """
        self.close()
        self.clock.pump([KEEPALIVE] * 5)
        self.assertEqual(b"5", self.told()[1])
        self.assertTrue(self.inner.isOpen)
        self.inner.halfClose()
        self.wire.take()
        self.clock.pump([KEEPALIVE] * 5)
        self.assertEqual(b"", self.wire.take())

    def test_blocked(self) -> None:
        """
        No Ping is put behind what does not go out.
        """
        self.link.pauseProducing()
        self.clock.pump([KEEPALIVE] * 5)
        self.assertEqual((b"", True), (self.wire.take(), self.inner.isOpen))
