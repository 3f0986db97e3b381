# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websocketframes}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import UgateError
from ugate.protocols.websocketframes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    LARGEST,
    MAX_CONTROL,
    MAX_FRAME,
    PING,
    PONG,
    TEXT,
    Code,
    Fault,
    FrameReader,
    frame,
    goodbye,
    masked,
    readGoodbye,
)
from ugate.test.httpfakes import splits


class Counting:
    """
    Bears so many frames that carry nothing.
    """

    def __init__(self, left: int = 1000) -> None:
        self.left = left

    def spend(self) -> None:
        """
        One more.
        """
        self.left -= 1
        if self.left < 0:
            raise UgateError("too many")


def joined(kind: int, payload: bytes, isMasked: bool = False, fin: int = FIN) -> bytes:
    """
    A frame as bytes.
    """
    data = b"".join(frame(kind, payload, isMasked))
    return bytes((data[0] & 0x7F | fin,)) + data[1:]


def reader(masks: bool = False, left: int = 1000) -> FrameReader:
    """
    A reader of what a server sends, or a client.
    """
    return FrameReader(masks, Counting(left))


class MaskTests(SynchronousTestCase):
    """
    Masks.
    """

    @given(st.binary(max_size=1100), st.binary(min_size=4, max_size=4))
    def test_mask(self, data: bytes, key: bytes) -> None:
        """
        Each byte is combined with one of the key's in turn, whatever the length.
        """
        wanted = bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
        self.assertEqual(wanted, masked(data, key))
        self.assertEqual(data, masked(memoryview(wanted), key))

    def test_key(self) -> None:
        """
        Each frame has a key of its own, and what is sent is not what was written.
        """
        data = b"the same " * 50
        sent = {joined(BINARY, data, True) for _ in range(20)}
        self.assertEqual(20, len(sent))
        self.assertFalse([each for each in sent if data in each])


