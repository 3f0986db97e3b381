# -*- test-case-name: ugate.test.test_egress,ugate.test.test_ownlisteners -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which resolved addresses a stream may be carried to.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from weakref import ReferenceType, ref

from zope.interface import implementer

from twisted.logger import Logger

from ugate.errors import Denied
from ugate.interfaces import IEgress
from ugate.stream import TCP, UNIX, Target

Address: TypeAlias = IPv4Address | IPv6Address

_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # most of them
        "fd00:ec2::254",  # Amazon
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's host agent, which hands out a machine's secrets
    )
)
_PORT: Final = "have the service listen on a port"
_LINK_LOCAL: Final = "a link-local address"
_NOT_OURS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
_NAT64: Final = ip_network("64:ff9b::/96")
_SHARED: Final = ip_network("100.64.0.0/10")


def plain(address: Address) -> IPv4Address | IPv6Address:
    """
    The address that the kernel will really talk to: an IPv4 address in an IPv6
    one is taken out, and the unspecified address means this host.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.sixtofour is not None:
            address = address.sixtofour
        elif address in _NAT64:
            address = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.is_unspecified:
        return ip_address("127.0.0.1" if address.version == 4 else "::1")
    return address


@lru_cache(maxsize=4096)
def _classify(host: str) -> tuple[str, bool]:
    """
    Why an address is never allowed, or empty; and whether it is private.
    """
    try:
        address = plain(ip_address(host.partition("%")[0]))
    except ValueError:
        return "a name where an address was wanted: resolve it first", False
    if address in _METADATA:
        return "the metadata service of a cloud", True
    if address.is_link_local:
        return _LINK_LOCAL, True
    if address.is_multicast:
        return "a multicast address", False
    if isinstance(address, IPv4Address):
        return "", address.is_private or address in _SHARED
    return "", address.is_private or address.is_site_local


MOST_OUTGOING: Final = 8192
"""So many of the connections that were made last are remembered, to know them again."""

_TCP_CLOSE: Final = 7

Connection: TypeAlias = tuple[str, int, str, int]
"""The own address and port of a connection, and those of the other end."""


class Outgoing:
    """
    The connections that this process has made last.

    @since: ugate NEXT
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[Connection, ReferenceType[socket.socket]] = {}

    def add(self, made: Connection, connecting: socket.socket) -> None:
        """
        One more; the oldest is forgotten if there are too many.
        """
        last = self._last
        last[made] = ref(connecting)
        if len(last) > MOST_OUTGOING:
            del last[next(iter(last))]

    def holds(self, made: Connection) -> bool:
        """
        Whether it is one of them, and is still up: its addresses and ports may be those of another program
        as soon as it is not.
        """
        found = self._last.get(made)
        connected = None if found is None else found()
        if connected is None:
            return False
        if connected.type & socket.SOCK_DGRAM:
            return connected.fileno() >= 0
        try:
            return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_CLOSE
        except OSError:
            return False

    def __len__(self) -> int:
        return len(self._last)


class OwnListeners:
    """
    The addresses that this process listens on, which no stream may lead back to; and how its own connections
    are known, where the kernel leads those of this machine to it.

    @ivar mark: what they are marked with now; 0 for nothing.
    @ivar marks: what they are marked with as soon as that is wanted.
    @ivar outgoing: the last of them, while the kernel leads any here.
    @since: ugate NEXT
    """

    log = Logger()
    mark = 0
    marks = 0
    outgoing: Outgoing | None = None

    def __init__(self, isOurs: Callable[[Address], bool] | None = None) -> None:
        """
        @param isOurs: whether this machine has an address; it is asked itself unless given.
        """
        self._byPort: dict[tuple[str, int], list[str]] = {}
        self._isOurs = _isOurs if isOurs is None else isOurs

    def capture(self) -> None:
        """
        See L{IEgress<ugate.interfaces.IEgress>}.
        """
        if self.outgoing is None:
            self.outgoing = Outgoing()
            self.mark = self.marks

    def markWith(self, mark: int) -> OwnListeners:
        """
        How our own connections are known, if they have to be.

        @param mark: 0 for not at all.
        @return: itself.
        """
        self.marks = mark
        return self

    def cannotMark(self) -> None:
        """
        See L{IEgress<ugate.interfaces.IEgress>}.
        """
        if self.mark:
            self.mark = 0
            self.log.warn(
                "our own connections cannot be marked, which needs CAP_NET_ADMIN: so the rules that lead "
                "streams here have to leave out the user that ugate runs as"
            )

    def add(self, host: str, port: int, network: str = TCP) -> None:
        """
        We listen there now; C{0.0.0.0} and C{::} are every address of this machine.  With L{UNIX} it is a
        path without symbolic links, and the port 0.
        """
        self._byPort.setdefault((network, port), []).append(host)

    def remove(self, host: str, port: int, network: str = TCP) -> None:
        """
        No longer.
        """
        hosts = self._byPort.get((network, port), [])
        if host in hosts:
            hosts.remove(host)
        if not hosts:
            self._byPort.pop((network, port), None)

    def clear(self) -> None:
        """
        Nowhere any longer.
        """
        self._byPort.clear()

    def holds(self, host: str, port: int, network: str = TCP) -> bool:
        """
        Whether a connection to there would come back to us.
        """
        hosts = self._byPort.get((network, port))
        if hosts is None:
            return False
        if network == UNIX:
            return host in hosts
        address = plain(ip_address(host.partition("%")[0]))
        here = ip_address(host) if "%" in host and address.is_link_local else address
        for own in hosts:
            listening = ip_address(own.partition("%")[0])
            if listening.is_unspecified:
                # Who listens on :: hears IPv4 as well.
                if address.version <= listening.version and self._isOurs(here):
                    return True
            elif plain(listening) == address:
                return True
        return False


