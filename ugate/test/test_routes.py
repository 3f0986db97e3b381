# -*- test-case-name: ugate.test.test_routes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.routes}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.trial.unittest import SynchronousTestCase

from ugate import stream
from ugate.errors import Denied, Refused
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo, Target
from ugate.tenancy.match import Match, parseMatch
from ugate.tenancy.routes import Routes, Rule
from ugate.test.dialfakes import CLIENT, LISTENER, FakeDialer, streamTo
from ugate.test.test_match import TARGETS, matches


class RoutesTests(SynchronousTestCase):
    """
    The first rule that means the target.
    """

    def routes(self, *texts: str) -> tuple[Routes, list[FakeDialer]]:
        """
        Routes, and the dialer of each.
        """
        dialers = [FakeDialer(name=f"way {number}") for number in range(1, len(texts) + 1)]
        rules = [
            Rule(parseMatch(text), dialer, dialer.name) for text, dialer in zip(texts, dialers, strict=True)
        ]
        return Routes(rules), dialers

    def test_interface(self) -> None:
        """
        Routes are a dialer.
        """
        self.assertTrue(verifyObject(IDialer, Routes([])))

    def test_order(self) -> None:
        """
        The first counts, not the most exact; and a port may hand over to the next.
        """
        routes, dialers = self.routes("*.corp:80", "db.corp", "*.corp", "10.0.0.0/8", "10.0.0.1", "*")
        for target, number in (
            ("db.corp:80", 0),
            ("db.corp:81", 1),
            ("x.corp:81", 2),
            ("10.0.0.1:1", 3),
            ("corp:1", 5),
            ("[::1]:1", 5),
        ):
            info = streamTo(target)
            self.assertIs(routes.endpointFor(info), dialers[number].endpoint, target)
            self.assertEqual(dialers[number].asked[-1], info)

    def test_alpn(self) -> None:
        """
        A route may be for streams alone inside of whose TLS something is spoken; it has its place among
        the others.
        """
        way = FakeDialer(name="way")
        wanted = (("*.corp", "h2"), ("*.corp", ""), ("*", "h2,x"), ("a.example", "y"))
        rules = [
            Rule(parseMatch(match), way, "way", alpn=frozenset(filter(None, alpn.split(","))))
            for match, alpn in wanted
        ]
        routes = Routes(rules)
        for target, alpn, number in (
            ("a.corp:1", "h2", 0),
            ("a.corp:1", "http/1.1,h2", 0),
            ("a.corp:1", "x", 1),
            ("a.corp:1", None, 1),
            ("a.example:1", "y,x", 2),
            ("a.example:1", "y", 3),
        ):
            info = streamTo(target).but(hints={} if alpn is None else {"alpn": alpn})
            self.assertEqual(number, routes.numberFor(info), (target, alpn))
        for hints in ({}, {"alpn": ""}, {"alpn": "h2c"}):
            self.assertRaises(Denied, routes.numberFor, streamTo("a.example:1").but(hints=hints))
        self.assertEqual("* with alpn h2, x via way", str(rules[2]))
        lines = routes.explain(streamTo("a.corp:1"))
        self.assertEqual("route 1 comes first for some: *.corp with alpn h2 via way", lines[-1])
        self.assertEqual(2, len(routes.explain(streamTo("a.corp:1").but(hints={"alpn": "x"}))))

    @given(st.lists(matches(), max_size=12), TARGETS)
    def test_asOneByOne(self, texts: list[str], target: Target) -> None:
        """
        The index finds what asking each rule in its order finds.
        """
        routes, _ = self.routes(*texts)
        info = StreamInfo(CLIENT, LISTENER, target)
        wanted = next((rule for rule in routes.rules if rule.match.matches(target)), None)
        if wanted is None:
            self.assertRaises(Denied, routes.ruleFor, info)
        else:
            self.assertIs(routes.ruleFor(info), wanted)

    def test_none(self) -> None:
        """
        Without a rule there is no way, and the refusal says what to add.
        """
        routes, _ = self.routes("a", "b")
        error = self.assertRaises(Denied, routes.endpointFor, streamTo("c:1"))
        self.assertEqual(error.hop, "c:1")
        self.assertIn("none of the 2 routes matches it", str(error))
        self.assertIn("match '*' via direct", str(error))

    def test_noTarget(self) -> None:
        """
        A stream without a target is refused.
        """
        routes, _ = self.routes("*")
        error = self.assertRaises(Refused, routes.endpointFor, StreamInfo(CLIENT, LISTENER))
        self.assertIn("names no target", str(error))
        self.assertEqual(routes.explain(StreamInfo(CLIENT, LISTENER)), [str(error)])

    def test_explain(self) -> None:
        """
        The explanation says which rule, and then its way.
        """
        routes, _ = self.routes("a", "*.corp:80")
        self.assertEqual(
            routes.explain(streamTo("x.corp:80")),
            ["route 2 of 2: *.corp:80 via way 2", "  way 2 to x.corp:80"],
        )
        self.assertIn("none of the 2 routes", routes.explain(streamTo("x:1"))[0])

    def test_claimed(self) -> None:
        """
        An address that its client calls by a name is meant by rules for either; it stays the target.
        """
        routes, _ = self.routes("*.corp:443", "10.0.0.0/8", "*")
        info = streamTo("10.0.0.1:443")
        for name, number in (("x.corp", 0), ("x.org", 1)):
            self.assertEqual(routes.numberFor(info.but(hints={stream.NAME: name})), number)
        self.assertEqual(routes.numberFor(streamTo("10.0.0.1:80").but(hints={stream.NAME: "x.corp"})), 1)
        inside = Routes(
            [
                Rule(parseMatch("*.corp"), FakeDialer(), "a", alpn=frozenset(("h2",))),
                Rule(parseMatch("*"), FakeDialer(), "b"),
            ]
        )
        for hints, number in (
            ({stream.NAME: "x.corp", "alpn": "h2"}, 0),
            ({stream.NAME: "x.corp"}, 1),
            ({"alpn": "h2"}, 1),
        ):
            self.assertEqual(inside.numberFor(info.but(hints=hints)), number)

    def test_tenThousand(self) -> None:
        """
        Ten thousand rules are not asked one by one.
        """
        asked = []

        class Counting(Match):
            def matches(self, target: Target) -> bool:
                asked.append(target)
                return super().matches(target)

        texts = [f"h{n}.corp" for n in range(4000)] + [f"*.s{n}.corp:{n + 1}" for n in range(3000)]
        texts += [f"10.{n // 256}.{n % 256}.0/24" for n in range(2999)]
        rules = []
        for text in texts:
            match = parseMatch(text)
            rules.append(
                Rule(
                    Counting(match.kind, match.host, match.network, match.bits, match.lo, match.hi),
                    FakeDialer(),
                )
            )
        routes = Routes([*rules, Rule(parseMatch("*:1-99"), FakeDialer())])
        self.assertIs(routes.ruleFor(streamTo("h3999.corp:5")), rules[3999])
        self.assertIs(routes.ruleFor(streamTo("a.b.s2999.corp:3000")), rules[6999])
        self.assertIs(routes.ruleFor(streamTo("10.11.182.9:5")), rules[-1])
        self.assertIs(routes.ruleFor(streamTo("10.11.183.9:5")), routes.rules[-1])
        self.assertRaises(Denied, routes.ruleFor, streamTo("a.b.s2999.corp:3001"))
        self.assertEqual(asked, [])
