# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.match}.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.stream import TCP, UDP, Target
from ugate.tenancy.match import packed, parseMatch
from ugate.tenancy.targets import Targets

LABEL = st.sampled_from(["a", "b", "corp", "example", "x-1", "_s"])
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
ADDRESS = st.sampled_from(
    ["10.0.0.1", "10.1.2.3", "192.0.2.255", "::1", "2001:db8::1", "2001:DB8:0::2", "::ffff:10.0.0.1"]
)
NETWORK = st.sampled_from(
    ["10.0.0.0/8", "10.0.0.0/31", "0.0.0.0/0", "::/0", "2001:db8::/32", "[::]/0", "::ffff:10.0.0.0/104"]
)
PORT = st.sampled_from([1, 22, 25, 80, 443, 8080, 65535])
RANGE = st.one_of(
    st.just(""),
    PORT.map(lambda port: f":{port}"),
    st.tuples(PORT, PORT).map(lambda pair: f":{min(pair)}-{max(pair)}"),
)


@st.composite
def matches(draw: st.DrawFn) -> str:
    """
    The text of any match.
    """
    host = draw(st.one_of(NAME, NAME.map(lambda name: f"*.{name}"), ADDRESS, NETWORK, st.just("*")))
    ports = draw(RANGE)
    over = draw(st.sampled_from(["", "", "tcp:", "udp:"]))
    if ":" in host and ports and not host.startswith("["):
        host = f"[{host}]"
    return over + host + ports


TARGETS = st.builds(
    Target,
    st.one_of(NAME, NAME.map(lambda name: f"{name.upper()}."), ADDRESS),
    PORT,
    st.sampled_from([TCP, UDP]),
)


