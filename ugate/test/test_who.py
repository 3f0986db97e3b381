# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.who}.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.stream import Principal
from ugate.tenancy.who import METHODS, Who, glob, literally, parseWho

BOB = Principal("bob", "password")
KEY = Principal("SHA256:AbC", "key")
SPIFFE = Principal("spiffe://mesh/ns/web", "certificate")

# Pattern, who is meant, who is not.
MEANT: tuple[tuple[str, tuple[Principal, ...], tuple[Principal, ...]], ...] = (
    ("*", (BOB, KEY, SPIFFE), ()),
    ("bob", (BOB, Principal("bob", "token")), (KEY, Principal("Bob", "password"), Principal("bobby", "key"))),
    ("b*", (BOB, Principal("b", "open")), (KEY, Principal("Bob", "password"))),
    ("password:*", (BOB,), (KEY, SPIFFE)),
    ("password:bob", (BOB,), (Principal("bob", "key"),)),
    ("*:bob", (BOB, Principal("bob", "key")), (KEY,)),
    ("[kp]*:*b*", (BOB, KEY), (SPIFFE,)),
    ("SHA256:*", (KEY,), (BOB,)),
    ("key:SHA256:AbC", (KEY,), (BOB, Principal("SHA256:abc", "key"))),
    ("spiffe://mesh/*", (SPIFFE,), (BOB,)),
    ("certificate:spiffe://mesh/*", (SPIFFE,), (BOB,)),
    ("b?b", (BOB,), (KEY,)),
    ("[!a]ob", (BOB,), (Principal("aob", "password"),)),
    ("bob\u00e9", (Principal("bob\u00e9", "password"),), (BOB,)),
)

REFUSED = (
    ("", "0 characters"),
    ("x" * 513, "513 characters"),
    (" bob", "no space"),
    ("bob\n", "printable"),
    ("password:", "no name after the colon"),
    ("pasword:bob", "'pasword' proves nobody"),
    ("cardno:0001", "write *:NAME"),
)

_names = st.text(max_size=12)


class WhoTests(SynchronousTestCase):
    """
    L{parseWho} and L{Who}.
    """

    def test_table(self) -> None:
        """
        Each pattern means those, and not these.
        """
        for text, yes, no in MEANT:
            who = parseWho(text)
            self.assertEqual(parseWho(str(who)), who)
            for principal in yes:
                self.assertTrue(who.matches(principal), (text, principal))
            for principal in no:
                self.assertFalse(who.matches(principal), (text, principal))

    def test_refused(self) -> None:
        """
        What is no pattern is told with what is wanted.
        """
        for text, words in REFUSED:
            error = self.assertRaises(StringError, parseWho, text)
            self.assertIn(words, str(error), text)

    def test_methods(self) -> None:
        """
        Each method can be named.
        """
        for method in METHODS:
            self.assertEqual(parseWho(f"{method}:x"), Who("x", method))

    @given(st.text(max_size=30))
    def test_anything(self, text: str) -> None:
        """
        A text is a pattern, which reads back as itself, or a L{StringError}.
        """
        try:
            who = parseWho(text)
        except StringError:
            return
        self.assertEqual(parseWho(str(who)), who)
        who.matches(BOB)

    @given(st.text("ab*?[]!-:", max_size=8), _names)
    def test_asFnmatch(self, pattern: str, name: str) -> None:
        """
        Patterns mean what they mean to C{fnmatch}.
        """
        fits = glob(pattern)
        self.assertEqual(fits is None or bool(fits(name)), fnmatchcase(name, pattern))

    @given(_names, _names)
    def test_literally(self, name: str, other: str) -> None:
        """
        A name can be meant alone.
        """
        fits = glob(literally(name))
        assert fits is not None
        self.assertTrue(fits(name))
        self.assertEqual(bool(fits(other)), name == other)
