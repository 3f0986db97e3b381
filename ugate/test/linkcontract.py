# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What every link has to do, whatever protocol multiplexes it: tests to inherit.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from ugate.errors import Cause
from ugate.interfaces import ILink
from ugate.stream import Target
from ugate.test import streamcontract
from ugate.test.linkcases import BULK


class LinkContract(streamcontract.StreamContract):
    """
    Inherit from it, and write C{makeLinks} and C{step}.  Import the module, not the class: a test case that
    is imported is run where it is, without a link.
    """

    def test_provides(self) -> None:
        """
        Both ends are links, without streams.
        """
        for link in (self.client, self.server):
            self.assertTrue(verifyObject(ILink, link))
            self.assertEqual(0, link.streams)
        self.assertGreaterEqual(self.client.room, self.streams)

    def test_thousandStreams(self) -> None:
        """
        A thousand streams are up at once, each with its own bytes; then there is none.
        """
        self.server.incoming = self.accept
        all_ = [self.opening(target=Target("db", number + 1)) for number in range(1000)]
        self.settle()
        self.assertEqual((1000, 1000), (self.client.streams, self.server.streams))
        for number, ours in enumerate(all_):
            ours.write(b"%d" % number)
        self.settle()
        for theirs in self.accepted:
            peer: Any = theirs.transport.getPeer()  # type: ignore[union-attr]
            self.assertEqual(b"%d" % (peer.target.port - 1), theirs.received)
            theirs.write(theirs.received)
            theirs.close()
        self.settle()
        for number, ours in enumerate(all_):
            self.assertEqual(b"%d" % number, ours.received)
            ours.close()
        self.settle()
        self.assertTrue(all(each.isClean and each.isOver for each in (*all_, *self.accepted)))
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_room(self) -> None:
        """
        There are no more streams than the peer lets us open, and one that ends makes room.
        """
        self.server.incoming = self.accept
        room = self.client.room
        first = [self.opening() for _ in range(room)]
        self.settle()
        self.assertEqual(0, self.client.room)
        self.assertRefused(self.opening(), Cause.OVERLOADED)
        self.assertEqual(room, self.client.streams)
        first[0].abort()
        self.settle()
        self.assertEqual(1, self.client.room)
        again = self.opening()
        self.settle()
        self.assertTrue(again.isOpen)

    def test_drain(self) -> None:
        """
        A link that goes away lets its streams end, lets none begin, and closes with the last.
        """
        for end in (0, 1):
            self.setUp()
            ours, theirs = self.pair()
            closed: list[Any] = []
            for link in (self.client, self.server, self.server):
                link.whenClosed().addCallback(closed.append)
            told: list[int] = []
            for number, link in enumerate((self.client, self.server)):
                link.onDraining = lambda number=number, told=told: told.append(number)
                self.assertFalse(link.isDraining)
            (self.client, self.server)[end].drain()
            self.settle()
            # Who says so need not be told, nor who could open no stream anyway.
            if end or self.bothOpen:
                self.assertEqual([1 - end], told)
                self.assertTrue(self.client.isDraining and self.server.isDraining)
            self.assertEqual(0, self.client.room)
            self.assertRefused(self.opening(), Cause.OVERLOADED, Cause.PEER_CLOSED)
            ours.write(BULK)
            ours.halfClose()
            self.settle()
            self.assertEqual(BULK, theirs.received)
            self.assertEqual([], closed)
            theirs.close()
            self.settle()
            self.assertEqual(3, len(closed))
            self.assertEqual([str] * 3, [type(each) for each in closed])
            self.assertTrue(ours.isClean and theirs.isClean)

    def test_drainIdle(self) -> None:
        """
        One without streams closes at once; what is opened on a link that is closed is refused.
        """
        self.client.drain()
        self.client.drain()
        self.settle()
        closed: list[Any] = []
        self.client.whenClosed().addCallback(closed.append)
        self.server.whenClosed().addCallback(closed.append)
        self.assertEqual(2, len(closed))
        self.assertRefused(self.opening(), Cause.PEER_CLOSED, Cause.OVERLOADED)
        self.assertEqual((0, 0), (self.client.room, self.client.streams))

    def test_cut(self) -> None:
        """
        A link that is cut takes all its streams with it, and those that wait; none ends cleanly.
        """
        for end in (0, 1):
            self.setUp()
            ours, theirs = self.pair()
            ours.write(b"half of")
            self.server.incoming = lambda stream: None
            waiting = self.opening()
            self.settle()
            closed: list[str] = []
            self.client.whenClosed().addCallback(closed.append)
            self.server.whenClosed().addCallback(closed.append)
            pinged = self.client.ping()
            failed: list[Failure] = []
            pinged.addErrback(failed.append)
            link = (self.client, self.server)[end]
            link.abort("no more of this")
            self.settle()
            for each in (ours, theirs):
                self.assertIsNotNone(each.lost)
                self.assertFalse(each.lost.check(ConnectionDone))  # type: ignore[union-attr]
            self.assertRefused(waiting, Cause.PEER_CLOSED)
            self.assertEqual(2, len(closed))
            self.assertIn("no more of this", " ".join(closed))
            self.assertEqual((0, 0), (self.client.streams, self.server.streams))
            # It may have been answered before.
            self.assertTrue(pinged.called)
            link.abort("again")
            link.drain()

    def test_ping(self) -> None:
        """
        A ping is answered, also without a stream, from both sides.
        """
        answered: list[None] = []
        for link in (self.client, self.server, self.client):
            link.ping().addCallback(answered.append)
        self.settle()
        self.assertEqual(3, len(answered))

    def test_serverOpens(self) -> None:
        """
        Where the protocol lets the server open streams, they are like those of the client.
        """
        self.client.incoming = self.accept
        ours = self.opening(self.server)
        self.settle()
        if not self.bothOpen:
            self.assertRefused(ours, Cause.UNSUPPORTED, Cause.OVERLOADED)
            return
        (theirs,) = self.accepted
        ours.write(b"from the server")
        theirs.write(b"from the client")
        self.settle()
        self.assertEqual((b"from the client", b"from the server"), (ours.received, theirs.received))
        self.assertEqual((1, 1), (self.client.streams, self.server.streams))
