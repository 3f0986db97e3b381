# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.session} and L{ugate.endpoints.sessions}: deadlines, and the end.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    IPushProducer,
)
from twisted.internet.protocol import Factory

from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Refused
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.test.sessionfakes import SessionCase
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair


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

    def test_heardWhileAsked(self) -> None:
        """
        Who opens a stream meanwhile is there, and is asked again if nothing more comes.
        """
        # Their end asks for nothing.
        self.theirs.sessions.left(self.theirs)
        self.successResultOf(self.ours.listener().listen(self.server))
        self.links[0].stall()
        checking = self.ours.check()
        self.theirs.open(INFO, Factory.forProtocol(Conversation)).addErrback(lambda _: None)
        self.settle()
        self.assertEqual(1, self.ours.streams)
        self.successResultOf(checking)
        self.advance(22.25)
        self.assertTrue(self.ours.isClosed)

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
