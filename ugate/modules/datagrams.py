# -*- test-case-name: ugate.test.test_multicast -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams with what the kernel knows of each, by IPv4 and by IPv6: the link, and how far it has come.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import Any, Final

HOPS: Final = 255
"""The hop limit of datagrams that no router has passed on."""

_RECEIVE_BUFFER: Final = 256 * 1024

# Of Linux: linux/in.h, linux/in6.h.
_IP_PKTINFO: Final = 8
_IP_RECVTTL: Final = 12
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29
_MREQN: Final = Struct("=4s4si")
_MREQ6: Final = Struct("=16si")
_PKTINFO: Final = Struct("=i4s4s")
_PKTINFO6: Final = Struct("=16si")
_INT: Final = Struct("=i")
_HOP_LIMITS: Final = ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT))
ROOM: Final = socket.CMSG_SPACE(_PKTINFO6.size) + socket.CMSG_SPACE(_INT.size)
"""Bytes that the kernel wants for what it says of a datagram."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """
    What came.

    @since: ugate NEXT
    """

    data: bytes
    """Its content; not more than the beginning of one that is far too large."""

    host: str
    """Where it says that it is from, without a zone."""

    port: int
    """The same."""

    link: int
    """The number of the interface that it came in by; 0 if that is not known."""

    hops: int
    """The hop limit that was left."""

    isToAll: bool
    """Whether it was sent to the group."""


class Family:
    """
    What is different between IPv4 and IPv6.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self.isIPv6 = ":" in group
        self.number = socket.AF_INET6 if self.isIPv6 else socket.AF_INET
        self.packed = ip_address(group).packed

    def open(self, port: int) -> socket.socket:
        """
        A socket.

        @param port: that of the group; 0 for one of its own.
        """
        made = socket.socket(self.number, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            if port:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            if self.isIPv6:
                self._prepare6(made)
            else:
                self._prepare4(made)
            made.bind(("", port))
        except OSError:
            made.close()
            raise
        return made

    def _prepare4(self, made: socket.socket) -> None:
        for option, value in (
            (socket.IP_TTL, HOPS),
            (socket.IP_MULTICAST_TTL, HOPS),
            (socket.IP_MULTICAST_LOOP, 1),
            (_IP_MULTICAST_ALL, 0),
            (_IP_PKTINFO, 1),
            (_IP_RECVTTL, 1),
        ):
            made.setsockopt(socket.IPPROTO_IP, option, value)

    def _prepare6(self, made: socket.socket) -> None:
        for option, value in (
            (socket.IPV6_V6ONLY, 1),
            (socket.IPV6_UNICAST_HOPS, HOPS),
            (socket.IPV6_MULTICAST_HOPS, HOPS),
            (socket.IPV6_MULTICAST_LOOP, 1),
            (_IPV6_MULTICAST_ALL, 0),
            (socket.IPV6_RECVPKTINFO, 1),
            (socket.IPV6_RECVHOPLIMIT, 1),
        ):
            made.setsockopt(socket.IPPROTO_IPV6, option, value)

    def join(self, joining: socket.socket, link: int) -> None:
        """
        Be one of the group there.
        """
        self._ask(joining, link, socket.IPV6_JOIN_GROUP if self.isIPv6 else socket.IP_ADD_MEMBERSHIP)

    def leave(self, leaving: socket.socket, link: int) -> None:
        """
        Be one of it no more.
        """
        self._ask(leaving, link, socket.IPV6_LEAVE_GROUP if self.isIPv6 else socket.IP_DROP_MEMBERSHIP)

    def _ask(self, asking: socket.socket, link: int, option: int) -> None:
        if self.isIPv6:
            asking.setsockopt(socket.IPPROTO_IPV6, option, _MREQ6.pack(self.packed, link))
        else:
            asking.setsockopt(socket.IPPROTO_IP, option, _MREQN.pack(self.packed, bytes(4), link))

    def send(self, by: socket.socket, data: bytes, host: str, port: int, link: int, source: str) -> None:
        """
        Send it there, by that link and from that address.
        """
        packed = ip_address(source).packed
        if self.isIPv6:
            info = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(packed, link)
            by.sendmsg([data], [info], 0, (host, port, 0, link))
        else:
            info = socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(link, packed, bytes(4))
            by.sendmsg([data], [info], 0, (host, port))

    def received(self, data: bytes, ancillary: Iterable[tuple[int, int, bytes]], address: Any) -> Datagram:
        """
        What came, with what the kernel says of it.
        """
        link = hops = 0
        isToAll = False
        for level, kind, value in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                link, _, to = _PKTINFO.unpack_from(value)
                isToAll = to == self.packed
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                to, link = _PKTINFO6.unpack_from(value)
                isToAll = to == self.packed
            elif (level, kind) in _HOP_LIMITS:
                (hops,) = _INT.unpack_from(value)
        return Datagram(data, address[0].partition("%")[0], address[1], link, hops, isToAll)
