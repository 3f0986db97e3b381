# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2core} and L{ugate.protocols.h2channel}: windows, turns, the states of streams,
and what a peer may not do.
"""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IChannel
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2channel import TURN
from ugate.protocols.h2frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Code,
    frameHead,
)
from ugate.stream import StreamInfo, Target
from ugate.test.h2fakes import CONNECT, HOST, PEER, RawPeer, Upper

FIRST = H2Limits().firstWindow
INITIAL_WINDOW, MAX_FRAME_SIZE = 4, 5


class CoreTestCase(SynchronousTestCase):
    """
    A link of a server, and its peer.
    """

    limits: H2Limits | None = None

    def setUp(self) -> None:
        self.peer = RawPeer(limits=self.limits)
        self.peer.frames()
        self.core = self.peer.link.core

    def up(self, stream: int = 1, takes: bool = True) -> Upper:
        """
        A stream that is up.
        """
        self.peer.headers(stream)
        upper = Upper(self.core.channels[stream], takes)
        upper.channel.accept()
        self.peer.frames()
        return upper

    def data(self, stream: int, size: int, flags: int = 0) -> None:
        """
        Send so much data.
        """
        self.peer.send(DATA, flags, stream, bytes(size))

    def window(self, stream: int, more: int) -> None:
        """
        Let the link send more.
        """
        self.peer.send(WINDOW_UPDATE, 0, stream, struct.pack(">L", more))

    def updates(self) -> dict[int, int]:
        """
        By how much windows were enlarged.
        """
        found: dict[int, int] = {}
        for kind, _, stream, payload in self.peer.frames():
            if kind == WINDOW_UPDATE:
                found[stream] = found.get(stream, 0) + struct.unpack(">L", payload)[0]
        return found

    def sent(self) -> dict[int, int]:
        """
        How many bytes of data came of each stream.
        """
        found: dict[int, int] = {}
        for kind, _, stream, payload in self.peer.frames():
            if kind == DATA:
                found[stream] = found.get(stream, 0) + len(payload)
        return found

    def assertGone(self, code: Code, peer: RawPeer | None = None) -> None:
        """
        The link is ended, with that code.
        """
        peer = peer or self.peer
        gone = peer.goneAway()
        self.assertIsNotNone(gone)
        assert gone is not None
        self.assertEqual(code, Code(gone[1]), gone[2])
        self.assertTrue(peer.wire.halfClosed)


class StateTests(CoreTestCase):
    """
    Frames that may come, and those that may not (RFC 9113, 5.1 and 6).
    """

    def test_interface(self) -> None:
        """
        A stream is a channel.
        """
        verifyObject(IChannel, self.up().channel)

    def test_halfClose(self) -> None:
        """
        Each direction ends by itself, and when both have, all is over.
        """
        one = self.up(1)
        self.data(1, 5, END_STREAM)
        self.assertEqual((b"\0" * 5, ["ended"]), (one.data, one.told))
        one.channel.write(b"still")
        one.channel.finish()
        self.assertEqual([(DATA, 0, 1, b"still"), (DATA, END_STREAM, 1, b"")], self.peer.frames())
        self.assertEqual(["ended", "closed"], one.told)
        assert one.reason is not None
        self.assertTrue(one.reason.check(ConnectionDone))
        self.assertEqual(0, self.peer.link.streams)
        self.assertEqual({}, self.core.control.streams)

    def test_halfCloseOfOurs(self) -> None:
        """
        The other way round: what comes after our end is delivered.
        """
        one = self.up(1)
        one.channel.finish()
        one.channel.finish()
        one.channel.write(b"not any more")
        self.assertEqual([(DATA, END_STREAM, 1, b"")], self.peer.frames())
        self.data(1, 3)
        self.data(1, 4, END_STREAM)
        self.assertEqual((b"\0" * 7, ["ended", "closed"]), (one.data, one.told))

    def test_trailers(self) -> None:
        """
        Trailers end a stream, as an empty frame does.
        """
        one = self.up(1)
        self.peer.headers(1, [("x", "y")], END_HEADERS | END_STREAM)
        self.assertEqual(["ended"], one.told)

    def test_dataAfterEnd(self) -> None:
        """
        Data after its end resets a stream; on one that is over, it ends the connection.
        """
        one = self.up(1)
        self.data(1, 5, END_STREAM)
        self.data(1, 5)
        self.assertEqual([(1, Code.STREAM_CLOSED)], self.peer.resets())
        self.assertEqual(["ended", "closed"], one.told)
        self.data(1, 5)
        self.assertEqual([(1, Code.STREAM_CLOSED)], self.peer.resets())

    def test_dataOnReset(self) -> None:
        """
        Data that was under way when we reset its stream is dropped, and its window given back.
        """
        one = self.up(1)
        one.channel.reset()
        self.assertEqual([(1, Code.CONNECT_ERROR)], self.peer.resets())
        self.data(1, 5)
        self.assertEqual([(1, Code.STREAM_CLOSED)], self.peer.resets())
        self.assertEqual(5, self.core.freed)

    def test_dataOnIdle(self) -> None:
        """
        Data on a stream that nobody has opened ends the connection.
        """
        self.data(5, 1)
        self.assertGone(Code.PROTOCOL_ERROR)

    def test_idle(self) -> None:
        """
        So do other frames of such a stream.
        """
        for kind in (RST_STREAM, WINDOW_UPDATE):
            peer = RawPeer()
            peer.send(kind, 0, 5, b"\0\0\0\1")
            self.assertGone(Code.PROTOCOL_ERROR, peer)

    def test_wrongNumbers(self) -> None:
        """
        Streams of a client have odd numbers, each higher than those before.
        """
        for numbers in ((2,), (5, 3)):
            peer = RawPeer()
            for number in numbers:
                peer.headers(number)
            self.assertGone(Code.PROTOCOL_ERROR, peer)

    def test_firstFrame(self) -> None:
        """
        The first frame is SETTINGS.
        """
        for kind, flags, payload in ((PING, 0, bytes(8)), (SETTINGS, ACK, b"")):
            peer = RawPeer(greet=False)
            peer.raw(PREFACE)
            peer.send(kind, flags, 0, payload)
            self.assertGone(Code.PROTOCOL_ERROR, peer)

    def test_sizes(self) -> None:
        """
        Frames of a fixed size have it.
        """
        for kind, stream, size in (
            (PING, 0, 7),
            (RST_STREAM, 1, 3),
            (WINDOW_UPDATE, 0, 5),
            (SETTINGS, 0, 5),
            (PRIORITY, 1, 4),
            (7, 0, 7),
        ):
            peer = RawPeer()
            peer.headers(1)
            peer.send(kind, 0, stream, bytes(size))
            self.assertGone(Code.FRAME_SIZE_ERROR, peer)

    def test_ofTheConnection(self) -> None:
        """
        What is of the connection has no stream, and the other way round.
        """
        for kind, stream, size in (
            (PING, 1, 8),
            (SETTINGS, 1, 6),
            (7, 1, 8),
            (PRIORITY, 0, 5),
            (HEADERS, 0, 0),
        ):
            peer = RawPeer()
            peer.headers(1)
            peer.send(kind, END_HEADERS if kind == HEADERS else 0, stream, bytes(size))
            self.assertGone(Code.PROTOCOL_ERROR, peer)

    def test_badHeaders(self) -> None:
        """
        A header that is none ends the connection; what it says is in no message.
        """
        for fields in (
            [*CONNECT, ("x", "secret\nvalue")],
            [*CONNECT, ("Secret", "x")],
            [("x", "secret"), *CONNECT],
            [(":method", "CONNECT")],
            [*CONNECT, ("connection", "secret")],
        ):
            peer = RawPeer()
            peer.headers(1, fields)
            gone = peer.goneAway()
            assert gone is not None
            self.assertEqual(Code.PROTOCOL_ERROR, gone[1])
            self.assertNotIn(b"ecret", gone[2])

    def test_badPacking(self) -> None:
        """
        What cannot be unpacked ends the connection.
        """
        self.peer.send(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff")
        self.assertIsNotNone(self.peer.goneAway())

    def test_unknown(self) -> None:
        """
        Frames and settings that nobody knows are passed over.
        """
        self.peer.send(0xBB, 0xFF, 77, b"what?")
        self.peer.settings((0xF000, 1))
        self.peer.send(PING, 0, 0, b"are you?")
        self.assertEqual([(SETTINGS, ACK, 0, b""), (PING, ACK, 0, b"are you?")], self.peer.frames())

    def test_nothingAfterTheEnd(self) -> None:
        """
        What comes after a fault is not looked at.
        """
        self.data(5, 1)
        self.peer.headers(7)
        self.assertEqual([], self.peer.streams)


class ReceivingTests(CoreTestCase):
    """
    What a peer may send, and when it may send more.
    """

    def test_windowOfReaderThatKeepsUp(self) -> None:
        """
        A reader that keeps up is given twice the window each time that half of one is through.
        """
        one = self.up()
        self.data(1, FIRST // 2 - 1)
        self.assertEqual({}, self.updates())
        self.data(1, 1)
        self.assertEqual({1: FIRST // 2 + FIRST}, self.updates())
        while one.channel.promised < H2Limits().streamWindow:
            self.data(1, FIRST // 2)
        self.updates()
        for size in (1 << 20, (1 << 20) - 1 - one.channel._taken):
            self.data(1, size)
        self.assertEqual({}, self.updates())
        self.data(1, 1)
        self.assertEqual(1 << 21, self.updates()[1])

    def test_unread(self) -> None:
        """
        What nobody takes is not granted again, and more than the window is an error of the stream.
        """
        one = self.up(takes=False)
        self.data(1, FIRST)
        self.assertEqual({}, self.updates())
        self.assertEqual(FIRST, len(one.data))
        self.data(1, 1)
        self.assertEqual([(1, Code.FLOW_CONTROL_ERROR)], self.peer.resets())
        self.assertEqual(["closed"], one.told)

    def test_slowReadersHoldUpNobody(self) -> None:
        """
        However many do not read, the others go on: the first window of each is granted for it alone.
        """
        for number in range(1, 401, 2):
            self.up(number, takes=False)
            self.data(number, FIRST)
        quick = self.up(401)
        total = 0
        for _ in range(100):
            self.data(401, 60000)
            total += 60000
        self.assertEqual(total, len(quick.data))
        self.assertIsNone(self.peer.goneAway())

    def test_quickThenStalled(self) -> None:
        """
        Streams that had a large window and are not read any more leave a part of the connection to others,
        and all of it when they are gone.
        """
        stalled = []
        for number in range(1, 41, 2):
            one = self.up(number)
            for _ in range(40):
                self.data(number, FIRST // 2)
            one.takes = False
            self.data(number, min(one.channel.credit, 1 << 20))
            while one.channel.credit:
                self.data(number, min(one.channel.credit, 1 << 20))
            stalled.append(one)
        self.updates()
        room = self.core._credit + self.core.freed
        self.assertGreaterEqual(room, H2Limits().connectionWindow // 4)
        quick = self.up(41)
        for _ in range(200):
            self.data(41, 60000)
        self.assertEqual(200 * 60000, len(quick.data))
        for one in stalled:
            one.channel.reset()
        self.assertEqual(H2Limits().connectionWindow, self.core._credit + self.core.freed)
        quick.channel.reset()
        self.assertEqual(0, self.core.promised)

    def test_connectionWindow(self) -> None:
        """
        More than the window of the connection ends it.
        """
        self.up(takes=False)
        self.core._credit = 10
        self.data(1, 11)
        self.assertGone(Code.FLOW_CONTROL_ERROR)

    def test_padding(self) -> None:
        """
        Padding counts for windows, and is read by nobody.
        """
        one = self.up(takes=False)
        for _ in range(3000):
            self.peer.send(DATA, PADDED, 1, b"\xc8" + b"x" + bytes(200))
        self.assertEqual(3000, len(one.data))
        self.assertGreater(self.updates().get(1, 0), FIRST // 2)
        self.assertIsNone(self.peer.goneAway())

    def test_consumedAfterTheEnd(self) -> None:
        """
        A reader may take its time after the end, and after a reset.
        """
        for how in ("end", "reset"):
            peer = RawPeer()
            peer.headers(1)
            upper = Upper(peer.link.core.channels[1], takes=False)
            upper.channel.accept()
            peer.send(DATA, END_STREAM if how == "end" else 0, 1, bytes(1000))
            if how == "reset":
                upper.channel.reset()
            upper.channel.consumed(1000)
            self.assertEqual(H2Limits().connectionWindow, peer.link.core._credit + peer.link.core.freed)


class SendingTests(CoreTestCase):
    """
    What may be sent, and whose turn it is.
    """

    def test_windows(self) -> None:
        """
        Data goes as far as both windows let it, and then as they are enlarged.
        """
        one = self.up()
        one.channel.write(bytes(100_000))
        self.assertEqual({1: 65535}, self.sent())
        self.assertEqual(100_000 - 65535, one.channel.unsent)
        self.window(1, 20000)
        self.assertEqual({}, self.sent())
        self.window(0, 1 << 20)
        self.assertEqual({1: 20000}, self.sent())
        self.assertEqual([], one.told)
        self.window(1, 1 << 20)
        self.assertEqual({1: 100_000 - 85535}, self.sent())
        self.assertEqual((0, ["drained"]), (one.channel.unsent, one.told))

    def test_orderIsKept(self) -> None:
        """
        What waits goes before what is written later.
        """
        one = self.up()
        wanted = b""
        for number in range(300):
            piece = bytes((number % 256,)) * 997
            wanted += piece
            one.channel.write(piece)
        found = b""
        for _ in range(60):
            found += b"".join(payload for kind, _, _, payload in self.peer.frames() if kind == DATA)
            self.window(0, 5000)
            self.window(1, 5000)
        self.assertEqual(wanted, found)

    def test_frameSize(self) -> None:
        """
        No frame is longer than the peer wants it.
        """
        one = self.up()
        one.channel.write(bytes(40000))
        self.assertEqual([16384, 16384, 7232], [len(payload) for *_, payload in self.peer.frames()])
        self.peer.settings((MAX_FRAME_SIZE, 1 << 20), (INITIAL_WINDOW, 1 << 21))
        self.window(0, 1 << 21)
        self.peer.frames()
        one.channel.write(bytes(1 << 20))
        self.assertEqual([1 << 20], [len(payload) for *_, payload in self.peer.frames()])

    def test_initialWindow(self) -> None:
        """
        Another initial window changes that of all streams, also to below nothing.
        """
        one = self.up()
        one.channel.write(bytes(60000))
        self.sent()
        self.peer.settings((INITIAL_WINDOW, 10000))
        self.assertEqual(10000 - 60000, one.channel.window)
        one.channel.write(bytes(100))
        self.window(1, 50000)
        self.assertEqual({}, self.sent())
        self.window(1, 100)
        self.assertEqual({1: 100}, self.sent())

    def test_overflow(self) -> None:
        """
        A window of over 2^31-1 ends its stream, or the connection.
        """
        one = self.up()
        self.window(1, 2**31 - 1)
        self.assertEqual([(1, Code.FLOW_CONTROL_ERROR)], self.peer.resets())
        self.assertEqual(["closed"], one.told)
        self.window(0, 2**31 - 1)
        self.assertGone(Code.FLOW_CONTROL_ERROR)

    def test_overflowBySettings(self) -> None:
        """
        So does one that settings make so large.
        """
        self.up()
        self.window(1, 2**31 - 1 - 65535)
        self.peer.settings((INITIAL_WINDOW, 65536))
        self.assertGone(Code.FLOW_CONTROL_ERROR)

    def test_byNothing(self) -> None:
        """
        To enlarge a window by nothing is an error.
        """
        self.up()
        self.window(1, 0)
        self.assertEqual([(1, Code.PROTOCOL_ERROR)], self.peer.resets())
        self.window(0, 0)
        self.assertGone(Code.PROTOCOL_ERROR)

    def test_turns(self) -> None:
        """
        Streams that have much to send have their turns.
        """
        self.peer.settings((INITIAL_WINDOW, 1 << 30), (MAX_FRAME_SIZE, 1 << 20))
        self.window(0, 1 << 30)
        one, two = self.up(1), self.up(3)
        self.peer.link.pauseProducing()
        one.channel.write(bytes(4 * TURN))
        two.channel.write(bytes(2 * TURN))
        self.peer.link.resumeProducing()
        order = [stream for kind, _, stream, payload in self.peer.frames() if kind == DATA]
        self.assertEqual([1, 3, 1, 3, 1, 1], order)

    def test_blocked(self) -> None:
        """
        While the transport is full, data waits in its stream; one that has no window holds up nobody.
        """
        one, two = self.up(1), self.up(3)
        one.channel.write(bytes(65535))
        self.window(0, 1 << 20)
        one.channel.write(b"no window")
        self.peer.frames()
        two.channel.write(b"goes")
        self.assertEqual({3: 4}, self.sent())
        self.peer.link.pauseProducing()
        two.channel.write(b"waits")
        self.assertEqual({}, self.sent())
        self.peer.link.resumeProducing()
        self.assertEqual({3: 5}, self.sent())

    def test_finishAfterWhatWaits(self) -> None:
        """
        The end comes after all that was written.
        """
        one = self.up()
        one.channel.write(bytes(70000))
        one.channel.finish()
        self.assertNotIn((DATA, END_STREAM, 1, b""), self.peer.frames())
        self.window(0, 1 << 20)
        self.window(1, 1 << 20)
        self.assertEqual([(DATA, 0, 1, bytes(70000 - 65535)), (DATA, END_STREAM, 1, b"")], self.peer.frames())

    def test_beforeAccept(self) -> None:
        """
        Nothing goes in front of the answer.
        """
        self.peer.headers(1)
        upper = Upper(self.core.channels[1])
        upper.channel.write(b"early")
        upper.channel.finish()
        self.assertEqual([], self.peer.frames())
        upper.channel.accept()
        self.assertEqual([HEADERS, DATA, DATA], [kind for kind, *_ in self.peer.frames()])

    def test_deadChannel(self) -> None:
        """
        Whatever is asked of a channel that is gone does nothing.
        """
        one = self.up()
        one.channel.reset()
        self.peer.frames()
        one.channel.write(bytes(100_000))
        for call in ("finish", "reset", "accept"):
            getattr(one.channel, call)()
        self.assertEqual({}, self.sent())


FRAMES = st.tuples(
    st.integers(0, 12),
    st.sampled_from((0, 1, 4, 5, 8, 0x20, 0x2D)),
    st.integers(0, 7),
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            (bytes(4), bytes(5), bytes(8), b"\0\0\0\1", b"\0\4\0\0\0\0", b"\x82\x86\x84\x41\x01a")
        ),
    ),
)
"""Kind, flags, stream and payload."""


class AnythingTests(SynchronousTestCase):
    """
    Whatever comes.
    """

    @given(st.lists(FRAMES, max_size=12), st.booleans())
    def test_frames(self, frames: list[tuple[int, int, int, bytes]], client: bool) -> None:
        """
        No frames make it fail in another way than by a GOAWAY; no window is lost; and in the end no stream
        is left in the library that is none of ours.
        """
        peer = RawPeer(client=client)
        core = peer.link.core
        if client:
            for _ in range(3):
                peer.link.open(StreamInfo(PEER, HOST, Target("a", 1))).addErrback(lambda _: None)
        else:
            for number in (1, 3):
                peer.headers(number)
                Upper(core.channels[number], takes=number == 1).channel.accept()
        for frame in frames:
            peer.send(*frame)
        peer.frames()
        if not peer.link._isLeaving:
            self.assertEqual(set(core.channels), set(core.control.streams))
            for each in tuple(core.channels.values()):
                each.reset()
            self.assertEqual(H2Limits().connectionWindow, core._credit + core.freed)
            self.assertEqual(0, core.promised)


class FloodTests(CoreTestCase):
    """
    What costs us more than it costs the peer: it has to calm down.
    """

    limits = H2Limits(streams=20, odd=50, resets=30)

    def assertCalmed(self, call: Any, atLeast: int, atMost: int = 1000) -> None:
        """
        To do that again and again is borne for a while, and then not.
        """
        for number in range(atMost):
            call(number)
            if self.peer.link._isLeaving:
                break
        self.assertTrue(self.peer.link._isLeaving, "it is borne for ever")
        self.assertGreaterEqual(number, atLeast)
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_settings(self) -> None:
        """
        Settings.
        """
        self.assertCalmed(lambda _: self.peer.settings((INITIAL_WINDOW, 1000)), 45)

    def test_pings(self) -> None:
        """
        Pings; slow ones may go on.
        """
        for _ in range(300):
            self.peer.send(PING, 0, 0, bytes(8))
            self.peer.clock.advance(0.1)
        self.assertCalmed(lambda _: self.peer.send(PING, 0, 0, bytes(8)), 45)

    def test_priorities(self) -> None:
        """
        Priorities, which mean nothing here.
        """
        self.assertCalmed(lambda number: self.peer.send(PRIORITY, 0, 2 * number + 1, bytes(5)), 45)

    def test_unknown(self) -> None:
        """
        Frames that nobody knows.
        """
        self.assertCalmed(lambda _: self.peer.send(0x77), 45)

    def test_emptyData(self) -> None:
        """
        Data frames without data, padded or not.
        """
        self.up()
        self.assertCalmed(lambda _: self.data(1, 0), 45)

    def test_onlyPadding(self) -> None:
        """
        The same in a longer form.
        """
        self.up()
        self.assertCalmed(lambda _: self.peer.send(DATA, PADDED, 1, b"\7" + bytes(7)), 45)

    def test_useMakesUpForIt(self) -> None:
        """
        Frames with data make up for some pings, as a peer sends them to measure the way.
        """
        self.up()
        for _ in range(500):
            self.data(1, 100)
            self.peer.send(PING, 0, 0, bytes(8))
        self.assertIsNone(self.peer.goneAway())

    def test_emptyContinuations(self) -> None:
        """
        A header that goes on and on.
        """
        self.peer.send(HEADERS, 0, 1, b"")
        self.assertCalmed(lambda _: self.peer.send(CONTINUATION, 0, 1, b""), 10)

    def test_rapidReset(self) -> None:
        """
        Streams that are given up before we could answer them.
        """

        def openAndReset(number: int) -> None:
            self.peer.headers(2 * number + 1)
            self.peer.send(RST_STREAM, 0, 2 * number + 1, b"\0\0\0\x08")

        self.assertCalmed(openAndReset, 25)

    def test_resetOfWhatIsUp(self) -> None:
        """
        To reset streams that are up is no flood: each was paid for.
        """
        for number in range(1, 401, 2):
            self.up(number)
            self.peer.send(RST_STREAM, 0, number, b"\0\0\0\x08")
        self.assertIsNone(self.peer.goneAway())

    def test_provokedResets(self) -> None:
        """
        Streams that we are made to reset.
        """

        def openAndProvoke(number: int) -> None:
            self.peer.headers(2 * number + 1)
            self.window(2 * number + 1, 0)

        self.assertCalmed(openAndProvoke, 25)

    def test_dataOnClosed(self) -> None:
        """
        Data for streams that are gone, each frame of which we answer.
        """
        self.up().channel.reset()
        self.assertCalmed(lambda _: self.data(1, 1), 25)

    def test_tooManyStreams(self) -> None:
        """
        More streams than we said are refused, and whoever goes on is told to stop.
        """
        for number in range(1, 41, 2):
            self.up(number)
        self.peer.headers(41)
        self.assertEqual([(41, Code.REFUSED_STREAM)], self.peer.resets())
        self.assertEqual(20, self.peer.link.streams)
        self.assertCalmed(lambda number: self.peer.headers(2 * number + 43), 25)

    def test_tinyWindows(self) -> None:
        """
        Windows that are opened by one byte, and again by one.
        """
        self.peer.settings((INITIAL_WINDOW, 1))
        self.up().channel.write(bytes(10000))
        self.assertCalmed(lambda _: self.window(1, 1), 45)

    def test_headerBomb(self) -> None:
        """
        A small header that is a large one when it is unpacked.
        """
        fields = [*CONNECT, ("a", "x" * 3000)]
        self.peer.headers(1, fields)
        packed = self.peer._encoder.encode([*CONNECT, *[("a", "x" * 3000)] * 500])
        self.assertLess(len(packed), 1000)
        self.peer.send(HEADERS, END_HEADERS, 3, packed)
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_longHeader(self) -> None:
        """
        A header that is long as it comes.
        """
        self.peer.send(HEADERS, 0, 1, bytes(60000))
        self.peer.send(CONTINUATION, 0, 1, bytes(60000))
        self.assertGone(Code.ENHANCE_YOUR_CALM)

    def test_isLogged(self) -> None:
        """
        Who does it is in the log.
        """
        from twisted.logger import globalLogPublisher

        events: list[Any] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for _ in range(60):
            self.raw()
        (event,) = (event for event in events if "HTTP/2" in (event.get("log_format") or ""))
        self.assertIn("192.0.2.1:40000", event["peer"])
        self.assertEqual("ENHANCE_YOUR_CALM", event["code"])

    def raw(self) -> None:
        self.peer.raw(frameHead(8, PING, 0, 0) + bytes(8))
