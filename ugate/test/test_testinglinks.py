# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.testing.links}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.mux import MuxStream
from ugate.stream import Target
from ugate.test import linkcontract
from ugate.test.test_testing import listingResult
from ugate.testing import Conversation
from ugate.testing.linkmaker import linkPair
from ugate.testing.links import MemoryLink
from ugate.testing.turns import MeshClock


class MemoryLinkTests(linkcontract.LinkContract):
    """
    It is a link.
    """

    def makeLinks(self) -> tuple[MemoryLink, MemoryLink]:
        """
        One on a clock.
        """
        self.clock = MeshClock()
        return linkPair(self.clock, streams=self.streams)

    def step(self) -> bool:
        """
        What is due.
        """
        return self.clock.runDue()


class FaultTests(SynchronousTestCase):
    """
    What a link in memory does besides.
    """

    def setUp(self) -> None:
        """
        One that takes its time.
        """
        self.clock = MeshClock()
        self.ours, self.theirs = linkPair(self.clock, delay=0.5, window=100, client="alice", server="bob")
        self.accepted: list[Conversation] = []
        self.theirs.incoming = self.accept

    def accept(self, stream: MuxStream) -> None:
        """
        Serve a stream.
        """
        stream.accept()
        self.accepted.append(Conversation())
        stream.begin(self.accepted[-1])

    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        for _ in range(round(seconds * 10)):
            self.clock.rightNow += 0.1
            while self.clock.runDue():
                pass

    def stream(self) -> Conversation:
        """
        A stream that we open.
        """
        conversation = Conversation()
        opening = self.ours.open(self.ours.info.but(target=Target("db", 1)))
        opening.addCallbacks(lambda stream: stream.begin(conversation), conversation.failed)
        return conversation

    def test_who(self) -> None:
        """
        Each side knows who the other one is, and whence.
        """
        self.assertEqual(("bob", "alice"), (str(self.ours.info.principal), str(self.theirs.info.principal)))
        self.assertEqual(self.ours.info.peer, self.theirs.info.host)
        self.assertEqual(self.ours.info.host, self.theirs.info.peer)

    def test_delay(self) -> None:
        """
        All takes its time, each way, and comes in its order.
        """
        stream = self.stream()
        self.advance(0.4)
        self.assertEqual([], self.accepted)
        self.advance(0.5)
        self.assertFalse(stream.isOpened)
        self.advance(0.2)
        self.assertTrue(stream.isOpened)
        stream.write(b"1")
        self.advance(0.3)
        stream.write(b"2")
        self.advance(0.3)
        self.assertEqual(b"1", self.accepted[0].received)
        self.advance(0.3)
        self.assertEqual(b"12", self.accepted[0].received)

    def test_window(self) -> None:
        """
        No more than the window is on its way.
        """
        stream = self.stream()
        self.advance(1.1)
        stream.write(bytes(250))
        self.assertEqual(150, self.ours.unsent)
        self.advance(0.6)
        self.assertEqual((100, 150), (self.theirs.arrived, self.ours.unsent))
        self.advance(3)
        self.assertEqual((250, 0), (self.theirs.arrived, self.ours.unsent))

    def test_stall(self) -> None:
        """
        What is stalled comes later.
        """
        stream = self.stream()
        self.advance(2)
        self.ours.stall()
        stream.write(b"late")
        self.accepted[0].write(b"in time")
        self.advance(5)
        self.assertEqual((b"", b"in time"), (self.accepted[0].received, stream.received))
        self.ours.resume()
        self.assertEqual(b"late", self.accepted[0].received)

    def test_cut(self) -> None:
        """
        What is under way when the connection breaks is lost.
        """
        stream = self.stream()
        self.advance(2)
        stream.write(b"lost")
        self.ours.cut()
        self.advance(2)
        self.assertEqual(b"", self.accepted[0].received)
        self.assertFalse(stream.isClean or self.accepted[0].isClean)
        self.assertTrue(self.ours.isClosed and self.theirs.isClosed)

    def test_reset(self) -> None:
        """
        Streams can break, and the link stays.
        """
        stream, waiting = self.stream(), None
        self.advance(2)
        waiting = self.stream()
        self.ours.resetStreams()
        self.assertFalse(stream.isClean or self.accepted[0].isClean)
        self.assertIsNotNone(waiting.failure)
        self.assertEqual((0, 0), (self.ours.streams, self.theirs.streams))
        again = self.stream()
        self.advance(2)
        self.assertTrue(again.isOpen)


class ListingTests(SynchronousTestCase):
    """
    The listing of the documentation.
    """

    def test_listing(self) -> None:
        """
        Its tests pass.
        """
        self.assertEqual(([], [], True), listingResult("test_links"))
