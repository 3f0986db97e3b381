# -*- test-case-name: ugate.test.test_hops -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.hops} and L{ugate.endpoints.quoting}.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from twisted.internet.endpoints import _parse
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.hops import KINDS, MAX_ATTEMPTS, MAX_NESTED, MAX_TIMEOUT, Hop, isName
from ugate.endpoints.quoting import join, quoteValue, split, splitArrows
from ugate.errors import StringError
from ugate.stream import Target

HOSTS = st.one_of(
    st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,8}[a-zA-Z0-9_])?(\.[a-z]{1,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: address.compressed),
)
PORTS = st.integers(1, 65535)
TARGETS = st.builds(Target, HOSTS, PORTS)
# The names of keywords are ASCII to Twisted.
ASCII = st.text(st.characters(max_codepoint=127))
VALUES = st.text(min_size=1, max_size=12)
NAMES = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,8}", fullmatch=True).filter(isName)
ENDPOINTS = st.sampled_from(
    ["unix:/run/proxy", "tls:gw:443:endpoint=tcp\\:a\\:1", "tcp:[:: ", "haproxy:x->y"]
)


@st.composite
def hops(draw: st.DrawFn, via: bool = True, to: bool = True) -> Hop:
    """
    Any hop that can be written.
    """
    name = draw(st.sampled_from(sorted({kind.name for kind in KINDS.values()})))
    keywords = KINDS[name].keywords
    fields: dict[str, object] = {}
    if KINDS[name].addressed:
        fields.update(host=draw(HOSTS), port=draw(PORTS))

    def maybe(key: str, values: st.SearchStrategy[object]) -> None:
        if key in keywords and draw(st.booleans()):
            fields[key] = draw(values)

    maybe("user", VALUES)
    if "user" in fields:
        maybe(draw(st.sampled_from(["passwordFile", "passwordEnv"])), VALUES)
    for each in ("key", "known", "agent"):
        maybe(each, VALUES)
    maybe("tls", st.just(True))
    maybe("name", st.one_of(NAMES, st.just("spiffe://corp/ns/x/sa/y")))
    if "tls" in fields or "tls" not in keywords:
        maybe("alpn", st.sampled_from([(b"h2",), (b"h2", b"http/1.1"), (b"a:b", b"c\\=d")]))
    maybe("timeout", st.floats(0.001, MAX_TIMEOUT))
    maybe("attempts", st.integers(1, MAX_ATTEMPTS))
    maybe("proxyproto", st.sampled_from([1, 2]))
    if via:
        maybe(
            "via", st.one_of(NAMES, ENDPOINTS, st.deferred(lambda: hops(via=draw(st.booleans()), to=False)))
        )
    if to:
        maybe("to", TARGETS)
    return Hop(name, **fields)  # type: ignore[arg-type]


class QuotingTests(SynchronousTestCase):
    """
    The punctuation is Twisted's.
    """

    @given(
        st.lists(st.text().filter(lambda part: not part.startswith("[")), min_size=1),
        st.dictionaries(ASCII, st.text()),
    )
    def test_roundTrip(self, parts: list[str], keywords: dict[str, str]) -> None:
        """
        What is joined is split again, by us and by Twisted, whatever is in it.
        """
        keywords = {key: value for key, value in keywords.items() if not key.startswith("[")}
        text = join(parts, keywords)
        self.assertEqual(split(text), (parts, keywords))
        self.assertEqual(_parse(text), (parts, keywords))
        self.assertEqual(splitArrows(f" {text} -> {text}"), [text, text] if text else ["", ""])

    @given(st.text())
    @example("[")
    @example("a\\")
    @example("[a]b")
    def test_anything(self, text: str) -> None:
        """
        Reading raises nothing but its own error.
        """
        for read in (split, splitArrows, Hop.fromText):
            try:
                read(text)
            except StringError:
                pass

    @given(ASCII)
    def test_asTwisted(self, text: str) -> None:
        """
        What we can read without brackets Twisted reads the same.
        """
        try:
            ours = split(text)
        except StringError:
            return
        if "[" not in text:
            self.assertEqual(_parse(text), ours)

    def test_brackets(self) -> None:
        """
        Brackets keep colons, escaped or not.
        """
        self.assertEqual(split("a:[::1]:2"), (["a", "[::1]", "2"], {}))
        self.assertEqual(split("a:[\\:\\:1]"), (["a", "[::1]"], {}))

    def test_arrows(self) -> None:
        """
        An arrow separates unless a backslash is in it.
        """
        self.assertEqual(splitArrows("a->b\n ->  c "), ["a", "b", "c"])
        self.assertEqual(splitArrows("a-\\>b"), ["a-\\>b"])
        self.assertEqual(splitArrows("a\\->b"), ["a\\->b"])
        self.assertEqual(splitArrows("x\\ -> y"), ["x\\ ", "y"])

    def test_quoteValue(self) -> None:
        """
        Escapes are as few as can be.
        """
        self.assertEqual(quoteValue("a b=c"), "a b=c")
        self.assertEqual(quoteValue(" a:b\\ "), "\\ a\\:b\\\\\\ ")


