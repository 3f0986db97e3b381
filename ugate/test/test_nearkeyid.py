# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.nearkeyid}: a mistyped KEYID is no name of a host.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.hops import Hop
from ugate.endpoints.nearkeyid import checkNoNearKeyid
from ugate.errors import StringError

BOB = "BOB4CVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
SPOILT = (
    (BOB[:-1], "it has 51 characters"),
    (BOB + "A", "it has 53 characters"),
    ("0" + BOB[1:], "no KEYID has 0"),
    (BOB[:5] + "189" + BOB[8:], "no KEYID has 1, 8, 9"),
    (BOB[:-1] + "a", "some of its letters are small"),
    (BOB[:-1] + "B", "no KEYID ends in B"),
)


class NearKeyidTests(SynchronousTestCase):
    """
    Texts that are nearly one.
    """

    def test_near(self) -> None:
        """
        What is wrong is told, by itself, in small letters and before a domain.
        """
        for text, why in SPOILT:
            for each in (text, f"{text}.default.cluster.local"):
                self.assertIn(why, str(self.assertRaises(StringError, checkNoNearKeyid, each)))
        self.assertRaises(StringError, checkNoNearKeyid, BOB[:-1].lower())

    def test_good(self) -> None:
        """
        KEYIDs are good, and all other names.
        """
        for text in (BOB, BOB.lower(), f"{BOB}.x", "a" * 52, "db-" * 17 + "0", "db.example", "", "x" * 63):
            checkNoNearKeyid(text)

    @given(st.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """
        Any text is one or the other.
        """
        try:
            checkNoNearKeyid(text)
        except StringError as error:
            self.assertIn("nearly a KEYID", str(error))

    def test_hop(self) -> None:
        """
        In C{name=} of a hop; with another prefix before it is no KEYID.
        """
        for text, why in SPOILT:
            for hop in (f"mtls:gw:15443:name={text}", f"h2connect:gw:15008:name={text}.x"):
                self.assertIn(why, str(self.assertRaises(StringError, Hop.fromText, hop)))
        Hop.fromText(f"mtls:gw:15443:name={BOB}")
        Hop.fromText("mtls:gw:15443:name=spiffe\\://cluster.local/ns/default/sa/bob")
