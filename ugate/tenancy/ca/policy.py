# -*- test-case-name: ugate.test.test_capolicy -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whether somebody may be certified as what they want: a rule has to allow all of it, and without one it is no.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ugate.stream import Principal
from ugate.tenancy.ca.errors import NotAllowed
from ugate.tenancy.ca.requests import SPIFFE, Wanted
from ugate.tenancy.ca.schema import SSH_USER, CaRule
from ugate.tenancy.keyids import keyidIn
from ugate.tenancy.who import glob, literally, parseWho

_SPIFFE_ID: Final = re.compile(r"spiffe://([^/]+)/ns/([^/]+)/sa/([^/]+)")
_HOLES: Final = re.compile(r"\{(name|keyid)\}")


class Rules:
    """
    The rules of a CA.

    @since: ugate NEXT
    """

    def __init__(self, rules: Sequence[CaRule], domain: str) -> None:
        """
        @param domain: the trust domain of the CA.
        @raise StringError: a C{who} cannot be read.
        """
        self._rules = [(rule, [parseWho(text) for text in rule.who]) for rule in rules]
        self._domain = domain

    def decide(self, principal: Principal, wanted: Wanted) -> CaRule:
        """
        The rule by which somebody gets all that they want.

        @raise NotAllowed: there is none; the message says what the nearest one has against it.
        """
        why = f"no rule for {principal.method}:{principal.name} has the kind {wanted.kind}"
        for rule, who in self._rules:
            if wanted.kind not in rule.kinds or not any(each.matches(principal) for each in who):
                continue
            why = _Case(rule, principal, wanted, self._domain).objection()
            if not why:
                return rule
        raise NotAllowed(f"{why}; see the rules of the section ca")


class _Case:
    """
    One request before one rule.
    """

    def __init__(self, rule: CaRule, principal: Principal, wanted: Wanted, domain: str) -> None:
        self.rule = rule
        self.wanted = wanted
        self.domains = rule.domains or (literally(domain),)
        self._known = {"name": principal.name, "keyid": wanted.keyid.lower()}

    def objection(self) -> str:
        """
        What is against it; nothing if it may be.
        """
        isUser = self.wanted.kind == SSH_USER
        for name in self.wanted.names:
            if isUser:
                why = "" if self._fits(name, self.rule.principals) else f"the user {name!a} is in no rule"
            elif name.startswith(SPIFFE):
                why = self._spiffe(name)
            elif "://" in name:
                why = f"{name} is no SPIFFE id"
            else:
                why = self._host(name)
            if why:
                return why
        return ""

    def _fits(self, text: str, patterns: Sequence[str]) -> bool:
        for pattern in patterns:
            # Who asks may have a name with * in it, which is then that character.
            fits = glob(_HOLES.sub(lambda found: literally(self._known[found[1]]), pattern))
            if fits is None or fits(text):
                return True
        return False

    def _spiffe(self, name: str) -> str:
        match = _SPIFFE_ID.fullmatch(name)
        if match is None:
            return f"{name} is no SPIFFE id of a node; wanted spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT"
        domain, namespace, account = match.groups()
        return self._place(domain, namespace) or (
            "" if self._fits(account, self.rule.accounts) else f"the account {account} is in no rule"
        )

    def _place(self, domain: str, namespace: str) -> str:
        if not self._fits(domain, self.domains):
            return f"the trust domain {domain} is in no rule"
        return (
            "" if self._fits(namespace, self.rule.namespaces) else f"the namespace {namespace} is in no rule"
        )

    def _host(self, name: str) -> str:
        keyid = keyidIn(name)
        if keyid is None:
            return "" if self._fits(name, self.rule.names) else f"the name {name} is in no rule"
        if keyid != self.wanted.keyid:
            return f"{name} is the name of another key"
        _, dot, rest = name.partition(".")
        if not dot:
            return ""
        namespace, _, domain = rest.partition(".")
        return self._place(domain, namespace)
