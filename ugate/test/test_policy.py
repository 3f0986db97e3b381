# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who may use the gateway, and what for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Phase, StringError
from ugate.stream import NAME, Principal, StreamInfo, Target
from ugate.tenancy import policy as policyModule
from ugate.tenancy.policy import KnownPrincipals, RulesPolicy
from ugate.tenancy.policyrules import Rule, rulesFrom

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
OPERATOR = Principal("operator", "local")
ANYONE = Principal("anyone", "open")
BOB = Principal("bob", "password")
DEV = Principal("bob", "token", "alice/dev")


@dataclass
class Section:
    """
    A rule as the config has it.
    """

    action: str = "allow"
    who: str | tuple[str, ...] | None = None
    tenant: str | tuple[str, ...] | None = None
    protocol: str | tuple[str, ...] | None = None
    target: str | tuple[str, ...] | None = None
    reason: str = ""


def rules(*sections: Mapping[str, Any]) -> tuple[Rule, ...]:
    """
    The rules of a config.
    """
    return rulesFrom(Section(**section) for section in sections)


def stream(
    principal: Principal | None = BOB, target: str | None = "db:5432", protocol: str = "socks5"
) -> StreamInfo:
    """
    What is known of a stream.
    """
    return StreamInfo(
        PEER, PEER, None if target is None else Target.anyFromText(target, True), principal, protocol
    )


def called(name: str) -> StreamInfo:
    """
    A stream to an address that its client calls by a name.
    """
    return stream(BOB, "10.0.0.1:443", "redirect").but(hints={NAME: name})


PATH = stream(BOB, "unix:/run/a/x", "direct-streamlocal")

ALLOW = {"action": "allow"}
DENY = {"action": "deny"}

