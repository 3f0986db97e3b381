# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websocketlink}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IChannel
from ugate.protocols.websocketframes import (
    BINARY,
    CLOSE,
    LARGEST,
    PING,
    TEXT,
    Code,
    Fault,
    frame,
)
from ugate.protocols.websocketlink import WebSocketLink
from ugate.protocols.websocketwire import GOODBYE, KEEPALIVE
from ugate.test.websocketfakes import BULK, INFO, LinkCase, Wire
from ugate.testing import Conversation


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
