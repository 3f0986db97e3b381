# -*- test-case-name: ugate.test.test_socks5client -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
SOCKS5 as a client speaks it: RFC 1928, with the login of RFC 1929.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INegotiation, Step
from ugate.protocols.sockshost import MAX_FIELD, hostToWire
from ugate.stream import UDP, Principal, Target

_VERSION: Final = 5
_NO_LOGIN: Final = 0
_USER_PASSWORD: Final = 2
_NO_METHOD: Final = 0xFF
_ANY: Final = b"\x05\x03\x00\x01" + bytes(6)
"""The request for an association; where datagrams will come from is not known yet."""

_MORE: Final = Step()

_REPLIES: Final = {
    1: (Cause.GENERAL, "check the target, or look into the log of that proxy"),
    2: (Cause.DENIED, "have the rules of that proxy changed, or go another way"),
    3: (Cause.NETWORK_UNREACHABLE, "check the routes of that proxy"),
    4: (Cause.HOST_UNREACHABLE, "check the name, and that the host is up and in reach of that proxy"),
    5: (Cause.CONNECTION_REFUSED, ""),
    6: (Cause.TIMED_OUT, "check that the host is up and in reach of that proxy"),
    7: (Cause.UNSUPPORTED, "use a proxy that serves CONNECT, and UDP ASSOCIATE for datagrams"),
    8: (Cause.UNSUPPORTED, "that proxy does not take this kind of address: use a name, or another proxy"),
}


def _address(target: Target, hop: str) -> bytes:
    """
    ATYP, DST.ADDR and DST.PORT.

    @raise Refused: the host cannot be said in SOCKS5.
    """
    port = target.port.to_bytes(2, "big")
    name = hostToWire(target, hop)
    if ":" in target.host:
        try:
            return b"\x04" + inet_pton(AF_INET6, target.host) + port
        except OSError as e:
            raise Refused(
                Cause.NAME_UNKNOWN,
                Phase.NEGOTIATE,
                hop,
                f"{target.host!r} has colons and is no IPv6 address",
                "write an IPv6 address without a zone",
            ) from e
    try:
        return b"\x01" + inet_pton(AF_INET, target.host) + port
    except OSError:
        return b"\x03" + bytes((len(name),)) + name + port


def _loginMessage(login: UsernamePassword, hop: str) -> bytes:
    """
    The message of RFC 1929, section 2.

    @raise Refused: a field is longer than the message can carry.
    """
    for what, field in ("user name", login.username), ("password", login.password):
        if len(field) > MAX_FIELD:
            raise Refused(
                Cause.UNSUPPORTED,
                Phase.AUTH,
                hop,
                f"a {what} of {len(field)} bytes, and SOCKS5 carries at most {MAX_FIELD}",
                f"give that hop a shorter {what}",
            )
    user, password = login.username, login.password
    return b"\x01%c%b%c%b" % (len(user), user, len(password), password)


