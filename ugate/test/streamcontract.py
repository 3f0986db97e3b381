# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the streams of every link have to do: tests to inherit, by L{ugate.test.linkcontract}.
"""

from __future__ import annotations

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IPending
from ugate.protocols.mux import MuxStream
from ugate.protocols.muxwriting import FULL
from ugate.test.linkcases import BULK, TARGET, LinkCase
from ugate.testing import Conversation


class StreamContract(LinkCase):
    """
    Streams, from the question whether there may be one to their end.
    """

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

    def givenUp(self) -> tuple[MuxStream, Conversation]:
        """
        A stream at the other end that was given up before the answer.
        """
        streams: list[MuxStream] = []
        self.server.incoming = streams.append
        opened = self.client.open(self.info())
        self.settle()
        theirs = Conversation()
        streams[0].begin(theirs)
        opened.cancel()
        self.settle()
        self.failureResultOf(opened)
        return streams[0], theirs

    def test_cancel(self) -> None:
        """
        Who gives a stream up before the answer takes it away at the other end.
        """
        stream, theirs = self.givenUp()
        self.assertIsNotNone(theirs.lost)
        self.assertFalse(theirs.isClean)
        self.assertEqual((0, 0), (self.client.streams, self.server.streams))
        # An answer that comes too late is nobody's.
        stream.accept()
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
