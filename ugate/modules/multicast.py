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
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import ListenRefused
from ugate.modules.datagrams import ROOM, Datagram, Family
from ugate.modules.netlinks import Link

_LARGEST: Final = 1500
AT_ONCE: Final = 64
"""Datagrams that are read from a socket before it is left alone for a while."""

PAUSE: Final = 0.05
"""Seconds of that while: what comes in a flood is dropped by the kernel, which costs us nothing."""


@implementer(IReadDescriptor)
class _Reader:
    """
    One socket in the reactor.
    """

    def __init__(
        self, reactor: Any, family: Family, read: socket.socket, received: Callable[[Datagram], object]
    ) -> None:
        self.socket = read
        self._reactor = reactor
        self.family = family
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
                data, ancillary, _, address = self.socket.recvmsg(_LARGEST, ROOM)
            except OSError:
                # Nothing more is there, or an error of something that was sent.
                return
            self._received(self.family.received(data, ancillary, address))
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
        self._families = {family.isIPv6: family for family in map(Family, groups)}
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
        for family in self._families.values():
            try:
                self._shared[family.isIPv6] = self._reading(family, self.port)
                if isSending:
                    self._own[family.isIPv6] = self._reading(family, 0)
            except OSError as error:
                problem = error
        if not self._shared:
            raise ListenRefused(
                f"UDP port {self.port} cannot be listened on: {problem}; see what else listens there"
            )

    def _reading(self, family: Family, port: int) -> _Reader:
        return _Reader(self._reactor, family, family.open(port), self._received)

    def follow(self, links: Iterable[Link]) -> None:
        """
        Be one of the groups on these links, and on no other.
        """
        wanted = {
            (isIPv6, link.index): link for link in links for isIPv6 in self._shared if link.source(isIPv6)
        }
        for key in self._joined - wanted.keys():
            self._joined.discard(key)
            self._leave(*key)
        for key in wanted.keys() - self._joined:
            self._join(self._families[key[0]], wanted[key])
        self._told &= wanted.keys()

    def _join(self, family: Family, link: Link) -> None:
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

    def _leave(self, isIPv6: bool, link: int) -> None:
        try:
            self._families[isIPv6].leave(self._shared[isIPv6].socket, link)
        except OSError:
            # The interface is gone, and all that was joined with it.
            pass

    def tellAll(self, link: Link, isIPv6: bool, data: bytes) -> bool:
        """
        Send it to the group on that link.

        @return: whether it was sent.
        """
        return self._send(self._own.get(isIPv6), None, self.port, link, data)

    def tell(self, link: Link, host: str, port: int, data: bytes) -> bool:
        """
        Send it to one on that link.

        @return: whether it was sent.
        """
        return self._send(self._shared.get(":" in host), host, port, link, data)

    def _send(self, by: _Reader | None, host: str | None, port: int, link: Link, data: bytes) -> bool:
        """
        @param host: L{None} for the group.
        """
        if by is None:
            return False
        family = by.family
        source = link.source(family.isIPv6)
        try:
            family.send(by.socket, data, host or family.group, port, link.index, source)
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
