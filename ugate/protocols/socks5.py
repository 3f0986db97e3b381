# -*- test-case-name: ugate.test.test_socks5,ugate.test.test_socks5login,ugate.test.test_socks5split -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
SOCKS5 as a server speaks it: RFC 1928, with the login of RFC 1929.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from ugate.errors import Cause, ProtocolError, Refused, StringError
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.sockshost import hostFromWire
from ugate.stream import Principal, StreamInfo, Target

_VERSION: Final = 5
_LOGIN_VERSION: Final = 1
_NO_LOGIN: Final = 0
_USER_PASSWORD: Final = 2
_CONNECT: Final = 1
_ASSOCIATE: Final = 3
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4

_GENERAL_FAILURE: Final = 1
_HOST_UNREACHABLE: Final = 4
_COMMAND_UNSUPPORTED: Final = 7
_ADDRESS_UNSUPPORTED: Final = 8

_CODES: Final = {
    Cause.DENIED: 2,
    Cause.NETWORK_UNREACHABLE: 3,
    Cause.HOST_UNREACHABLE: _HOST_UNREACHABLE,
    # RFC 1928 has no code for names; Tor, too, says so with this one.
    Cause.NAME_UNKNOWN: _HOST_UNREACHABLE,
    Cause.CONNECTION_REFUSED: 5,
    # It was meant for the TTL of IP packets, which no proxy gets to see.  Tor and
    # many others use it for a connection that timed out, and so it is the one
    # code by which a client can tell a host that is silent from one that is gone.
    Cause.TIMED_OUT: 6,
    Cause.UNSUPPORTED: _COMMAND_UNSUPPORTED,
}

ASSOCIATE: Final = "associate"
"""
What a connection is recognized as that an association for datagrams hangs on; and the hint which port they
will come from, if the client says so.
"""

_NO_ADDRESS: Final = b"\x01\x00\x00\x00\x00\x00\x00"
_FAILURES: Final = tuple(bytes((_VERSION, code, 0)) + _NO_ADDRESS for code in range(9))
_NO_METHOD: Final = b"\x05\xff"
_LOGIN_GOOD: Final = b"\x01\x00"
_LOGIN_BAD: Final = b"\x01\x01"
_MORE: Final = Step()
_CHOSEN: Final = Step(b"\x05\x00")


def boundAddress(address: IAddress) -> bytes:
    """
    An address as the BND.ADDR and BND.PORT of a reply, with its ATYP before; one
    that SOCKS cannot express (a UNIX socket, a zone) is C{0.0.0.0:0}.

    @since: ugate NEXT
    """
    try:
        if isinstance(address, IPv4Address):
            return b"\x01" + inet_pton(AF_INET, address.host) + address.port.to_bytes(2, "big")
        if isinstance(address, IPv6Address):
            return b"\x04" + inet_pton(AF_INET6, address.host) + address.port.to_bytes(2, "big")
    except (OSError, ValueError, OverflowError):
        return _NO_ADDRESS
    return _NO_ADDRESS


def associated(address: IAddress) -> bytes:
    """
    The reply that an association is there, with the address that datagrams go to.

    @since: ugate NEXT
    """
    return b"\x05\x00\x00" + boundAddress(address)


