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
from typing import Protocol

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.errors import Denied
from ugate.interfaces import IDialer
from ugate.stream import UNIX, StreamInfo, Target
from ugate.tenancy.match import Match, parseMatch
from ugate.tenancy.targets import NONE, Targets

__all__ = ["Match", "Routes", "Rule", "parseMatch"]


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

    alpn: frozenset[str] = frozenset()
    """The protocols inside of TLS, as the hint C{alpn} has them, of which a stream has one; empty for all."""

    isImplied: bool = False
    """Whether it is only there since no other means all targets."""

    def __str__(self) -> str:
        inside = f" with alpn {', '.join(sorted(self.alpn))}" if self.alpn else ""
        words = f"{self.match}{inside} via {self.via}" if self.via else f"{self.match}{inside}"
        return f"{words}, {self.note}" if self.note else words


class Unwritten(Protocol):
    """
    Rules that depend on what is known of a target, and are in no config.
    """

    def first(self, target: Target) -> Rule | None:
        """
        One that comes before all others.
        """

    def last(self, target: Target) -> Rule | None:
        """
        One for where no other was written.
        """


@implementer(IDialer)
class Routes:
    """
    The dialer that chooses a dialer by rules, the first that matches.  The cost of
    a choice depends on the labels of the name, not on the number of rules.

    @since: ugate NEXT
    """

    def __init__(self, rules: Sequence[Rule], unwritten: Unwritten | None = None) -> None:
        """
        @param rules: in their order.
        @param unwritten: the others, if there are any.
        """
        self._unwritten = unwritten
        self.rules = tuple(rules)
        self._targets = Targets()
        self._inside: dict[str, Targets] = {}
        for number, rule in enumerate(self.rules):
            for protocol in rule.alpn:
                self._inside.setdefault(protocol, Targets()).add(rule.match, number)
            if not rule.alpn:
                self._targets.add(rule.match, number)

    def numberFor(self, info: StreamInfo) -> int:
        """
        Where in C{rules} the rule of a stream is: the first that means its target, or what its client
        calls that.

        @raise Denied: no rule means its target, or it has none.
        """
        target = info.target
        if target is None:
            raise Denied(str(info), "the stream names no target", "use a listener that gives it one")
        number = self._targets.first(target)
        claimed = info.claimed
        if claimed is not None:
            number = min(number, self._targets.first(claimed))
        if self._inside:
            for protocol in info.hints.get("alpn", "").split(","):
                if protocol in self._inside:
                    inside = self._inside[protocol]
                    number = min(number, inside.first(target))
                    if claimed is not None:
                        number = min(number, inside.first(claimed))
        if number == NONE:
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
        unwritten, target = self._unwritten, info.target
        if unwritten is None or target is None:
            return self.rules[self.numberFor(info)]
        rule = unwritten.first(target)
        if rule is None and target.network == UNIX and self._targets.first(target) == NONE:
            # Not even a rule for all targets means it.
            rule = unwritten.last(target)
        if rule is None:
            rule = self.rules[self.numberFor(info)]
            if rule.isImplied:
                rule = unwritten.last(target) or rule
        return rule

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
        target = info.target
        try:
            rule = self.ruleFor(info)
        except Denied as e:
            return [str(e)]
        if rule not in self.rules:
            way = rule.dialer.explain(info)
            return [f"via {rule.via}, since {rule.note}", *(f"  {line}" for line in way)]
        assert target is not None
        number = self.numberFor(info)
        lines = [f"route {number + 1} of {len(self.rules)}: {rule}"]
        lines += [f"  {line}" for line in rule.dialer.explain(info)]
        for before in range(number):
            other = self.rules[before]
            # Nobody knows yet what will be spoken.
            if other.alpn and "alpn" not in info.hints and other.match.matches(target):
                lines.append(f"route {before + 1} comes first for some: {other}")
        return lines
