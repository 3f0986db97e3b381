# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.policy}: every decision.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.stream import Principal
from ugate.tenancy.ca.errors import NotAllowed
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.requests import Wanted
from ugate.tenancy.ca.schema import CaRule

KEYID = "A" * 52
OTHER = "B" * 51 + "A"
NODE = Principal("node-1", "enrolment")
CAROL = Principal("carol", "password")


def tls(*names: str) -> Wanted:
    """
    A certificate for TLS.
    """
    return Wanted("tls", None, KEYID, names)


class RulesTests(SynchronousTestCase):
    """
    Who gets what.
    """

    def no(self, text: str, wanted: Wanted, *rules: CaRule, who: Principal = NODE) -> None:
        """
        It is refused, and the error says why.
        """
        error = self.assertRaises(NotAllowed, Rules(rules, "corp").decide, who, wanted)
        self.assertIn(text, str(error))

    def yes(self, wanted: Wanted, *rules: CaRule, who: Principal = NODE) -> None:
        """
        It is allowed, by the last rule.
        """
        self.assertIs(rules[-1], Rules(rules, "corp").decide(who, wanted))

    def rule(self, who: str = "enrolment:*", **more: Any) -> CaRule:
        """
        A rule for nodes.
        """
        return CaRule(who=(who,), **more)

    def test_nobody(self) -> None:
        """
        Without a rule for somebody and a kind it is no.
        """
        self.no("no rule for enrolment:node-1 has the kind tls", tls(KEYID.lower()))
        self.no("no rule for password:carol", tls(KEYID.lower()), self.rule(), who=CAROL)
        self.no("no rule for", tls(KEYID.lower()), self.rule("enrolment:node-2"))
        self.no("has the kind tls", tls(KEYID.lower()), self.rule(kinds=("ssh-host",)))
        self.no("has the kind ssh-user", Wanted("ssh-user", None, KEYID, ("a",)), self.rule())
        self.assertRaises(StringError, Rules, [self.rule("nothing:x")], "corp")

    def test_own(self) -> None:
        """
        The names that follow from the key, in the trust domain of the CA; of another key never.
        """
        own = KEYID.lower()
        self.yes(tls(own, f"{own}.default.corp", "spiffe://corp/ns/default/sa/default"), self.rule())
        everything = self.rule(names=("*",), domains=("*",), namespaces=("*",), accounts=("*",))
        for name in (OTHER.lower(), f"{OTHER.lower()}.default.corp"):
            self.no("is the name of another key", tls(name), everything)
        self.yes(tls(f"{own}.any.where"), everything)

    def test_places(self) -> None:
        """
        Domains, namespaces and accounts, in SPIFFE ids and in hosts.
        """
        own = KEYID.lower()
        rule = self.rule(domains=("a.*", "b"), namespaces=("prod", "test-?"), accounts=("{name}",))
        self.yes(tls("spiffe://a.x/ns/prod/sa/node-1", f"{own}.test-1.b"), rule)
        for name, text in (
            ("spiffe://corp/ns/prod/sa/node-1", "the trust domain corp"),
            ("spiffe://a.x/ns/dev/sa/node-1", "the namespace dev"),
            ("spiffe://a.x/ns/prod/sa/node-2", "the account node-2"),
            (f"{own}.prod.c", "the trust domain c"),
            (f"{own}.dev.b", "the namespace dev"),
            (f"{own}.prod", "the trust domain  is in no rule"),
            ("spiffe://b/ns/prod", "is no SPIFFE id of a node"),
            ("spiffe://b/ns/prod/sa/node-1/x", "is no SPIFFE id of a node"),
            ("spiffe://b", "is no SPIFFE id of a node"),
            ("https://b/", "is no SPIFFE id"),
        ):
            self.no(text, tls(name), rule)

    def test_hosts(self) -> None:
        """
        Names of hosts, by patterns; all of them have to be allowed.
        """
        rule = self.rule(names=("*.corp", "{name}.example", "x-{keyid}"))
        self.yes(tls("a.corp", "node-1.example", f"x-{KEYID.lower()}"), rule)
        for name in ("corp", "a.corp.evil", "node-2.example", "example"):
            self.no(f"the name {name} is in no rule", tls("a.corp", name), rule)
        self.no("is in no rule", tls("a.corp"), self.rule())

    def test_users(self) -> None:
        """
        What users of SSH may log in as.
        """
        rule = CaRule(who=("password:*",), kinds=("ssh-user",), principals=("{name}", "guest"))

        def user(*names: str) -> Wanted:
            return Wanted("ssh-user", None, KEYID, names)

        self.yes(user("carol", "guest"), rule, who=CAROL)
        self.no("the user 'root' is in no rule", user("carol", "root"), rule, who=CAROL)
        self.no("the user 'carol'", user("carol"), rule, who=Principal("dave", "password"))

    def test_holes(self) -> None:
        """
        A star in somebody's name is no pattern.
        """
        rule = CaRule(who=("*",), kinds=("ssh-user",), principals=("{name}",))
        star = Principal("*", "password")
        self.no("is in no rule", Wanted("ssh-user", None, KEYID, ("root",)), rule, who=star)
        self.yes(Wanted("ssh-user", None, KEYID, ("*",)), rule, who=star)

    def test_order(self) -> None:
        """
        The first rule that allows all counts; the last that was looked at says what is wrong.
        """
        first, second = self.rule(names=("a.corp",)), self.rule(names=("*.corp",))
        self.assertIs(first, Rules([first, second], "corp").decide(NODE, tls("a.corp")))
        self.yes(tls("a.corp", "b.corp"), first, second)
        self.no("the name b.corp", tls("b.corp", "c.x"), second, first)
