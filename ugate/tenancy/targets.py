# -*- test-case-name: ugate.test.test_routes,ugate.test.test_policy -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which of many matches is the first that means a target, at a cost that does not
depend on their number.
"""

from __future__ import annotations

from typing import Final

from ugate.stream import TCP, UDP, UNIX, Target
from ugate.tenancy.match import MAX_PORT, Kind, Match, normalHost, packed

NONE: Final = 1 << 62
"""A number above that of any match."""


class _Ports:
    """
    The matches of one host, suffix or network: which is the first for a port.
    """

    __slots__ = ("_any", "_one", "_ranges")

    def __init__(self) -> None:
        self._any = NONE
        self._one: dict[int, int] = {}
        self._ranges: list[tuple[int, int, int]] = []

    def add(self, match: Match, number: int) -> None:
        """
        Add a match behind those there.  What can never be the first is left out.
        """
        if self._any != NONE:
            return
        lo, hi = match.lo, match.hi
        if lo == 1 and hi == MAX_PORT:
            self._any = number
        elif lo == hi:
            self._one.setdefault(lo, number)
        elif not any(low <= lo and hi <= high for low, high, _ in self._ranges):
            self._ranges.append((lo, hi, number))

    def first(self, port: int) -> int:
        """
        The number of the first match for a port.
        """
        best = self._any
        if self._one:
            best = min(best, self._one.get(port, NONE))
        for lo, hi, number in self._ranges:
            if lo <= port <= hi:
                return min(best, number)
        return best


class Targets:
    """
    Matches with numbers.  The cost of a question depends on the labels of the
    name, not on the number of matches; only paths are looked through.
    """

    __slots__ = ("_datagrams", "_everything", "_hosts", "_networks", "_paths", "_plain", "_suffixes")

    def __init__(self, network: str = TCP) -> None:
        """
        @param network: of which targets these are; those of datagrams have an index of their own.
        """
        self._datagrams = Targets(UDP) if network == TCP else None
        self._everything = _Ports()
        self._hosts: dict[str, _Ports] = {}
        self._suffixes: dict[str, _Ports] = {}
        # By the bytes of an address, then the bits that count, then these bits.
        self._networks: dict[int, dict[int, dict[int, _Ports]]] = {4: {}, 16: {}}
        self._paths: list[tuple[Match, int]] = []
        self._plain = True
        """Whether hosts make no difference."""

    def add(self, match: Match, number: int) -> None:
        """
        Add a match.

        @param number: not below those of the matches there.
        """
        if match.kind is Kind.PATH:
            self._paths.append((match, number))
            return
        if self._datagrams is not None:
            if match.over != TCP:
                self._datagrams.add(match, number)
            if match.over == UDP:
                return
        self._portsOf(match).add(match, number)
        self._plain = self._plain and match.kind is Kind.ANY

    def _portsOf(self, match: Match) -> _Ports:
        if match.kind is Kind.ANY:
            return self._everything
        if match.kind is Kind.HOST:
            return self._hosts.setdefault(match.host, _Ports())
        if match.kind is Kind.SUFFIX:
            return self._suffixes.setdefault(match.host, _Ports())
        size = len(match.network)
        prefix = int.from_bytes(match.network, "big") >> (8 * size - match.bits)
        return self._networks[size].setdefault(match.bits, {}).setdefault(prefix, _Ports())

    def first(self, target: Target) -> int:
        """
        The number of the first match that means a target, or L{NONE}.
        """
        if self._datagrams is not None and target.network != TCP:
            if target.network == UNIX:
                return next((number for match, number in self._paths if match.matches(target)), NONE)
            return self._datagrams.first(target)
        port = target.port
        best = self._everything.first(port)
        if self._plain:
            return best
        address = packed(target.host)
        if address is not None:
            number, width = int.from_bytes(address, "big"), 8 * len(address)
            for bits, networks in self._networks[len(address)].items():
                ports = networks.get(number >> (width - bits))
                if ports is not None:
                    best = min(best, ports.first(port))
            return best
        host = normalHost(target.host)
        ports = self._hosts.get(host)
        if ports is not None:
            best = min(best, ports.first(port))
        suffixes = self._suffixes
        if suffixes:
            dot = host.find(".")
            while dot >= 0:
                ports = suffixes.get(host[dot + 1 :])
                if ports is not None:
                    best = min(best, ports.first(port))
                dot = host.find(".", dot + 1)
        return best
