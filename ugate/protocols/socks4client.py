# -*- test-case-name: ugate.test.test_socks4client -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
SOCKS4 and SOCKS4A as a client speaks them (Ying-Da Lee's memos; there is no RFC).
"""

from __future__ import annotations

from socket import AF_INET, inet_pton
from typing import Final

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INegotiation, Step
from ugate.protocols.sockshost import MAX_FIELD, hostToWire
from ugate.stream import Principal, Target

_GRANTED: Final = 90
_SIZE: Final = 8
_MORE: Final = Step()

_REPLIES: Final = {
    91: (Cause.GENERAL, Phase.REMOTE, "check the target, or look into the log of that proxy"),
    92: (Cause.AUTHENTICATION, Phase.AUTH, "run an identd on this host, or use a SOCKS5 proxy"),
    93: (Cause.AUTHENTICATION, Phase.AUTH, "check the user name, or use a SOCKS5 proxy"),
}


def _userId(login: UsernamePassword | None, hop: str) -> bytes:
    """
    @raise Refused: the user name cannot be a user id.
    """
    user: bytes = b"" if login is None else login.username
    if len(user) > MAX_FIELD:
        detail = f"a user name of {len(user)} bytes, and more than {MAX_FIELD} are too many for SOCKS4"
        raise Refused(Cause.UNSUPPORTED, Phase.AUTH, hop, detail, "give that hop a shorter user name")
    if b"\0" in user:
        detail = "a user name with a NUL, which ends it in SOCKS4"
        raise Refused(Cause.UNSUPPORTED, Phase.AUTH, hop, detail, "give that hop another user name")
    return user


def _request(target: Target, user: bytes, hop: str) -> bytes:
    """
    @raise Refused: the host cannot be said in SOCKS4.
    """
    name = hostToWire(target, hop)
    if ":" in target.host:
        detail = f"SOCKS4 has no IPv6 addresses such as {target.host}"
        nextStep = "use SOCKS5 for that hop, or give the target by its name"
        raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, hop, detail, nextStep)
    head = b"\x04\x01" + target.port.to_bytes(2, "big")
    try:
        address = inet_pton(AF_INET, target.host)
    except OSError:
        address = b"\0\0\0\x01"
    if address[:3] == b"\0\0\0" and address[3]:
        # 0.0.0.x says that a name follows; so a target that is such an address goes as a name.
        return head + b"\0\0\0\x01" + user + b"\0" + name + b"\0"
    return head + address + user + b"\0"


@implementer(INegotiation)
class Socks4Client:
    """
    The client side of SOCKS4, and of 4A when the target is a name.

    The user name of the login goes as the user id; there is no place for a
    password, so that is not sent.

    @since: ugate NEXT
    """

    __slots__ = ("_buffer", "_hop", "_request", "_target")

    def __init__(
        self, target: Target, login: UsernamePassword | None = None, hop: str = "the SOCKS4 proxy"
    ) -> None:
        """
        @param target: where the proxy shall connect to: a name or an IPv4 address.
        @param login: its user name, L{bytes}, is told to the proxy.
        @param hop: what L{Refused} names.
        @raise Refused: the target or the user name cannot be said in SOCKS4.
        """
        self._target = target
        self._hop = hop
        self._request = _request(target, _userId(login, hop), hop)
        self._buffer = b""

    def start(self) -> bytes:
        """
        The request.
        """
        return self._request

    def receive(self, data: bytes) -> Step:
        """
        Take more of the reply: VN, CD, DSTPORT, DSTIP.

        @raise Refused: the proxy says no, or it does not speak SOCKS4.
        """
        self._buffer = data = self._buffer + data if self._buffer else data
        # There are proxies that answer with their version, where the memo has 0.
        if data and data[0] not in (0, 4):
            raise self._misbehaved(f"it says 0x{data[0]:02x} where SOCKS4 has 0x00")
        if len(data) < 2:
            return _MORE
        code = data[1]
        if code != _GRANTED:
            # A no counts at once: some proxies close without the rest of it.
            if code not in _REPLIES:
                raise self._misbehaved(f"its reply has the code {code}, which SOCKS4 does not have")
            cause, phase, nextStep = _REPLIES[code]
            raise Refused(cause, phase, self._hop, f"{self._target}, reply {code}", nextStep)
        if len(data) < _SIZE:
            return _MORE
        self._buffer = b""
        return Step(done=True, rest=data[_SIZE:])

    def _misbehaved(self, detail: str) -> Refused:
        """
        The error for a peer that is no SOCKS4 proxy, or a broken one.
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