class ReadTests(SynchronousTestCase):
    """
    What good peers send.
    """

    def test_split(self) -> None:
        """
        However it is cut, the bytes are the same; frames for control may come between fragments.
        """
        for isMasked in (False, True):
            data = b"".join(
                (
                    joined(BINARY, b"one", isMasked, 0),
                    joined(PING, b"early", isMasked),
                    joined(CONTINUATION, b"two" * 50, isMasked, 0),
                    joined(PING, b"late", isMasked),
                    joined(PONG, b"", isMasked),
                    joined(CONTINUATION, b"", isMasked),
                    joined(BINARY, b"three", isMasked),
                    joined(CLOSE, goodbye(Code.NORMAL, "done"), isMasked),
                    b"and what nobody reads",
                )
            )
            for chunks in splits(data):
                each = reader(isMasked)
                got = b"".join([piece for chunk in chunks for piece in each.feed(chunk)])
                self.assertEqual(b"one" + b"two" * 50 + b"three", got)
                self.assertEqual((b"late", (Code.NORMAL, "done")), (each.ping, each.close))

    @given(st.lists(st.binary(max_size=300), max_size=8), st.booleans(), st.data())
    def test_anywhere(self, messages: list[bytes], isMasked: bool, data: st.DataObject) -> None:
        """
        Any messages, cut anywhere.
        """
        wire = b"".join(joined(BINARY, each, isMasked) for each in messages)
        each, got, at = reader(isMasked), b"", 0
        while at < len(wire):
            size = data.draw(st.integers(1, len(wire) - at))
            got += b"".join(each.feed(wire[at : at + size]))
            at += size
        self.assertEqual(b"".join(messages), got)

    def test_lengths(self) -> None:
        """
        The three ways to write a length; what is long is passed on before it is whole.
        """
        for size in (0, 125, 126, 65535, 65536, 200000):
            for isMasked in (False, True):
                wire = joined(BINARY, bytes(size), isMasked)
                each = reader(isMasked)
                half = b"".join(each.feed(wire[: len(wire) // 2]))
                self.assertEqual(size > 20, bool(half))
                self.assertEqual(bytes(size), half + b"".join(each.feed(wire[len(wire) // 2 :])))

    def test_otherImplementation(self) -> None:
        """
        Another implementation reads what we send, and we what it sends; either side of both.
        """
        for isClient in (False, True):
            other = Connection(ConnectionType.SERVER if isClient else ConnectionType.CLIENT)
            big = bytes(range(256)) * 300
            for kind, payload in ((BINARY, b"x"), (BINARY, big), (PING, b"p"), (CLOSE, goodbye(1000, "bye"))):
                other.receive_data(joined(kind, payload, isClient))
            events = list(other.events())
            self.assertEqual(b"x" + big, b"".join(each.data for each in events if isinstance(each, Message)))
            self.assertIn(Ping(b"p"), events)
            self.assertEqual(CloseConnection(code=1000, reason="bye"), events[-1])
            other = Connection(ConnectionType.SERVER if isClient else ConnectionType.CLIENT)
            wire = other.send(BytesMessage(b"part", message_finished=False))
            wire += other.send(Ping(b"?")) + other.send(BytesMessage(big)) + other.send(Pong(b""))
            wire += other.send(CloseConnection(code=1001, reason="gone"))
            each = reader(not isClient)
            self.assertEqual(b"part" + big, b"".join(each.feed(wire)))
            self.assertEqual((b"?", (1001, "gone")), (each.ping, each.close))


class FaultTests(SynchronousTestCase):
    """
    What is refused.
    """

    def assertFault(self, code: int, data: bytes, masks: bool = False) -> None:
        """
        Refused as soon as it can be known, however it comes.
        """
        for chunks in splits(data):
            each = reader(masks)
            fault = self.assertRaises(Fault, lambda: [each.feed(chunk) for chunk in chunks])  # noqa: B023
            self.assertEqual(code, fault.code)

    def test_masks(self) -> None:
        """
        A client masks, and a server does not.
        """
        self.assertFault(Code.PROTOCOL_ERROR, joined(BINARY, b"x"), True)
        self.assertFault(Code.PROTOCOL_ERROR, joined(BINARY, b"x", True), False)

    def test_kinds(self) -> None:
        """
        Texts, extensions, and kinds that there are not.
        """
        self.assertFault(Code.UNSUPPORTED, joined(TEXT, b"hello"))
        for kind in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.assertFault(Code.PROTOCOL_ERROR, joined(kind, b""))
        for bit in (0x40, 0x20, 0x10):
            self.assertFault(Code.PROTOCOL_ERROR, joined(BINARY | bit, b""))

    def test_fragments(self) -> None:
        """
        A message within another, one that goes on and never began, and frames for control in fragments.
        """
        self.assertFault(Code.PROTOCOL_ERROR, joined(BINARY, b"", fin=0) + joined(BINARY, b""))
        self.assertFault(Code.PROTOCOL_ERROR, joined(CONTINUATION, b""))
        self.assertFault(Code.PROTOCOL_ERROR, joined(BINARY, b"") + joined(CONTINUATION, b""))
        for kind in (CLOSE, PING, PONG):
            self.assertFault(Code.PROTOCOL_ERROR, joined(kind, b"", fin=0))

    def test_lengths(self) -> None:
        """
        Too long for control, longer than it may be, and written longer than it has to be.
        """
        self.assertFault(Code.PROTOCOL_ERROR, bytes((FIN | PING, 126, 0, MAX_CONTROL + 1)))
        self.assertFault(Code.PROTOCOL_ERROR, bytes((FIN | BINARY, 126, 0, 125)))
        self.assertFault(Code.PROTOCOL_ERROR, bytes((FIN | BINARY, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF)))
        self.assertFault(Code.TOO_BIG, bytes((FIN | BINARY, 127)) + (MAX_FRAME + 1).to_bytes(8, "big"))
        self.assertFault(Code.TOO_BIG, bytes((FIN | BINARY, 127)) + b"\xff" * 8)
        self.assertEqual([], reader().feed(bytes((FIN | BINARY, 127)) + MAX_FRAME.to_bytes(8, "big")))

    def test_close(self) -> None:
        """
        A Close frame says a code that there is, and a text, or nothing.
        """
        self.assertFault(Code.PROTOCOL_ERROR, joined(CLOSE, b"x"))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000, 65535):
            self.assertFault(Code.PROTOCOL_ERROR, joined(CLOSE, goodbye(code)))
        for code in (1000, 1001, 1003, 1011, 1014, 3000, 4999):
            self.assertEqual((code, ""), readGoodbye(goodbye(code)))
        self.assertFault(Code.INVALID, joined(CLOSE, goodbye(1000) + b"\xff"))
        self.assertEqual((Code.NONE, ""), readGoodbye(b""))
        self.assertEqual(MAX_CONTROL, len(goodbye(1000, "x" * 1000)))
        self.assertEqual("a?", goodbye(1000, "aé")[2:].decode())

    def test_idle(self) -> None:
        """
        Frames that carry nothing are counted; those that do are not.
        """
        nothing = (joined(PING, b""), joined(PONG, b"x"), joined(BINARY, b""))
        for wire in nothing:
            each = reader(left=10)
            each.feed(wire * 10)
            self.assertRaises(UgateError, each.feed, wire)
        reader(left=0).feed(joined(BINARY, b"x") * 1000)

    @given(st.binary(max_size=200), st.booleans())
    def test_anything(self, data: bytes, masks: bool) -> None:
        """
        Whatever comes, there is no other error, and what is kept is small.
        """
        each = reader(masks)
        try:
            for at in range(len(data)):
                each.feed(data[at : at + 1])
        except Fault:
            pass
        self.assertLessEqual(len(each._head), MAX_CONTROL + 14)

    def test_large(self) -> None:
        """
        What we send is in frames that others take.
        """
        self.assertLess(LARGEST, 1 << 20)
