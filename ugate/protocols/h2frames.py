# -*- test-case-name: ugate.test.test_h2frames -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The frames of HTTP/2 (RFC 9113, 4.1): taken out of what comes, and made.

The payload of C{DATA} is passed on piece by piece as it comes, whatever the size of its
frame; all other frames are passed on whole, and may therefore not be long.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import Final

from ugate.errors import UgateError

HEADER: Final = 9
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8

MAX_FRAME: Final = 1 << 20
"""The longest frame that we let a peer send; only C{DATA} and what is not known may be so long."""

MAX_CONTROL: Final = 1 << 16
"""The longest of the other frames, and of the header block of several."""

MAX_SETTINGS: Final = 6 * 128
"""The longest frame of settings: each costs far more than its bytes."""

MAX_CONTINUATIONS: Final = 16
"""How many frames may continue one header block."""

_ID: Final = 0x7FFFFFFF
_head: Final = Struct(">BHBBL")
_word: Final = Struct(">L")


class Code(IntEnum):
    """
    Why a stream or a connection ends (RFC 9113, 7).
    """

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def codeName(code: int) -> str:
    """
    A code in words: those of the RFC, or its number.
    """
    try:
        return Code(code).name
    except ValueError:
        return f"error {code}"


class ConnectionFault(UgateError):
    """
    The peer did what ends the connection.

    @ivar code: the L{Code} that it is told.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def frameHead(length: int, kind: int, flags: int, stream: int) -> bytes:
    """
    The first nine bytes of a frame.
    """
    return _head.pack(length >> 16, length & 0xFFFF, kind, flags, stream)


def windowUpdate(stream: int, increment: int) -> bytes:
    """
    A frame that lets the peer send so many bytes more.
    """
    return frameHead(4, WINDOW_UPDATE, 0, stream) + _word.pack(increment)


def rstStream(stream: int, code: int) -> bytes:
    """
    A frame that ends a stream both ways.
    """
    return frameHead(4, RST_STREAM, 0, stream) + _word.pack(code)


def goAway(last: int, code: int, text: str = "") -> bytes:
    """
    A frame that says that no stream after C{last} is looked at.

    @param text: for the log of the peer.
    """
    detail = text.encode("ascii", "backslashreplace")
    return frameHead(8 + len(detail), GOAWAY, 0, 0) + _word.pack(last) + _word.pack(code) + detail


def number(payload: bytes, at: int = 0) -> int:
    """
    Four bytes as a number.
    """
    value: int = _word.unpack_from(payload, at)[0]
    return value


def _discard(piece: bytes | memoryview) -> None:
    """
    What nobody wants.
    """


class FrameReader(ABC):
    """
    Takes frames out of bytes.  A subclass is called with them.

    @ivar left: bytes to come of the payload of a C{DATA} frame, or of its padding.
    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self._kept = bytearray()
        """The beginning of a frame that is not whole, or of its head."""
        self._need = HEADER
        self.left = 0
        self._padding = 0
        self._take: Callable[[bytes | memoryview], object] = _discard
        self._ends: Callable[[], object] | None = None
        self._block = 0
        """The stream whose header block is not whole."""
        self._blockSize = 0
        self._blockFrames = 0

    @abstractmethod
    def dataBegins(
        self, stream: int, size: int, padding: int, flags: int
    ) -> Callable[[bytes | memoryview], object]:
        """
        A C{DATA} frame begins.

        @param size: its whole payload, which counts for windows.
        @param padding: how much of that is no data.
        @return: what each piece of its data is given to.
        """

    @abstractmethod
    def dataEnds(self) -> None:
        """
        The C{DATA} frame that began is whole.
        """

    @abstractmethod
    def frame(self, kind: int, flags: int, stream: int, whole: bytes) -> None:
        """
        Another frame came.

        @param whole: it, with its head.
        """

    def feed(self, data: bytes | memoryview) -> None:
        """
        Take what came.  Nothing of a view is kept.

        @raise ConnectionFault: it is no frame that may come now.
        """
        at, size = 0, len(data)
        while at < size:
            left = self.left
            if left:
                if size - at < left:
                    self.left = left - (size - at)
                    self._take(data[at:] if at else data)
                    return
                self.left = 0
                piece = data if left == size else data[at : at + left]
                at += left
                self._take(piece)
                self._payloadEnds()
            elif self._kept or size - at < HEADER:
                at = self._gather(data, at)
            else:
                at = self._begin(data, at)

    @property
    def isBetween(self) -> bool:
        """
        Whether a frame is over, and nothing came of the next.
        """
        return not (self.left or self._kept)

    def passed(self, count: int) -> None:
        """
        So many bytes of data came another way.
        """
        self.left -= count
        if not self.left:
            self._payloadEnds()

    def _gather(self, data: bytes | memoryview, at: int) -> int:
        """
        Put bytes to those that are kept, until they are a head or a frame.
        """
        kept = self._kept
        end = at + self._need - len(kept)
        kept += data[at:end]
        if len(kept) < self._need:
            return len(data)
        whole = bytes(kept)
        kept.clear()
        self._need = HEADER
        self._begin(whole, 0)
        return end

    def _begin(self, data: bytes | memoryview, at: int) -> int:
        """
        Look at the head of a frame.

        @return: where the next thing begins.
        """
        high, low, kind, flags, stream = _head.unpack_from(data, at)
        length = high << 16 | low
        stream &= _ID
        if length > MAX_FRAME:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
        if self._block and (kind != CONTINUATION or stream != self._block):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "another frame within a header block")
        if kind == DATA:
            return self._beginData(data, at, length, flags, stream)
        if kind > CONTINUATION:
            self._take, self.left = _discard, length
            self.frame(kind, flags, stream, b"")
            return at + HEADER
        if length > (MAX_SETTINGS if kind == SETTINGS else MAX_CONTROL):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"a frame of {length} bytes that is no DATA")
        end: int = at + HEADER + length
        if end > len(data):
            self._kept += data[at:]
            self._need = HEADER + length
            return len(data)
        if kind in (HEADERS, CONTINUATION, PUSH_PROMISE):
            self._headersCame(kind, length, flags, stream)
        self.frame(kind, flags, stream, bytes(data[at:end]))
        return end

    def _beginData(self, data: bytes | memoryview, at: int, length: int, flags: int, stream: int) -> int:
        if not stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "DATA on the connection itself")
        content, padding, head = length, 0, HEADER
        if flags & PADDED:
            head += 1
            if not length:
                raise ConnectionFault(
                    Code.FRAME_SIZE_ERROR, "a padded frame without the length of its padding"
                )
            if len(data) - at < head:
                self._kept += data[at:]
                self._need = head
                return len(data)
            padding = data[at + HEADER]
            content = length - 1 - padding
            if content < 0:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "more padding than frame")
        take = self.dataBegins(stream, length, length - content, flags)
        begin = at + head
        if content and content == length and len(data) - begin >= content:
            # Most come whole.
            take(data[begin : begin + content])
            self.dataEnds()
            return begin + content
        self._take = take
        self._ends = self.dataEnds
        self.left, self._padding = content, padding
        if not content:
            self._payloadEnds()
        return begin

    def _payloadEnds(self) -> None:
        if self._padding:
            self.left, self._padding = self._padding, 0
            self._take = _discard
            return
        ends, self._ends = self._ends, None
        if ends is not None:
            ends()

    def _headersCame(self, kind: int, length: int, flags: int, stream: int) -> None:
        if kind == CONTINUATION:
            if not self._block:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
            self._blockSize += length
            self._blockFrames += 1
        else:
            self._blockSize, self._blockFrames = length, 0
        if self._blockSize > MAX_CONTROL or self._blockFrames > MAX_CONTINUATIONS:
            raise ConnectionFault(
                Code.ENHANCE_YOUR_CALM,
                f"a header block of {self._blockSize} bytes in {self._blockFrames + 1} frames",
            )
        self._block = 0 if flags & END_HEADERS else stream
