# -*- test-case-name: ugate.test.test_clienthello -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The first message of a TLS client, read without taking part in the handshake:
which name it asks for, and which protocols it offers (RFC 8446, RFC 6066,
RFC 7301, RFC 8701, RFC 9849).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, unpack
from typing import Final

from ugate.errors import Cause, ProtocolError, Refused

MAX_HELLO: Final = 16384
"""The most bytes, record headers counted, within which a ClientHello must end."""

_RECORD_HEADER: Final = 5
_MAX_RECORD: Final = 16384
_HEADERS: Final = Struct(">BBBHI")
"""Of a record and of the message that begins in it; the last is the type and the length of that."""

_EXTENSION: Final = Struct(">HH")
_HANDSHAKE: Final = 22
_CONTENT_TYPES: Final = range(20, 25)
_CLIENT_HELLO: Final = 1
_MESSAGE_HEADER: Final = 4
_RANDOM_END: Final = 34
_MAX_SESSION: Final = 32
_MAX_NAME: Final = 255
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_ECH: Final = 0xFE0D
_ECH_OUTER: Final = b"\x00"
_NAME_BYTES: Final = bytes(b for b in range(0x21, 0x7F) if b not in b"/\\@?#[]\"'<>%")


class Alert(IntEnum):
    """
    What a fatal TLS alert says (RFC 8446, 6.2).

    @since: ugate NEXT
    """

    UNEXPECTED_MESSAGE = 10
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    ILLEGAL_PARAMETER = 47
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    PROTOCOL_VERSION = 70
    INTERNAL_ERROR = 80
    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120


def alertRecord(alert: Alert) -> bytes:
    """
    A fatal alert as bytes for a client that has sent its ClientHello.

    @since: ugate NEXT
    """
    return bytes((21, 3, 3, 0, 2, 2, alert))


_ALERTS: Final = {
    Cause.DENIED: Alert.ACCESS_DENIED,
    Cause.AUTHENTICATION: Alert.ACCESS_DENIED,
    Cause.NAME_UNKNOWN: Alert.UNRECOGNIZED_NAME,
}


def alertFor(reason: Refused) -> bytes:
    """
    What a client is told whose stream is refused, after its ClientHello.

    @since: ugate NEXT
    """
    return alertRecord(_ALERTS.get(reason.cause, Alert.INTERNAL_ERROR))


def _broken(what: str, alert: Alert = Alert.DECODE_ERROR) -> ProtocolError:
    return ProtocolError(f"TLS ClientHello: {what}", alertRecord(alert))


@dataclass(frozen=True, slots=True)
class ClientHello:
    """
    What a TLS client claims and offers before anything is proven.

    @since: ugate NEXT
    """

    serverName: str = ""
    """
    The name that it asks for, in small letters and without a final dot; empty
    if it names none.  With C{ech} it is the public name of the outer hello.
    """

    alpn: tuple[bytes, ...] = ()
    """The application protocols that it offers, best first, without GREASE."""

    versions: tuple[int, ...] = ()
    """The TLS versions that it offers, as in C{0x0304} for 1.3, without GREASE."""

    ech: bool = False
    """
    Whether an encrypted hello is inside, which then has the name that is really
    meant; or random bytes that look like one: nobody on the way can tell.
    """

    @property
    def hints(self) -> dict[str, str]:
        """
        The same as hints of a stream: C{sni}, C{alpn} (comma-separated; bytes
        that would not print, and commas, escaped) and C{ech}, each only if there.
        """
        hints = {}
        if self.serverName:
            hints["sni"] = self.serverName
        if self.alpn:
            hints["alpn"] = ",".join(map(_alpnText, self.alpn))
        if self.ech:
            hints["ech"] = "outer"
        return hints


def _alpnText(name: bytes) -> str:
    text = name.decode("latin-1")
    if text.isascii() and text.isprintable() and "," not in text:
        return text
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x2C else f"\\x{b:02x}" for b in name)


