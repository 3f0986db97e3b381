# -*- test-case-name: ugate.test.test_netlinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The links of this host: its network interfaces, with the addresses that neighbours see.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address
from struct import Struct
from typing import Final

from ugate.errors import UgateError

_INET6: Final = "/proc/net/if_inet6"

# Of Linux: linux/sockios.h, linux/if.h, linux/if_addr.h.
_GET_FLAGS: Final = 0x8913
_GET_ADDRESS: Final = 0x8915
_GET_NETMASK: Final = 0x891B
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MULTICAST: Final = 0x1000
_UNUSABLE: Final = 0x48
"""An address that another host has, or that nobody knows yet whether one does."""

_REQUEST: Final = Struct("16s24x")
_FLAGS: Final = Struct("=16xH")
_IPV4: Final = Struct("=20x4s")

Ask = Callable[[int, str], bytes]
"""Ask the kernel one thing of one interface: what C{ioctl} puts into a C{struct ifreq}."""


@dataclass(frozen=True, slots=True)
class Link:
    """
    A network that we are on.

    @since: ugate NEXT
    """

    index: int
    """The number of the interface."""

    name: str
    """Its name."""

    ipv4: IPv4Interface | None = None
    """Our address there, and the network."""

    ipv6: IPv6Address | None = None
    """Our link-local address there."""

    def source(self, isIPv6: bool) -> str:
        """
        Our address there as text, or nothing.
        """
        if isIPv6:
            return "" if self.ipv6 is None else str(self.ipv6)
        return "" if self.ipv4 is None else str(self.ipv4.ip)

    def isNeighbour(self, host: str) -> bool:
        """
        Whether that address can be of somebody on this link.
        """
        try:
            address = ip_address(host)
        except ValueError:
            return False
        if isinstance(address, IPv4Address):
            network = None if self.ipv4 is None else self.ipv4.network
            return network is not None and address in network and not address.is_loopback
        return self.ipv6 is not None and address.is_link_local


def linkLocals(lines: Iterable[str]) -> dict[int, IPv6Address]:
    """
    The link-local address of each interface, by its number.

    @param lines: what C{/proc/net/if_inet6} has.
    """
    found: dict[int, IPv6Address] = {}
    for line in lines:
        try:
            text, index, _, _, flags, _ = line.split()
            address = IPv6Address(bytes.fromhex(text))
            if address.is_link_local and not int(flags, 16) & _UNUSABLE:
                found.setdefault(int(index, 16), address)
        except ValueError:
            # Of another kernel.
            continue
    return found


def linksFrom(
    names: Iterable[tuple[int, str]], ask: Ask, locals6: dict[int, IPv6Address], only: Collection[str] = ()
) -> tuple[Link, ...]:
    """
    The links that multicast works on.

    @param names: the interfaces that there are, with their numbers.
    @param locals6: see L{linkLocals}.
    @param only: the names of those that are wanted; empty for all.
    """
    found = []
    for index, name in names:
        if only and name not in only:
            continue
        try:
            (flags,) = _FLAGS.unpack_from(ask(_GET_FLAGS, name))
        except OSError:
            # It is gone meanwhile.
            continue
        if flags & (_UP | _MULTICAST | _LOOPBACK) != _UP | _MULTICAST:
            continue
        link = Link(index, name, _ipv4(name, ask), locals6.get(index))
        if link.ipv4 is not None or link.ipv6 is not None:
            found.append(link)
    return tuple(found)


def _ipv4(name: str, ask: Ask) -> IPv4Interface | None:
    try:
        (address,), (mask,) = (_IPV4.unpack_from(ask(what, name)) for what in (_GET_ADDRESS, _GET_NETMASK))
    except OSError:
        return None
    return IPv4Interface(f"{IPv4Address(address)}/{IPv4Address(mask)}")


def readLinks(only: Collection[str] = ()) -> tuple[Link, ...]:
    """
    The links of now.

    @param only: the names of the interfaces that are wanted; empty for all.
    @raise UgateError: this system does not tell.
    @since: ugate NEXT
    """
    try:
        from fcntl import ioctl

        with open(_INET6, encoding="ascii") as file:
            locals6 = linkLocals(file)
    except FileNotFoundError:
        # There is no IPv6 here.
        locals6 = {}
    except (ImportError, OSError) as error:
        raise UgateError(f"the network interfaces cannot be read: {error}") from error
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:

            def ask(what: int, name: str) -> bytes:
                return ioctl(asked, what, _REQUEST.pack(name.encode()))

            return linksFrom(socket.if_nameindex(), ask, locals6, only)
    except OSError as error:
        raise UgateError(f"the network interfaces cannot be read: {error}") from error