def _isOurs(address: Address) -> bool:
    """
    Whether this machine has the address: only then can a socket be bound to it.
    What cannot be found out is taken for ours.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if isinstance(address, IPv6Address) and address.scope_id:
                # Without its zone it could not be bound to, whoever has it.
                zone = socket.if_nametoindex(address.scope_id)
                probe.bind((str(address).partition("%")[0], 0, 0, zone))
            else:
                probe.bind((str(address), 0))
    except OSError as error:
        return error.errno not in _NOT_OURS
    return True


@implementer(IEgress)
class Egress:
    """
    The rule on resolved addresses: link-local and metadata addresses and our own
    listeners never; private ranges as the config says.

    @ivar private: whether private and loopback addresses are allowed.
    @ivar ranges: those that are allowed in any case.
    @ivar loopback: whether loopback addresses may be among these.
    @ivar zones: whether link-local addresses of IPv6 are allowed that say by a zone on which link, which no
        client can ask for.
    @ivar paths: whether UNIX sockets are allowed; the policy says which.
    @ivar step: what somebody can do who is not let to a private address.
    @since: ugate NEXT
    """

    __slots__ = ("_own", "loopback", "paths", "private", "ranges", "step", "zones")

    def __init__(
        self,
        own: OwnListeners,
        private: bool,
        ranges: Sequence[IPv4Network | IPv6Network] = (),
        step: str = "set policy.private to allow, if clients may reach this network",
        loopback: bool = True,
        zones: bool = False,
        paths: bool = False,
    ) -> None:
        """
        @param own: where this process listens.
        """
        self._own = own
        self.private = private
        self.ranges = ranges
        self.step = step
        self.loopback = loopback
        self.zones = zones
        self.paths = paths

    def check(self, host: str, port: int, network: str = TCP) -> None:
        """
        Return if a connection may be made to that address, or datagrams sent.

        @param host: an address literal; with L{UNIX} the path of a socket, without symbolic links.
        @raise Denied: it may not; the error says which rule.
        """
        if network == UNIX:
            self._checkPath(host)
            return
        why, private = _classify(host)
        if why == _LINK_LOCAL and self.zones and ":" in host and "%" in host:
            why = ""
        step = "ask for an address that is not this host's or its cloud's own"
        if not why and private and not self.private and not self._delegated(host):
            why, step = "a private address", self.step
        if not why and not self.loopback and plain(ip_address(host.partition("%")[0])).is_loopback:
            why, step = "a loopback address that the network gave us", "have that node tell another address"
        if not why and self._own.holds(host, port, network):
            why = "a listener of this gateway"
            step = "ask for the service itself, not for the gateway"
        if why:
            raise Denied(str(Target(host, port, network)), why, step)

    def _checkPath(self, path: str) -> None:
        where = str(Target(path, 0, UNIX))
        if self._own.holds(path, 0, UNIX):
            raise Denied(
                where, "a listener of this gateway", "ask for the service itself, not for the gateway"
            )
        if not self.paths:
            raise Denied(where, "files of this machine are for no tenant but root", _PORT)

    def isOwn(self, host: str, port: int, network: str = TCP) -> bool:
        """
        See L{IEgress}.
        """
        return self._own.holds(host, port, network)

    @property
    def mark(self) -> int:
        """
        See L{IEgress}.
        """
        return self._own.mark

    @property
    def outgoing(self) -> Outgoing | None:
        """
        See L{IEgress}.
        """
        return self._own.outgoing

    def cannotMark(self) -> None:
        """
        See L{IEgress}.
        """
        self._own.cannotMark()

    def capture(self) -> None:
        """
        See L{IEgress}.
        """
        self._own.capture()

    def _delegated(self, host: str) -> bool:
        if not self.ranges:
            return False
        address = plain(ip_address(host.partition("%")[0]))
        return any(address.version == each.version and address in each for each in self.ranges)