class ClientHelloReader:
    """
    Finds the ClientHello in a stream, however it is cut into records and chunks.

    @since: ugate NEXT
    """

    __slots__ = ("_at", "_left", "_message", "_seen")

    def __init__(self) -> None:
        self._seen = bytearray()
        self._at = 0
        self._left = 0
        self._message = bytearray()

    @property
    def seen(self) -> bytes:
        """
        All bytes that were fed: those of the ClientHello, and what came after it.
        """
        return bytes(self._seen)

    def feed(self, data: bytes) -> ClientHello | None:
        """
        Take more bytes, of any size.

        @return: the ClientHello once it is whole; feed nothing afterwards.
        @raise ProtocolError: it is not TLS, or a broken ClientHello, or one that
            does not end within L{MAX_HELLO} bytes; its C{reply} is a TLS alert.
        """
        seen, message = self._seen, self._message
        if not seen:
            body = _aloneIn(data)
            if body:
                seen += data
                return decodeClientHello(body)
        seen += data
        wanted = _MESSAGE_HEADER if len(message) < _MESSAGE_HEADER else self._size()
        while True:
            if not self._left and not self._nextRecord():
                return None
            end = min(self._at + self._left, len(seen), self._at + wanted - len(message))
            message += seen[self._at : end]
            self._left -= end - self._at
            self._at = end
            if end > MAX_HELLO:
                raise _broken(f"not whole after {MAX_HELLO} bytes", Alert.ILLEGAL_PARAMETER)
            if len(message) == _MESSAGE_HEADER == wanted:
                wanted = self._size()
            if len(message) == wanted > _MESSAGE_HEADER:
                return decodeClientHello(bytes(message[_MESSAGE_HEADER:]))
            if self._left and end == len(seen):
                return None

    def _nextRecord(self) -> bool:
        """
        Read a record header if it is there.
        """
        seen, at = self._seen, self._at
        if len(seen) < at + _RECORD_HEADER:
            return False
        kind, length = seen[at], int.from_bytes(seen[at + 3 : at + _RECORD_HEADER], "big")
        if kind not in _CONTENT_TYPES or seen[at + 1] != 3:
            # Not even TLS: an alert would say nothing to that peer.
            reply = alertRecord(Alert.UNEXPECTED_MESSAGE) if at else b""
            raise ProtocolError(f"not TLS: a record begins with {bytes(seen[at : at + 5])!r}", reply)
        if kind != _HANDSHAKE:
            raise _broken(f"a record of type {kind} came instead", Alert.UNEXPECTED_MESSAGE)
        if not length:
            raise _broken("an empty record", Alert.UNEXPECTED_MESSAGE)
        if length > _MAX_RECORD:
            raise _broken(f"a record of {length} bytes", Alert.RECORD_OVERFLOW)
        self._at, self._left = at + _RECORD_HEADER, length
        return True

    def _size(self) -> int:
        """
        The length of the message with its header, which is there.
        """
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise _broken(f"a message of type {message[0]} came instead", Alert.UNEXPECTED_MESSAGE)
        size = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")
        if size > MAX_HELLO - _RECORD_HEADER:
            raise _broken(f"{size} bytes, at most {MAX_HELLO} are read", Alert.ILLEGAL_PARAMETER)
        if size == _MESSAGE_HEADER:
            raise _broken("it is empty")
        return size


def _aloneIn(data: bytes) -> bytes:
    """
    The body of a ClientHello that is the whole of one record, as most are; empty if it is not, and who
    reads it by steps sees what it is.
    """
    if len(data) < _RECORD_HEADER + _MESSAGE_HEADER:
        return b""
    kind, major, _, length, message = _HEADERS.unpack_from(data)
    if kind != _HANDSHAKE or major != 3 or message != _CLIENT_HELLO << 24 | length - _MESSAGE_HEADER:
        return b""
    end = _RECORD_HEADER + length
    return data[_RECORD_HEADER + _MESSAGE_HEADER : end] if end <= min(len(data), MAX_HELLO) else b""


