# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.mux}: how a stream ends.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, lists, one_of, sampled_from

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from ugate.protocols.mux import LATE, MuxStream
from ugate.test.muxfakes import INFO, FakeChannel, Half, Pusher, Whole
from ugate.test.test_mux import DONE, StreamCase


class HalvesTests(StreamCase):
    """
    Directions that end one by one.
    """

    def test_peerFirst(self) -> None:
        """
        A protocol that knows of halves may go on writing when its peer has ended.
        """
        protocol = self.begin(Half())
        self.stream.received(b"question")
        self.stream.ended()
        self.assertEqual(["made", b"question", "read lost"], protocol.heard)
        self.stream.write(b"answer")
        self.stream.loseWriteConnection()
        self.assertEqual([b"answer", "finish"], self.channel.calls)
        self.assertEqual("write lost", protocol.heard[-1])
        self.stream.closed(DONE)
        self.assertEqual(ConnectionDone, protocol.heard[-1])

    def test_weFirst(self) -> None:
        """
        It may end its own direction and go on reading; it is told of that when all is sent.
        """
        protocol = self.begin(Half())
        self.channel.isFull = True
        self.stream.write(b"question")
        self.stream.loseWriteConnection()
        self.stream.write(b"more")
        self.assertEqual([b"question", "finish"], self.channel.calls)
        self.assertEqual(["made"], protocol.heard)
        self.channel.drain(self.stream)
        self.stream.received(b"answer")
        self.stream.ended()
        self.stream.closed(DONE)
        self.assertEqual(["made", "write lost", b"answer", "read lost", ConnectionDone], protocol.heard)

    def test_whole(self) -> None:
        """
        One that knows nothing of halves loses both when its peer ends, after what it has written.
        """
        pusher = Pusher()
        protocol = self.begin(Whole(data=lambda stream: stream.write(b"answer")))
        self.stream.registerProducer(pusher, True)
        self.stream.received(b"question")
        self.stream.ended()
        self.assertEqual(["made", b"question"], protocol.heard)
        self.assertEqual([b"answer", "finish"], self.channel.calls)
        self.assertEqual(["stop"], pusher.calls)
        self.stream.closed(DONE)
        self.assertEqual(["made", b"question", ConnectionDone], protocol.heard)

    def test_endWaitsForReader(self) -> None:
        """
        The end comes after all that came before it, also to who had stopped reading.
        """
        protocol = self.begin(Half())
        self.stream.pauseProducing()
        self.stream.loseWriteConnection()
        self.stream.received(b"all")
        self.stream.ended()
        self.stream.closed(DONE)
        self.assertEqual(["made", "write lost"], protocol.heard)
        self.stream.resumeProducing()
        self.assertEqual(["made", "write lost", b"all", "read lost", ConnectionDone], protocol.heard)

    def test_goneBeforeBegin(self) -> None:
        """
        A stream that ended before it had a protocol is given with all that came.
        """
        self.stream.received(b"all")
        self.stream.closed(DONE)
        protocol = self.begin(Half())
        self.assertEqual(["made", b"all", "read lost", ConnectionDone], protocol.heard)

    def test_producerFirst(self) -> None:
        """
        A direction ends when the producer on it has ended.
        """
        for end in ("loseWriteConnection", "loseConnection"):
            self.setUp()
            self.begin(Whole())
            self.stream.registerProducer(Pusher(), True)
            getattr(self.stream, end)()
            self.stream.write(b"x")
            self.assertEqual([b"x"], self.channel.calls)
            self.stream.unregisterProducer()
            self.assertEqual([b"x", "finish"], self.channel.calls)


class CloseTests(StreamCase):
    """
    Streams that are closed here.
    """

    def test_close(self) -> None:
        """
        The other end is told after all that was written; that it has ended too is the end.
        """
        protocol = self.begin(Half())
        self.stream.write(b"bye")
        self.stream.stopProducing()
        self.stream.loseConnection()
        self.stream.write(b"no more")
        self.assertEqual([b"bye", "finish"], self.channel.calls)
        self.assertTrue(self.stream.disconnecting)
        self.stream.ended()
        self.stream.closed(DONE)
        self.assertEqual(["made", ConnectionDone], protocol.heard)

    def test_closeInMade(self) -> None:
        """
        It can be closed, or cut, by the first call.
        """
        self.stream.received(b"nobody wants that")
        protocol = self.begin(Whole(made=lambda stream: stream.loseConnection()))
        self.assertEqual(["made"], protocol.heard)
        self.stream.closed(DONE)
        self.assertEqual(["made", ConnectionDone], protocol.heard)
        self.setUp()
        protocol = self.begin(Whole(made=lambda stream: stream.abortConnection()))
        self.assertEqual(["made", ConnectionAborted], protocol.heard)
        self.assertEqual(["reset"], self.channel.calls)

    def test_late(self) -> None:
        """
        What comes for who has closed is dropped; a peer that goes on finds a reset.
        """
        protocol = self.begin(Half())
        self.stream.loseConnection()
        self.stream.received(bytes(LATE))
        self.assertEqual(LATE, self.channel.taken)
        self.assertEqual(["finish"], self.channel.calls)
        self.stream.received(b"x")
        self.assertEqual(["finish", "reset"], self.channel.calls)
        self.assertEqual(["made", ConnectionAborted], protocol.heard)

    def test_keptIsDropped(self) -> None:
        """
        So is what was kept for it, and the peer may send as much again.
        """
        protocol = self.begin(Half())
        self.stream.pauseProducing()
        self.stream.received(bytes(100))
        self.stream.loseConnection()
        self.assertEqual(100, self.channel.taken)
        self.stream.resumeProducing()
        self.stream.closed(DONE)
        self.assertEqual(["made", ConnectionDone], protocol.heard)

    def test_closeAfterEnd(self) -> None:
        """
        Who closes what the peer has closed, and never read all of it, is through.
        """
        for close in ("loseConnection", "abortConnection"):
            self.setUp()
            protocol = self.begin(Half())
            self.stream.pauseProducing()
            self.stream.received(b"unread")
            self.stream.loseWriteConnection()
            self.stream.closed(DONE)
            self.assertNotIn(ConnectionDone, protocol.heard)
            getattr(self.stream, close)()
            self.assertEqual(["made", "write lost", ConnectionDone], protocol.heard)


