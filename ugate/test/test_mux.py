# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.mux}: answers, bytes and producers.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Refused
from ugate.interfaces import IChannel, IHalfCloseableTransport, IPending
from ugate.protocols.mux import SCRAP, MuxStream
from ugate.protocols.muxwriting import FULL
from ugate.test.muxfakes import INFO, FakeChannel, Half, Puller, Pusher, Whole

DONE = Failure(ConnectionDone())


class StreamCase(SynchronousTestCase):
    """
    A stream over a channel that is a fake.
    """

    def setUp(self) -> None:
        """
        A stream that we opened.
        """
        self.channel = FakeChannel()
        self.stream = MuxStream(self.channel, INFO)

    def begin(self, protocol: Whole) -> Whole:
        """
        Give it a protocol.
        """
        self.stream.begin(protocol)
        return protocol


class AnswerTests(StreamCase):
    """
    A stream that the peer opened.
    """

    def setUp(self) -> None:
        """
        One that waits.
        """
        super().setUp()
        self.stream = MuxStream(self.channel, INFO, True)

    def test_provides(self) -> None:
        """
        It is all that a transport is, and the fakes are what they stand for.
        """
        for interface in (ITransport, IConsumer, IPushProducer, IHalfCloseableTransport, IPending):
            self.assertTrue(verifyObject(interface, self.stream))
        self.assertTrue(verifyObject(IChannel, self.channel))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, Half()))
        self.assertIs(self.stream.getPeer(), INFO)
        self.assertIs(self.stream.getHost(), INFO.host)
        self.assertIn("db:5432", repr(self.stream))

    def test_accept(self) -> None:
        """
        It is accepted once.
        """
        self.stream.accept()
        self.stream.accept()
        self.stream.refuse(Denied("here"))
        self.stream.write(b"yes")
        self.assertEqual(["accept", b"yes"], self.channel.calls)
        self.assertFalse(self.stream.isPending)

    def test_refuse(self) -> None:
        """
        It is refused once, with the reason; its protocol is told that it is gone.
        """
        protocol = self.begin(Whole())
        reason = Denied("here")
        self.stream.refuse(reason)
        self.stream.refuse(reason)
        self.stream.accept()
        self.stream.write(b"no")
        self.stream.closed(DONE)
        self.assertEqual([reason], self.channel.calls)
        self.assertEqual(["made", ConnectionAborted], protocol.heard)

    def test_early(self) -> None:
        """
        To write before the answer is an error.
        """
        with self.assertRaises(RuntimeError) as caught:
            self.stream.write(b"welcome")
        self.assertIn("accept()", str(caught.exception))
        self.assertRaises(RuntimeError, self.stream.writeSequence, [b"wel", b"come"])
        self.assertEqual([], self.channel.calls)

    def test_bytesBeforeTheAnswer(self) -> None:
        """
        What the peer sends before it has its answer is delivered.
        """
        protocol = self.begin(Whole())
        self.stream.received(b"hello")
        self.assertEqual(["made", b"hello"], protocol.heard)

    def test_closedUnanswered(self) -> None:
        """
        Who closes a stream without an answer has refused it.
        """
        self.begin(Whole(made=lambda stream: stream.loseConnection()))
        (refused,) = self.channel.calls
        assert isinstance(refused, Refused)
        self.assertIs(Cause.GENERAL, refused.cause)

    def test_peerEndsUnanswered(self) -> None:
        """
        So does who does not know of halves, when the peer ends its own.
        """
        protocol = self.begin(Whole())
        self.stream.ended()
        self.assertEqual([Refused], [type(each) for each in self.channel.calls])
        self.assertEqual(["made", ConnectionAborted], protocol.heard)

    def test_cutUnanswered(self) -> None:
        """
        One that is cut is reset, and cannot be answered any more.
        """
        self.begin(Whole())
        self.stream.abortConnection()
        self.stream.accept()
        self.stream.refuse(Denied("here"))
        self.assertEqual(["reset"], self.channel.calls)

    def test_goneUnanswered(self) -> None:
        """
        A peer that is gone gets no answer, and to write one is no error.
        """
        protocol = self.begin(Whole())
        self.stream.closed(Failure(ConnectionLost()))
        self.stream.accept()
        self.stream.write(b"too late")
        self.stream.refuse(Denied("here"))
        self.assertEqual([], self.channel.calls)
        self.assertEqual(["made", ConnectionLost], protocol.heard)

    def test_endBeforeTheAnswer(self) -> None:
        """
        Who ends its direction before the answer does so after it.
        """
        self.stream.loseWriteConnection()
        self.assertEqual([], self.channel.calls)
        self.stream.accept()
        self.assertEqual(["accept", "finish"], self.channel.calls)


