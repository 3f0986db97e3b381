# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.reverse}.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory

from ugate.endpoints.reverse import LONGEST, ReversePort, ReverseServerEndpoint
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Phase, Refused
from ugate.test.muxfakes import INFO
from ugate.test.sessionfakes import Settling
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.links import MemoryLink
from ugate.testing.turns import MeshClock


class ReverseCase(Settling):
    """
    Who dials out, to a peer that is the test.
    """

    links = 1

    def setUp(self) -> None:
        """
        It begins to dial.
        """
        self.clock = MeshClock()
        self.dials: list[Deferred[Any]] = []
        self.refused: Refused | None = None
        self.served = Conversations()
        self.endpoint = ReverseServerEndpoint(
            self.clock, self.dial, links=self.links, accepts=True, jitter=lambda: 1.0
        )
        port = self.successResultOf(self.endpoint.listen(self.served))
        assert isinstance(port, ReversePort)
        self.port = port

    def dial(self) -> Deferred[Any]:
        """
        What makes links.
        """
        if self.refused is not None:
            raise self.refused
        dial: Deferred[Any] = Deferred()
        self.dials.append(dial)
        return dial

    def up(self) -> tuple[MemoryLink, Session]:
        """
        A link is up.

        @return: our end, and the session of the other one.
        """
        ours, theirs = linkPair(self.clock)
        limits = SessionLimits(idle=None, ping=None)
        session = Session(self.clock, theirs, sessions=Sessions(self.clock, limits))
        self.dials.pop(0).callback(ours)
        self.settle()
        return ours, session

    def stream(self, session: Session) -> Conversation:
        """
        A stream that the peer opens.
        """
        connecting = session.endpointFor(INFO).connect(Factory.forProtocol(Conversation))
        self.settle()
        conversation = self.successResultOf(connecting)
        assert isinstance(conversation, Conversation)
        return conversation


class ServingTests(ReverseCase):
    """
    A link that comes up, goes, and comes again.
    """

    def test_provides(self) -> None:
        """
        It is an endpoint, and what listens a port, of which nobody knows where before a link is up.
        """
        self.assertTrue(verifyObject(IStreamServerEndpoint, self.endpoint))
        self.assertTrue(verifyObject(IListeningPort, self.port))
        self.assertEqual("reverse", repr(self.port.getHost()))
        ours, _ = self.up()
        self.assertEqual(ours.info.host, self.port.getHost())

    def test_serves(self) -> None:
        """
        Streams that the peer opens are served.
        """
        live = self.port.whenLive()
        self.assertNoResult(live)
        _, session = self.up()
        self.successResultOf(live)
        self.successResultOf(self.port.whenLive())
        stream = self.stream(session)
        stream.write(b"question")
        self.served.last.write(b"answer")
        self.settle()
        self.assertEqual((b"answer", b"question"), (stream.received, self.served.last.received))

    def test_again(self) -> None:
        """
        A link that goes is made again, a little later.
        """
        ours, session = self.up()
        stream = self.stream(session)
        ours.cut()
        self.settle()
        self.assertFalse(stream.isClean)
        self.assertEqual([], self.dials)
        self.advance(1)
        self.assertEqual(1, len(self.dials))
        _, session = self.up()
        self.assertTrue(self.stream(session).isOpen)

    def test_drained(self) -> None:
        """
        When the peer lets one go another one is made, while streams on the old one go on.
        """
        _, session = self.up()
        stream = self.stream(session)
        session.close()
        self.settle()
        live = self.port.whenLive()
        self.advance(1)
        self.assertEqual(1, len(self.dials))
        self.assertNoResult(live)
        _, other = self.up()
        self.successResultOf(live)
        self.assertTrue(stream.isOpen and self.stream(other).isOpen)
        stream.close()
        self.served.accepted[0].close()
        self.advance(10)
        self.assertTrue(session.isClosed)
        self.assertEqual(([], 1), (self.dials, len(self.port.sessions)))

    def test_backoff(self) -> None:
        """
        Who cannot connect waits twice as long each time, and never longer than a minute.
        """
        waits = []
        for _ in range(9):
            self.dials.pop().errback(ConnectionRefusedError())
            began = self.clock.seconds()
            while not self.dials:
                self.advance(0.5)
            waits.append(self.clock.seconds() - began)
        self.assertEqual([1, 2, 4, 8, 16, 32, 60, 60, 60], waits)

    def test_jitter(self) -> None:
        """
        Not all wait for the same time.
        """
        self.port.jitter = lambda: 0.0
        self.dials.pop().errback(ConnectionRefusedError())
        self.advance(0.5)
        self.assertEqual(1, len(self.dials))

    def test_goodLink(self) -> None:
        """
        After a link that was good for long, the first pause is the shortest again; after one that went at
        once, it is not.
        """
        for lasts, pause in ((0, 4), (LONGEST, 1)):
            self.setUp()
            for wait in (1, 2):
                self.dials.pop().errback(ConnectionRefusedError())
                self.advance(wait)
            ours, _ = self.up()
            self.advance(lasts)
            ours.cut()
            self.advance(pause - 0.5)
            self.assertEqual([], self.dials)
            self.advance(0.5)
            self.assertEqual(1, len(self.dials))

    def test_refusedAtOnce(self) -> None:
        """
        Who has no way there waits as well.
        """
        self.refused = Refused(Cause.UNSUPPORTED, Phase.TLS, "gate", "we have no identity")
        self.dials.pop().errback(ConnectionRefusedError())
        self.advance(1.5)
        self.assertEqual([], self.dials)
        self.refused = None
        self.advance(1.5)
        self.assertEqual(1, len(self.dials))

    def test_fault(self) -> None:
        """
        A fault is logged, and does not end it.
        """
        self.dials.pop().errback(ValueError("a fault"))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.advance(1)
        self.assertEqual(1, len(self.dials))

    def test_deadLink(self) -> None:
        """
        A link that does not answer is given up, and made again.
        """
        _, session = self.up()
        session.link.stall()  # type: ignore[attr-defined]
        self.advance(43)
        self.assertEqual(1, len(self.dials))

    def test_idle(self) -> None:
        """
        One without streams is kept.
        """
        _, session = self.up()
        self.advance(1000)
        self.assertTrue(self.stream(session).isOpen)

    def test_age(self) -> None:
        """
        One that is old is replaced.
        """
        _, session = self.up()
        stream = self.stream(session)
        self.advance(3602)
        self.assertEqual(1, len(self.dials))
        _, other = self.up()
        self.assertTrue(stream.isOpen and self.stream(other).isOpen)


