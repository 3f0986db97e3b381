# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2link}.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    Code,
    goAway,
)
from ugate.protocols.h2link import H2Link, linkMaker
from ugate.stream import StreamInfo, Target
from ugate.test import linkcontract
from ugate.test.h2fakes import CONNECT, HOST, PEER, RawPeer
from ugate.testing import Conversation

INFO = StreamInfo(PEER, HOST, Target("db.example", 5432))


class H2LinkContractTests(linkcontract.LinkContract):
    """
    What every link has to do, by HTTP/2.
    """

    bothOpen = False
    pump: IOPump

    def makeLinks(self) -> tuple[Any, Any]:
        clock = Clock()
        server = H2Link(clock, StreamInfo(PEER, HOST), False)
        client = H2Link(clock, StreamInfo(HOST, PEER), True)
        self.pump = connect(server, FakeTransport(server, True), client, FakeTransport(client, False))
        self.pump.flush()
        self.assertTrue(client.ready.called and server.ready.called)
        return client, server

    def step(self) -> bool:
        return bool(self.pump.pump())


class OpeningTests(SynchronousTestCase):
    """
    Streams that we ask a server for, which answers as it is told to.
    """

    def setUp(self) -> None:
        self.peer = RawPeer(client=True)
        self.link = self.peer.link
        self.peer.frames()

    def test_interface(self) -> None:
        """
        It is a link.
        """
        verifyObject(ILink, self.link)
        self.assertIs(self.link, self.successResultOf(self.link.ready))
        link, ready = linkMaker(Clock(), True)(INFO)
        self.assertIs(link.ready, ready)
        self.assertIs(INFO, link.info)

    def test_request(self) -> None:
        """
        It is a CONNECT, with what a gateway before claims, and who the client is.
        """
        info = INFO.but(hints={"baggage": "k8s.namespace.name=a", "forwarded": "for=203.0.113.9"})
        self.link.open(info)
        ((kind, _, stream, payload),) = self.peer.frames()
        self.assertEqual((HEADERS, 1), (kind, stream))
        self.assertEqual(
            [
                (":method", "CONNECT"),
                (":authority", "db.example:5432"),
                ("baggage", "k8s.namespace.name=a"),
                ("forwarded", "for=203.0.113.9, for=192.0.2.1"),
            ],
            self.peer.decoder.decode(payload),
        )

    def test_refusals(self) -> None:
        """
        A status, what stands beside it, and its text are the reason.
        """
        for status, extra, cause in (
            ("403", (), Cause.DENIED),
            ("503", (("proxy-status", "x; error=connection_refused"),), Cause.CONNECTION_REFUSED),
            ("504", (), Cause.TIMED_OUT),
            ("500", (), Cause.GENERAL),
        ):
            opened = self.link.open(INFO)
            stream = self.link.core.control.highest_outbound_stream_id
            self.peer.headers(stream, [(":status", status), ("content-type", "text/plain"), *extra])
            self.assertNoResult(opened)
            self.peer.send(DATA, END_STREAM, stream, b"because of that\nand more")
            refused = self.failureResultOf(opened, Refused).value
            self.assertIs(cause, refused.cause)
            self.assertIn(f"db.example:5432, {status}: because of that", str(refused))
            self.assertNotIn("and more", str(refused))
        self.assertEqual(0, self.link.streams)

    def test_refusalWithoutEnd(self) -> None:
        """
        Of a reason that never ends some is read.
        """
        opened = self.link.open(INFO)
        self.peer.headers(1, [(":status", "502")])
        self.peer.send(DATA, 0, 1, b"x" * 600)
        self.failureResultOf(opened, Refused)
        self.assertEqual([(1, Code.CANCEL)], self.peer.resets())

    def test_informational(self) -> None:
        """
        A 1xx is no answer.
        """
        opened = self.link.open(INFO)
        self.peer.headers(1, [(":status", "103")])
        self.assertNoResult(opened)
        self.peer.headers(1, [(":status", "200"), ("content-length", "0"), ("baggage", "a=b")])
        stream = self.successResultOf(opened)
        self.assertEqual("a=b", stream.info.hints["baggage"])
        self.peer.send(DATA, 0, 1, b"a length of a CONNECT means nothing")
        self.assertEqual(1, self.link.streams)

    def test_resets(self) -> None:
        """
        A reset in place of an answer is a refusal, by its code.
        """
        for code, cause in (
            (Code.REFUSED_STREAM, Cause.OVERLOADED),
            (Code.CONNECT_ERROR, Cause.CONNECTION_REFUSED),
            (Code.CANCEL, Cause.PEER_CLOSED),
            (Code.HTTP_1_1_REQUIRED, Cause.UNSUPPORTED),
            (Code.PROTOCOL_ERROR, Cause.PEER_MISBEHAVED),
            (99, Cause.PEER_MISBEHAVED),
        ):
            opened = self.link.open(INFO)
            stream = self.link.core.control.highest_outbound_stream_id
            self.peer.send(RST_STREAM, 0, stream, int(code).to_bytes(4, "big"))
            self.assertIs(cause, self.failureResultOf(opened, Refused).value.cause)

    def test_cancelled(self) -> None:
        """
        To give up is to cancel the stream.
        """
        opened = self.link.open(INFO)
        opened.cancel()
        self.failureResultOf(opened)
        self.assertEqual([(1, Code.CANCEL)], self.peer.resets())
        self.peer.headers(1, [(":status", "200")])
        self.assertEqual(0, self.link.streams)

    def test_room(self) -> None:
        """
        There is as much room as the peer says.
        """
        self.assertEqual(100, self.link.room)
        self.peer.settings((3, 2))
        self.assertEqual(2, self.link.room)
        self.link.open(INFO)
        self.link.open(INFO)
        refused = self.failureResultOf(self.link.open(INFO), Refused).value
        self.assertIs(Cause.OVERLOADED, refused.cause)
        self.assertIn("2 streams are open", str(refused))

    def test_goAway(self) -> None:
        """
        What a peer that goes away has not looked at is refused, the rest goes on, and then all is over.
        """
        first, second = self.link.open(INFO), self.link.open(INFO)
        self.peer.raw(goAway(1, Code.NO_ERROR))
        self.assertIs(Cause.OVERLOADED, self.failureResultOf(second, Refused).value.cause)
        self.assertNoResult(first)
        self.assertEqual(0, self.link.room)
        self.assertIs(Cause.PEER_CLOSED, self.failureResultOf(self.link.open(INFO), Refused).value.cause)
        self.peer.headers(1, [(":status", "200")])
        stream = self.successResultOf(first)
        self.assertFalse(self.peer.wire.halfClosed)
        stream.abortConnection()
        self.assertTrue(self.peer.wire.halfClosed)

    def test_goAwayWithCode(self) -> None:
        """
        Why the peer goes away is what its streams die of.
        """
        opened = self.link.open(INFO)
        self.peer.raw(goAway(1, Code.ENHANCE_YOUR_CALM, "too\0 many"))
        self.link.connectionLost(Failure(ConnectionDone()))
        refused = self.failureResultOf(opened, Refused).value
        self.assertIn("ENHANCE_YOUR_CALM: too many", str(refused))
        self.assertIn("too many", self.successResultOf(self.link.whenClosed()))

    def test_pushIsRefused(self) -> None:
        """
        A server may not push, as it was told.
        """
        opened = self.link.open(INFO)
        self.peer.send(5, 0x4, 1, b"\0\0\0\2" + b"\x82")
        gone = self.peer.goneAway()
        assert gone is not None
        self.assertEqual(Code.PROTOCOL_ERROR, gone[1])
        self.assertIn("pushed", str(self.failureResultOf(opened, Refused).value))

    def test_dataBeforeAnswer(self) -> None:
        """
        Data in front of an answer ends the connection.
        """
        opened = self.link.open(INFO)
        self.peer.send(DATA, 0, 1, b"x")
        gone = self.peer.goneAway()
        assert gone is not None
        self.assertEqual(Code.PROTOCOL_ERROR, gone[1])
        self.failureResultOf(opened, Refused)

    def test_nothingToHttp(self) -> None:
        """
        A name that HTTP cannot say is refused at once, as is no name.
        """
        for target in (Target("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", 1), None):
            self.failureResultOf(self.link.open(INFO.but(target=target)), Refused)
        self.assertEqual([], self.peer.frames())


