# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnssection}.
"""

from __future__ import annotations

from functools import partial

import msgspec

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.dnssection import LISTEN, DnsSection, DnsUpstream


class SectionTests(SynchronousTestCase):
    """
    L{DnsSection}.
    """

    read = partial(msgspec.convert, type=DnsSection)

    def test_nothing(self) -> None:
        """
        Without a word it listens on this machine, and asks nobody.
        """
        section = self.read({})
        self.assertEqual(
            ((LISTEN,), (), (), {}), (section.listen, section.clients, section.upstreams, section.hosts)
        )
        self.assertEqual(((), False, 0), (section.fake, section.resolve, section.stale))

    def test_upstreams(self) -> None:
        """
        A server is a text, or has more to it.
        """
        section = self.read({"upstreams": ["192.0.2.53", {"to": "192.0.2.54", "domains": ["corp"]}]})
        self.assertEqual(("192.0.2.53", DnsUpstream("192.0.2.54", domains=("corp",))), section.upstreams)
        for bad in ({"via": "x"}, {"to": ""}, {"to": "x", "other": 1}, ""):
            self.assertRaises(msgspec.ValidationError, self.read, {"upstreams": [bad]})

    def test_mistakes(self) -> None:
        """
        What cannot be.
        """
        for bad, words in (
            ({"listen": ["localhost:53"]}, "'localhost' is no address"),
            ({"hosts": {"a": ["b"]}}, "hosts.a: 'b' is no address"),
            ({"hosts": {"a": []}}, "Expected"),
            ({"hosts": {"a b": ["::1"]}}, "Expected"),
            ({"fake": ["10.0.0.0/8", "198.18.0.0/15"]}, "two ranges of the same family"),
            ({"fake": ["198.18.0.0/30"]}, "less than 8 addresses"),
            ({"fakeFor": ["*.x"]}, "fakeFor needs fake"),
            ({"least": 10, "most": 9}, "least is more than most"),
            ({"entries": -1}, "Expected"),
            ({"stale": 604801}, "Expected"),
            ({"other": 1}, "unknown"),
        ):
            error = self.assertRaises(msgspec.ValidationError, self.read, bad)
            self.assertIn(words, str(error), bad)

    def test_ranges(self) -> None:
        """
        One range of each family.
        """
        section = self.read({"fake": ["198.18.0.7/15", "fd00:fa6e::/64"]})
        self.assertEqual(["198.18.0.0/15", "fd00:fa6e::/64"], list(map(str, section.fakeNetworks)))
