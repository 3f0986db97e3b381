# -*- test-case-name: ugate.test.test_websocketframes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The frames of WebSocket (RFC 6455, 5) that carry a stream of bytes: taken out of what comes, and made.

The payload of binary messages is passed on as it comes; where a message or a frame ends does not matter, and
none of them is kept, however long it is.
"""

from __future__ import annotations

import os
from enum import IntEnum
from struct import Struct
from typing import Final, Protocol

from ugate.errors import UgateError

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

FIN: Final = 0x80
MASKED: Final = 0x80

MAX_CONTROL: Final = 125
"""Bytes of the payload of a control frame (RFC 6455, 5.5)."""

MAX_FRAME: Final = 1 << 26
"""Bytes of the payload of a frame that comes; browsers send a message as one."""

LARGEST: Final = 1 << 16
"""Bytes of the payload of a frame that we send; others take no message that is much longer."""

_SHORT: Final = 256
"""Bytes up to which a mask is applied quicker as one number."""

_LONG: Final = 8192
"""Bytes from which on pieces are not put together."""

_LENGTH16: Final = Struct("!BBH")
_LENGTH64: Final = Struct("!BBQ")
_TABLES: Final = tuple(bytes(a ^ b for a in range(256)) for b in range(256))


class Code(IntEnum):
    """
    Why a connection is closed (RFC 6455, 7.4.1).
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    NONE = 1005
    INVALID = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011


_KNOWN: Final = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))
"""What may stand in a Close frame below 3000."""


