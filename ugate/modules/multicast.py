# -*- test-case-name: ugate.test.test_multicast,ugate.test.interop.test_discovery -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams to all on a link, and to one of them, with what the kernel knows of each: the link, and how far it
has come.

For each family there are two sockets.  One has the port of the groups, which others on this machine may
share: it gets what is sent to all, and answers.  The other one has a port of its own: it sends to all, and so
gets the answers.  Datagrams leave with the greatest hop limit, which no router would have left as it is: one
that comes with it is of a neighbour (RFC 5082).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import ListenRefused
from ugate.modules.links import Link

HOPS: Final = 255
"""The hop limit of datagrams that no router has passed on."""

_LARGEST: Final = 1500
AT_ONCE: Final = 64
"""Datagrams that are read from a socket before it is left alone for a while."""

PAUSE: Final = 0.05
"""Seconds of that while: what comes in a flood is dropped by the kernel, which costs us nothing."""

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
_ROOM: Final = socket.CMSG_SPACE(_PKTINFO6.size) + socket.CMSG_SPACE(_INT.size)


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


class _Family:
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
        if self.isIPv6:
            joining.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _MREQ6.pack(self.packed, link))
        else:
            request = _MREQN.pack(self.packed, bytes(4), link)
            joining.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def leave(self, leaving: socket.socket, link: int) -> None:
        """
        Be one of it no more.
        """
        if self.isIPv6:
            leaving.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, _MREQ6.pack(self.packed, link))
        else:
            request = _MREQN.pack(self.packed, bytes(4), link)
            leaving.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, request)

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


_HOP_LIMITS: Final = ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT))


@implementer(IReadDescriptor)
class _Reader:
    """
    One socket in the reactor.
    """

    def __init__(
        self, reactor: Any, family: _Family, read: socket.socket, received: Callable[[Datagram], object]
    ) -> None:
        self.socket = read
        self._reactor = reactor
        self._family = family
        self._received = received
        self._resuming: IDelayedCall | None = None
        self._begin()

    def _begin(self) -> None:
        self._resuming = None
        self._reactor.addReader(self)

    def close(self) -> None:
        """
        Read no more.
        """
        if self._resuming is None:
            self._reactor.removeReader(self)
        else:
            self._resuming.cancel()
        self.socket.close()

    def fileno(self) -> int:
        """
        See L{IReadDescriptor}.
        """
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "discovery"

    def connectionLost(self, reason: Failure) -> None:
        """
        See L{IReadDescriptor}.
        """
        self.socket.close()

    def doRead(self) -> None:
        """
        Read what is there, but not for long.
        """
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, address = self.socket.recvmsg(_LARGEST, _ROOM)
            except OSError:
                # Nothing more is there, or an error of something that was sent.
                return
            self._received(self._family.received(data, ancillary, address))
        if self.socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._resuming = self._reactor.callLater(PAUSE, self._begin)


class Multicast:
    """
    The sockets of one discovery.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self, reactor: Any, groups: Iterable[str], port: int, received: Callable[[Datagram], object]
    ) -> None:
        """
        @param groups: one address of IPv4, one of IPv6, or both.
        @param port: that of the groups.
        @param received: called with each datagram that comes.
        """
        self.port = port
        self._reactor = reactor
        self._received = received
        self._families = [_Family(group) for group in groups]
        self._shared: dict[bool, _Reader] = {}
        self._own: dict[bool, _Reader] = {}
        self._joined: set[tuple[bool, int]] = set()
        self._told: set[tuple[bool, int]] = set()

    def open(self, isSending: bool) -> None:
        """
        Open them.  A family that this host does not have is left out.

        @param isSending: whether anything will be sent to all.
        @raise ListenRefused: there is none that can be, and why.
        """
        if not sys.platform.startswith("linux"):
            raise ListenRefused("discovery needs Linux")
        problem: OSError | None = None
        for family in self._families:
            try:
                self._shared[family.isIPv6] = self._reading(family, self.port)
                if isSending:
                    self._own[family.isIPv6] = self._reading(family, 0)
            except OSError as error:
                problem = error
        if not self._shared:
            raise ListenRefused(
                f"UDP port {self.port} cannot be listened on: {problem}; see who else does, and shares it not"
            )

    def _reading(self, family: _Family, port: int) -> _Reader:
        return _Reader(self._reactor, family, family.open(port), self._received)

    def follow(self, links: Iterable[Link]) -> None:
        """
        Be one of the groups on these links, and on no other.
        """
        wanted = {
            (isIPv6, link.index): link for link in links for isIPv6 in self._shared if link.source(isIPv6)
        }
        for family in self._families:
            for key in self._joined - wanted.keys():
                if key[0] == family.isIPv6:
                    self._joined.discard(key)
                    self._leave(family, key[1])
            for key in wanted.keys() - self._joined:
                if key[0] == family.isIPv6:
                    self._join(family, wanted[key])
        self._told &= wanted.keys()

    def _join(self, family: _Family, link: Link) -> None:
        key = family.isIPv6, link.index
        try:
            family.join(self._shared[family.isIPv6].socket, link.index)
        except OSError as error:
            if key not in self._told:
                self._told.add(key)
                self.log.warn(
                    "{name}: nobody is heard there by {group}: {error}; see sysctl "
                    "net.ipv4.igmp_max_memberships, or name fewer interfaces",
                    name=link.name,
                    group=family.group,
                    error=error,
                )
            return
        self._joined.add(key)

    def _leave(self, family: _Family, link: int) -> None:
        try:
            family.leave(self._shared[family.isIPv6].socket, link)
        except OSError:
            # The interface is gone, and all that was joined with it.
            pass

    def tellAll(self, link: Link, isIPv6: bool, data: bytes) -> bool:
        """
        Send it to the group on that link.

        @return: whether it was sent.
        """
        for family in self._families:
            if family.isIPv6 == isIPv6 and isIPv6 in self._own:
                source = link.source(isIPv6)
                return self._send(self._own[isIPv6], family, data, family.group, self.port, link, source)
        return False

    def tell(self, link: Link, host: str, port: int, data: bytes) -> bool:
        """
        Send it to one on that link.

        @return: whether it was sent.
        """
        isIPv6 = ":" in host
        for family in self._families:
            if family.isIPv6 == isIPv6 and isIPv6 in self._shared:
                source = link.source(isIPv6)
                return self._send(self._shared[isIPv6], family, data, host, port, link, source)
        return False

    def _send(
        self, by: _Reader, family: _Family, data: bytes, host: str, port: int, link: Link, source: str
    ) -> bool:
        try:
            family.send(by.socket, data, host, port, link.index, source)
        except OSError as error:
            # The link is about to go, or is full: there is a next time.
            self.log.debug("{name}: {host} is not told: {error}", name=link.name, host=host, error=error)
            return False
        return True

    def close(self) -> None:
        """
        Close them.
        """
        for reader in (*self._shared.values(), *self._own.values()):
            reader.close()
        self._shared.clear()
        self._own.clear()
        self._joined.clear()