class CutTests(StreamCase):
    """
    Streams that break.
    """

    def test_abort(self) -> None:
        """
        A stream that is cut is reset, and nothing comes of it any more.
        """
        protocol = self.begin(Half())
        self.stream.abortConnection()
        self.stream.abortConnection()
        self.stream.loseConnection()
        self.stream.write(b"x")
        self.stream.received(b"x")
        self.stream.ended()
        self.stream.drained()
        self.stream.closed(DONE)
        self.assertEqual(["reset"], self.channel.calls)
        self.assertEqual(["made", ConnectionAborted], protocol.heard)

    def test_reset(self) -> None:
        """
        One that the peer resets is gone, with what nobody has read.
        """
        protocol = self.begin(Half())
        self.stream.pauseProducing()
        self.stream.received(b"unread")
        self.stream.closed(Failure(ConnectionLost("reset")))
        self.stream.resumeProducing()
        self.assertEqual(["made", ConnectionLost], protocol.heard)

    def test_cutWithin(self) -> None:
        """
        A protocol that cuts its stream while it is called hears of it after that.
        """

        def cut(stream: MuxStream) -> None:
            stream.abortConnection()
            stream.closed(DONE)

        for does in ({"data": cut}, {"ended": cut}, {"finished": cut}):
            self.setUp()
            protocol = self.begin(Half(**does))
            self.stream.loseWriteConnection()
            self.stream.received(b"x")
            self.stream.ended()
            self.assertEqual(ConnectionAborted, protocol.heard[-1])
            self.assertEqual(1, self.channel.calls.count("reset"))

    def test_brokenChannel(self) -> None:
        """
        A channel may be gone in the middle of what it is asked for.
        """

        class Breaking(FakeChannel):
            stream: MuxStream

            def write(self, data: bytes) -> None:
                super().write(data)
                self.stream.closed(Failure(ConnectionLost()))

            def finish(self) -> None:
                super().finish()
                self.stream.closed(DONE)

            def consumed(self, count: int) -> None:
                super().consumed(count)
                self.stream.closed(Failure(ConnectionLost()))

        for act, last in (
            (lambda stream: stream.write(b"x"), ConnectionLost),
            (MuxStream.loseConnection, ConnectionDone),
            (MuxStream.loseWriteConnection, ConnectionDone),
            (lambda stream: stream.received(b"x"), ConnectionLost),
        ):
            self.channel = channel = Breaking()
            channel.stream = self.stream = MuxStream(channel, INFO)
            protocol = self.begin(Half())
            self.stream.registerProducer(Pusher(), True)
            self.stream.unregisterProducer()
            act(self.stream)
            self.assertEqual(last, protocol.heard[-1])


class RandomTests(StreamCase):
    """
    Anything in any order.
    """

    ACTS = (
        "ended",
        "drained",
        "begin",
        "accept",
        "loseConnection",
        "abortConnection",
        "loseWriteConnection",
        "pauseProducing",
        "resumeProducing",
        "closed",
        "lost",
        "push",
        "unregisterProducer",
    )

    @given(lists(one_of(sampled_from(ACTS), binary(min_size=1, max_size=3)), max_size=30))
    def test_any(self, acts: list[Any]) -> None:
        """
        A protocol is made once, is lost once and last of all, hears what came in order, and is not called
        within a call; a channel is not asked for anything after its end.
        """
        channel = FakeChannel()
        stream = MuxStream(channel, INFO)
        protocol = Half()
        begun = False
        sent: list[bytes] = []
        for act in acts:
            if isinstance(act, bytes):
                sent.append(act)
                stream.received(act)
            elif act == "begin":
                if not begun:
                    stream.begin(protocol)
                begun = True
            elif act == "push":
                if stream._producer is None:
                    stream.registerProducer(Pusher(), True)
            elif act == "closed":
                stream.closed(DONE)
            elif act == "lost":
                stream.closed(Failure(ConnectionLost()))
            else:
                getattr(stream, act)()
        if not begun:
            stream.begin(protocol)
        stream.abortConnection()
        heard = protocol.heard
        self.assertEqual("made", heard[0])
        self.assertIsInstance(heard[-1], type)
        self.assertEqual(1, sum(isinstance(each, type) for each in heard))
        got = [each for each in heard if isinstance(each, bytes)]
        self.assertEqual(sent[: len(got)], got)
        for word in ("read lost", "write lost"):
            self.assertLessEqual(heard.count(word), 1)
        for word in ("finish", "reset"):
            self.assertLessEqual(channel.calls.count(word), 1)
        if "reset" in channel.calls:
            self.assertEqual("reset", channel.calls[-1])
