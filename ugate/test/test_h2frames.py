# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2frames}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.h2frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    MAX_CONTINUATIONS,
    MAX_CONTROL,
    MAX_FRAME,
    MAX_SETTINGS,
    PADDED,
    PING,
    PUSH_PROMISE,
    SETTINGS,
    Code,
    ConnectionFault,
    codeName,
    frameHead,
    goAway,
    number,
    windowUpdate,
)
from ugate.test.h2fakes import Frame, Frames


def made(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """
    A frame.
    """
    return frameHead(len(payload), kind, flags, stream) + payload


SAMPLE = [
    (SETTINGS, 0, 0, b"\0\3\0\0\0\1"),
    (HEADERS, 0, 1, b"begin"),
    (CONTINUATION, END_HEADERS, 1, b"end"),
    (DATA, 0, 1, b"some data"),
    (DATA, END_STREAM, 1, b""),
    (PING, 0, 0, b"12345678"),
    (200, 7, 3, b""),
    (GOAWAY, 0, 0, bytes(8)),
]


class FrameReaderTests(SynchronousTestCase):
    """
    What is taken out of bytes.
    """

    def read(self, *pieces: bytes) -> list[Frame]:
        """
        The frames of some bytes.
        """
        frames = Frames()
        for piece in pieces:
            frames.feed(piece)
        return frames.all

    def assertFault(self, code: Code, *pieces: bytes) -> None:
        """
        They end the connection.
        """
        fault = self.assertRaises(ConnectionFault, self.read, *pieces)
        self.assertEqual(code, fault.code)

    def test_splitAnywhere(self) -> None:
        """
        Frames are the same however their bytes come.
        """
        data = b"".join(made(*each) for each in SAMPLE)
        self.assertEqual(SAMPLE, self.read(data))
        for at in range(len(data)):
            self.assertEqual(SAMPLE, self.read(data[:at], data[at:]), at)
        self.assertEqual(SAMPLE, self.read(*(data[at : at + 1] for at in range(len(data)))))

    @given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 50), max_size=40))
    def test_data(self, payloads: list[bytes], sizes: list[int]) -> None:
        """
        Data goes through in pieces, and none is lost.
        """
        wanted = [(DATA, 0, number + 1, payload) for number, payload in enumerate(payloads)]
        data = b"".join(made(*each) for each in wanted)
        pieces = []
        for size in sizes:
            pieces.append(data[:size])
            data = data[size:]
        self.assertEqual(wanted, self.read(*pieces, data))

    @given(st.lists(st.binary(max_size=60), max_size=8))
    def test_anything(self, pieces: list[bytes]) -> None:
        """
        What is no HTTP/2 is a fault, or waits for more; it is never another error.
        """
        try:
            self.read(*pieces)
        except ConnectionFault as fault:
            self.assertTrue(str(fault))

    def test_padding(self) -> None:
        """
        Padding is left out, and how long it is may come alone.
        """
        frame = made(DATA, PADDED, 1, b"\4data" + bytes(4)) + made(PING, 0, 0, bytes(8))
        wanted = [(DATA, PADDED, 1, b"data"), (PING, 0, 0, bytes(8))]
        for at in range(len(frame)):
            self.assertEqual(wanted, self.read(frame[:at], frame[at:]), at)
        self.assertEqual([(DATA, PADDED, 1, b"")], self.read(made(DATA, PADDED, 1, b"\3" + bytes(3))))

    def test_wrongPadding(self) -> None:
        """
        Padding has to fit in its frame.
        """
        self.assertFault(Code.PROTOCOL_ERROR, made(DATA, PADDED, 1, b"\5data"))
        self.assertFault(Code.FRAME_SIZE_ERROR, made(DATA, PADDED, 1, b""))

    def test_tooLong(self) -> None:
        """
        A frame longer than we said is not waited for, nor is a long one that has to be kept.
        """
        self.assertFault(Code.FRAME_SIZE_ERROR, frameHead(MAX_FRAME + 1, DATA, 0, 1))
        self.assertFault(Code.ENHANCE_YOUR_CALM, frameHead(MAX_CONTROL + 1, HEADERS, 0, 1))
        self.assertFault(Code.ENHANCE_YOUR_CALM, frameHead(MAX_SETTINGS + 6, SETTINGS, 0, 0))
        self.assertEqual([], self.read(frameHead(MAX_SETTINGS, SETTINGS, 0, 0)))
        self.assertEqual([], self.read(frameHead(MAX_FRAME, DATA, 0, 1)))

    def test_unknownIsSkipped(self) -> None:
        """
        A long frame of a kind that nobody knows is passed over, and none of it kept.
        """
        frames = Frames()
        frames.feed(frameHead(MAX_FRAME, 99, 0, 0))
        for _ in range(MAX_FRAME >> 16):
            frames.feed(bytes(1 << 16))
            self.assertEqual(0, len(frames._kept))
        frames.feed(made(PING, 0, 0, bytes(8)))
        self.assertEqual([(99, 0, 0, b""), (PING, 0, 0, bytes(8))], frames.all)

    def test_dataOfNoStream(self) -> None:
        """
        The connection itself has no data.
        """
        self.assertFault(Code.PROTOCOL_ERROR, made(DATA, 0, 0, b"x"))

    def test_withinHeaderBlock(self) -> None:
        """
        Nothing may stand between the frames of a header.
        """
        begin = made(HEADERS, 0, 1, b"x")
        for frame in (
            made(DATA, 0, 1, b""),
            made(PING, 0, 0, bytes(8)),
            made(99, 0, 0, b""),
            made(CONTINUATION, 0, 3, b""),
            made(HEADERS, END_HEADERS, 1, b""),
        ):
            self.assertFault(Code.PROTOCOL_ERROR, begin, frame)
        self.assertFault(Code.PROTOCOL_ERROR, made(CONTINUATION, END_HEADERS, 1, b""))

    def test_continuationFlood(self) -> None:
        """
        A header that never ends does, by the number of its frames and by their size.
        """
        for begin in (HEADERS, PUSH_PROMISE):
            empty = made(CONTINUATION, 0, 1, b"")
            self.read(made(begin, 0, 1, b""), *[empty] * MAX_CONTINUATIONS)
            self.assertFault(
                Code.ENHANCE_YOUR_CALM, made(begin, 0, 1, b""), *[empty] * (MAX_CONTINUATIONS + 1)
            )
            half = bytes(MAX_CONTROL // 2)
            self.assertFault(
                Code.ENHANCE_YOUR_CALM,
                made(begin, 0, 1, half),
                made(CONTINUATION, 0, 1, half),
                made(CONTINUATION, END_HEADERS, 1, b"x"),
            )


class MakingTests(SynchronousTestCase):
    """
    Frames that are made.
    """

    def test_heads(self) -> None:
        """
        A head has the length in three bytes.
        """
        self.assertEqual(b"\x01\x02\x03\x00\x01\x00\x00\x00\x07", frameHead(0x010203, DATA, END_STREAM, 7))
        self.assertEqual(b"\0\0\4\x08\0\0\0\0\x05\0\0\1\0", windowUpdate(5, 256))
        self.assertEqual(b"\0\0\x0a\x07\0\0\0\0\0\0\0\0\3\0\0\0\x0bhi", goAway(3, 11, "hi"))
        self.assertEqual(7, number(b"xx\0\0\0\7", 2))

    def test_names(self) -> None:
        """
        A code has its name, or is a number.
        """
        self.assertEqual("ENHANCE_YOUR_CALM", codeName(11))
        self.assertEqual("error 99", codeName(99))
