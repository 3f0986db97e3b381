# -*- test-case-name: ugate.test.test_proxyproto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The PROXY protocol, versions 1 and 2: a proxy tells, in front of the stream, for
whom it made the connection (HAProxy's proxy-protocol.txt).

Whoever can connect can claim any address: take such headers only where nobody
but trusted proxies can connect.
"""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from ugate.errors import ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.proxyproto1 import MAX_V1, PREFIX_V1, decodeV1, encodeV1, packAddress
from ugate.protocols.proxyproto2 import FIXED_V2, MAX_V2, SIGNATURE_V2, Tlv, decodeV2, encodeV2, sizeV2
from ugate.stream import Principal, StreamInfo, Target

__all__ = [
    "MAX_V1",
    "MAX_V2",
    "ProxyHeader",
    "ProxyHeaderClient",
    "Tlv",
    "decodeV1",
    "decodeV2",
    "encodeV1",
    "encodeV2",
]

_MORE: Final = Step()
_SHOWN: Final = 16


@implementer(INegotiation)
class ProxyHeader:
    """
    The server side: read the header, and go on as if its source had connected
    to its destination.  Where the header names no addresses (C{UNKNOWN},
    C{LOCAL}, C{UNSPEC}) the real ones stay.  A stream without a header is an
    error and never a guess.

    Nothing is ever answered: what is inside answers for itself.

    @since: ugate NEXT
    """

    __slots__ = ("_info", "_seen")

    def __init__(self, info: StreamInfo, auth: Auth) -> None:
        self._info = info
        self._seen = b""

    def start(self) -> bytes:
        """
        Nothing: the sender speaks.
        """
        return b""

    def receive(self, data: bytes) -> Step:
        """
        Take more of the header.

        @raise ProtocolError: there is no header, or a broken one.
        """
        seen = self._seen = self._seen + data
        hints: dict[str, str] = {}
        if seen.startswith(PREFIX_V1):
            end = _endV1(seen)
            if not end:
                return _MORE
            addresses = decodeV1(seen[: end - 2])
        elif seen.startswith(SIGNATURE_V2):
            end = sizeV2(seen) if len(seen) >= FIXED_V2 else MAX_V2
            if len(seen) < end:
                return _MORE
            addresses, hints = decodeV2(seen[:end])
        elif PREFIX_V1.startswith(seen) or SIGNATURE_V2.startswith(seen):
            return _MORE
        else:
            raise ProtocolError(
                f"no PROXY header, the stream begins with {seen[:_SHOWN]!r}: let the proxy in front send one,"
                " or take proxyproto: out of the listener"
            )
        return Step(done=True, rest=seen[end:], info=self._told(addresses, hints))

    def _told(self, addresses: tuple[IAddress, IAddress] | None, hints: dict[str, str]) -> StreamInfo:
        info = self._info
        peer, host = addresses or (info.peer, info.host)
        return info.but(
            peer=peer,
            host=host,
            hints={**info.hints, **hints} if hints else info.hints,
            layers=(*info.layers, "proxyproto"),
        )

    def login(self, principal: Principal | None) -> Step:
        """
        Never asked for: a header holds no credentials.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Nothing: the protocol has no words for it.
        """
        return b""


def _endV1(seen: bytes) -> int:
    """
    The length of a header of version 1 with its CRLF, or 0 if it is not whole.
    """
    end = seen.find(b"\n", 0, MAX_V1) + 1
    if end:
        if seen[end - 2] != 13:
            raise ProtocolError(f"PROXY header {seen[:end]!r}: its line ends without CR")
    elif len(seen) >= MAX_V1:
        raise ProtocolError(f"PROXY header: no CRLF in the first {MAX_V1} bytes")
    return end


@implementer(INegotiation)
class ProxyHeaderClient:
    """
    The client side: send the header, and wait for nothing.

    @since: ugate NEXT
    """

    __slots__ = ("_header",)

    def __init__(
        self,
        target: Target,
        login: UsernamePassword | None = None,
        hop: str = "a PROXY protocol receiver",
        *,
        source: IAddress | None = None,
        destination: IAddress | None = None,
        version: int = 2,
    ) -> None:
        """
        @param target: where the stream goes: the destination, if none is given
            and it is an IP address.
        @param login: not sent; the protocol has no credentials.
        @param hop: not named; nobody can refuse.
        @param source: for whom the connection is made; L{None} if it is our own.
        @param destination: what that one has connected to.
        @param version: 1 or 2.
        @raise ValueError: if it is another version.
        """
        if version not in (1, 2):
            raise ValueError(f"version {version} of the PROXY protocol: wanted 1 or 2")
        if destination is None and source is not None:
            destination = _literal(target)
        self._header = (encodeV2 if version == 2 else encodeV1)(source, destination)

    def start(self) -> bytes:
        """
        The header.
        """
        return self._header

    def receive(self, data: bytes) -> Step:
        """
        Done at once; all bytes belong to the stream.
        """
        return Step(done=True, rest=data)

    def login(self, principal: Principal | None) -> Step:
        """
        Never asked for.
        """
        return _MORE

    def accept(self) -> bytes:
        """
        Nothing: this is the client.
        """
        return b""

    def refuse(self, reason: Refused) -> bytes:
        """
        Nothing: this is the client.
        """
        return b""


def _literal(target: Target) -> IAddress | None:
    """
    The target as an address, or L{None} if it is a name.
    """
    host, port = target.host, target.port
    for address in (IPv4Address("TCP", host, port), IPv6Address("TCP", host, port)):
        if packAddress(address) is not None:
            return address
    return None
