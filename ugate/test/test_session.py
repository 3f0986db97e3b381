# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.session} and L{ugate.endpoints.sessions}: streams, whoever opens them.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError, NoProtocol
from twisted.internet.interfaces import (
    IListeningPort,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory

from ugate.errors import Cause, Refused
from ugate.interfaces import ISession
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.test.sessionfakes import SessionCase
from ugate.testing import Conversation, Conversations


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
