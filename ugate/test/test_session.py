# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.session} and L{ugate.endpoints.sessions}.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError, ConnectionAborted, NoProtocol
from twisted.internet.interfaces import (
    IListeningPort,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Refused
from ugate.interfaces import ISession
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.turns import MeshClock

LIMITS = SessionLimits(
    streams=3, pending=2, open=5.0, answer=4.0, linger=3.0, idle=100.0, ping=20.0, pong=2.0
)


class SessionCase(SynchronousTestCase):
    """
    A session on both ends of a link in memory.
    """

    limits = LIMITS

    def setUp(self) -> None:
        """
        Both.
        """
        self.clock = MeshClock()
        self.links = linkPair(self.clock)
        self.ours, self.theirs = (
            Session(self.clock, link, sessions=Sessions(self.clock, self.limits)) for link in self.links
        )
        self.server = Conversations()

    def settle(self) -> None:
        """
        Let happen what needs no time.
        """
        while self.clock.runDue():
            pass

    def advance(self, seconds: float) -> None:
        """
        Let time pass, a quarter of a second at once.
        """
        for _ in range(round(seconds * 4)):
            self.clock.rightNow += 0.25
            self.settle()

    def listen(self, target: Target | None = None, factory: Any = None, accepts: bool = True) -> Any:
        """
        Listen on their end.
        """
        endpoint = self.theirs.listener(target, accepts)
        return self.successResultOf(endpoint.listen(self.server if factory is None else factory))

    def connect(self, target: Target | None = INFO.target, factory: Any = None) -> Any:
        """
        Dial on our end.

        @return: the Deferred.
        """
        info = self.ours.link.info.but(target=target)
        connecting = self.ours.endpointFor(info).connect(
            Factory.forProtocol(Conversation) if factory is None else factory
        )
        self.settle()
        return connecting

    def assertRefused(self, connecting: Any, cause: Cause) -> Refused:
        """
        It was refused.
        """
        refused = self.failureResultOf(connecting, Refused).value
        assert isinstance(refused, Refused)
        self.assertIs(cause, refused.cause)
        self.assertEqual(self.ours.hop, refused.hop)
        return refused


class DialingTests(SessionCase):
    """
    Streams that we open.
    """

    def test_provides(self) -> None:
        """
        All is what it says.
        """
        self.assertTrue(verifyObject(ISession, self.ours))
        endpoint = self.ours.endpointFor(INFO)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        self.assertTrue(verifyObject(IStreamServerEndpoint, self.theirs.listener()))
        self.assertTrue(verifyObject(IListeningPort, self.listen()))
        self.assertEqual("server", str(self.ours.principal))
        self.assertIn("server", repr(self.ours))
        self.assertEqual(["open a stream to db:5432 on the link to server"], self.ours.explain(INFO))

    def test_stream(self) -> None:
        """
        A stream carries bytes both ways, and ends.
        """
        self.listen()
        ours = self.successResultOf(self.connect())
        theirs = self.server.last
        self.assertEqual((1, 1), (self.ours.streams, self.theirs.streams))
        ours.write(b"to them")
        theirs.write(b"to us")
        self.settle()
        self.assertEqual((b"to us", b"to them"), (ours.received, theirs.received))
        ours.close()
        theirs.close()
        self.settle()
        self.assertTrue(ours.isClean and theirs.isClean)
        self.assertEqual((0, 0), (self.ours.streams, self.theirs.streams))

    def test_noTarget(self) -> None:
        """
        There is no way to nowhere.
        """
        self.assertRaises(Refused, self.ours.endpointFor, INFO.but(target=None))

    def test_refused(self) -> None:
        """
        Why it was refused is told with the name of the hop.
        """
        refused = self.assertRefused(self.connect(), Cause.CONNECTION_REFUSED)
        self.assertIn("nobody listens", refused.detail)
        self.assertEqual((0, 0), (self.ours.streams, self.theirs.streams))

    def test_deadline(self) -> None:
        """
        An answer that does not come in time is not waited for, and the peer is told.
        """
        self.links[0].stall()
        connecting = self.connect()
        self.advance(4.5)
        self.assertNoResult(connecting)
        self.advance(1)
        refused = self.assertRefused(connecting, Cause.TIMED_OUT)
        self.assertIn("5 s", refused.detail)
        self.assertEqual(0, self.ours.streams)
        self.listen(accepts=False)
        self.links[0].resume()
        self.settle()
        self.assertEqual(0, self.theirs.link.streams)

    def test_cancel(self) -> None:
        """
        Who gives up takes the stream away.
        """
        self.listen(accepts=False)
        connecting = self.connect()
        self.assertEqual((1, 1), (self.ours.streams, self.theirs.streams))
        connecting.cancel()
        self.settle()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual((0, 0), (self.ours.streams, self.theirs.streams))
        self.assertIsNotNone(self.server.last.lost)

    def test_noProtocol(self) -> None:
        """
        A factory that wants no protocol, or fails, gets none, and the stream is cut.
        """

        class Nothing(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        class Failing(Factory):
            def buildProtocol(self, addr: object) -> None:
                raise ValueError("a fault")

        self.listen()
        self.failureResultOf(self.connect(factory=Nothing()), NoProtocol)
        self.failureResultOf(self.connect(factory=Failing()), ValueError)
        self.settle()
        self.assertEqual((0, 0), (self.ours.streams, self.theirs.streams))

    def test_linkCut(self) -> None:
        """
        With the link its streams are gone, those that wait too, and it says why.
        """
        self.listen()
        up = self.successResultOf(self.connect())
        self.links[1].stall()
        waiting = self.connect()
        closed = self.ours.whenClosed()
        self.links[0].cut()
        self.settle()
        self.assertIn("lost", self.successResultOf(closed))
        self.assertFalse(up.isClean)
        self.assertIn("lost", up.lost.getErrorMessage())
        self.assertRefused(waiting, Cause.PEER_CLOSED)
        self.assertTrue(self.ours.isClosed)
        self.assertEqual(0, len(self.ours.sessions))
        self.assertRaises(Refused, self.ours.endpointFor, INFO)
        self.assertRefused(self.ours.open(INFO, self.server), Cause.PEER_CLOSED)


class ListeningTests(SessionCase):
    """
    Streams that the peer opens.
    """

    def test_info(self) -> None:
        """
        What is known of the link is known of its streams, and so is where each wants to go.
        """
        addresses: list[Any] = []

        class Asking(Conversations):
            def buildProtocol(self, addr: Any) -> Conversation:
                addresses.append(addr)
                return super().buildProtocol(addr)

        port = self.listen(factory=Asking())
        self.connect()
        (info,) = addresses
        link = self.theirs.link.info
        self.assertEqual(
            (INFO.target, link.principal, link.host, link.peer, ("memory",)),
            (info.target, info.principal, info.host, info.peer, info.layers),
        )
        self.assertEqual(link.host, port.getHost())

    def test_byTarget(self) -> None:
        """
        One for a target has its streams; all others are for who listens for any.
        """
        web = Conversations()
        port = self.listen(Target("Web.example", 80), web)
        self.listen()
        for host in ("web.example", "WEB.example", "other"):
            self.connect(Target(host, 80))
        self.assertEqual((2, 1), (len(web.accepted), len(self.server.accepted)))
        port.stopListening()
        port.stopListening()
        web.accepted[0].abort()
        self.settle()
        self.connect(Target("web.example", 80))
        self.assertEqual((2, 2), (len(web.accepted), len(self.server.accepted)))
        self.assertTrue(web.last.isOpen)

    def test_twice(self) -> None:
        """
        Nobody can listen where somebody does, nor on a link that is gone.
        """
        port = self.listen()
        self.failureResultOf(self.theirs.listener().listen(self.server), CannotListenError)
        port.stopListening()
        self.listen()
        self.links[0].cut()
        self.failureResultOf(self.theirs.listener(INFO.target).listen(self.server), CannotListenError)

    def test_factory(self) -> None:
        """
        A factory is told when it listens and when it does not any more; the end of the link is the latter.
        """
        told: list[str] = []

        class Told(Conversations):
            def doStart(self) -> None:
                told.append("start")

            def doStop(self) -> None:
                told.append("stop")

        self.listen(factory=Told())
        self.listen(INFO.target, factory=Told()).stopListening()
        self.assertEqual(["start", "start", "stop"], told)
        self.links[1].cut()
        self.assertEqual(["start", "start", "stop", "stop"], told)

    def test_unanswered(self) -> None:
        """
        A stream that nobody answers is refused when it is time.
        """
        self.listen(accepts=False)
        connecting = self.connect()
        self.advance(4.25)
        refused = self.assertRefused(connecting, Cause.TIMED_OUT)
        self.assertIn("4 s", refused.detail)
        self.assertIsNotNone(self.server.last.lost)

    def test_answered(self) -> None:
        """
        One that was answered has all the time that it wants.
        """
        self.listen(accepts=False)
        connecting = self.connect()
        stream: Any = self.server.last.transport
        stream.accept()
        self.advance(50)
        self.assertTrue(self.successResultOf(connecting).isOpen)

    def test_manyPending(self) -> None:
        """
        Only so many streams may wait for an answer at once.
        """
        self.listen(accepts=False)
        first, second, third = (self.connect() for _ in range(3))
        refused = self.assertRefused(third, Cause.OVERLOADED)
        self.assertIn("2 streams", refused.detail)
        stream: Any = self.server.accepted[0].transport
        stream.accept()
        self.settle()
        self.successResultOf(first)
        fourth = self.connect()
        self.assertNoResult(second)
        self.assertNoResult(fourth)
        fourth.cancel()
        second.cancel()
        for each in (second, fourth):
            self.failureResultOf(each, CancelledError)

    def test_manyStreams(self) -> None:
        """
        Only so many may be open at once.
        """
        self.listen()
        streams = [self.successResultOf(self.connect()) for _ in range(3)]
        refused = self.assertRefused(self.connect(), Cause.OVERLOADED)
        self.assertIn("3 streams", refused.detail)
        streams[0].abort()
        self.settle()
        self.successResultOf(self.connect())

    def test_badFactory(self) -> None:
        """
        A factory that fails, or wants no protocol, costs one stream.
        """

        class Failing(Factory):
            def buildProtocol(self, addr: object) -> None:
                raise ValueError("a fault")

        self.listen(factory=Failing())
        self.assertRefused(self.connect(), Cause.OVERLOADED)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertFalse(self.theirs.isClosed)


class TimeTests(SessionCase):
    """
    What takes its time.
    """

    def test_linger(self) -> None:
        """
        A peer that does not close what is closed here finds it reset.
        """
        self.listen()
        ours = self.successResultOf(self.connect())
        self.server.last.close()
        self.advance(2.5)
        self.assertTrue(ours.isEnded and ours.isOpen)
        self.advance(1)
        self.assertIsNotNone(ours.lost)
        self.server.last.lost.trap(ConnectionAborted)  # type: ignore[union-attr]
        self.assertEqual(0, self.theirs.streams)

    def test_lingerOver(self) -> None:
        """
        One that does has its end.
        """
        self.listen()
        ours = self.successResultOf(self.connect())
        self.server.last.close()
        ours.close()
        self.advance(10)
        self.assertTrue(ours.isClean and self.server.last.isClean)

    def test_idle(self) -> None:
        """
        A link without a stream is closed after a time; one with a stream is not.
        """
        self.listen()
        self.advance(90)
        ours = self.successResultOf(self.connect())
        self.advance(150)
        self.assertFalse(self.ours.isClosed)
        ours.close()
        self.server.last.close()
        self.settle()
        self.advance(99)
        self.assertFalse(self.ours.isClosed)
        self.advance(2)
        self.assertTrue(self.ours.isClosed and self.theirs.isClosed)

    def test_age(self) -> None:
        """
        A link that is old takes no new streams; those on it go on.
        """
        self.links = linkPair(self.clock)
        limits = SessionLimits(age=30.0, idle=None)
        self.ours = Session(self.clock, self.links[0], sessions=Sessions(self.clock, limits))
        self.theirs = Session(self.clock, self.links[1])
        self.listen()
        stream = self.successResultOf(self.connect())
        self.advance(29)
        self.assertFalse(self.ours.isClosing)
        self.advance(2)
        self.assertTrue(self.ours.isClosing and self.theirs.isClosing and stream.isOpen)
        stream.close()
        self.server.last.close()
        self.settle()
        self.assertTrue(self.ours.isClosed)

    def test_ping(self) -> None:
        """
        A link is asked from time to time; one that does not answer is cut, with its streams.
        """
        self.listen()
        ours = self.successResultOf(self.connect())
        self.advance(60)
        self.assertEqual(self.clock.seconds(), self.ours.last)
        self.links[1].stall()
        self.advance(21.75)
        self.assertFalse(self.ours.isClosed)
        self.advance(1)
        self.assertTrue(self.ours.isClosed)
        self.assertIn("no answer to a ping in 2 s", ours.lost.getErrorMessage())

    def test_check(self) -> None:
        """
        Whoever asks whether a link is there learns it, and several ask once.
        """
        checks = [self.ours.check(), self.ours.check()]
        self.assertEqual(1, len(self.links[0]._pings))
        self.settle()
        for each in checks:
            self.successResultOf(each)
        self.links[1].stall()
        late, gone = self.ours.check(), self.ours.check()
        gone.cancel()
        self.advance(2.25)
        self.failureResultOf(gone, CancelledError)
        self.assertRefused(late, Cause.TIMED_OUT)
        self.assertRefused(self.ours.check(), Cause.PEER_CLOSED)

    def test_cutWhileAsked(self) -> None:
        """
        So does who asks a link that goes before it answers.
        """
        checking = self.ours.check()
        self.links[0].cut()
        self.assertRefused(checking, Cause.PEER_CLOSED)
        self.advance(30)

    def test_nothingIsLeft(self) -> None:
        """
        When all sessions are gone no timer runs.
        """
        self.listen()
        self.connect()
        self.connect(Target("other", 1))
        self.links[0].cut()
        self.settle()
        self.assertEqual([], self.clock.getDelayedCalls())


class ClosingTests(SessionCase):
    """
    The end of a session.
    """

    def test_close(self) -> None:
        """
        A session that is closed lets its streams end, and lets none begin.
        """
        self.listen()
        ours = self.successResultOf(self.connect())
        closing = self.theirs.close()
        self.settle()
        self.assertTrue(self.ours.isClosing)
        self.assertEqual(0, self.ours.room)
        self.assertRaises(Refused, self.ours.endpointFor, INFO)
        ours.write(b"still")
        self.settle()
        self.assertEqual(b"still", self.server.last.received)
        self.assertNoResult(closing)
        ours.close()
        self.server.last.close()
        self.settle()
        self.successResultOf(closing)
        self.successResultOf(self.ours.whenClosed())
        self.assertNotIdentical(closing, self.theirs.close())

    def test_refusesWhileClosing(self) -> None:
        """
        A stream that is under way when it begins to close is refused.
        """
        self.listen()
        self.successResultOf(self.connect())
        connecting = self.ours.endpointFor(INFO).connect(self.server)
        self.theirs.close()
        self.settle()
        self.assertRefused(connecting, Cause.OVERLOADED)

    def test_all(self) -> None:
        """
        All of one place can be closed, or cut, together.
        """
        sessions = Sessions(self.clock)
        pairs = [linkPair(self.clock) for _ in range(3)]
        made = [Session(self.clock, ours, sessions=sessions) for ours, _ in pairs]
        self.assertEqual((3, made), (len(sessions), list(sessions)))
        made[0].listener(accepts=True).listen(self.server)
        other = Session(self.clock, pairs[0][1])
        opening = other.endpointFor(INFO).connect(Conversations())
        self.settle()
        stream: Any = self.successResultOf(opening)
        draining = sessions.drain()
        self.settle()
        self.assertEqual([made[0]], list(sessions))
        self.assertNoResult(draining)
        sessions.stop("that is all")
        self.settle()
        self.successResultOf(draining)
        self.assertFalse(stream.isClean)
        self.assertEqual([], list(sessions))

    def test_slowReader(self) -> None:
        """
        A stream is a producer as any other.
        """
        self.listen()
        ours = self.successResultOf(self.connect())
        self.assertTrue(IPushProducer.providedBy(ours.transport))
        self.server.last.pause()
        ours.pour(bytes(1_000_000))
        self.settle()
        self.assertGreater(len(ours.unpoured), 700_000)
        self.server.last.resume()
        self.settle()
        self.assertEqual(1_000_000, len(self.server.last.received))