class ReadingTests(StreamCase):
    """
    What comes.
    """

    def test_window(self) -> None:
        """
        The peer may send as much again as the protocol has taken, and no more.
        """
        self.stream.received(b"before there is anybody")
        self.assertEqual(0, self.channel.taken)
        protocol = self.begin(Whole())
        self.assertEqual(["made", b"before there is anybody"], protocol.heard)
        self.assertEqual(23, self.channel.taken)
        self.stream.pauseProducing()
        self.stream.received(b"while it is paused")
        self.assertEqual((2, 23), (len(protocol.heard), self.channel.taken))
        self.stream.resumeProducing()
        self.assertEqual(b"while it is paused", protocol.heard[-1])
        self.assertEqual(41, self.channel.taken)

    def test_scraps(self) -> None:
        """
        Many small pieces that nobody takes need hardly more memory than their bytes, and are as they were.
        """
        protocol = self.begin(Whole())
        self.stream.pauseProducing()
        for number in range(5000):
            self.stream.received(bytes((number % 251,)))
        self.stream.received(bytes(SCRAP))
        self.assertLess(len(self.stream._kept), 30)
        self.stream.resumeProducing()
        received = b"".join(each for each in protocol.heard if isinstance(each, bytes))
        self.assertEqual(bytes(number % 251 for number in range(5000)) + bytes(SCRAP), received)
        self.assertEqual(5000 + SCRAP, self.channel.taken)

    def test_cap(self) -> None:
        """
        A peer that sends more than it was given window for finds a reset.
        """
        self.stream.CAP = 100
        self.stream.received(bytes(100))
        self.assertEqual([], self.channel.calls)
        self.stream.received(b"x")
        self.assertEqual(["reset"], self.channel.calls)
        protocol = self.begin(Whole())
        self.assertEqual(["made", ConnectionLost], protocol.heard)

    def test_pausedWithin(self) -> None:
        """
        A protocol that pauses when it is called is called no more until it resumes.
        """
        protocol = Whole(data=lambda stream: stream.pauseProducing())
        for piece in (b"1", b"2", b"3"):
            self.stream.received(piece)
        self.begin(protocol)
        self.assertEqual(["made", b"1"], protocol.heard)
        self.stream.resumeProducing()
        self.stream.resumeProducing()
        self.assertEqual(["made", b"1", b"2", b"3"], protocol.heard)

    def test_resumedWithin(self) -> None:
        """
        One that resumes while it is called is not called within that; however many pieces there are.
        """

        def both(stream: MuxStream) -> None:
            stream.pauseProducing()
            stream.resumeProducing()

        protocol = self.begin(Whole(data=both))
        self.stream.pauseProducing()
        for _ in range(5000):
            self.stream.received(bytes(SCRAP // 2))
        self.stream.resumeProducing()
        self.assertEqual(5001, len(protocol.heard))

    def test_cameWithin(self) -> None:
        """
        What comes while the protocol is being called comes after that.
        """
        pieces = [b"2", b"3"]

        def more(stream: MuxStream) -> None:
            if pieces:
                stream.received(pieces.pop(0))
                stream.ended()

        protocol = self.begin(Half(data=more))
        self.stream.received(b"1")
        self.assertEqual(["made", b"1", b"2", b"3", "read lost"], protocol.heard)

    def test_cameWithinMade(self) -> None:
        """
        The same for the first call.
        """
        protocol = self.begin(Half(made=lambda stream: (stream.received(b"1"), stream.ended())))
        self.assertEqual(["made", b"1", "read lost"], protocol.heard)

    def test_fails(self) -> None:
        """
        A protocol that fails loses its stream; the link does not see it.
        """

        def fail(stream: MuxStream) -> None:
            raise ValueError("a fault")

        protocol = self.begin(Whole(data=fail))
        self.stream.pauseProducing()
        self.stream.received(b"1")
        self.stream.received(b"2")
        self.stream.resumeProducing()
        self.assertEqual(["made", b"1", ValueError], protocol.heard)
        self.assertEqual(["reset"], self.channel.calls)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_failsAtOnce(self) -> None:
        """
        So does one that fails before it has begun, and in the end.
        """

        def fail(stream: MuxStream) -> None:
            raise ValueError("a fault")

        protocol = self.begin(Whole(made=fail, lost=fail))
        self.assertEqual(["made", ValueError], protocol.heard)
        self.assertEqual(2, len(self.flushLoggedErrors(ValueError)))


class ProducerTests(StreamCase):
    """
    Whoever writes much.
    """

    def test_push(self) -> None:
        """
        A push producer is paused when much is unsent, and goes on when all of it is gone.
        """
        pusher = Pusher()
        self.stream.registerProducer(pusher, True)
        self.channel.isFull = True
        self.stream.write(bytes(FULL))
        self.assertEqual([], pusher.calls)
        self.stream.write(b"x")
        self.stream.write(b"x")
        self.assertEqual(["pause"], pusher.calls)
        self.channel.drain(self.stream)
        self.stream.drained()
        self.assertEqual(["pause", "resume"], pusher.calls)

    def test_pushLate(self) -> None:
        """
        One that comes when much is unsent is paused at once.
        """
        self.channel.isFull = True
        self.stream.write(bytes(FULL + 1))
        pusher = Pusher()
        self.stream.registerProducer(pusher, True)
        self.assertEqual(["pause"], pusher.calls)

    def test_pull(self) -> None:
        """
        A pull producer is asked again as long as all is gone that it wrote.
        """
        puller = Puller(self.stream, [b"1", b"2", None, b"3"])
        self.stream.registerProducer(puller, False)
        self.assertEqual([b"1", b"2"], self.channel.calls)
        self.channel.isFull = True
        self.stream.drained()
        self.assertEqual([b"1", b"2", b"3"], self.channel.calls)
        self.stream.loseConnection()
        self.assertNotIn("finish", self.channel.calls)
        self.channel.drain(self.stream)
        self.assertEqual([b"1", b"2", b"3", "finish"], self.channel.calls)

    def test_pullLater(self) -> None:
        """
        One that writes when it has something is asked again after that.
        """
        puller = Puller(self.stream, [None, b"2"])
        self.stream.registerProducer(puller, False)
        self.assertEqual([], self.channel.calls)
        self.stream.write(b"1")
        self.assertEqual([b"1", b"2"], self.channel.calls)

    def test_pullMuch(self) -> None:
        """
        However much it writes, it is no matter of how deep calls may go.
        """
        puller = Puller(self.stream, [b"x"] * 5000)
        self.stream.registerProducer(puller, False)
        self.assertEqual(5000, len(self.channel.calls))

    def test_one(self) -> None:
        """
        There is one at a time.
        """
        self.stream.registerProducer(Pusher(), True)
        self.assertRaises(RuntimeError, self.stream.registerProducer, Pusher(), True)
        self.stream.unregisterProducer()
        self.stream.registerProducer(Pusher(), True)

    def test_gone(self) -> None:
        """
        One that is there when the stream goes is stopped, as is one that comes later.
        """
        first, second = Pusher(), Pusher()
        self.stream.registerProducer(first, True)
        self.stream.closed(Failure(ConnectionLost()))
        self.stream.registerProducer(second, True)
        self.stream.drained()
        self.assertEqual((["stop"], ["stop"]), (first.calls, second.calls))

    def test_fails(self) -> None:
        """
        One that fails when it is called costs its stream.
        """
        protocol = self.begin(Whole())

        class Broken(Puller):
            def resumeProducing(self) -> None:
                raise ValueError("a fault")

        self.stream.registerProducer(Broken(self.stream, []), False)
        self.assertEqual(["made", ValueError], protocol.heard)
        self.assertEqual(["reset"], self.channel.calls)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
