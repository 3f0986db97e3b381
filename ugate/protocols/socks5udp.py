# -*- test-case-name: ugate.test.test_socks5udp -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams as SOCKS5 carries them (RFC 1928, 7): each with a header that says where it goes, or comes from.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

from ugate.protocols.sockshost import hostFromWire, hostToWire
from ugate.stream import UDP, Target

IPV4: Final = b"\0\0\0\1"
"""How a header begins that has an address of IPv4; what is no fragment begins with three zeros."""

IPV4_END: Final = 10
"""Where such a one ends."""

NAME: Final = 3
"""The kind of address that is a name."""

_NAME: Final = b"\0\0\0%c" % NAME
_IPV6: Final = b"\0\0\0\4"
_IPV6_END: Final = 22


def headerEnd(datagram: bytes) -> int:
    """
    Where the header of a datagram ends; 0 if it has none, or is a fragment: these are not put together, as
    the RFC allows.
    """
    start = datagram[:4]
    if start == IPV4:
        end = IPV4_END
    elif start == _IPV6:
        end = _IPV6_END
    elif start == _NAME and len(datagram) > 4:
        end = 7 + datagram[4]
    else:
        return 0
    return end if end <= len(datagram) else 0


def targetOf(header: bytes) -> Target:
    """
    Where a datagram goes.

    @param header: its header, all of it.
    @raise StringError: that is no place.
    """
    address, port = header[4:-2], int.from_bytes(header[-2:], "big")
    start = header[:4]
    if start == IPV4:
        host = inet_ntop(AF_INET, address)
    else:
        host = inet_ntop(AF_INET6, address) if start == _IPV6 else hostFromWire(address[1:])
    return Target.checked(host, port, UDP)


def headerFor(target: Target, hop: str) -> bytes:
    """
    The header of a datagram to, or from, somewhere.

    @param hop: what a refusal names.
    @raise Refused: that place cannot be said in SOCKS5.
    """
    host, port = target.host, target.port.to_bytes(2, "big")
    name = hostToWire(target, hop)
    for start, family in (IPV4, AF_INET), (_IPV6, AF_INET6):
        try:
            return start + inet_pton(family, host) + port
        except OSError:
            continue
    return b"%b%c%b%b" % (_NAME, len(name), name, port)
