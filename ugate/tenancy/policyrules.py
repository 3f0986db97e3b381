# -*- test-case-name: ugate.test.test_policy -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One rule of a policy: which streams it means, and whether they may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ugate.errors import StringError
from ugate.stream import UNIX, Principal, Target
from ugate.tenancy.match import Match, parseMatch
from ugate.tenancy.targets import NONE, Targets
from ugate.tenancy.who import Fits, Who, checkPattern, glob, parseWho


class RuleSection(Protocol):
    """
    What the config says of a rule: one text, several, or none for each of what it looks at.
    """

    @property
    def action(self) -> str:
        """
        C{allow} or C{deny}.
        """

    @property
    def who(self) -> str | Sequence[str] | None:
        """
        See L{parseWho}.
        """

    @property
    def tenant(self) -> str | Sequence[str] | None:
        """
        Patterns of tenant paths.
        """

    @property
    def protocol(self) -> str | Sequence[str] | None:
        """
        Patterns of what a stream was recognized as.
        """

    @property
    def target(self) -> str | Sequence[str] | None:
        """
        See L{parseMatch}.
        """

    @property
    def reason(self) -> str:
        """
        What whoever is refused is told.
        """


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Some streams, and whether they may.  What is left empty means all.

    @since: ugate NEXT
    """

    allow: bool
    """Whether the streams may go on."""

    who: tuple[Who, ...] = ()
    """Who asks: any of these."""

    tenant: tuple[str, ...] = ()
    """Whose credentials proved it: any of these patterns."""

    protocol: tuple[str, ...] = ()
    """What was asked with: any of these patterns."""

    target: tuple[Match, ...] = ()
    """Where to: any of these.  Left empty it allows no UNIX sockets: these have to be named."""

    reason: str = ""
    """What whoever is refused is told."""

    _tenant: tuple[Fits, ...] = field(init=False, repr=False, compare=False)
    _protocol: tuple[Fits, ...] = field(init=False, repr=False, compare=False)
    _targets: Targets | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        targets = Targets() if self.target else None
        for match in self.target:
            targets.add(match, 0)  # type: ignore[union-attr]
        object.__setattr__(self, "_targets", targets)
        object.__setattr__(self, "_tenant", _compiled(self.tenant))
        object.__setattr__(self, "_protocol", _compiled(self.protocol))

    @classmethod
    def fromSection(cls, section: RuleSection) -> Rule:
        """
        Make one of what the config says.

        @raise StringError: a part of it cannot be read, and why.
        """
        if section.action not in ("allow", "deny"):
            raise StringError(f"action {section.action!r}; wanted allow or deny")
        return cls(
            section.action == "allow",
            tuple(map(parseWho, _several(section.who))),
            _patterns(section.tenant),
            _patterns(section.protocol),
            tuple(map(parseMatch, _several(section.target))),
            section.reason,
        )

    def concerns(self, principal: Principal, protocol: str) -> bool:
        """
        Whether this means a principal and a protocol, with some target.
        """
        return (
            (not self.who or any(who.matches(principal) for who in self.who))
            and (not self._tenant or any(fits(principal.tenant) for fits in self._tenant))
            and (not self._protocol or any(fits(protocol) for fits in self._protocol))
        )

    def meansTarget(self, target: Target | None) -> bool:
        """
        Whether this means a target, with some principal and protocol.
        """
        targets = self._targets
        if targets is None:
            return not (self.allow and target is not None and target.network == UNIX)
        return target is not None and targets.first(target) != NONE

    def __str__(self) -> str:
        parts = ["allow" if self.allow else "deny"]
        for key, values in (
            ("who", self.who),
            ("tenant", self.tenant),
            ("protocol", self.protocol),
            ("target", self.target),
        ):
            if values:
                parts.append(f"{key} {', '.join(map(str, values))}")
        if len(parts) == 1:
            parts.append("everything")
        return f"{' '.join(parts)} ({self.reason})" if self.reason else " ".join(parts)


def rulesFrom(sections: Iterable[RuleSection]) -> tuple[Rule, ...]:
    """
    The rules of a config.

    @raise StringError: with the number of the rule that cannot be read, and why.
    @since: ugate NEXT
    """
    rules = []
    for number, section in enumerate(sections, 1):
        try:
            rules.append(Rule.fromSection(section))
        except StringError as error:
            raise StringError(f"policy.rules: rule {number}: {error}") from error
    return tuple(rules)


def _several(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    if texts is None:
        return ()
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _patterns(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    found = _several(texts)
    for text in found:
        checkPattern(text)
    return found


def _compiled(patterns: tuple[str, ...]) -> tuple[Fits, ...]:
    fits = tuple(map(glob, patterns))
    return () if None in fits else tuple(each for each in fits if each is not None)