def decodeClientHello(body: bytes) -> ClientHello:
    """
    Read a ClientHello (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2).

    @param body: the message without its header of four bytes.
    @raise ProtocolError: it is broken; the C{reply} is a TLS alert.
    @since: ugate NEXT
    """
    legacyVersion = int.from_bytes(body[:2], "big")
    if legacyVersion >> 8 != 3:
        raise _broken(f"version {legacyVersion:#06x} is not TLS", Alert.PROTOCOL_VERSION)
    size = len(body)
    try:
        # As _vector reads them, but these are in every hello and nobody wants their bytes.
        session = body[_RANDOM_END]
        at = _RANDOM_END + 1 + session
        suites = body[at] << 8 | body[at + 1]
        at += 2 + suites
        compressions = body[at]
        at += 1 + compressions
    except IndexError:
        raise _beyond() from None
    if at > size:
        raise _beyond()
    if session > _MAX_SESSION or not suites or suites % 2 or not compressions:
        raise _broken("the session, the ciphers or the compressions have an impossible length")
    extensions: dict[int, bytes] = {}
    if at < size:
        block, at = _vector(body, at, 2)
        if at != size:
            raise _broken("bytes follow its extensions")
        extensions = _extensions(block)
    return ClientHello(
        serverName=_serverName(extensions[_SERVER_NAME]) if _SERVER_NAME in extensions else "",
        alpn=_alpn(extensions[_ALPN]) if _ALPN in extensions else (),
        versions=(
            _versions(extensions[_SUPPORTED_VERSIONS])
            if _SUPPORTED_VERSIONS in extensions
            else (legacyVersion,)
        ),
        ech=extensions.get(_ECH, b"")[:1] == _ECH_OUTER,
    )


def _vector(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """
    The bytes behind a length of C{width} bytes, and the offset after them.
    """
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if start > len(data) or end > len(data):
        raise _beyond()
    return data[start:end], end


def _beyond() -> ProtocolError:
    return _broken("a length points beyond its end")


def _extensions(block: bytes) -> dict[int, bytes]:
    extensions: dict[int, bytes] = {}
    at, size, header = 0, len(block), _EXTENSION.unpack_from
    while at < size:
        start = at + _EXTENSION.size
        if start > size:
            raise _beyond()
        kind, length = header(block, at)
        at = start + length
        if at > size:
            raise _beyond()
        if kind in extensions:
            raise _broken(f"extension {kind} is there twice", Alert.ILLEGAL_PARAMETER)
        extensions[kind] = block[start:at]
    return extensions


def _whole(value: bytes, width: int, what: str) -> bytes:
    """
    A list that fills its extension and is not empty.
    """
    items, end = _vector(value, 0, width)
    if end != len(value) or not items:
        raise _broken(f"the list of {what} does not fill its extension")
    return items


def _serverName(value: bytes) -> str:
    names = _whole(value, 2, "server names")
    found = b""
    at = 0
    while at < len(names):
        kind = names[at]
        name, at = _vector(names, at + 1, 2)
        if kind:
            continue
        if found:
            raise _broken("two server names", Alert.ILLEGAL_PARAMETER)
        found = name.removesuffix(b".")
        if not found or len(found) > _MAX_NAME or found.translate(None, _NAME_BYTES):
            raise _broken(f"server name {name[:64]!r} is not a host name", Alert.ILLEGAL_PARAMETER)
    return found.decode("ascii").lower()


def _alpn(value: bytes) -> tuple[bytes, ...]:
    names = _whole(value, 2, "application protocols")
    found = []
    at = 0
    while at < len(names):
        name, at = _vector(names, at, 1)
        if not name:
            raise _broken("an application protocol without a name")
        if len(name) != 2 or not _isGrease(int.from_bytes(name, "big")):
            found.append(name)
    return tuple(found)


def _versions(value: bytes) -> tuple[int, ...]:
    items = _whole(value, 1, "versions")
    if len(items) % 2:
        raise _broken("the list of versions has an odd length")
    found = unpack(f">{len(items) // 2}H", items)
    return tuple([each for each in found if each & 0x0F0F != 0x0A0A or not _isGrease(each)])


def _isGrease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF
