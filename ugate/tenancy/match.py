# -*- test-case-name: ugate.test.test_match -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which targets a rule means: a host, a suffix, an address, a network, all of them;
each with one port, a range of ports, or any; as bytes, as datagrams, or both.  Or the UNIX sockets at some
paths, which nothing else means.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import PurePosixPath
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

from ugate.errors import StringError
from ugate.stream import TCP, UDP, UNIX, Target

MAX_PORT: Final = 65535

_SHAPES: Final = (
    "wanted HOST, *.SUFFIX, an address, NETWORK/BITS or *; a port, if any, as :PORT or :FROM-TO; "
    "and tcp: or udp: in front, if only one of them is meant; or unix:/PATH, and unix:* for all"
)
_PORT_DIGITS: Final = 5
_MAPPED: Final = bytes(10) + b"\xff\xff"


class Kind(Enum):
    """
    What the host part of a match is.
    """

    ANY = "any"
    """C{*}: every target."""

    HOST = "host"
    """A name."""

    SUFFIX = "suffix"
    """C{*.} and a name: the names below it, and not itself."""

    NETWORK = "network"
    """An address or a network: literal targets only, since no name is resolved here."""

    PATH = "path"
    """UNIX sockets, which no other kind means."""


def packed(host: str) -> bytes | None:
    """
    An address literal as 4 or 16 bytes, or L{None} for a name.  An IPv4 address in
    IPv6 form (C{::ffff:192.0.2.1}) leads to the IPv4 one, and so is that.
    """
    try:
        if ":" in host:
            number = inet_pton(AF_INET6, host)
            return number[12:] if number.startswith(_MAPPED) else number
        # Most names are told from addresses by their last character.
        return inet_pton(AF_INET, host) if host[-1:].isdigit() else None
    except (OSError, ValueError):
        return None


def normalHost(host: str) -> str:
    """
    A name as it is compared: lower case, without the dot of the root.
    """
    return host.lower().removesuffix(".")


@dataclass(frozen=True, slots=True)
class Match:
    """
    Some targets.  C{str()} gives the normal form, which reads back as an equal value.

    @since: ugate NEXT
    """

    kind: Kind
    """What C{host} or C{network} is."""

    host: str = ""
    """
    The name, in lower case; with L{Kind.SUFFIX} what comes after C{*.}; with L{Kind.PATH} the pattern of a
    path, each of whose stars is within one name, or one star alone for all.
    """

    network: bytes = b""
    """The first address, 4 or 16 bytes."""

    bits: int = 0
    """How many bits of C{network} count."""

    lo: int = 1
    """The first port."""

    hi: int = MAX_PORT
    """The last port."""

    over: str = ""
    """C{tcp} or C{udp}, empty for both; C{unix} with L{Kind.PATH}."""

    def matches(self, target: Target) -> bool:
        """
        Whether this means a target.
        """
        if self.kind is Kind.PATH or target.network == UNIX:
            return self.over == target.network and PurePosixPath(target.host).match(self.host)
        if self.over and self.over != target.network:
            return False
        if not self.lo <= target.port <= self.hi:
            return False
        if self.kind is Kind.ANY:
            return True
        if self.kind is Kind.NETWORK:
            address = packed(target.host)
            if address is None or len(address) != len(self.network):
                return False
            shift = 8 * len(address) - self.bits
            return int.from_bytes(address, "big") >> shift == int.from_bytes(self.network, "big") >> shift
        host = normalHost(target.host)
        if self.kind is Kind.HOST:
            return host == self.host
        return host.endswith(f".{self.host}") and packed(host) is None

    def __str__(self) -> str:
        return f"{self.over}:{self._where()}" if self.over else self._where()

    def _where(self) -> str:
        if self.kind is Kind.PATH:
            return self.host
        ports = f":{self.lo}" if self.lo == self.hi else f":{self.lo}-{self.hi}"
        if (self.lo, self.hi) == (1, MAX_PORT):
            ports = ""
        if self.kind is Kind.ANY:
            return f"*{ports}"
        if self.kind is not Kind.NETWORK:
            return f"{'*.' if self.kind is Kind.SUFFIX else ''}{self.host}{ports}"
        width = 8 * len(self.network)
        text = inet_ntop(AF_INET if width == 32 else AF_INET6, self.network)
        if self.bits < width:
            text = f"{text}/{self.bits}"
        return f"[{text}]{ports}" if ports and width > 32 else f"{text}{ports}"


def parseMatch(text: str) -> Match:
    """
    Read which targets a rule means.

    @raise StringError: if it cannot be read; the message names the part and the
        wanted shape.
    @since: ugate NEXT
    """
    over, where = _over(text.strip())
    host, ports = _parted(where)
    try:
        if where.startswith((f"{UNIX}:/", f"{UNIX}:*")):
            return _path(where.removeprefix(f"{UNIX}:"))
        lo, hi = _ports(ports)
        if host == "*":
            return Match(Kind.ANY, lo=lo, hi=hi, over=over)
        if "/" in host or ":" in host or normalHost(host).rpartition(".")[2].isdigit():
            network = _network(host)
            first, bits = network.network_address.packed, network.prefixlen
            return Match(Kind.NETWORK, network=first, bits=bits, lo=lo, hi=hi, over=over)
        kind = Kind.SUFFIX if host.startswith("*.") else Kind.HOST
        name = normalHost(host[2:] if kind is Kind.SUFFIX else host)
        if "*" in name:
            raise StringError("a star stands alone, or as *. at the front")
        if name.startswith(".") or name.endswith(".") or ".." in name:
            raise StringError("two dots with nothing between, or one at the front")
        return Match(kind, Target.checked(name, lo).host, lo=lo, hi=hi, over=over)
    except StringError as e:
        raise StringError(f"match {text!r}: {e}; {_SHAPES}") from e


def _path(pattern: str) -> Match:
    """
    The UNIX sockets at paths that fit a pattern.
    """
    if "**" in pattern:
        raise StringError("in a path * stands for any characters of one name")
    if pattern != "*":
        Target.atPath(pattern.replace("*", "x").replace("?", "x"))
    return Match(Kind.PATH, pattern, over=UNIX)


def _over(text: str) -> tuple[str, str]:
    """
    The network, if it says one, and the rest.  C{udp:53} is a port of a host of that name.
    """
    over, _, rest = text.partition(":")
    if over in (TCP, UDP) and rest and not rest.replace("-", "").isdigit():
        return over, rest
    return "", text


def _parted(text: str) -> tuple[str, str | None]:
    """
    The host, without brackets, and what follows its colon.
    """
    if text.startswith("["):
        inside, bracket, after = text[1:].partition("]")
        # The bits may stand on either side of the bracket.
        bits, colon, ports = after.partition(":")
        if bracket and (not bits or bits.startswith("/")):
            return inside + bits, ports if colon else None
        return text, None
    if text.count(":") > 1:
        return text, None
    host, colon, ports = text.partition(":")
    return host, ports if colon else None


def _ports(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, MAX_PORT
    lo, dash, hi = text.partition("-")
    bounds = []
    for each in (lo, hi if dash else lo):
        if not (
            each.isascii() and each.isdigit() and len(each) <= _PORT_DIGITS and 0 < int(each) <= MAX_PORT
        ):
            raise StringError(f"port {each[: 2 * _PORT_DIGITS]!r} is not a number from 1 to {MAX_PORT}")
        bounds.append(int(each))
    if bounds[0] > bounds[1]:
        raise StringError(f"ports {text}: the first is above the last")
    return bounds[0], bounds[1]


def _network(text: str) -> IPv4Network | IPv6Network:
    """
    An address as the network of one, or a network.
    """
    if "%" in text:
        raise StringError("an address with a zone")
    try:
        network = ip_network(text)
    except ValueError as e:
        try:
            wide = ip_network(text, strict=False)
        except ValueError:
            raise StringError(f"{text!r} is no address and no network") from e
        raise StringError(f"{text} has bits behind the first /{wide.prefixlen}: write {wide}") from e
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