class AnsweringTests(SynchronousTestCase):
    """
    Streams that a client asks for.
    """

    def setUp(self) -> None:
        self.peer = RawPeer()
        self.link = self.peer.link
        self.peer.frames()

    def answer(self, stream: int) -> tuple[list[tuple[str, str]], bytes]:
        """
        What the peer is told of a stream.
        """
        fields: list[Any] = []
        body = b""
        for kind, _, number, payload in self.peer.frames():
            if number == stream and kind == HEADERS:
                fields = list(self.peer.decoder.decode(payload))
            elif number == stream and kind == DATA:
                body += payload
        return [(str(name), str(value)) for name, value in fields], body

    def test_endedRequest(self) -> None:
        """
        A stream may have ended one way with its request.
        """
        for how in ("accept", "refuse"):
            self.peer = peer = RawPeer()
            peer.headers(1, CONNECT, END_HEADERS | END_STREAM)
            (stream,) = peer.streams
            conversation = Conversation()
            if how == "accept":
                stream.accept()
                stream.begin(conversation)
                self.assertTrue(conversation.isEnded)
                conversation.write(b"bye")
                conversation.close()
                self.assertEqual(([(":status", "200")], b"bye"), self.answer(1))
            else:
                stream.refuse(Refused(Cause.DENIED, Phase.POLICY, "x"))
                self.assertIn((":status", "403"), self.answer(1)[0])
            self.assertEqual(0, peer.link.streams)

    def test_stream(self) -> None:
        """
        A CONNECT is a stream that waits for an answer, and knows where it wants to go.
        """
        self.peer.headers(1, [*CONNECT, ("baggage", "a=b"), ("forwarded", "for=1.2.3.4"), ("x", "y")])
        (stream,) = self.peer.streams
        self.assertEqual(Target("db.example", 5432), stream.info.target)
        self.assertEqual({"baggage": "a=b", "forwarded": "for=1.2.3.4"}, dict(stream.info.hints))
        self.assertEqual(("h2connect", ("h2connect",)), (stream.info.protocol, stream.info.layers))
        self.assertTrue(stream.isPending)
        stream.accept()
        self.assertEqual(([(":status", "200")], b""), self.answer(1))

    def test_longClaims(self) -> None:
        """
        A claim that is long, or no text, is left out.
        """
        self.peer.headers(1, [*CONNECT, ("baggage", "a" * 1025), ("forwarded", "\xff")])
        self.assertEqual({}, dict(self.peer.streams[0].info.hints))

    def test_refused(self) -> None:
        """
        A refusal is a status, with what a program and what a person reads, and the whole stream.
        """
        self.peer.headers(1)
        self.peer.streams[0].refuse(Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "db.example:5432"))
        fields, body = self.answer(1)
        self.assertIn((":status", "502"), fields)
        self.assertIn(("proxy-status", "ugate; error=connection_refused"), fields)
        self.assertIn(b"connect at db.example:5432: connection refused", body)
        self.assertEqual(0, self.link.streams)

    def test_otherRequests(self) -> None:
        """
        What is no CONNECT HOST:PORT is told what would be.
        """
        get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
        socket = [*CONNECT, (":protocol", "websocket"), (":scheme", "http"), (":path", "/")]
        for number, (fields, status, text) in enumerate(
            (
                (get, "405", b"CONNECT HOST:PORT"),
                (socket, "501", b":protocol"),
                ([(":method", "CONNECT"), (":authority", "db.example")], "400", b"CONNECT wants"),
                ([(":method", "CONNECT"), (":authority", "a b:1")], "400", b"CONNECT wants"),
                ([*CONNECT, ("content-length", "5")], "400", b"no content"),
            )
        ):
            peer = self.peer = RawPeer()
            peer.frames()
            peer.headers(1, fields)
            said, body = self.answer(1)
            self.assertIn((":status", status), said, number)
            self.assertIn(text, body)
            self.assertEqual([], peer.streams)
            peer.headers(3, fields, END_HEADERS | END_STREAM)
            self.assertIn((":status", status), self.answer(3)[0], number)
            self.assertEqual({}, peer.link.core.control.streams)
            self.assertFalse(peer.wire.halfClosed)
            if status == "405":
                self.assertIn(("allow", "CONNECT"), said)

    def test_nobodyListens(self) -> None:
        """
        Streams are refused while nobody takes them.
        """
        self.link.incoming = None
        self.peer.headers(1)
        self.assertIn((":status", "503"), self.answer(1)[0])

    def test_opensNone(self) -> None:
        """
        A server opens no streams.
        """
        self.assertEqual(0, self.link.room)
        self.assertIs(Cause.UNSUPPORTED, self.failureResultOf(self.link.open(INFO), Refused).value.cause)

    def test_reset(self) -> None:
        """
        A stream that the peer resets is lost, with the code.
        """
        self.peer.headers(1)
        (stream,) = self.peer.streams
        stream.accept()
        self.peer.send(RST_STREAM, 0, 1, b"\0\0\0\x0a")
        self.assertTrue(stream._why.check(ConnectionLost))
        self.assertIn("CONNECT_ERROR", stream._why.getErrorMessage())

    def test_drain(self) -> None:
        """
        To go away is said twice: at once, and with the last stream when the peer has heard of it.
        """
        self.peer.headers(1)
        self.peer.streams[0].accept()
        self.peer.frames()
        self.link.drain()
        self.link.drain()
        frames = self.peer.frames()
        self.assertEqual([GOAWAY, PING], [kind for kind, _, _, _ in frames])
        self.assertEqual(b"\x7f\xff\xff\xff\0\0\0\0", frames[0][3][:8])
        self.peer.headers(3)
        self.assertEqual(2, len(self.peer.streams))
        self.peer.send(PING, 1, 0, frames[1][3])
        self.assertEqual((3, Code.NO_ERROR, b""), self.peer.goneAway())
        self.peer.headers(5)
        self.assertEqual([(5, Code.REFUSED_STREAM)], self.peer.resets())
        for stream in self.peer.streams:
            stream.abortConnection()
        self.assertTrue(self.peer.wire.halfClosed)
        self.peer.clock.advance(2)
        self.assertTrue(self.peer.wire.aborted)

    def test_drainOfTheDeaf(self) -> None:
        """
        A peer that does not answer is told the last stream after a while.
        """
        self.link.drain()
        self.peer.frames()
        self.assertFalse(self.peer.wire.halfClosed)
        self.peer.clock.advance(10)
        self.assertEqual((0, Code.NO_ERROR, b""), self.peer.goneAway())
        self.assertTrue(self.peer.wire.halfClosed)


