# -*- test-case-name: ugate.test.test_sshsession -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is said of streams in SSH, as bytes (RFC 4254), and in which words a stream is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct, error
from typing import Final

from ugate.errors import Cause, Phase, ProtocolError, Refused, StringError
from ugate.stream import UNIX, StreamInfo, Target

DIRECT: Final = b"direct-tcpip"
DATAGRAMS: Final = b"direct-udp@ugate"
"""
A channel of datagrams, in the capsules of RFC 9297: it is opened as one for a stream is, and no server but
this one knows it.
"""
FORWARDED: Final = b"forwarded-tcpip"
SESSION: Final = b"session"
LOCAL: Final = b"direct-streamlocal@openssh.com"
FORWARDED_LOCAL: Final = b"forwarded-streamlocal@openssh.com"

DISCONNECT: Final = 1
DEBUG: Final = 4
AUTH_REQUEST: Final = 50
AUTH_FAILURE: Final = 51
AUTH_SUCCESS: Final = 52
AUTH_BANNER: Final = 53
AUTH_PK_OK: Final = 60
GLOBAL_REQUEST: Final = 80
REQUEST_SUCCESS: Final = 81
REQUEST_FAILURE: Final = 82
OPEN: Final = 90
OPEN_CONFIRMATION: Final = 91
OPEN_FAILURE: Final = 92
WINDOW_ADJUST: Final = 93
DATA: Final = 94
EXTENDED_DATA: Final = 95
EOF: Final = 96
CLOSE: Final = 97
CHANNEL_REQUEST: Final = 98
CHANNEL_SUCCESS: Final = 99
CHANNEL_FAILURE: Final = 100

PROHIBITED: Final = 1
CONNECT_FAILED: Final = 2
UNKNOWN_TYPE: Final = 3
SHORTAGE: Final = 4

_CODES: Final[Mapping[Cause, int]] = {
    Cause.DENIED: PROHIBITED,
    Cause.AUTHENTICATION: PROHIBITED,
    Cause.UNSUPPORTED: UNKNOWN_TYPE,
    Cause.OVERLOADED: SHORTAGE,
}
_CAUSES: Final[Mapping[int, Cause]] = {
    PROHIBITED: Cause.DENIED,
    UNKNOWN_TYPE: Cause.UNSUPPORTED,
    SHORTAGE: Cause.OVERLOADED,
}

# What the servers of others say, by the errors of the system.
_WORDS: Final[Mapping[str, Cause]] = {
    **{cause.value: cause for cause in Cause if cause is not Cause.GENERAL},
    "connection timed out": Cause.TIMED_OUT,
    "no route to host": Cause.HOST_UNREACHABLE,
    "network is unreachable": Cause.NETWORK_UNREACHABLE,
    "name or service not known": Cause.NAME_UNKNOWN,
    "unknown host": Cause.NAME_UNKNOWN,
    "temporary failure in name resolution": Cause.NAME_UNKNOWN,
}

_LONGEST: Final = 200
"""Characters of what a peer says that are kept."""

U32: Final = Struct(">L")
U32x2: Final = Struct(">2L")
U32x3: Final = Struct(">3L")
U32x4: Final = Struct(">4L")
DATA_HEAD: Final = Struct(">BLL")
"""What is before the bytes in a message of data: its number, the channel, and how many they are."""


def string(data: bytes) -> bytes:
    """
    Bytes as SSH sends them.
    """
    return U32.pack(len(data)) + data


class Reader:
    """
    Takes a packet apart.

    @since: ugate NEXT
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """
        @raise ProtocolError: there is none.
        """
        try:
            (value,) = U32.unpack_from(self._data, self._at)
        except error as e:
            raise ProtocolError("a packet that is cut off") from e
        self._at += 4
        number: int = value
        return number

    def long(self) -> int:
        """
        @raise ProtocolError: there is none.
        """
        return self.number() << 32 | self.number()

    def byte(self) -> int:
        """
        @raise ProtocolError: there is none.
        """
        if self._at >= len(self._data):
            raise ProtocolError("a packet that is cut off")
        self._at += 1
        return self._data[self._at - 1]

    def string(self) -> bytes:
        """
        @raise ProtocolError: there is none.
        """
        size = self.number()
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise ProtocolError("a packet that is cut off")
        return self._data[begin : self._at]

    def truth(self) -> bool:
        """
        @raise ProtocolError: there is none.
        """
        return self.byte() != 0

    @property
    def isOver(self) -> bool:
        """
        Whether all was taken.
        """
        return self._at >= len(self._data)

    def rest(self) -> bytes:
        """
        What was not taken yet.
        """
        return self._data[self._at :]


def words(text: bytes) -> str:
    """
    What a peer says, as it may be shown.
    """
    shown = text[: 4 * _LONGEST].decode("utf-8", "replace")[:_LONGEST]
    return "".join(each if each.isprintable() else "?" for each in shown)


def asks(target: Target, info: StreamInfo) -> bytes:
    """
    What opens a C{direct-tcpip} or C{forwarded-tcpip}, behind its windows (RFC 4254, 7.2); or a
    C{direct-streamlocal}.
    """
    if target.network == UNIX:
        return string(target.host.encode()) + string(b"") + U32.pack(0)
    host, port = origin(info)
    return (
        string(target.host.encode())
        + U32.pack(target.port)
        + string(host.encode("ascii", "replace"))
        + U32.pack(port)
    )


def origin(info: StreamInfo) -> tuple[str, int]:
    """
    For whom a stream is, as far as that has an address.
    """
    host, port = getattr(info.peer, "host", None), getattr(info.peer, "port", None)
    return (host, port) if isinstance(host, str) and isinstance(port, int) else ("127.0.0.1", 0)


def asked(data: bytes) -> tuple[Target, str]:
    """
    Where a C{direct-tcpip} or C{forwarded-tcpip} wants to go, and for whom it says to be.

    @raise ProtocolError: the packet is broken.
    @raise StringError: there is no such place.
    """
    reader = Reader(data)
    host, port, peer, number = reader.string(), reader.number(), reader.string(), reader.number()
    try:
        text = host.decode()
    except UnicodeDecodeError as e:
        raise StringError("a host name that is not UTF-8") from e
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    claim = words(peer)
    return Target.checked(text, port), str(Target(claim, number)) if claim else ""


def askedPath(data: bytes) -> Target:
    """
    Which UNIX socket a C{direct-streamlocal} wants, or C{streamlocal-forward}.

    @raise ProtocolError: the packet is broken.
    @raise StringError: there is no such place.
    """
    try:
        return Target.atPath(Reader(data).string().decode())
    except UnicodeDecodeError as e:
        raise StringError("a path that is not UTF-8") from e


def refusing(reason: Refused) -> tuple[int, str]:
    """
    The code and the words with which a stream is refused.  They say the cause, and not what is behind it:
    that is in the log.
    """
    return _CODES.get(reason.cause, CONNECT_FAILED), reason.cause.value


def refused(hop: str, target: Target | None, code: int, text: str) -> Refused:
    """
    What the refusal of a peer means.
    """
    said = text.strip().rstrip(".").lower()
    cause = _CAUSES.get(code) if code != CONNECT_FAILED else None
    if cause is None or said in _WORDS:
        cause = _WORDS.get(said, cause or Cause.GENERAL)
    if said == "open failed" and code == CONNECT_FAILED:
        cause = Cause.CONNECTION_REFUSED
    detail = f"{target}: {text}" if text else str(target)
    return Refused(cause, Phase.REMOTE, hop, detail)
