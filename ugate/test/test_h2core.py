# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2core} and L{ugate.protocols.h2channel}: the states of streams,
and whatever comes.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import IChannel
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2control import TABLE
from ugate.protocols.h2frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Code,
)
from ugate.stream import StreamInfo, Target
from ugate.test.h2corefakes import CoreTestCase
from ugate.test.h2fakes import CONNECT, HOST, PEER, RawPeer, Upper


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
        self.assertEqual((b"\0" * 7, ["closed"]), (one.data, one.told))
        assert one.reason is not None
        self.assertTrue(one.reason.check(ConnectionDone))

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


class FieldsTests(SynchronousTestCase):
    """
    Header fields that we send.
    """

    def setUp(self) -> None:
        self.peer = RawPeer(client=True)
        self.peer.frames()

    def sent(self, fields: list[tuple[bytes, bytes]]) -> list[tuple[int, int, int]]:
        """
        Open a stream with these, which are what the peer understands.

        @return: the kind, the flags and the size of each frame of them.
        """
        self.peer.link.core.open(fields)
        frames = self.peer.frames()
        block = b"".join(payload for _, _, _, payload in frames)
        self.assertEqual(fields, list(self.peer.decoder.decode(block, raw=True)))
        return [(kind, flags, len(payload)) for kind, flags, _, payload in frames]

    def test_long(self) -> None:
        """
        What is too long for a frame is in several.
        """
        first, *others, last = self.sent([(b":method", b"CONNECT"), (b"x", b"\xff" * 12000)])
        self.assertEqual((HEADERS, 0, 16384), first)
        self.assertEqual([(CONTINUATION, 0, 16384)], others)
        self.assertEqual((CONTINUATION, END_HEADERS), last[:2])

    def test_again(self) -> None:
        """
        What is sent again is sent from memory, until the peer has another table.
        """
        fields = [(b":method", b"CONNECT"), (b":authority", b"a:1")]
        sizes = [self.sent(fields)[0][2] for _ in range(3)]
        self.assertEqual([2, 2], sizes[1:])
        self.assertEqual([tuple(fields)], list(self.peer.link.core.packed.known))
        self.peer.settings((1, 0))
        self.peer.frames()
        self.assertEqual({}, self.peer.link.core.packed.known)
        self.assertGreater(self.sent(fields)[0][2], 2)
        self.assertGreater(self.sent(fields)[0][2], 2)

    def test_tables(self) -> None:
        """
        The peer is told which sizes its table had to have, whatever it said how often; ours is never large.
        """
        fields = [(b":method", b"CONNECT"), (b"x", b"y" * 100)]
        control = self.peer.link.core.control
        for sizes in (
            (100, 100),
            (0, 200, 200),
            (4096,),
            (50, 4096, 4096),
            (1 << 30,),
            (60, 1 << 20, 1 << 20),
        ):
            for size in sizes:
                self.peer.settings((1, size))
                self.assertLessEqual(len(control.encoder.table_size_changes), 2)
            self.peer.decoder.max_allowed_table_size = sizes[-1]
            self.peer.frames()
            self.sent(fields)
            self.sent(fields)
            size = min(TABLE, sizes[-1])
            self.assertEqual(size, control.encoder.header_table_size)
            self.assertEqual(size, self.peer.decoder.header_table_size)

    def test_unknownSettings(self) -> None:
        """
        Settings that nobody knows are not kept.
        """
        before = len(self.peer.link.core.control.remote_settings)
        self.peer.settings(*((number, 1) for number in range(100, 200)))
        self.assertIsNone(self.peer.goneAway())
        self.assertEqual(before, len(self.peer.link.core.control.remote_settings))


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
            self.assertEqual({}, core.control.streams)
            for each in tuple(core.channels.values()):
                each.reset()
            self.assertEqual(H2Limits().connectionWindow, core._credit + core.freed)
            self.assertEqual(0, core.promised)
