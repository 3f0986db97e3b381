# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsplaces}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.dnsplaces import Places

MOST = 16


class PlacesTests(SynchronousTestCase):
    """
    L{Places}.
    """

    def take(self, places: Places, source: str | None) -> int:
        """
        As many as somebody gets.
        """
        count = 0
        while places.take(source, MOST):
            count += 1
        return count

    def test_fair(self) -> None:
        """
        However many one client wants, there are some left for others; this machine may have all of them.
        """
        places = Places()
        self.assertEqual([8, 4, 2], [self.take(places, source) for source in ("a", "b", "c")])
        self.assertEqual((2, 16), (self.take(places, None), places.taken))
        self.assertFalse(places.take("d", MOST))
        places.give("a")
        self.assertTrue(places.take("d", MOST))

    @given(st.lists(st.sampled_from(("a", "b", None))))
    def test_counted(self, sources: list[str | None]) -> None:
        """
        What is given back is free again, and nothing is remembered of who has none.
        """
        places = Places()
        got = [source for source in sources if places.take(source, MOST)]
        self.assertEqual(len(got), places.taken)
        for source in got:
            places.give(source)
        self.assertEqual((0, {}), (places.taken, places._taken))