@implementer(INegotiation)
class Socks5:
    """
    The server side of SOCKS5.  It serves CONNECT, by name, IPv4 and IPv6, and UDP ASSOCIATE, if
    somebody is there for it, who also replies (L{associated}); BIND is answered with "command not supported".

    With L{Auth.OPTIONAL} a client that offers a login is asked for it, even if
    it would go on without: clients offer one only when they have one (curl
    without a user name does not), and so it is known who asks.  A login with neither
    name nor password, which RFC 1929 does not have, then counts as none.

    @since: ugate NEXT
    """

    __slots__ = ("_associates", "_auth", "_buffer", "_info", "_no", "_state")

    def __init__(self, info: StreamInfo, auth: Auth, associates: bool = False) -> None:
        """
        @param info: what is known of the stream so far.
        @param auth: whether the client has to log in.
        @param associates: whether UDP ASSOCIATE is served.
        """
        self._associates = associates
        self._info = info
        self._auth = auth
        self._buffer = b""
        # How to say no at this point; None when it is a reply with a code.
        self._no: bytes | None = _NO_METHOD
        # A plain function: a bound method would make a reference cycle of each connection.
        self._state: Callable[[Socks5, bytes], Step] = Socks5.state_greeting

    def start(self) -> bytes:
        """
        Nothing: the client speaks first.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more of what the client says.

        @raise ProtocolError: it is not SOCKS5, or asks for what is not served.
        """
        self._buffer = self._buffer + data if self._buffer else data
        return self._state(self, b"")

    # Each state takes what is owed to the client from the states before.

    def state_greeting(self, send: bytes) -> Step:
        """
        VER, NMETHODS, METHODS (RFC 1928, section 3).
        """
        data = self._buffer
        if data and data[0] != _VERSION:
            raise ProtocolError(
                f"the client's first byte is 0x{data[0]:02x} where SOCKS5 has 0x05: "
                "point SOCKS5 clients at this listener, or make it one that detects the protocol"
            )
        if len(data) < 2 or len(data) < (end := 2 + data[1]):
            return _MORE
        offered = data[2:end]
        if _USER_PASSWORD in offered and self._auth is not Auth.NONE:
            chosen, self._no, self._state = b"\x05\x02", _LOGIN_BAD, Socks5.state_login
        elif _NO_LOGIN in offered and self._auth is not Auth.REQUIRED:
            chosen, self._no, self._state = b"\x05\x00", None, Socks5.state_request
        else:
            wanted = "a user name and a password" if self._auth is Auth.REQUIRED else "no login"
            raise ProtocolError(
                f"the SOCKS5 client offers the methods {offered.hex(' ') or '(none)'}: "
                f"set it up for {wanted}",
                _NO_METHOD,
            )
        self._buffer = data = data[end:]
        # Most clients wait for the choice.
        if data:
            return self._state(self, send + chosen)
        return Step(send + chosen) if send or self._no else _CHOSEN

    def state_login(self, send: bytes) -> Step:
        """
        VER, ULEN, UNAME, PLEN, PASSWD (RFC 1929, section 2).
        """
        data = self._buffer
        size = len(data)
        if data and data[0] != _LOGIN_VERSION:
            raise ProtocolError(
                f"the SOCKS5 login has version 0x{data[0]:02x}: wanted 0x01 (RFC 1929)", send + _LOGIN_BAD
            )
        if size < 2 or size < (middle := 2 + data[1]) + 1 or size < (end := middle + 1 + data[middle]):
            return Step(send) if send else _MORE
        self._buffer = data[end:]
        if not (data[1] or data[2]) and self._auth is Auth.OPTIONAL:
            return self._goOn(send)
        self._state = Socks5.state_checking
        return Step(send, credentials=UsernamePassword(data[2:middle], data[middle + 1 : end]))

    def state_checking(self, send: bytes) -> Step:
        """
        Nothing counts until the login is checked.
        """
        return _MORE

    def login(self, principal: Principal | None) -> Step:
        """
        The credentials were checked.  What the client had already sent after
        them is read now, so this step may be the last.

        @raise ProtocolError: they were bad, or what came after them is.
        """
        if principal is None:
            raise ProtocolError("the SOCKS5 login has a bad user name or password", _LOGIN_BAD)
        self._info = self._info.but(principal=principal)
        return self._goOn(b"")

    def _goOn(self, send: bytes) -> Step:
        """
        The login is over and was good.
        """
        self._no = None
        self._state = Socks5.state_request
        return self.state_request(send + _LOGIN_GOOD)

    def state_request(self, send: bytes) -> Step:
        """
        VER, CMD, RSV, ATYP, DST.ADDR, DST.PORT (RFC 1928, section 4).
        """
        data = self._buffer
        size = len(data)
        if data and data[0] != _VERSION:
            raise ProtocolError(
                f"the SOCKS5 request has version 0x{data[0]:02x}: wanted 0x05",
                send + _FAILURES[_GENERAL_FAILURE],
            )
        if size < 4:
            return Step(send) if send else _MORE
        kind = data[3]
        if kind == _IPV4:
            end = 10
        elif kind == _NAME:
            end = 7 + (data[4] if size > 4 else 0)
        elif kind == _IPV6:
            end = 22
        else:
            raise self._unsupported(send, data[1], kind)
        if size < end:
            # A request that will be refused is read to its end, too: bytes left
            # unread when a socket closes take the answer with them.
            return Step(send) if send else _MORE
        if data[1] != _CONNECT:
            return self._associate(send, data, end, kind)
        target = self._target(send, kind, data[4 : end - 2], int.from_bytes(data[end - 2 : end], "big"))
        info = self._info
        self._buffer = b""
        return Step(
            send,
            done=True,
            rest=data[end:],
            info=StreamInfo(
                info.peer,
                info.host,
                target,
                info.principal,
                "socks5",
                info.hints,
                (*info.layers, "socks5"),
            ),
        )

    def _associate(self, send: bytes, data: bytes, end: int, kind: int) -> Step:
        """
        A request that is none for a stream.  Most clients do not know where their datagrams will come from;
        if one does, the port is kept.

        @raise ProtocolError: it is none for an association either, or these are not served.
        """
        if data[1] != _ASSOCIATE or not self._associates:
            raise self._unsupported(send, data[1], kind)
        self._buffer = b""
        port = int.from_bytes(data[end - 2 : end], "big")
        hints = {**self._info.hints, ASSOCIATE: str(port)} if port else self._info.hints
        layers = (*self._info.layers, "socks5")
        self._info = self._info.but(target=None, protocol=ASSOCIATE, hints=hints, layers=layers)
        return Step(send, done=True, info=self._info)

    def _target(self, send: bytes, kind: int, address: bytes, port: int) -> Target:
        """
        Where the client wants to go.

        @raise ProtocolError: that is no place.
        """
        try:
            if kind == _IPV4 and port:
                return Target(inet_ntop(AF_INET, address), port)
            if kind != _NAME:
                return Target.checked(inet_ntop(AF_INET if kind == _IPV4 else AF_INET6, address), port)
            return Target.checked(hostFromWire(address[1:]), port)
        except StringError as e:
            # A name that cannot be is a host that nobody reaches; port 0 is just wrong.
            code = _HOST_UNREACHABLE if port else _GENERAL_FAILURE
            raise ProtocolError(f"the target of the SOCKS5 request: {e}", send + _FAILURES[code]) from e

    def _unsupported(self, send: bytes, command: int, kind: int) -> ProtocolError:
        """
        The error for a command or a kind of address that is not served.
        """
        if command not in (_CONNECT, _ASSOCIATE) or (command == _ASSOCIATE and not self._associates):
            served = "CONNECT and UDP ASSOCIATE are" if self._associates else "CONNECT is"
            name = {2: "BIND", 3: "UDP ASSOCIATE"}.get(command, f"0x{command:02x}")
            return ProtocolError(
                f"the SOCKS5 command {name}: only {served} served",
                send + _FAILURES[_COMMAND_UNSUPPORTED],
            )
        return ProtocolError(
            f"the SOCKS5 address type 0x{kind:02x}: wanted 0x01 (IPv4), 0x03 (name) or 0x04 (IPv6)",
            send + _FAILURES[_ADDRESS_UNSUPPORTED],
        )

    def accept(self) -> bytes:
        """
        The reply that the stream is up, with the address that the client
        connected to: the one by which the stream goes on is not known here.  Of an association others
        say it, who know its address.
        """
        self._no = b""
        return b"" if self._info.protocol == ASSOCIATE else b"\x05\x00\x00" + boundAddress(self._info.host)

    def refuse(self, reason: Refused) -> bytes:
        """
        The reply with the code for C{reason}; before there can be one, that no
        method is acceptable, or that the login failed; and nothing once the
        stream is up.
        """
        if self._no is not None:
            return self._no
        return _FAILURES[_CODES.get(reason.cause, _GENERAL_FAILURE)]
