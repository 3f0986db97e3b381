# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websocketlink}: two links whose transports are in memory, or one and frames that
are written by hand.
"""

from __future__ import annotations

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IChannel, IHalfCloseableTransport
from ugate.protocols.websocketframes import (
    BINARY,
    CLOSE,
    LARGEST,
    PING,
    PONG,
    TEXT,
    Code,
    Fault,
    FrameReader,
    frame,
    goodbye,
)
from ugate.protocols.websocketlink import ODD, WebSocketLink
from ugate.protocols.websocketwire import GOODBYE, KEEPALIVE, WINDOW, WebSocketStreams
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


class ServerTests(LinkCase):
    """
    The side that was connected to.
    """

    def test_interfaces(self) -> None:
        """
        It is a protocol of halves, and a channel.
        """
        verifyObject(IHalfCloseableProtocol, self.link)
        verifyObject(IChannel, self.link)
        self.assertEqual(INFO, self.inner.transport.getPeer())  # type: ignore[union-attr]

    def test_bytes(self) -> None:
        """
        Bytes go both ways; what is long is sent in several frames.
        """
        self.send(BINARY, b"question")
        self.assertEqual(b"question", self.inner.received)
        self.inner.write(b"answer")
        self.assertEqual((b"answer", None, None), self.told())
        self.inner.write(BULK)
        self.assertEqual(BULK, self.told()[0])
        self.inner.write(BULK)
        self.assertEqual(len(BULK) // LARGEST, self.wire.take().count(b"\x82\x7f\0\0\0\0\0\1\0\0"))

    def test_weEndFirst(self) -> None:
        """
        A Close frame goes out behind all that was written, and what still comes is taken.
        """
        self.inner.write(b"answer")
        self.inner.halfClose()
        self.assertEqual((b"answer", None, (Code.NORMAL, "")), self.told())
        self.send(BINARY, b"more")
        self.assertEqual((b"more", True), (self.inner.received, self.inner.isOpen))
        self.close()
        self.assertTrue(self.inner.isClean and self.inner.isOver)
        self.assertTrue(self.wire.disconnecting)
        self.assertEqual(b"", self.wire.take())

    def test_peerEndsFirst(self) -> None:
        """
        A Close frame ends its direction, and is answered when ours has ended, after all that was written.
        """
        self.send(BINARY, b"question")
        self.close()
        self.assertEqual(
            (b"question", True, True), (self.inner.received, self.inner.isEnded, self.inner.isOpen)
        )
        self.clock.advance(1000)
        self.inner.write(b"answer")
        self.assertEqual(b"answer", self.told()[0])
        self.inner.halfClose()
        self.assertEqual((b"", None, (Code.NORMAL, "")), self.told())
        self.assertTrue(self.inner.isClean and self.inner.isOver and self.wire.disconnecting)

    def test_noCode(self) -> None:
        """
        An end without a code is one.
        """
        self.send(CLOSE)
        self.assertTrue(self.inner.isClean)

    def test_otherCodes(self) -> None:
        """
        A page that is left, or a peer in trouble, has not said all: it is told that we heard it.
        """
        self.close(Code.GOING_AWAY)
        self.assertIn("closed it with 1001", self.why())
        self.assertEqual((Code.GOING_AWAY, ""), self.told()[2])
        self.assertTrue(self.wire.writeEnded)
        self.clock.pump([GOODBYE, GOODBYE])
        self.assertTrue(self.wire.aborted)

    def test_closeWithoutHalves(self) -> None:
        """
        Who closes wants nothing more; the peer has its time to end, too.
        """
        self.inner.close()
        self.assertEqual((Code.NORMAL, ""), self.told()[2])
        self.send(BINARY, b"nobody wants it")
        self.clock.advance(GOODBYE - 1)
        self.assertEqual((b"", False), (self.inner.received, self.wire.aborted))
        self.clock.advance(1)
        self.assertEqual((True, False), (self.wire.disconnecting, self.wire.aborted))
        self.clock.advance(GOODBYE)
        self.assertTrue(self.wire.aborted)

    def test_end(self) -> None:
        """
        An end of the connection without a Close frame is a loss, whether or not we have ended.
        """
        self.link.readConnectionLost()
        self.assertIn("without a Close frame", self.why())
        self.assertTrue(self.wire.aborted)
        self.setUp()
        self.inner.halfClose()
        self.link.connectionLost(Failure(ConnectionDone()))
        self.assertIn("without a Close frame", self.why())

    def test_endAfterClose(self) -> None:
        """
        Who has sent a Close frame may end its connection, and still gets all that we send.
        """
        self.close()
        self.link.readConnectionLost()
        self.inner.write(b"answer")
        self.assertEqual((b"answer", True), (self.told()[0], self.inner.isOpen))

    def test_lost(self) -> None:
        """
        Why a connection is lost is passed on.
        """
        self.link.connectionLost(Failure(ConnectionLost("a wire broke")))
        self.assertIn("a wire broke", self.why())

    def test_abort(self) -> None:
        """
        A reset is one below, and needs no words.
        """
        self.inner.abort()
        assert self.inner.lost is not None
        self.assertEqual((True, b""), (self.wire.aborted, self.wire.take()))
        self.assertIsNotNone(self.inner.lost.check(ConnectionAborted))

    def test_refuse(self) -> None:
        """
        Before it is accepted nothing is sent, and a refusal goes to the one below.
        """
        inner = Conversation()
        link = WebSocketLink(self.streams, inner, INFO)
        wire = Wire()
        link.makeConnection(wire)
        self.clock.advance(KEEPALIVE * 3)
        reason = Refused(Cause.DENIED, Phase.POLICY, "here")
        link.stream.refuse(reason)
        self.assertEqual((reason, 0, b""), (wire.refusal, wire.accepted, wire.take()))
        self.assertIsNotNone(inner.lost)

    def test_early(self) -> None:
        """
        Frames that come before the answer are kept; none goes out before it, whatever comes.
        """
        inner, wire = Conversation(), Wire()
        link = WebSocketLink(self.streams, inner, INFO)
        link.makeConnection(wire)
        for kind, payload in ((BINARY, b"early"), (PING, b"?"), (CLOSE, b"")):
            link.dataReceived(b"".join(frame(kind, payload, True)))
        self.assertEqual((b"early", b""), (inner.received, wire.take()))
        link.stream.accept()
        inner.write(b"answer")
        self.assertEqual((1, b"\x82\x06answer"), (wire.accepted, wire.take()))
        link.connectionLost(Failure(ConnectionDone()))
        inner, wire = Conversation(), Wire()
        link = WebSocketLink(self.streams, inner, INFO)
        link.makeConnection(wire)
        link.dataReceived(b"rubbish")
        self.assertEqual((b"", True, True), (wire.take(), wire.aborted, inner.isOver))

    def test_faults(self) -> None:
        """
        Who breaks the protocol is told how, and has a little time to read it.
        """
        for kind, code in ((TEXT, Code.UNSUPPORTED), (5, Code.PROTOCOL_ERROR)):
            self.setUp()
            self.send(BINARY, b"before")
            self.send(kind, b"x")
            _, _, close = self.told()
            assert close is not None
            self.assertEqual((code, True), (close[0], bool(close[1])))
            self.assertIn("broke WebSocket", self.why())
            self.send(BINARY, b"after")
            self.assertEqual((b"before", True), (self.inner.received, self.wire.writeEnded))
            self.link.connectionLost(Failure(ConnectionDone()))

    def test_afterClose(self) -> None:
        """
        What comes behind a Close frame does not count, and a second one does nothing.
        """
        self.close()
        self.close()
        self.send(BINARY, b"x")
        self.assertEqual((b"", True), (self.inner.received, self.inner.isOpen))


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


class ClientTests(LinkCase):
    """
    The side that has connected.
    """

    isClient = True

    def test_bytes(self) -> None:
        """
        What it sends is masked, and what it gets is not.
        """
        self.inner.write(b"question")
        wire = self.wire.value()
        self.assertEqual((0x82, 0x88), (wire[0], wire[1]))
        self.assertNotIn(b"question", wire)
        self.assertEqual(b"question", self.told()[0])
        self.send(BINARY, b"answer")
        self.assertEqual(b"answer", self.inner.received)
        self.inner.write(BULK)
        self.assertEqual(BULK, self.told()[0])

    def test_serverClosesFirst(self) -> None:
        """
        When both have ended, the connection is the server's to close, in its time.
        """
        self.inner.halfClose()
        self.close()
        self.assertTrue(self.inner.isOver and self.inner.isClean)
        self.assertFalse(self.wire.disconnecting or self.wire.aborted)
        self.clock.advance(GOODBYE)
        self.assertEqual((True, False), (self.wire.disconnecting, self.wire.aborted))
        self.clock.advance(GOODBYE)
        self.assertTrue(self.wire.aborted)

    def test_serverHasClosed(self) -> None:
        """
        When it has, we do at once.
        """
        self.inner.halfClose()
        self.close()
        self.link.readConnectionLost()
        self.assertTrue(self.wire.disconnecting)

    def test_masked(self) -> None:
        """
        A server that masks breaks the protocol.
        """
        self.link.dataReceived(b"".join(frame(BINARY, b"x", True)))
        self.assertIn("with a mask", self.why())
        self.assertIsInstance(Fault(Code.PROTOCOL_ERROR, ""), Exception)