# Rules; a stream; the number of the rule that decides, 0 for none; whether it may.
DECISIONS: tuple[tuple[tuple[Mapping[str, Any], ...], StreamInfo, int, bool], ...] = (
    # No rule.
    ((), stream(OPERATOR), 0, True),
    ((), stream(BOB), 0, False),
    ((), stream(ANYONE), 0, False),
    ((), stream(DEV), 0, False),
    ((), stream(None), 0, False),
    # All.
    ((ALLOW,), stream(BOB), 1, True),
    ((ALLOW,), stream(ANYONE), 1, True),
    ((ALLOW,), stream(BOB, None), 1, True),
    ((ALLOW,), stream(None), 0, False),
    ((DENY,), stream(OPERATOR), 1, False),
    # The first that fits.
    ((ALLOW, DENY), stream(BOB), 1, True),
    ((DENY, ALLOW), stream(BOB), 1, False),
    (({**DENY, "who": "carol"}, ALLOW), stream(BOB), 2, True),
    # Who.
    (({**ALLOW, "who": "bob"},), stream(BOB), 1, True),
    (({**ALLOW, "who": "bob"},), stream(ANYONE), 0, False),
    (({**ALLOW, "who": ("carol", "password:*")},), stream(BOB), 1, True),
    (({**ALLOW, "who": ("carol", "key:*")},), stream(BOB), 0, False),
    (({**ALLOW, "who": "open:*"},), stream(ANYONE), 1, True),
    # The operator may without a rule, but not against one.
    (({**ALLOW, "who": "bob"},), stream(OPERATOR), 0, True),
    (({**DENY, "who": "local:*", "target": "*:25"},), stream(OPERATOR, "mx:25"), 1, False),
    (({**DENY, "who": "local:*", "target": "*:25"},), stream(OPERATOR, "mx:26"), 0, True),
    (({**ALLOW, "who": "operator"},), stream(Principal("operator", "password")), 1, True),
    ((), stream(Principal("operator", "password")), 0, False),
    # What its client calls an address is a reason to deny it, and none to allow it.
    (({**DENY, "target": "*.ads"}, ALLOW), called("x.ads"), 1, False),
    (({**DENY, "target": "*.ads:80"}, ALLOW), called("x.ads"), 2, True),
    (({**ALLOW, "target": "*.corp"}, DENY), called("x.corp"), 2, False),
    (({**ALLOW, "target": "10.0.0.0/8"}, DENY), called("x.corp"), 1, True),
    (({**ALLOW, "target": "*.corp"}, {**DENY, "target": "10.0.0.0/8"}), called("x.corp"), 2, False),
    (({**ALLOW, "target": "*.corp"},), called("x.corp"), 0, False),
    # UNIX sockets have to be named to be allowed, and need not be to be denied.
    ((), stream(OPERATOR, "unix:/run/a/x"), 0, False),
    (({**ALLOW, "who": "local:*"},), stream(OPERATOR, "unix:/run/a/x"), 0, False),
    ((ALLOW,), PATH, 0, False),
    (({**ALLOW, "protocol": "direct-streamlocal"},), PATH, 0, False),
    (({**ALLOW, "target": ("*", "0.0.0.0/0", "::/0", "*.sock", "tcp:*", "udp:*")},), PATH, 0, False),
    (({**ALLOW, "target": "unix:/run/a/*"},), PATH, 1, True),
    (({**ALLOW, "target": "unix:/run/a/*.sock"},), PATH, 0, False),
    (({**ALLOW, "target": ("*", "unix:/run/a/?")},), PATH, 1, True),
    (({**ALLOW, "target": "unix:/run/*/x"},), PATH, 1, True),
    (({**ALLOW, "target": "unix:*"},), PATH, 1, True),
    (({**ALLOW, "target": "unix:*"},), stream(BOB, "run:80"), 0, False),
    (({**DENY, "who": "*"}, {**ALLOW, "target": "unix:*"}), PATH, 1, False),
    (({**DENY, "target": "*"}, {**ALLOW, "target": "unix:*"}), PATH, 2, True),
    # Tenants.
    (({**ALLOW, "tenant": "alice/*"},), stream(DEV), 1, True),
    (({**ALLOW, "tenant": ("alice", "alice/?ev")},), stream(DEV), 1, True),
    (({**ALLOW, "tenant": "alice"},), stream(DEV), 0, False),
    (({**ALLOW, "tenant": "root"},), stream(DEV), 0, False),
    (({**ALLOW, "tenant": "root"},), stream(BOB), 1, True),
    (({**ALLOW, "tenant": "*"},), stream(DEV), 1, True),
    # Protocols.
    (({**ALLOW, "protocol": "socks5"},), stream(BOB), 1, True),
    (({**ALLOW, "protocol": ("connect", "socks*")},), stream(BOB), 1, True),
    (({**ALLOW, "protocol": ("connect", "http")},), stream(BOB), 0, False),
    (({**ALLOW, "protocol": "socks5"},), stream(BOB, protocol="SOCKS5"), 0, False),
    # Targets.
    (({**ALLOW, "target": "db"},), stream(BOB), 1, True),
    (({**ALLOW, "target": "db:5432"},), stream(BOB, "DB.:5432"), 1, True),
    (({**ALLOW, "target": "db:5433"},), stream(BOB), 0, False),
    (({**ALLOW, "target": "db:5000-6000"},), stream(BOB), 1, True),
    (({**ALLOW, "target": "*.corp:443"},), stream(BOB, "a.b.corp:443"), 1, True),
    (({**ALLOW, "target": "*.corp:443"},), stream(BOB, "corp:443"), 0, False),
    (({**ALLOW, "target": "*.corp:443"},), stream(BOB, "evilcorp:443"), 0, False),
    (({**ALLOW, "target": "10.0.0.0/8"},), stream(BOB, "10.1.2.3:80"), 1, True),
    (({**ALLOW, "target": "10.0.0.0/8"},), stream(BOB, "[::ffff:10.1.2.3]:80"), 1, True),
    (({**ALLOW, "target": "10.0.0.0/8"},), stream(BOB, "11.1.2.3:80"), 0, False),
    (({**ALLOW, "target": "[2001:db8::/32]:443"},), stream(BOB, "[2001:db8::1]:443"), 1, True),
    (({**ALLOW, "target": ("a", "*:25", "db")},), stream(BOB), 1, True),
    (({**ALLOW, "target": "*"},), stream(BOB, None), 0, False),
    # All of them at once.
    (
        ({**ALLOW, "who": "bob", "tenant": "root", "protocol": "socks5", "target": "db"},),
        stream(BOB),
        1,
        True,
    ),
    (
        ({**ALLOW, "who": "bob", "tenant": "root", "protocol": "connect", "target": "db"}, DENY),
        stream(BOB),
        2,
        False,
    ),
)