@implementer(INegotiation)
class Socks5Client:
    """
    The client side of SOCKS5: ask a proxy for a stream to a target, by name
    where it has one, so that the proxy resolves it; or, for datagrams, for an association.

    @ivar bound: the port at the proxy for the datagrams of an association, once it is there.
    @since: ugate NEXT
    """

    __slots__ = ("_buffer", "_hop", "_login", "_request", "_state", "_target", "bound")

    def __init__(
        self, target: Target, login: UsernamePassword | None = None, hop: str = "the SOCKS5 proxy"
    ) -> None:
        """
        @param target: where the proxy shall connect to.
        @param login: offered to the proxy, if given; its fields are L{bytes}.
        @param hop: what L{Refused} names.
        @raise Refused: the target or the login cannot be said in SOCKS5.
        """
        self._target = target
        self._hop = hop
        self._login = None if login is None else _loginMessage(login, hop)
        self._request = _ANY if target.network == UDP else b"\x05\x01\x00" + _address(target, hop)
        self.bound = 0
        self._buffer = b""
        # A plain function: a bound method would make a reference cycle of each connection.
        self._state: Callable[[Socks5Client, bytes], Step] = Socks5Client.state_method

    def start(self) -> bytes:
        """
        The methods on offer (RFC 1928, section 3).
        """
        return b"\x05\x01\x00" if self._login is None else b"\x05\x02\x00\x02"

    def receive(self, data: bytes) -> Step:
        """
        Take more of what the proxy says.

        @raise Refused: it says no, or it does not speak SOCKS5.
        """
        self._buffer = self._buffer + data if self._buffer else data
        return self._state(self, b"")

    # Each state takes what is owed to the proxy from the states before.

    def state_method(self, send: bytes) -> Step:
        """
        VER, METHOD (RFC 1928, section 3).
        """
        data = self._buffer
        self._checkVersion(data)
        if len(data) < 2:
            return _MORE
        method = data[1]
        self._buffer = data[2:]
        if method == _NO_LOGIN:
            self._state = Socks5Client.state_reply
            return self.state_reply(self._request)
        if method == _USER_PASSWORD and self._login is not None:
            self._state = Socks5Client.state_login
            return self.state_login(self._login)
        if method != _NO_METHOD:
            raise self._misbehaved(f"it chose the method 0x{method:02x}, which was not on offer")
        if self._login is None:
            detail, nextStep = "it wants a login", "give that hop a user name and a password"
        else:
            detail = "it takes neither a user name and a password nor no login"
            nextStep = "set that proxy up for a login by user name and password"
        raise Refused(Cause.AUTHENTICATION, Phase.AUTH, self._hop, detail, nextStep)

    def state_login(self, send: bytes) -> Step:
        """
        VER, STATUS (RFC 1929, section 2).  There are proxies with a wrong VER, so
        only the status counts.
        """
        data = self._buffer
        if len(data) < 2:
            return Step(send) if send else _MORE
        if data[1] != 0:
            raise Refused(
                Cause.AUTHENTICATION, Phase.AUTH, self._hop, f"login refused, status 0x{data[1]:02x}"
            )
        self._buffer = data[2:]
        self._state = Socks5Client.state_reply
        return self.state_reply(send + self._request)

    def state_reply(self, send: bytes) -> Step:
        """
        VER, REP, RSV, ATYP, BND.ADDR, BND.PORT (RFC 1928, section 6).
        """
        data = self._buffer
        size = len(data)
        self._checkVersion(data)
        if size >= 2 and data[1] != 0:
            # A no counts at once: some proxies close without the rest of it.
            cause, nextStep = _REPLIES.get(data[1], _REPLIES[1])
            detail = f"{self._target}, reply 0x{data[1]:02x}"
            raise Refused(cause, Phase.REMOTE, self._hop, detail, nextStep)
        if size < 4:
            return Step(send) if send else _MORE
        kind = data[3]
        if kind == 1:
            end = 10
        elif kind == 3:
            end = 7 + (data[4] if size > 4 else 0)
        elif kind == 4:
            end = 22
        else:
            raise self._misbehaved(f"its reply has the address type 0x{kind:02x}")
        if size < end:
            return Step(send) if send else _MORE
        self._buffer = b""
        self.bound = int.from_bytes(data[end - 2 : end], "big")
        if not self.bound and self._target.network == UDP:
            raise self._misbehaved("it has an association at no port")
        return Step(send, done=True, rest=data[end:])

    def _checkVersion(self, data: bytes) -> None:
        """
        @raise Refused: C{data} starts with another version than 5.
        """
        if data and data[0] != _VERSION:
            raise self._misbehaved(f"it says 0x{data[0]:02x} where SOCKS5 has 0x05")

    def _misbehaved(self, detail: str) -> Refused:
        """
        The error for a peer that is no SOCKS5 proxy, or a broken one.
        """
        return Refused(Cause.PEER_MISBEHAVED, Phase.REMOTE, self._hop, detail)

    def login(self, principal: Principal | None) -> Step:
        """
        Nothing to do: a client checks no credentials.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing: the proxy waits for no answer.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Nothing: a client says no by closing.
        """
        return b""
