# -*- test-case-name: ugate.test.test_socks4 -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
SOCKS4 and SOCKS4A as a server speaks them (Ying-Da Lee's memos; there is no RFC).
"""

from __future__ import annotations

from socket import AF_INET, inet_ntop
from typing import Final

from zope.interface import implementer

from ugate.errors import Cause, ProtocolError, Refused, StringError
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.sockshost import MAX_FIELD, hostFromWire
from ugate.stream import Principal, StreamInfo, Target

_VERSION: Final = 4
_CONNECT: Final = 1
_HEAD: Final = 8

_GRANTED: Final = b"\x00\x5a\x00\x00\x00\x00\x00\x00"
_FAILED: Final = b"\x00\x5b\x00\x00\x00\x00\x00\x00"
# 92 would mean that the client runs no identd; nobody asks for one here.
_NOT_PROVEN: Final = b"\x00\x5d\x00\x00\x00\x00\x00\x00"
_MORE: Final = Step()


@implementer(INegotiation)
class Socks4:
    """
    The server side of SOCKS4 and 4A.  It serves CONNECT, by IPv4 address and,
    in 4A, by name; BIND is refused.

    The user id that a client sends proves nothing.  It becomes the hint
    C{user}, and where a login is required every request is refused.

    The codes: 90 granted; 93 (the user id is not believed) when somebody has to
    be proven; 91 (rejected or failed) for everything else, as the protocol has
    no finer words.

    @since: ugate NEXT
    """

    __slots__ = ("_answered", "_auth", "_buffer", "_info")

    def __init__(self, info: StreamInfo, auth: Auth) -> None:
        """
        @param info: what is known of the stream so far.
        @param auth: whether the client has to prove who it is: with
            L{Auth.REQUIRED} no client of this protocol can.
        """
        self._info = info
        self._auth = auth
        self._buffer = b""
        self._answered = False

    def start(self) -> bytes:
        """
        Nothing: the client speaks first.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more of the request: VN, CD, DSTPORT, DSTIP, USERID, NUL and, if
        DSTIP is C{0.0.0.x} and x is not 0, a host name and NUL.

        @raise ProtocolError: it is not SOCKS4, or asks for what is not served.
        """
        self._buffer = data = self._buffer + data if self._buffer else data
        if data and data[0] != _VERSION:
            raise ProtocolError(
                f"the client's first byte is 0x{data[0]:02x} where SOCKS4 has 0x04: "
                "point SOCKS4 clients at this listener, or make it one that detects the protocol"
            )
        end = self._fieldEnd("user id", _HEAD)
        if not end:
            return _MORE
        user = data[_HEAD : end - 1]
        name = None
        if data[4:7] == b"\0\0\0" and data[7]:
            start, end = end, self._fieldEnd("host name", end)
            if not end:
                return _MORE
            name = data[start : end - 1]
        self._check(data[1])
        info = self._info.but(
            target=self._target(name, data[4:8], int.from_bytes(data[2:4], "big")),
            protocol="socks4",
            layers=(*self._info.layers, "socks4"),
        )
        if user:
            info = info.but(hints={**info.hints, "user": self._printable(user)})
        self._buffer = b""
        return Step(done=True, rest=data[end:], info=info)

    def _fieldEnd(self, what: str, start: int) -> int:
        """
        Where the field that begins at C{start} is over, behind its NUL; 0 if it
        is not whole yet.

        @raise ProtocolError: it is longer than any such field is.
        """
        limit = start + MAX_FIELD + 1
        end = self._buffer.find(b"\0", start, limit) + 1
        if not end and len(self._buffer) >= limit:
            raise ProtocolError(f"the {what} in the SOCKS4 request has over {MAX_FIELD} bytes", _FAILED)
        return end

    def _check(self, command: int) -> None:
        """
        @raise ProtocolError: the command is not served, or not to nobody.
        """
        if command != _CONNECT:
            name = "BIND" if command == 2 else f"0x{command:02x}"
            raise ProtocolError(f"the SOCKS4 command {name}: only CONNECT is served", _FAILED)
        if self._auth is Auth.REQUIRED:
            raise ProtocolError(
                "a SOCKS4 client cannot log in, and this listener wants a login: "
                "set the client up for SOCKS5 with a user name and a password",
                _NOT_PROVEN,
            )

    def _target(self, name: bytes | None, address: bytes, port: int) -> Target:
        """
        Where the client wants to go.

        @raise ProtocolError: that is no place.
        """
        try:
            host = inet_ntop(AF_INET, address) if name is None else hostFromWire(name)
            return Target.checked(host, port)
        except StringError as e:
            raise ProtocolError(f"the target of the SOCKS4 request: {e}", _FAILED) from e

    def _printable(self, user: bytes) -> str:
        """
        The user id as text that harms no log.
        """
        text = user.decode("utf-8", "backslashreplace")
        return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")

    def login(self, principal: Principal | None) -> Step:
        """
        Never asked for: this protocol has no credentials.

        @raise ProtocolError: always.
        """
        raise ProtocolError("a SOCKS4 client cannot log in", _NOT_PROVEN)

    def accept(self) -> bytes:
        """
        Granted.  The address in the reply means nothing for CONNECT.
        """
        self._answered = True
        return _GRANTED

    def refuse(self, reason: Refused) -> bytes:
        """
        Rejected, by C{reason}; nothing once the stream is up.
        """
        if self._answered:
            return b""
        return _NOT_PROVEN if reason.cause is Cause.AUTHENTICATION else _FAILED
