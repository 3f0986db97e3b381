# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2link}: streams that a client asks a server for.
"""

from __future__ import annotations

from typing import Any

from hpack import Encoder

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.h2blocks import MOST
from ugate.protocols.h2frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    Code,
    frameHead,
)
from ugate.protocols.mux import MuxStream
from ugate.stream import Target
from ugate.test.h2fakes import CONNECT, INFO, RawPeer
from ugate.testing import Conversation


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

    def test_shared(self) -> None:
        """
        Those who ask for the same in the same words share what is known of them, and nobody else does.
        """
        for number in range(3):
            self.peer.headers(2 * number + 1)
        self.peer.headers(7, [*CONNECT, ("baggage", "a=b")])
        one, two, three, other = (stream.info for stream in self.peer.streams)
        self.assertIs(one, two)
        self.assertIs(one, three)
        self.assertEqual(({}, {"baggage": "a=b"}), (dict(one.hints), dict(other.hints)))

    def test_oneWrite(self) -> None:
        """
        What is said to all that came together goes to the transport at once.
        """

        def greet(stream: MuxStream) -> None:
            stream.accept()
            stream.write(b"220 ready")

        self.link.incoming = greet
        packed = Encoder().encode(CONNECT)
        head = frameHead(len(packed), HEADERS, END_HEADERS, 1)
        asked = [head[:-1] + bytes((number,)) + packed for number in range(1, 41, 2)]
        written: list[bytes] = []
        self.peer.wire.write = written.append  # type: ignore[method-assign]
        self.peer.raw(b"".join(asked))
        self.assertEqual((1, 20), (len(written), written[0].count(b"220 ready")))

    def test_fewAreKept(self) -> None:
        """
        Not all that was ever asked for is remembered, and nothing long.
        """
        self.peer.headers(1, [*CONNECT, ("x", "y" * 1024)])
        self.assertEqual({}, self.link._requests.known)
        for number in range(1, 2 * MOST):
            self.peer.headers(2 * number + 1, [(":method", "CONNECT"), (":authority", f"a{number}:1")])
            self.assertLessEqual(len(self.link._requests.known), MOST)
        self.assertEqual(Target(f"a{number}", 1), self.peer.streams[-1].info.target)

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
