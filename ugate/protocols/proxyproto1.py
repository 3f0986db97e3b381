# -*- test-case-name: ugate.test.test_proxyproto1,ugate.test.test_proxyproto -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Version 1 of the PROXY protocol: one line of text (proxy-protocol.txt, 2.1).
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from ugate.errors import ProtocolError

PREFIX_V1: Final = b"PROXY "
"""What each header of version 1 begins with."""

MAX_V1: Final = 107
"""The longest header of version 1 in bytes, with its CRLF."""

_FIELDS: Final = 6
_PORT_DIGITS: Final = 5
_MAX_PORT: Final = 65535


def packAddress(address: IAddress | None) -> tuple[int, bytes, int] | None:
    """
    An IP address as the wire has it.

    @return: the socket family, the 4 or 16 bytes of the address and the port;
        or L{None} if it is no IP address.
    @since: ugate NEXT
    """
    if isinstance(address, IPv4Address):
        family, host = int(AF_INET), address.host
    elif isinstance(address, IPv6Address):
        family, host = int(AF_INET6), address.host.partition("%")[0]
    else:
        return None
    try:
        packed = inet_pton(family, host)
    except (OSError, ValueError):
        return None
    return (family, packed, address.port) if 0 <= address.port <= _MAX_PORT else None


def unpackAddress(family: int, packed: bytes, port: int, udp: bool = False) -> IAddress:
    """
    The reverse of L{packAddress}: addresses have their canonical text.

    @param udp: whether the address is of a datagram socket.
    @since: ugate NEXT
    """
    if family == AF_INET:
        return IPv4Address("UDP" if udp else "TCP", inet_ntop(AF_INET, packed), port)
    return IPv6Address("UDP" if udp else "TCP", inet_ntop(AF_INET6, packed), port)


def encodeV1(source: IAddress | None, destination: IAddress | None) -> bytes:
    """
    The header that says for whom a connection is made.  If the two are not IP
    addresses of one family it says C{UNKNOWN}: the receiver then goes by the
    addresses of the connection itself.

    @since: ugate NEXT
    """
    first, second = packAddress(source), packAddress(destination)
    if first is None or second is None or first[0] != second[0]:
        return b"PROXY UNKNOWN\r\n"
    family, sourceBytes, sourcePort = first
    name = "TCP4" if family == AF_INET else "TCP6"
    sourceText, destinationText = inet_ntop(family, sourceBytes), inet_ntop(family, second[1])
    return f"PROXY {name} {sourceText} {destinationText} {sourcePort} {second[2]}\r\n".encode("ascii")


def decodeV1(line: bytes) -> tuple[IAddress, IAddress] | None:
    """
    Read a header.

    @param line: the header without its CRLF.
    @return: source and destination, or L{None} if the sender does not know them.
    @raise ProtocolError: if it is not of that shape; the message names the field.
    @since: ugate NEXT
    """
    fields = line.split(b" ")
    kind = fields[1] if len(fields) > 1 and fields[0] == b"PROXY" else b""
    if kind == b"UNKNOWN":
        return None
    if kind == b"TCP4":
        family = int(AF_INET)
    elif kind == b"TCP6":
        family = int(AF_INET6)
    else:
        raise ProtocolError(f"PROXY header {line!r}: wanted TCP4, TCP6 or UNKNOWN after PROXY")
    if len(fields) != _FIELDS:
        raise ProtocolError(f"PROXY header {line!r}: wanted two addresses and two ports, one space between")
    return (
        unpackAddress(family, _host(family, "source", fields[2]), _port("source", fields[4])),
        unpackAddress(family, _host(family, "destination", fields[3]), _port("destination", fields[5])),
    )


def _host(family: int, which: str, text: bytes) -> bytes:
    try:
        return inet_pton(family, text.decode("ascii"))
    except (OSError, ValueError) as e:
        version = 4 if family == AF_INET else 6
        raise ProtocolError(f"PROXY header: {which} {text!r} is not an IPv{version} address") from e


def _port(which: str, text: bytes) -> int:
    leadingZero = len(text) > 1 and text[:1] == b"0"
    if not text.isdigit() or len(text) > _PORT_DIGITS or leadingZero or int(text) > _MAX_PORT:
        raise ProtocolError(f"PROXY header: {which} port {text!r} is not a number from 0 to 65535")
    return int(text)
