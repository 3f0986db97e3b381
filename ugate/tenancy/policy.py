# -*- test-case-name: ugate.test.test_policy -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who may use the gateway, and what for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from zope.interface import implementer

from ugate.errors import Denied
from ugate.interfaces import IPolicy
from ugate.stream import ROOT, UNIX, Principal, StreamInfo
from ugate.tenancy.policyrules import Rule
from ugate.tenancy.who import literally

__all__ = ["KnownPrincipals", "Rule", "RulesPolicy"]

LOCAL: Final = "local"
"""What proves the operator: to be on this machine."""

_MAX_KEPT: Final = 4096
"""For how many kinds of streams the rules that concern them are kept."""

_NOBODY: Final = "nobody knows who asks"


@implementer(IPolicy)
class KnownPrincipals:
    """
    Whoever is known may go anywhere that the egress rules and the routes allow, but to no UNIX socket:
    who has logged in, and the operator on a listener that only this machine reaches.

    @since: ugate NEXT
    """

    def check(self, info: StreamInfo) -> None:
        """
        See L{IPolicy.check}.
        """
        if info.principal is None:
            raise Denied(
                str(info),
                _NOBODY,
                "log in with a user name and a password, or let the listener be open",
            )
        if _isPath(info):
            raise Denied(str(info), "no rule allows it", "have a policy with rules")


@implementer(IPolicy)
class RulesPolicy:
    """
    The first rule that means a stream decides.  If none does, the operator on this machine may,
    and nobody else; to UNIX sockets nobody at all.

    What a rule says of principals and protocols is looked at once for each of these; from then on
    only the rules that concern them are asked for the target.

    @ivar rules: in their order.
    @since: ugate NEXT
    """

    def __init__(self, rules: Iterable[Rule] = (), tenant: str = ROOT) -> None:
        """
        @param rules: in their order.
        @param tenant: whose rules these are, for what a refusal says.
        """
        self.rules = tuple(rules)
        self._where = "policy.rules" if tenant == ROOT else f"policy.rules of the tenant {tenant}"
        self._isEmpty = not self.rules
        self._concerning: dict[tuple[str, str, str, str], Sequence[tuple[int, Rule]]] = {}

    def check(self, info: StreamInfo) -> None:
        """
        See L{IPolicy.check}.
        """
        principal = info.principal
        if self._isEmpty and _mayWithout(principal, info):
            return
        number = self.numberFor(info)
        if number is None:
            if not _mayWithout(principal, info):
                raise self._noRule(info)
        elif not self.rules[number].allow:
            rule = self.rules[number]
            raise Denied(
                str(info),
                f"rule {number + 1}: {rule.reason or rule}",
                f"see rule {number + 1} in {self._where}",
            )

    def numberFor(self, info: StreamInfo) -> int | None:
        """
        Where in C{rules} the one is that decides, or L{None} if none does.  None does about a peer
        that nobody knows.  Rules that deny look at what the client calls its target, too.
        """
        principal = info.principal
        if principal is None:
            return None
        key = principal.name, principal.method, principal.tenant, info.protocol
        concerning = self._concerning.get(key)
        if concerning is None:
            concerning = self._keep(key, principal)
        target, claimed = info.target, info.claimed
        for number, rule in concerning:
            if rule.meansTarget(target):
                return number
            # A name that only its client says may be a reason to deny a stream, never to allow it.
            if claimed is not None and not rule.allow and rule.meansTarget(claimed):
                return number
        return None

    def _keep(self, key: tuple[str, str, str, str], principal: Principal) -> Sequence[tuple[int, Rule]]:
        """
        Find and keep the rules that concern a principal with a protocol.
        """
        if len(self._concerning) >= _MAX_KEPT:
            self._concerning.clear()
        found = tuple(
            (number, rule) for number, rule in enumerate(self.rules) if rule.concerns(principal, key[3])
        )
        self._concerning[key] = found
        return found

    def explain(self, info: StreamInfo) -> str:
        """
        Which rule decides about a stream, and how.
        """
        principal, number = info.principal, self.numberFor(info)
        if principal is None:
            return f"policy: {_NOBODY}"
        who = f"{principal} ({principal.method})"
        if number is not None:
            rule = self.rules[number]
            may = "may" if rule.allow else "may not"
            return f"policy: {who} {may}, by rule {number + 1} of {len(self.rules)}: {rule}"
        if _mayWithout(principal, info):
            return f"policy: {who} may, since no rule says otherwise"
        return f"policy: {who} may not, since {self._noneAllows(info)}"

    def _noneAllows(self, info: StreamInfo) -> str:
        rules = self.rules
        if _isPath(info):
            return f"no rule in {self._where} names that UNIX socket"
        if not rules:
            return f"{self._where} has no rules, and then only this machine may"
        return f"none of the {len(rules)} rules in {self._where} means that stream"

    def _noRule(self, info: StreamInfo) -> Denied:
        """
        Why a stream is denied that no rule means, and with which rule it would not be.
        """
        principal = info.principal
        if principal is None:
            return Denied(
                str(info), _NOBODY, "log in with a user name and a password, or let the listener be open"
            )
        rule = suggestion(principal, info)
        return Denied(str(info), self._noneAllows(info), f"add to {self._where}: {rule}")


def _isPath(info: StreamInfo) -> bool:
    return info.target is not None and info.target.network == UNIX


def _mayWithout(principal: Principal | None, info: StreamInfo) -> bool:
    """
    Whether a stream may that no rule means.
    """
    return principal is not None and principal.method == LOCAL and not _isPath(info)


def suggestion(principal: Principal, info: StreamInfo) -> str:
    """
    The narrowest rule that allows a stream, as it would be written in the config.
    """
    parts = [f"who: {_quoted(f'{principal.method}:{literally(principal.name)}')}"]
    if principal.tenant != ROOT:
        parts.append(f"tenant: {_quoted(principal.tenant)}")
    if info.target is not None:
        parts.append(f"target: {_quoted(str(info.target))}")
    return f"{{action: allow, {', '.join(parts)}}}"


def _quoted(text: str) -> str:
    # Both YAML and JSON.
    return json.dumps(text, ensure_ascii=False)