class KnownPrincipalsTests(SynchronousTestCase):
    """
    L{KnownPrincipals}.
    """

    def test_known(self) -> None:
        """
        Whoever is known may pass, by whatever means.
        """
        for method in ("password", "local", "open"):
            KnownPrincipals().check(StreamInfo(PEER, PEER, principal=Principal("alice", method)))

    def test_unknown(self) -> None:
        """
        Nobody else may, and is told how to become known.
        """
        info = StreamInfo(PEER, PEER, Target("db", 5432), hints={"user": "alice"})
        error = self.assertRaises(Denied, KnownPrincipals().check, info)
        self.assertEqual(error.hop, "192.0.2.7:40000 -> db:5432")
        self.assertIn("log in", error.nextStep)


class RulesPolicyTests(SynchronousTestCase):
    """
    L{RulesPolicy}.
    """

    def may(self, policy: RulesPolicy, info: StreamInfo) -> bool:
        """
        Whether a stream may.
        """
        try:
            policy.check(info)
        except Denied:
            return False
        return True

    def test_table(self) -> None:
        """
        Each stream is decided by that rule, so, and the explanation says so.
        """
        for sections, info, number, may in DECISIONS:
            policy = RulesPolicy(rules(*sections))
            where = (sections, info)
            for _ in range(2):
                self.assertEqual(policy.numberFor(info), number - 1 if number else None, where)
                self.assertEqual(self.may(policy, info), may, where)
            words = policy.explain(info)
            if info.principal is not None:
                self.assertIn(" may not" if not may else " may", words)
            if number:
                self.assertIn(f"rule {number} of {len(sections)}: {policy.rules[number - 1]}", words)

    def test_one(self) -> None:
        """
        One policy decides all the streams of the table that have its rules, whatever it kept of others.
        """
        for sections in {id(case[0]): case[0] for case in DECISIONS}.values():
            policy = RulesPolicy(rules(*sections))
            fresh = [self.may(RulesPolicy(rules(*sections)), info) for _, info, _, _ in DECISIONS]
            self.assertEqual([self.may(policy, info) for _, info, _, _ in DECISIONS], fresh)

    def test_noRule(self) -> None:
        """
        Whoever no rule means is told the rule that would allow just this; with it, and only with it, the
        stream may.
        """
        for principal, wanted in (
            (BOB, '{action: allow, who: "password:bob", target: "db:5432"}'),
            (ANYONE, '{action: allow, who: "open:anyone", target: "db:5432"}'),
            (DEV, '{action: allow, who: "token:bob", tenant: "alice/dev", target: "db:5432"}'),
            (
                Principal('a*[b]"\u00fc', "password"),
                '{action: allow, who: "password:a[*][[]b]\\"\u00fc", target: "db:5432"}',
            ),
        ):
            info = stream(principal)
            error = self.assertRaises(Denied, RulesPolicy().check, info)
            self.assertEqual((error.cause, error.phase), (Cause.DENIED, Phase.POLICY))
            self.assertEqual(error.hop, str(info))
            self.assertEqual(error.nextStep, f"add to policy.rules: {wanted}")
            self.assertIn("policy.rules has no rules", error.detail)
            added = yaml.safe_load(wanted)
            policy = RulesPolicy(rules(added))
            self.assertTrue(self.may(policy, info))
            self.assertFalse(self.may(policy, info.but(target=Target("db", 5433))))
            self.assertFalse(self.may(policy, info.but(principal=Principal("abx", "password"))))

    def test_noRuleOfTenant(self) -> None:
        """
        Where to add it is said, too.
        """
        policy = RulesPolicy(rules({**ALLOW, "who": "x"}), "alice/dev")
        error = self.assertRaises(Denied, policy.check, stream(DEV))
        self.assertIn("none of the 1 rules in policy.rules of the tenant alice/dev means", error.detail)
        self.assertTrue(error.nextStep.startswith("add to policy.rules of the tenant alice/dev: {action"))

    def test_noTarget(self) -> None:
        """
        A stream without a target is given a rule without one.
        """
        error = self.assertRaises(Denied, RulesPolicy().check, stream(BOB, None))
        self.assertIn('{action: allow, who: "password:bob"}', error.nextStep)

    def test_unknown(self) -> None:
        """
        Whom nobody knows no rule helps.
        """
        policy = RulesPolicy(rules(ALLOW))
        error = self.assertRaises(Denied, policy.check, stream(None))
        self.assertIn("nobody knows who asks", str(error))
        self.assertIn("log in", error.nextStep)
        self.assertEqual(policy.explain(stream(None)), "policy: nobody knows who asks")

    def test_deny(self) -> None:
        """
        A rule that denies is named, with its reason or its text.
        """
        policy = RulesPolicy(rules({**DENY, "target": "*:25", "reason": "mail goes by mx"}, DENY))
        error = self.assertRaises(Denied, policy.check, stream(BOB, "a:25"))
        self.assertEqual(
            (error.detail, error.nextStep), ("rule 1: mail goes by mx", "see rule 1 in policy.rules")
        )
        error = self.assertRaises(Denied, policy.check, stream())
        self.assertEqual(error.detail, "rule 2: deny everything")

    def test_explain(self) -> None:
        """
        The explanation has the number and the text of the rule.
        """
        policy = RulesPolicy(
            rules(
                {
                    "action": "deny",
                    "who": ("bob", "password:c*"),
                    "tenant": "root",
                    "protocol": ("socks5",),
                    "target": "*.corp:443",
                    "reason": "no",
                },
                {**ALLOW, "who": "key:*"},
            )
        )
        for info, words in (
            (
                stream(BOB, "x.corp:443"),
                "bob (password) may not, by rule 1 of 2: deny who bob, password:c* tenant root "
                "protocol socks5 target *.corp:443 (no)",
            ),
            (stream(Principal("k", "key")), "k (key) may, by rule 2 of 2: allow who key:*"),
            (stream(OPERATOR), "operator (local) may, since no rule says otherwise"),
            (
                stream(DEV),
                "bob@alice/dev (token) may not, since none of the 2 rules in policy.rules means that stream",
            ),
        ):
            self.assertEqual(policy.explain(info), f"policy: {words}")

    def test_kept(self) -> None:
        """
        What is kept of the rules is looked at once for each principal and protocol, and has a limit.
        """
        self.patch(policyModule, "_MAX_KEPT", 3)
        policy = RulesPolicy(rules({**ALLOW, "who": "p*"}))
        for number in range(10):
            for _ in range(2):
                policy.check(stream(Principal(f"p{number}", "password")))
            self.assertLessEqual(len(policy._concerning), 3)

    def test_operatorIsQuick(self) -> None:
        """
        Without rules the operator is let in without a look at anything else, and nothing is kept.
        """
        policy = RulesPolicy()
        self.patch(policy, "numberFor", None)
        policy.check(stream(OPERATOR))
        self.assertEqual(policy._concerning, {})

    def test_mistakes(self) -> None:
        """
        What cannot be read is told with the number of the rule.
        """
        for section, words in (
            ({"action": "permit"}, "action 'permit'; wanted allow or deny"),
            ({"who": "pasword:x"}, "'pasword' proves nobody"),
            ({"tenant": ""}, "0 characters"),
            ({"protocol": " "}, "no pattern"),
            ({"target": "a:b"}, "match 'a:b'"),
        ):
            error = self.assertRaises(StringError, rules, ALLOW, section)
            self.assertTrue(str(error).startswith("policy.rules: rule 2: "), error)
            self.assertIn(words, str(error))

    @given(
        st.lists(
            st.fixed_dictionaries(
                {"action": st.sampled_from(("allow", "deny"))},
                optional={
                    "who": st.sampled_from(("bob", "*", "token:*", "[ab]*", ("operator", "x"))),
                    "tenant": st.sampled_from(("root", "alice/*", "*")),
                    "protocol": st.sampled_from(("socks5", "*", "c*")),
                    "target": st.sampled_from(("db", "*", "*:80", "10.0.0.0/8", ("*.x", "db:5432"))),
                },
            ),
            max_size=6,
        ),
        st.sampled_from((OPERATOR, ANYONE, BOB, DEV)),
        st.sampled_from(("db:5432", "a.x:80", "10.0.0.1:443", None)),
        st.sampled_from(("socks5", "connect", "")),
    )
    def test_firstFits(
        self, sections: list[dict[str, Any]], principal: Principal, target: str | None, protocol: str
    ) -> None:
        """
        What decides is the first rule all of whose parts fit, one after the other.
        """
        info = stream(principal, target, protocol)
        policy = RulesPolicy(rules(*sections))
        wanted = None
        for number, rule in enumerate(policy.rules):
            if (
                (not rule.who or any(who.matches(principal) for who in rule.who))
                and (not rule.target or (info.target and any(m.matches(info.target) for m in rule.target)))
                and rule.concerns(principal, protocol)
            ):
                wanted = number
                break
        self.assertEqual(policy.numberFor(info), wanted)
        may = principal is OPERATOR if wanted is None else policy.rules[wanted].allow
        self.assertEqual(self.may(policy, info), may)