class DeadlineTests(SynchronousTestCase):
    """
    Peers that take their time.
    """

    def test_slowPreface(self) -> None:
        """
        A preface that comes byte by byte has to be there in time.
        """
        peer = RawPeer(greet=False)
        peer.raw(b"PRI * HT")
        peer.clock.advance(9)
        self.assertIsNone(peer.goneAway())
        peer.clock.advance(1)
        gone = peer.goneAway()
        assert gone is not None
        self.assertEqual(Code.SETTINGS_TIMEOUT, gone[1])
        peer.clock.advance(2)
        self.assertTrue(peer.wire.aborted)
        peer.link.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(peer.link.ready, Refused)

    def test_noAcknowledgement(self) -> None:
        """
        Our settings have to be acknowledged in time.
        """
        peer = RawPeer(greet=False)
        peer.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        peer.settings()
        peer.clock.advance(10)
        gone = peer.goneAway()
        assert gone is not None
        self.assertEqual((Code.SETTINGS_TIMEOUT, b"our settings were not acknowledged in time"), gone[1:])

    def test_inTime(self) -> None:
        """
        Nothing is waited for when all is said.
        """
        peer = RawPeer(limits=H2Limits(handshake=5))
        self.assertEqual([], peer.clock.getDelayedCalls())

    def test_noPreface(self) -> None:
        """
        What does not speak HTTP/2 is told so at its first wrong byte.
        """
        peer = RawPeer(greet=False)
        peer.raw(b"GET")
        gone = peer.goneAway()
        assert gone is not None
        self.assertEqual(Code.PROTOCOL_ERROR, gone[1])

    def test_clientIsToldWhy(self) -> None:
        """
        A client whose server speaks something else fails.
        """
        peer = RawPeer(client=True, greet=False)
        peer.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.link.connectionLost(Failure(ConnectionDone()))
        self.assertIn("broke HTTP/2", str(self.failureResultOf(peer.link.ready, Refused).value))
