# -*- test-case-name: ugate.test.test_routes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which way a stream goes: the first rule that means its target.

Rules see the target as the client wrote it and resolve nothing, so a network
means literal targets alone: a name that resolves into it is not meant.  What may
be reached is a matter of policy, which looks at the resolved address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.errors import Denied
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo, Target
from ugate.tenancy.match import MAX_PORT, Kind, Match, normalHost, packed, parseMatch

__all__ = ["Match", "Routes", "Rule", "parseMatch"]

_NONE: Final = 1 << 62
"""A number above that of any rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Some targets, and the way to them.

    @since: ugate NEXT
    """

    match: Match
    """Which targets."""

    dialer: IDialer
    """How to reach them."""

    via: str = ""
    """The way in the words of the config, for the log and for explanations."""

    note: str = ""
    """What else is to be said of it."""

    def __str__(self) -> str:
        words = f"{self.match} via {self.via}" if self.via else str(self.match)
        return f"{words}, {self.note}" if self.note else words


class _Ports:
    """
    The rules of one host, suffix or network: which is the first for a port.
    """

    __slots__ = ("_any", "_one", "_ranges")

    def __init__(self) -> None:
        self._any = _NONE
        self._one: dict[int, int] = {}
        self._ranges: list[tuple[int, int, int]] = []

    def add(self, match: Match, number: int) -> None:
        """
        Add a rule behind those there.  What can never be the first is left out.
        """
        if self._any != _NONE:
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
        The number of the first rule for a port.
        """
        best = self._any
        if self._one:
            best = min(best, self._one.get(port, _NONE))
        for lo, hi, number in self._ranges:
            if lo <= port <= hi:
                return min(best, number)
        return best


@implementer(IDialer)
class Routes:
    """
    The dialer that chooses a dialer by rules, the first that matches.  The cost of
    a choice depends on the labels of the name, not on the number of rules.

    @since: ugate NEXT
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        """
        @param rules: in their order.
        """
        self.rules = tuple(rules)
        self._everything = _Ports()
        self._hosts: dict[str, _Ports] = {}
        self._suffixes: dict[str, _Ports] = {}
        # By the bytes of an address, then the bits that count, then these bits.
        self._networks: dict[int, dict[int, dict[int, _Ports]]] = {4: {}, 16: {}}
        for number, rule in enumerate(self.rules):
            self._portsOf(rule.match).add(rule.match, number)

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

    def _first(self, target: Target) -> int:
        """
        The number of the first rule that means a target.
        """
        port = target.port
        best = self._everything.first(port)
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

    def numberFor(self, info: StreamInfo) -> int:
        """
        Where in C{rules} the rule of a stream is.

        @raise Denied: no rule means its target, or it has none.
        """
        target = info.target
        if target is None:
            raise Denied(str(info), "the stream names no target", "use a listener that gives it one")
        number = self._first(target)
        if number == _NONE:
            raise Denied(
                str(target),
                f"none of the {len(self.rules)} routes matches it",
                "add a route for it; one for all is match '*' via direct",
            )
        return number

    def ruleFor(self, info: StreamInfo) -> Rule:
        """
        The rule of a stream.

        @raise Denied: no rule means its target, or it has none.
        """
        return self.rules[self.numberFor(info)]

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that the dialer of its rule has.

        @raise Refused: as that does.
        @raise Denied: no rule means its target.
        """
        return self.ruleFor(info).dialer.endpointFor(info)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        Which rule, and then its way.
        """
        try:
            number = self.numberFor(info)
        except Denied as e:
            return [str(e)]
        rule = self.rules[number]
        lines = [f"route {number + 1} of {len(self.rules)}: {rule}"]
        return lines + [f"  {line}" for line in rule.dialer.explain(info)]