class MatchTests(SynchronousTestCase):
    """
    What a rule means.
    """

    def assertMatches(self, text: str, yes: str, no: str) -> None:
        """
        The match means these targets and not those.
        """
        match = parseMatch(text)
        for target in yes.split():
            self.assertTrue(match.matches(Target.fromText(target)), f"{text} and {target}")
        for target in no.split():
            self.assertFalse(match.matches(Target.fromText(target)), f"{text} and {target}")

    def test_host(self) -> None:
        """
        A name is itself, in any case, with and without the dot of the root.
        """
        self.assertMatches("DB.corp", "db.corp:1 DB.CORP.:65535", "xdb.corp:1 db.corp.x:1 db:1")
        self.assertMatches("db.corp.:5432", "db.corp:5432", "db.corp:5433")
        self.assertMatches("xn--bcher-kva", "XN--bcher-kva:1", "bücher:1")

    def test_suffix(self) -> None:
        """
        A suffix is all names below it, not itself, and no address.
        """
        self.assertMatches("*.corp", "a.corp:1 a.B.Corp.:2", "corp:1 xcorp:1 a.corp.x:1")
        self.assertMatches("*.corp:80-90", "a.corp:80 a.corp:90", "a.corp:79 a.corp:91")
        self.assertRaises(StringError, parseMatch, "*.1")

    def test_any(self) -> None:
        """
        A star is every target, or each with the port.
        """
        self.assertMatches("*", "a:1 10.0.0.1:2 [::1]:3", "")
        self.assertMatches("*:25", "a:25 [::1]:25", "a:26")

    def test_address(self) -> None:
        """
        An address is the literal in any form, and not a name.
        """
        self.assertMatches("10.0.0.1", "10.0.0.1:1 [::ffff:10.0.0.1]:1", "10.0.0.2:1 a:1 [::1]:1")
        self.assertMatches("2001:db8::1", "[2001:DB8:0::1]:1", "[2001:db8::2]:1 10.0.0.1:1")
        self.assertMatches("[2001:db8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]:444")

    def test_network(self) -> None:
        """
        A network is the literals in it; a name is never resolved.
        """
        self.assertMatches("10.0.0.0/8", "10.255.0.1:1 [::ffff:10.9.9.9]:1", "11.0.0.1:1 a:1 [::1]:1")
        self.assertMatches("[2001:db8::/32]:80", "[2001:db8:ffff::]:80", "[2001:db9::]:80")
        self.assertMatches("[2001:db8::]/32:80", "[2001:db8:ffff::]:80", "[2001:db9::]:80")
        self.assertMatches("0.0.0.0/0", "10.0.0.1:1", "a:1 [::1]:1")
        self.assertMatches("::ffff:10.0.0.0/104", "10.1.1.1:1", "11.1.1.1:1")

    def test_datagrams(self) -> None:
        """
        Bytes and datagrams alike, unless it says which; C{udp:53} is a host of that name.
        """
        both = Target("a", 53), Target("a", 53, UDP)
        for text, means in (
            ("a:53", (True, True)),
            ("udp:a:53", (False, True)),
            ("tcp:a", (True, False)),
            ("udp:*", (False, True)),
            ("udp:53", (False, False)),
        ):
            self.assertEqual(tuple(map(parseMatch(text).matches, both)), means, text)

    def test_paths(self) -> None:
        """
        A path is meant by its own patterns, whose stars stop at a slash, and by nothing else.
        """
        for text, path, means in (
            ("unix:/run/x", "/run/x", True),
            ("unix:/run/x", "/run/X", False),
            ("unix:/run/x", "/run/x/y", False),
            ("unix:/run/*.sock", "/run/a.sock", True),
            ("unix:/run/*.sock", "/run/a/b.sock", False),
            ("unix:/run/*", "/var/run/x", False),
            ("unix:/run/*/x", "/run/bob/x", True),
            ("unix:/run/?", "/run/x", True),
            ("unix:*", "/run/a/x", True),
            ("*", "/run/x", False),
            ("*:1-65534", "/run/x", False),
            ("tcp:*", "/run/x", False),
            ("udp:*", "/run/x", False),
            ("0.0.0.0/0", "/run/x", False),
            ("*.sock", "/run/x.sock", False),
        ):
            match, target = parseMatch(text), Target.atPath(path)
            self.assertEqual(match.matches(target), means, (text, path))
            targets = Targets()
            targets.add(match, 0)
            self.assertEqual(targets.first(target) == 0, means, (text, path))
            self.assertEqual(str(match), text)
        self.assertFalse(parseMatch("unix:*").matches(Target("unix", 1)))
        for text, why in (
            ("unix:/run/**", "any characters of one name"),
            ("unix:/run/[ab]", "without spaces"),
            ("unix:/run/../x", "without //"),
            ("unix:*/x", "from / on"),
            ("unix:/run/", "without //"),
        ):
            self.assertIn(why, str(self.assertRaises(StringError, parseMatch, text)))

    def test_normalForm(self) -> None:
        """
        The normal form is lower case, short, and without ports that say nothing.
        """
        for text, normal in (
            (" A.B.:1-65535 ", "a.b"),
            ("udp:*:53", "udp:*:53"),
            ("tcp:[::1]:1", "tcp:[::1]:1"),
            ("udp:53", "udp:53"),
            ("udp:udp:53-54", "udp:udp:53-54"),
            ("*.A:7-7", "*.a:7"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("[2001:db8::]/32:1-2", "[2001:db8::/32]:1-2"),
            ("[::1]", "::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ):
            self.assertEqual(str(parseMatch(text)), normal)
            self.assertEqual(parseMatch(normal), parseMatch(text))

    @given(matches())
    def test_roundTrip(self, text: str) -> None:
        """
        The normal form reads back as the same value.
        """
        match = parseMatch(text)
        self.assertEqual(parseMatch(str(match)), match)

    @given(st.text() | st.text("*.:/[]-0123456789abf%"))
    @example("[]")
    @example("1.2.3.4/" + "9" * 5000)
    @example("fe80::1%eth0")
    def test_anything(self, text: str) -> None:
        """
        Reading raises nothing but its own error; what it reads has a normal form.
        """
        try:
            match = parseMatch(text)
        except StringError:
            return
        self.assertEqual(parseMatch(str(match)), match)

    def test_errors(self) -> None:
        """
        The error shows the text, what is wrong and what is wanted.
        """
        for text, said in (
            ("", "0 characters"),
            ("a b", "'a b'"),
            ("a.*.b", "a star stands alone"),
            ("*a", "a star stands alone"),
            ("*.", "0 characters"),
            ("..a", "two dots"),
            ("0..", "two dots"),
            ("*.a..", "two dots"),
            (".a", "at the front"),
            ("a:0", "port '0'"),
            ("a:65536", "port '65536'"),
            ("a:", "port ''"),
            ("a:9-1", "the first is above the last"),
            ("a:1-", "port ''"),
            ("a:" + "9" * 5000, "port '9999999999'"),
            ("300.1.1.1", "'300.1.1.1' is no address"),
            ("10.0", "'10.0' is no address"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("10.0.0.0/33", "is no address and no network"),
            ("a/8", "'a/8' is no address"),
            ("[::1", "is no address"),
            ("[::1]x", "is no address"),
            ("fe80::1%eth0", "a zone"),
        ):
            error = str(self.assertRaises(StringError, parseMatch, text))
            self.assertIn(said, error)
            self.assertIn("wanted HOST, *.SUFFIX", error)

    def test_packed(self) -> None:
        """
        What is an address and what is a name.
        """
        self.assertEqual(packed("10.0.0.1"), b"\x0a\0\0\x01")
        self.assertEqual(packed("::ffff:10.0.0.1"), b"\x0a\0\0\x01")
        self.assertEqual(len(packed("::1") or b""), 16)
        for name in ("", "a", "a1", "1.2.3", "10.0.0.1.", "10.0.0.1\0", "a:b", "127.1"):
            self.assertIsNone(packed(name), name)