class Fault(UgateError):
    """
    The peer broke the protocol, or a limit.

    @ivar code: what a Close frame says of it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Calm(Protocol):
    """
    Counts frames that carry nothing.
    """

    def spend(self) -> None:
        """
        One more came.

        @raise UgateError: it is one too many.
        """


def masked(data: bytes | memoryview, key: bytes) -> bytes | bytearray:
    """
    Apply a mask, or take it off (RFC 6455, 5.3).

    @param key: 4 bytes.
    """
    size = len(data)
    if size <= _SHORT:
        long = key * (size + 3 >> 2)
        number = int.from_bytes(data, "little") ^ int.from_bytes(long[:size], "little")
        return number.to_bytes(size, "little")
    out = bytearray(data)
    for at in range(4):
        out[at::4] = out[at::4].translate(_TABLES[key[at]])
    return out


def frame(kind: int, payload: bytes | memoryview, isMasked: bool) -> list[bytes | bytearray | memoryview]:
    """
    A whole frame, as pieces that need not be put together.

    @param isMasked: whether we are a client.
    """
    size = len(payload)
    bit = MASKED if isMasked else 0
    if size <= MAX_CONTROL:
        head = bytes((FIN | kind, bit | size))
    elif size < 1 << 16:
        head = _LENGTH16.pack(FIN | kind, bit | 126, size)
    else:
        head = _LENGTH64.pack(FIN | kind, bit | 127, size)
    if not isMasked:
        return [head, payload]
    # Nobody may foretell it (RFC 6455, 10.3).
    key = os.urandom(4)
    return [head + key, masked(payload, key)]


def goodbye(code: int, text: str = "") -> bytes:
    """
    The payload of a Close frame.

    @param text: why; what is too long of it is left out.
    """
    return code.to_bytes(2, "big") + text.encode("ascii", "replace")[: MAX_CONTROL - 2]


def readGoodbye(payload: bytes) -> tuple[int, str]:
    """
    What a Close frame says.

    @raise Fault: that is not what one may say.
    """
    if not payload:
        return Code.NONE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _KNOWN or 3000 <= code < 5000):
        raise Fault(Code.PROTOCOL_ERROR, "a Close frame with a code that there is not")
    try:
        text = payload[2:].decode("utf-8")
    except UnicodeDecodeError as e:
        raise Fault(Code.INVALID, "a Close frame whose reason is no UTF-8") from e
    return code, "".join(c for c in text if c.isprintable())


class FrameReader:
    """
    Takes frames apart.

    @ivar ping: the payload of the last Ping that came and was not answered; all others need no answer (RFC
        6455, 5.5.3).
    @ivar pong: the payload of the last Pong that came.
    @ivar close: what the Close frame said, once it came; nothing counts after it.
    @since: ugate NEXT
    """

    __slots__ = ("_calm", "_head", "_inMessage", "_key", "_left", "_masks", "close", "ping", "pong")

    def __init__(self, masks: bool, calm: Calm) -> None:
        """
        @param masks: whether the peer is a client, and has to mask what it sends.
        @param calm: is told of frames that carry nothing.
        """
        self._masks = masks
        self._calm = calm
        self._head = b""
        """What came of a frame whose payload cannot be passed on yet."""
        self._left = 0
        """How much of a frame with data is still to come."""
        self._key = b""
        self._inMessage = False
        self.ping: bytes | None = None
        self.pong: bytes | None = None
        self.close: tuple[int, str] | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """
        Take what came.

        @return: the bytes of the stream in it, in pieces; to put long ones together would cost more than
            what is done with them.
        @raise Fault: see L{Fault}.
        """
        if self._head:
            data, self._head = self._head + data, b""
        pieces: list[bytes | bytearray] = []
        view = memoryview(data)
        at, end = 0, len(data)
        while at < end and self.close is None:
            if self._left:
                size = min(self._left, end - at)
                pieces.append(self._payload(view[at : at + size]))
                at += size
                continue
            begun = self._begin(data, at, end)
            if not begun:
                self._head = data[at:]
                break
            at = begun
        if len(pieces) > 1 and end < len(pieces) * _LONG:
            return [b"".join(pieces)]
        return [bytes(piece) for piece in pieces]

    def _payload(self, data: memoryview) -> bytes | bytearray:
        self._left -= len(data)
        if not self._masks:
            return bytes(data)
        key = self._key
        turn = len(data) & 3
        self._key = key[turn:] + key[:turn]
        return masked(data, key)

    def _begin(self, data: bytes, at: int, end: int) -> int:
        """
        Read the head of a frame; of one for control, all of it.

        @return: where it goes on; 0 if there is too little.
        """
        first = data[at]
        kind = first & 0x0F
        self._check(first, kind)
        if end - at < 2:
            return 0
        second = data[at + 1]
        if bool(second & MASKED) is not self._masks:
            raise Fault(Code.PROTOCOL_ERROR, f"a frame {'without' if self._masks else 'with'} a mask")
        size = second & 0x7F
        at += 2
        if kind >= CLOSE and size > MAX_CONTROL:
            raise Fault(Code.PROTOCOL_ERROR, f"a control frame of more than {MAX_CONTROL} bytes")
        if size > MAX_CONTROL:
            more = 2 if size == 126 else 8
            if end - at < more:
                return 0
            size = _length(data[at : at + more])
            at += more
        key = b""
        if self._masks:
            key = data[at : at + 4]
            at += 4
            if at > end:
                return 0
        if kind >= CLOSE:
            if end - at < size:
                return 0
            self._control(kind, bytes(masked(data[at : at + size], key)) if key else data[at : at + size])
            return at + size
        if not size:
            self._calm.spend()
        self._inMessage = not first & FIN
        self._left, self._key = size, key
        return at

    def _check(self, first: int, kind: int) -> None:
        """
        See what kind of frame may come now.
        """
        if first & 0x70:
            raise Fault(Code.PROTOCOL_ERROR, "a frame of an extension that was not agreed on")
        if kind == TEXT:
            raise Fault(Code.UNSUPPORTED, "this is a tunnel: send binary messages")
        if kind not in (CONTINUATION, BINARY, CLOSE, PING, PONG):
            raise Fault(Code.PROTOCOL_ERROR, "a frame of an unknown kind")
        if kind >= CLOSE and not first & FIN:
            raise Fault(Code.PROTOCOL_ERROR, "a control frame in fragments")
        if kind < CLOSE and (kind == CONTINUATION) is not self._inMessage:
            raise Fault(Code.PROTOCOL_ERROR, "fragments of messages that do not follow one another")

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == CLOSE:
            self.close = readGoodbye(payload)
            return
        self._calm.spend()
        if kind == PING:
            self.ping = payload
        else:
            self.pong = payload


def _length(data: bytes) -> int:
    """
    A length that does not fit into the second byte of a frame.
    """
    size = int.from_bytes(data, "big")
    if size <= (MAX_CONTROL if len(data) == 2 else 0xFFFF):
        raise Fault(Code.PROTOCOL_ERROR, "a length that is written longer than it has to be")
    if size > MAX_FRAME:
        raise Fault(Code.TOO_BIG, f"a frame of more than {MAX_FRAME} bytes")
    return size