class SeveralTests(ReverseCase):
    """
    Several links at once.
    """

    links = 3

    def test_each(self) -> None:
        """
        All are made, and each that goes is made again.
        """
        self.assertEqual(3, len(self.dials))
        sessions = [self.up()[1] for _ in range(3)]
        self.assertEqual(3, len(self.port.sessions))
        for session in sessions:
            self.assertTrue(self.stream(session).isOpen)
        sessions[1].link.abort("one of them")
        self.settle()
        self.advance(1)
        self.assertEqual((2, 1), (len(self.port.sessions), len(self.dials)))

    def test_number(self) -> None:
        """
        There is at least one, and not too many.
        """
        for links in (0, 17):
            with self.assertRaises(ValueError) as caught:
                ReverseServerEndpoint(self.clock, self.dial, links=links)
            self.assertIn("1 to 16", str(caught.exception))


class StopTests(ReverseCase):
    """
    The end of it.
    """

    def test_whileDialing(self) -> None:
        """
        It dials no more.
        """
        live = self.port.whenLive()
        given = self.port.whenLive()
        given.cancel()
        self.failureResultOf(given, CancelledError)
        dial = self.dials[0]
        self.successResultOf(self.port.stopListening())
        self.failureResultOf(live, Refused)
        self.assertTrue(dial.called)
        self.advance(100)
        self.assertEqual(1, len(self.dials))
        self.failureResultOf(self.port.whenLive(), Refused)
        self.successResultOf(self.port.stopListening())

    def test_whileWaiting(self) -> None:
        """
        Nor does it wait for the next time.
        """
        self.dials[0].errback(ConnectionRefusedError())
        self.successResultOf(self.port.stopListening())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_whileUp(self) -> None:
        """
        Links close with their last streams.
        """
        _, session = self.up()
        stream = self.stream(session)
        stopping = self.port.stopListening()
        self.settle()
        self.assertTrue(session.isClosing and stream.isOpen)
        self.assertNoResult(stopping)
        stream.close()
        self.served.last.close()
        self.settle()
        self.successResultOf(stopping)
        self.assertEqual([], self.dials)

    def test_upTooLate(self) -> None:
        """
        A link that comes up all the same is closed.
        """
        ours, _ = linkPair(self.clock)
        made = self.dials.pop()
        made._canceller = lambda dial: dial.callback(ours)
        self.successResultOf(self.port.stopListening())
        self.assertTrue(ours.isClosed)
