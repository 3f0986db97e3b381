# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What every link has to do, whatever protocol multiplexes it: tests to inherit.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink, IPending
from ugate.protocols.mux import MuxStream
from ugate.protocols.muxwriting import FULL
from ugate.stream import StreamInfo, Target
from ugate.testing import Conversation

TARGET = Target("db.example", 5432)
BULK = bytes(range(256)) * 8192
"""Two megabytes."""

STEPS = 100_000
"""More than any of these takes."""


class LinkContract(SynchronousTestCase):
    """
    Inherit from it, and write C{makeLinks} and C{step}.  Import the module, not the class: a test case that
    is imported is run where it is, without a link.

    @cvar streams: how many streams the client may open at once, 1000 at least.
    @cvar bothOpen: whether the server may open streams as well.
    @cvar causes: those that a refusal still has at the other end.
    @cvar held: bytes of a stream whose reader has stopped that both ends together may keep.
    """

    streams = 1000
    bothOpen = True
    causes = (Cause.DENIED, Cause.CONNECTION_REFUSED)
    held = 1 << 21

    client: Any
    server: Any

    def makeLinks(self) -> tuple[Any, Any]:
        """
        The two ends of a link that is up: of who connected, and the other one.
        """
        raise NotImplementedError

    def step(self) -> bool:
        """
        Let something happen.

        @return: whether anything did.
        """
        raise NotImplementedError

    def setUp(self) -> None:
        """
        A link.
        """
        self.client, self.server = self.makeLinks()
        self.accepted: list[Conversation] = []
        self.settle()

    def settle(self) -> None:
        """
        Let everything happen.
        """
        for _ in range(STEPS):
            if not self.step():
                return
        self.fail("it never comes to rest")

    def info(self, target: Target = TARGET) -> StreamInfo:
        """
        A stream to there.
        """
        info: StreamInfo = self.client.info
        return info.but(target=target)

    def accept(self, stream: MuxStream) -> None:
        """
        What serves streams: accept each.
        """
        conversation = Conversation()
        self.accepted.append(conversation)
        stream.accept()
        stream.begin(conversation)

    def opening(self, link: Any = None, target: Target = TARGET) -> Conversation:
        """
        Open a stream.
        """
        conversation = Conversation()
        opened: Deferred[MuxStream] = (self.client if link is None else link).open(self.info(target))
        opened.addCallbacks(lambda stream: stream.begin(conversation), conversation.failed)
        return conversation

    def pair(self) -> tuple[Conversation, Conversation]:
        """
        Both ends of another stream.
        """
        self.server.incoming = self.accept
        ours = self.opening()
        self.settle()
        self.assertTrue(ours.isOpen, ours.failure)
        return ours, self.accepted[-1]

    def assertRefused(self, conversation: Conversation, *causes: Cause) -> Refused:
        """
        It was refused.
        """
        self.settle()
        self.assertIsNotNone(conversation.failure, "it is still waiting, or was accepted")
        assert conversation.failure is not None
        refused = conversation.failure.value
        assert isinstance(refused, Refused), conversation.failure
        self.assertIn(refused.cause, causes)
        return refused

    def test_provides(self) -> None:
        """
        Both ends are links, without streams.
        """
        for link in (self.client, self.server):
            self.assertTrue(verifyObject(ILink, link))
            self.assertEqual(0, link.streams)
        self.assertGreaterEqual(self.client.room, self.streams)

    def test_open(self) -> None:
        """
        The other end learns of a stream, where it wants to go, and who asks; with its answer it is up.
        """
        streams: list[MuxStream] = []
        self.server.incoming = streams.append
        ours = self.opening()
        self.settle()
        (stream,) = streams
        self.assertTrue(IPending.providedBy(stream))
        self.assertTrue(stream.isPending)
        self.assertFalse(ours.isOpened)
        peer = stream.info
        self.assertEqual(
            (TARGET, self.server.info.principal, self.server.info.peer, self.server.info.host),
            (peer.target, peer.principal, peer.peer, stream.getHost()),
        )
        self.assertEqual(len(self.server.info.layers) + 1, len(peer.layers))
        self.assertRaises(RuntimeError, stream.write, b"too early")
        stream.accept()
        theirs = Conversation(b"welcome")
        stream.begin(theirs)
        self.settle()
        self.assertTrue(ours.isOpen)
        self.assertEqual(TARGET, ours.transport.getPeer().target)  # type: ignore[union-attr]
        ours.write(b"thanks")
        self.settle()
        self.assertEqual((b"welcome", b"thanks"), (ours.received, theirs.received))
        self.assertEqual((1, 1), (self.client.streams, self.server.streams))

    def test_refuse(self) -> None:
        """
        A stream that is refused fails with the reason, and leaves nothing.
        """
        for cause in self.causes:
            reason = Refused(cause, Phase.POLICY, "here", "so it is")
            self.server.incoming = lambda stream, reason=reason: stream.refuse(reason)
            self.assertRefused(self.opening(), cause)
            self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_nobody(self) -> None:
        """
        As long as nobody wants streams, all are refused.
        """
        self.assertRefused(self.opening(), *Cause)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_cancel(self) -> None:
        """
        Who gives a stream up before the answer takes it away at the other end.
        """
        streams: list[MuxStream] = []
        self.server.incoming = streams.append
        opened = self.client.open(self.info())
        failures: list[Failure] = []
        opened.addErrback(failures.append)
        self.settle()
        theirs = Conversation()
        streams[0].begin(theirs)
        opened.cancel()
        self.settle()
        self.assertEqual(1, len(failures))
        self.assertIsNotNone(theirs.lost)
        self.assertFalse(theirs.isClean)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))
        # An answer that comes too late is nobody's.
        streams[0].accept()
        self.settle()

    def test_answerOnItsWay(self) -> None:
        """
        Who gives a stream up while the answer is on its way gets none.
        """
        streams: list[MuxStream] = []
        self.server.incoming = streams.append
        opened = self.client.open(self.info())
        opened.addErrback(lambda _: None)
        self.settle()
        theirs = Conversation()
        streams[0].begin(theirs)
        streams[0].accept()
        theirs.write(b"hello")
        opened.cancel()
        self.settle()
        self.assertIsNotNone(theirs.lost)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_halfCloseOfClient(self) -> None:
        """
        Who opened may end its direction, and still gets all of the other one.
        """
        ours, theirs = self.pair()
        ours.write(b"question")
        ours.halfClose()
        self.settle()
        self.assertEqual((b"question", True, None), (theirs.received, theirs.isEnded, theirs.lost))
        theirs.write(b"answer")
        self.settle()
        self.assertEqual((b"answer", False), (ours.received, ours.isEnded))
        theirs.halfClose()
        self.settle()
        self.assertTrue(ours.isClean and theirs.isClean and ours.isOver and theirs.isOver)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_halfCloseOfServer(self) -> None:
        """
        So may who accepted.
        """
        ours, theirs = self.pair()
        theirs.write(b"all there is")
        theirs.halfClose()
        self.settle()
        self.assertEqual((b"all there is", True, None), (ours.received, ours.isEnded, ours.lost))
        ours.write(b"thanks")
        ours.halfClose()
        self.settle()
        self.assertEqual(b"thanks", theirs.received)
        self.assertTrue(ours.isClean and theirs.isClean and ours.isOver and theirs.isOver)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_close(self) -> None:
        """
        To close comes after what was written, however much that is.
        """
        ours, theirs = self.pair()
        ours.write(BULK)
        ours.close()
        self.settle()
        self.assertEqual(BULK, theirs.received)
        self.assertTrue(theirs.isEnded)
        theirs.close()
        self.settle()
        self.assertTrue(theirs.isOver and ours.isOver and ours.isClean)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))

    def test_abort(self) -> None:
        """
        A stream that is cut ends uncleanly at the other end, and no other one does.
        """
        ours, theirs = self.pair()
        other, another = self.pair()
        ours.abort()
        self.settle()
        self.assertIsNotNone(theirs.lost)
        self.assertFalse(theirs.isClean)
        another.abort()
        self.settle()
        self.assertIsNotNone(other.lost)
        self.assertFalse(other.isClean)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))
        ours, theirs = self.pair()
        ours.write(b"still there")
        self.settle()
        self.assertEqual(b"still there", theirs.received)

    def test_bothWays(self) -> None:
        """
        Bulk passes both ways at once, in order.
        """
        ours, theirs = self.pair()
        ours.pour(BULK)
        theirs.pour(BULK[::-1])
        self.settle()
        self.assertEqual(BULK, theirs.received)
        self.assertEqual(BULK[::-1], ours.received)

    def test_slowReader(self) -> None:
        """
        Who stops reading stops its sender, holds a bounded number of bytes, and stops nobody else.
        """
        for sender, reader in (self.pair(), self.pair()[::-1]):
            other, another = self.pair()
            reader.pause()
            sender.pour(BULK * 4)
            self.settle()
            self.assertEqual(b"", reader.received)
            self.assertGreater(len(sender.unpoured), len(BULK) * 4 - self.held)
            self.assertLessEqual(sender.transport._channel.unsent, 2 * FULL)  # type: ignore[union-attr]
            other.pour(BULK)
            another.pour(BULK)
            self.settle()
            self.assertEqual((BULK, BULK), (another.received, other.received))
            reader.resume()
            self.settle()
            self.assertEqual(BULK * 4, reader.received)

    def test_stalledThenCut(self) -> None:
        """
        What a reader who stopped never took does not count for those who come later.
        """
        for _ in range(20):
            ours, theirs = self.pair()
            theirs.pause()
            ours.pour(BULK)
            self.settle()
            theirs.abort()
            self.settle()
            self.assertIsNotNone(ours.lost)
        ours, theirs = self.pair()
        ours.pour(BULK)
        self.settle()
        self.assertEqual(BULK, theirs.received)

    def test_fair(self) -> None:
        """
        Streams with bulk get about as much each, and one with a few bytes is not behind them.
        """
        pairs = [self.pair() for _ in range(4)]
        small, heard = self.pair()
        for ours, _ in pairs:
            ours.pour(BULK)
        small.write(b"ping")
        steps = 0
        while all(len(theirs.received) < len(BULK) for _, theirs in pairs):
            self.assertTrue(self.step())
            if not steps and heard.received:
                steps = max(len(theirs.received) for _, theirs in pairs)
        self.assertEqual(b"ping", heard.received)
        self.assertLess(steps, len(BULK) // 2)
        for _, theirs in pairs:
            self.assertGreater(len(theirs.received), len(BULK) // 2)
        self.settle()

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

    def test_closedInTheMiddle(self) -> None:
        """
        A protocol may close its stream, or the link, whenever it is called.
        """
        for close in ("close", "abort", "halfClose"):
            self.setUp()

            class Closing(Conversation):
                def dataReceived(self, data: bytes, close: str = close) -> None:
                    super().dataReceived(data)
                    getattr(self, close)()

            self.server.incoming = lambda stream: (stream.accept(), stream.begin(Closing()))
            ours = self.opening()
            ours.write(b"one")
            self.settle()
            ours.write(b"two")
            ours.close()
            self.settle()
            self.assertEqual((0, 0), (self.client.streams, self.server.streams))

        self.setUp()

        class Cutting(Conversation):
            def dataReceived(self, data: bytes) -> None:
                link.abort("seen enough")

        link = self.server
        link.incoming = lambda stream: (stream.accept(), stream.begin(Cutting()))
        streams = [self.opening() for _ in range(3)]
        self.settle()
        for each in streams:
            each.write(b"x")
        self.settle()
        self.assertEqual([False] * 3, [each.isOpen for each in streams])
