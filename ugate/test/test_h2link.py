# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2link}: the contract of links, streams that a client opens, and deadlines.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Refused
from ugate.interfaces import ILink
from ugate.protocols import h2requests
from ugate.protocols.h2blocks import MOST
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2frames import (
    DATA,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    Code,
    goAway,
)
from ugate.protocols.h2link import H2Link, linkMaker
from ugate.stream import StreamInfo, Target
from ugate.test import linkcontract
from ugate.test.h2fakes import HOST, INFO, PEER, RawPeer


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

    def test_requestsDiffer(self) -> None:
        """
        What is asked in the same words is remembered, and nothing is taken for what only resembles it.
        """
        hints = {"baggage": "a=b"}
        infos = [
            INFO,
            INFO.but(target=Target("db.example", 5433)),
            INFO.but(target=Target("db.example", 5432), peer=HOST),
            INFO.but(hints=hints),
            INFO.but(hints={"forwarded": "for=203.0.113.9"}),
        ]
        for _ in range(2):
            for info in infos:
                self.link.open(info)
        packed = [payload for _, _, _, payload in self.peer.frames()]
        asked = [tuple(self.peer.decoder.decode(each)) for each in packed]
        self.assertEqual((asked[:5], 5), (asked[5:], len(set(asked))))

    def test_requestsRemembered(self) -> None:
        """
        No more of these are remembered than there may be, and none that is long.
        """
        asking = h2requests.Connects()
        asking.request(INFO.but(target=Target("d" * h2requests.LONGEST, 1)), "gate", INFO, False)
        self.assertEqual({}, asking.known)
        for port in range(MOST + 2):
            asking.request(INFO.but(target=Target("db.example", port + 1)), "gate", INFO, False)
            self.assertLessEqual(len(asking.known), MOST)
        self.assertEqual(2, len(asking.known))

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


class LostTests(SynchronousTestCase):
    """
    Connections that are gone, and the reason.
    """

    def lost(self, error: Exception) -> tuple[Refused, Refused]:
        """
        What a stream that waits for its answer is told, and what one that comes later.
        """
        peer = RawPeer(client=True)
        early = peer.link.open(StreamInfo(PEER, HOST, target=Target("a.example", 1)))
        peer.link.connectionLost(Failure(error))
        late = peer.link.open(StreamInfo(PEER, HOST, target=Target("a.example", 1)))
        return self.failureResultOf(early, Refused).value, self.failureResultOf(late, Refused).value

    def test_lost(self) -> None:
        """
        That a connection is lost is said once, and not again by the words that Twisted has for it.
        """
        for error, why in (
            (ConnectionLost(), "without a reason"),
            (ConnectionLost("the cable", "is cut."), "the cable is cut"),
            (ConnectionResetError("reset by peer"), "reset by peer"),
        ):
            for refused in self.lost(error):
                said = str(refused)
                self.assertIn(why, said)
                self.assertNotIn("lost", said)
                self.assertNotIn("non-clean", said)


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
