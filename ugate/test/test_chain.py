# -*- test-case-name: ugate.test.test_chain -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.chain}.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.chain import MAX_HOPS, Chain, isChain, parseChain
from ugate.endpoints.hops import KINDS, Hop
from ugate.errors import StringError
from ugate.stream import Target
from ugate.test.test_hops import ENDPOINTS, NAMES, TARGETS, hops


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """
    Any chain that can be written.
    """
    plain = hops(via=False, to=False)
    proxies = plain.filter(lambda hop: bool(hop.host))
    base = draw(st.one_of(st.just(""), NAMES))
    first = [] if base else [draw(plain)]
    rest = draw(st.lists(proxies, max_size=MAX_HOPS - len(first)))
    target = draw(st.none() | TARGETS)
    last = [*first, *rest][-1:]
    if last and KINDS[last[0].prefix].leads:
        # Nothing goes on from there.
        target = None
    if first and first[0].host and draw(st.booleans()):
        first[0] = replace(first[0], via=draw(ENDPOINTS))
    if first == [Hop("direct")] and not rest and target is not None:
        first = []
    return Chain((*first, *rest), target, base)


class ChainTests(SynchronousTestCase):
    """
    Chains as text and as values.
    """

    def assertBad(self, text: str, *said: str) -> None:
        """
        The text is refused in words that hold each of C{said}.
        """
        error = str(self.assertRaises(StringError, parseChain, text))
        for each in said:
            self.assertIn(each, error)

    @given(chains())
    def test_roundTrip(self, chain: Chain) -> None:
        """
        The normal form reads back as the same value.
        """
        self.assertEqual(parseChain(str(chain)), chain)
        self.assertEqual(str(parseChain(f"\n {chain} \t")), str(chain))

    @given(chains())
    def test_asHop(self, chain: Chain) -> None:
        """
        A chain is its last hop with C{via} the ones before and C{to} the target, as
        a value and as text.
        """
        if chain.base and not chain.hops:
            self.assertRaises(StringError, chain.hop)
            return
        hop = chain.hop()
        self.assertEqual(hop.to, chain.target)
        self.assertEqual(Chain.fromHop(hop), chain)
        self.assertEqual(parseChain(str(hop)), chain)

    @given(st.text())
    @example("a:1 ->")
    @example("->")
    @example("x -> tcp:[:1")
    def test_anything(self, text: str) -> None:
        """
        Reading raises nothing but its own error.
        """
        try:
            parseChain(text)
        except StringError:
            pass

    @given(
        st.lists(st.sampled_from(["socks:a:1", "office", "tcp:b:2", "direct", "->", " ", ":to=c\\:3", "\\"]))
    )
    def test_pieces(self, pieces: list[str]) -> None:
        """
        Whatever can be read has a normal form.
        """
        try:
            chain = parseChain("".join(pieces))
        except StringError:
            return
        self.assertEqual(parseChain(str(chain)), chain)

    def test_nameAlone(self) -> None:
        """
        The name of a hop is no hop.
        """
        for text in ("office", "office -> tcp:db:2"):
            error = self.assertRaises(StringError, parseChain(text).hop)
            self.assertIn(f"{text}: the name alone", str(error))

    def test_example(self) -> None:
        """
        Hops, keywords and a target.
        """
        chain = parseChain("socks:1.2.3.4:1080 -> connect:gw:3128:user=me:timeout=5 -> tcp:db:5432")
        self.assertEqual(
            chain,
            Chain(
                (Hop("socks", "1.2.3.4", 1080), Hop("connect", "gw", 3128, user="me", timeout=5.0)),
                Target("db", 5432),
            ),
        )
        self.assertEqual(
            str(chain.hop()),
            "connect:gw:3128:user=me:timeout=5:via=socks\\:1.2.3.4\\:1080:to=db\\:5432",
        )

    def test_normalForm(self) -> None:
        """
        What says the same is written the same.
        """
        for text, normal in (
            ("socks5:a:1->tcp:[::1]:2", "socks:a:1 -> tcp:[::1]:2"),
            ("socks:a:1->tcp:\\:\\:1:2", "socks:a:1 -> tcp:[::1]:2"),
            ("tcp:db:5432", "tcp:db:5432"),
            ("direct -> tcp:db:5432", "tcp:db:5432"),
            ("direct:to=db\\:5432", "tcp:db:5432"),
            ("direct", "direct"),
            ("direct -> socks:a:1", "direct -> socks:a:1"),
            ("socks:a:1:to=db\\:2", "socks:a:1 -> tcp:db:2"),
            ("socks:b:1:via=socks\\:a\\:1", "socks:a:1 -> socks:b:1"),
            ("socks:b:1:via=socks\\:a\\:1 -> tcp:c:2", "socks:a:1 -> socks:b:1 -> tcp:c:2"),
            ("office", "office"),
            ("office -> tcp:db:2", "office -> tcp:db:2"),
            ("socks:a:1:via=office", "office -> socks:a:1"),
            ("socks:a:1:via=unix\\:/x", "socks:a:1:via=unix\\:/x"),
            ("socks:a:1 -> tcp:db:2:proxyproto=v2", "socks:a:1:proxyproto=v2 -> tcp:db:2"),
            ("tcp:db:2:proxyproto=v1", "direct:proxyproto=v1 -> tcp:db:2"),
        ):
            chain = parseChain(text)
            self.assertEqual(str(chain), normal)
            self.assertEqual(parseChain(normal), chain)

    def test_explain(self) -> None:
        """
        A line a hop.
        """
        self.assertEqual(
            parseChain(
                "office -> socks:a:1:user=me:attempts=2 -> connect:gw:443:tls=yes:timeout=5"
                " -> tcp:db:2:proxyproto=v2"
            ).explain(),
            [
                "begin with the hop that the config names office",
                "hop 1: the proxy a:1, spoken to in SOCKS5, as me, tried 2 times",
                "hop 2: the proxy gw:443, spoken to in HTTP CONNECT over TLS, within 5 s,"
                " with a PROXY header v2 in front of what goes through",
                "target: db:2",
            ],
        )
        self.assertEqual(
            parseChain("direct:timeout=1 -> socks4:a:1").explain(),
            ["hop 1: straight from here, within 1 s", "hop 2: the proxy a:1, spoken to in SOCKS4A"],
        )
        self.assertEqual(
            parseChain("socks:a:1:via=unix\\:/x").explain(),
            ["hop 1: the proxy a:1, spoken to in SOCKS5, reached by unix:/x"],
        )

    def test_errors(self) -> None:
        """
        The hop is named by its number, and the part.
        """
        self.assertBad("", "an empty chain")
        self.assertBad("socks:a:1 ->", "hop 2: nothing between the arrows")
        self.assertBad("-> socks:a:1", "hop 1: nothing")
        self.assertBad("socks:a:1 -> sock:b:1", "hop 2: 'sock'")
        self.assertBad("socks:a:1 -> connect:b:x", "hop 2: connect: port 'x'")
        self.assertBad("socks:a:1 -> connect:b:2:color=red", "hop 2: connect:b:2: no keyword color=")
        self.assertBad("socks:a:1 -> office", "hop 2: 'office'")
        self.assertBad("tcp:a:1 -> socks:b:1", "hop 1: tcp:HOST:PORT is where a chain ends")
        self.assertBad("socks:a:1 -> tcp:b", "hop 2: 'tcp:b': wanted tcp:HOST:PORT")
        self.assertBad("socks:a:1 -> tcp:b:0", "hop 2: port 0")
        self.assertBad("socks:a:1 -> tcp:b:1:user=x", "hop 2: no keyword user=", "proxyproto")
        self.assertBad("socks:a:1 -> tcp:b:1:proxyproto=v3", "hop 2: 'v3'")
        self.assertBad("office -> tcp:b:1:proxyproto=v2", "hop 2", "office")
        self.assertBad("socks:a:1:to=b\\:2 -> tcp:b:1", "hop 1: to= has no place")
        self.assertBad("socks:a:1 -> socks:b:1:via=x", "hop 2: via= has no place")
        self.assertBad("socks:a:1 -> direct", "hop 2: direct is only where a chain begins")

    def test_length(self) -> None:
        """
        A chain has no more than so many hops, however it is written.
        """
        longest = parseChain(" -> ".join(["socks:a:1"] * MAX_HOPS + ["tcp:b:2"]))
        self.assertEqual(len(longest.hops), MAX_HOPS)
        self.assertEqual(parseChain(str(longest.hop())), longest)
        for text in (
            " -> ".join(["socks:a:1"] * (MAX_HOPS + 1)),
            " -> ".join(["socks:a:1"] * (MAX_HOPS + 3)),
            " -> ".join(["socks:a:1:via=socks\\:z\\:1"] + ["socks:a:1"] * (MAX_HOPS - 1)),
            str(replace(longest.hop(), via=replace(longest, target=None).hop())),
        ):
            self.assertBad(text, f"{MAX_HOPS}")

    def test_isChain(self) -> None:
        """
        An arrow makes a chain, unless it is escaped.
        """
        self.assertTrue(isChain("socks:a:1 -> tcp:b:2"))
        self.assertFalse(isChain("socks:a:1:user=x-\\>y"))