class HopTests(SynchronousTestCase):
    """
    Hops as text and as values.
    """

    def assertBad(self, text: str, *said: str) -> None:
        """
        The text is refused in words that hold each of C{said}.
        """
        error = str(self.assertRaises(StringError, Hop.fromText, text))
        for each in said:
            self.assertIn(each, error)

    @given(hops())
    def test_roundTrip(self, hop: Hop) -> None:
        """
        The normal form reads back as the same value.
        """
        self.assertEqual(Hop.fromText(str(hop)), hop)

    @given(hops())
    def test_throughTwisted(self, hop: Hop) -> None:
        """
        Twisted's tokenizer takes nothing away from it.
        """
        parts, keywords = _parse(str(hop))
        self.assertEqual(Hop.fromText(join(parts, keywords)), hop)

    def test_normalForm(self) -> None:
        """
        The order of keywords, an alias, a user in front of the host and brackets
        all have one normal form.
        """
        for text, normal in (
            ("socks:proxy:1080", "socks:proxy:1080"),
            ("socks5:proxy:1080", "socks:proxy:1080"),
            ("connect:\\:\\:1:80", "connect:[::1]:80"),
            ("socks:me@proxy:1080", "socks:proxy:1080:user=me"),
            ("socks:a@b@proxy:1080", "socks:proxy:1080:user=a@b"),
            ("socks:to=db\\:5:proxy:1080:timeout=2.50:tls=no", "socks:proxy:1080:timeout=2.5:to=db\\:5"),
            ("connect:gw:443:tls=yes:attempts=1", "connect:gw:443:tls=yes"),
            ("direct:proxyproto=v1", "direct:proxyproto=v1"),
            ("socks:p:1:via=socks5\\:q\\:2", "socks:p:1:via=socks\\:q\\:2"),
            ("socks:p:1:via=unix\\:/run/x", "socks:p:1:via=unix\\:/run/x"),
        ):
            self.assertEqual(str(Hop.fromText(text)), normal)

    def test_values(self) -> None:
        """
        Each keyword is its field.
        """
        text = (
            "socks:p:1080:user=u:passwordFile=/run/p:tls=yes:timeout=3:attempts=2:proxyproto=v2"
            ":via=connect\\:gw\\:3128\\:via=office:to=[\\:\\:1]\\:80"
        )
        self.assertEqual(
            Hop.fromText(text),
            Hop(
                "socks",
                "p",
                1080,
                user="u",
                passwordFile="/run/p",
                tls=True,
                timeout=3.0,
                attempts=2,
                proxyproto=2,
                via=Hop("connect", "gw", 3128, via="office"),
                to=Target("::1", 80),
            ),
        )

    def test_place(self) -> None:
        """
        The place and the target are without keywords.
        """
        hop = Hop.fromText("connect:[::1]:80:user=me")
        self.assertEqual((hop.place, hop.target), ("connect:[::1]:80", Target("::1", 80)))
        self.assertEqual(Hop("direct", timeout=1.0).place, "direct")

    def test_kinds(self) -> None:
        """
        A prefix that is none, or that stands elsewhere, is named with the known ones.
        """
        known = "socks, socks5, socks4, connect, mtls, forward, h2connect, websocket, ssh, direct"
        self.assertBad("sock:proxy:1080", "'sock'", known)
        self.assertBad("", "''", "socks")
        self.assertBad("tcp:db:5432", "where a chain ends")
        self.assertBad("a=b", "no kind of hop")

    def test_address(self) -> None:
        """
        The host and the port are checked, and the error says what is wrong.
        """
        self.assertBad("socks:proxy", "too few parts", "socks:HOST:PORT")
        self.assertBad("socks:proxy:1:2", "'2' is one part too many", "\\:")
        self.assertBad("socks:proxy:0", "port 0")
        self.assertBad("socks:proxy:65536", "port 65536")
        self.assertBad("socks:proxy:http", "port 'http'")
        self.assertBad("socks:proxy:٣", "port")
        self.assertBad("socks:proxy:" + "9" * 5000, "port '9999999999'")
        self.assertBad("socks:pr oxy:1", "'pr oxy'")
        self.assertBad("socks:@proxy:1", "'@proxy'")
        self.assertBad("socks:a\\:b:1", "'a:b' is no IPv6 address")
        self.assertBad("socks:[::1:1080", "ends with ]")
        self.assertBad("direct:proxy:1", "'proxy' is one part too many")

    def test_keywords(self) -> None:
        """
        An unknown keyword, and a bad value, are named.
        """
        self.assertBad("socks:p:1:color=red", "socks:p:1", "no keyword color=", "proxyproto", "via")
        self.assertBad("socks4:p:1:user=u:passwordFile=x", "no keyword passwordFile=")
        self.assertBad("direct:via=x", "no keyword via=")
        self.assertBad("socks:p:1:timeout=0", "timeout=: '0'", "3600")
        self.assertBad("socks:p:1:timeout=nan", "timeout=")
        self.assertBad("socks:p:1:timeout=soon", "timeout=: 'soon': wanted seconds")
        self.assertBad("socks:p:1:timeout=3601", "timeout=")
        self.assertBad("socks:p:1:attempts=0", "1 to 10")
        self.assertBad(f"socks:p:1:attempts={MAX_ATTEMPTS + 1}", "1 to 10")
        self.assertBad("socks:p:1:tls=maybe", "yes or no")
        self.assertBad("socks:p:1:proxyproto=3", "v1 or v2")
        self.assertBad("socks:p:1:to=db", "to=:", "HOST:PORT")
        self.assertBad("socks:p:1:to=db:5432", "'5432' is one part too many", "\\:")
        self.assertBad("socks:p:1:user=", "user= is empty")
        self.assertBad("socks:p:1:user=a:user=b", "user= is given twice")
        self.assertBad("socks:a@p:1:user=b", "user is given twice")

    def test_secrets(self) -> None:
        """
        A password in the string is refused and not repeated.
        """
        for text in ("socks:p:1:user=me:password=hunter2", "socks:me:hunter2@p:1"):
            self.assertBad(text, "passwordFile=")
            self.assertNotIn("hunter2", str(self.assertRaises(StringError, Hop.fromText, text)))
        self.assertBad("socks:p:1:passwordFile=x", "wants user=")
        self.assertBad("websocket:p:1:alpn=h2", "wants tls=yes")
        self.assertBad("socks:p:1:user=u:passwordFile=x:passwordEnv=y", "exclude each other")

    def test_via(self) -> None:
        """
        What carries a hop is a name, a hop without a target, or an endpoint string.
        """
        self.assertBad("socks:p:1:via=off ice", "'off ice'", "name")
        self.assertBad("socks:p:1:via=socks\\:q", "via=: socks: too few parts")
        self.assertBad("socks:p:1:via=socks\\:q\\:1\\:to=a\\\\\\:1", "leads to this one")
        self.assertBad("socks:p:1 -> socks:q:1", "a chain")

    def test_depth(self) -> None:
        """
        Hops in one another have a limit.
        """
        hop = Hop("socks", "p", 1)
        for _ in range(MAX_NESTED):
            hop = Hop("socks", "p", 1, via=hop)
        self.assertEqual(Hop.fromText(str(hop)), hop)
        self.assertBad(str(Hop("socks", "p", 1, via=hop)), f"more than {MAX_NESTED}")

    def test_names(self) -> None:
        """
        What can be the name of a hop.
        """
        for name in ("office", "gw-1", "a.b", "_x", "9"):
            self.assertTrue(isName(name), name)
        for name in ("", "socks", "direct", "-a", ".a", "a b", "a:b", "é"):
            self.assertFalse(isName(name), name)
