# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which of many things was not used for longest.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.recency import Recency


class Thing:
    """
    Is used at times.
    """

    used = 0.0


class RecencyTests(SynchronousTestCase):
    """
    L{Recency}.
    """

    def test_oldest(self) -> None:
        """
        In the order in which they came, but for those that were used since.
        """
        recency: Recency[Thing] = Recency()
        self.assertIs(recency.oldest(), None)
        a, b, c = things = [Thing() for _ in range(3)]
        for thing in things:
            recency.add(thing)
        self.assertEqual((list(recency), len(recency)), (things, 3))
        self.assertIs(recency.oldest(), a)
        a.used, b.used = 2, 1
        self.assertIs(recency.oldest(), c)
        recency.discard(c)
        recency.discard(c)
        self.assertIs(recency.oldest(), a)
        recency.discard(a)
        self.assertIs(recency.oldest(), b)

    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
    def test_random(self, steps: list[tuple[int, bool]]) -> None:
        """
        What goes was not used since it was last looked at, and all else stays.
        """
        recency: Recency[Thing] = Recency()
        things = [Thing() for _ in range(6)]
        for thing in things:
            recency.add(thing)
        there = set(things)
        for now, (number, goes) in enumerate(steps, 1):
            things[number].used = now
            if goes and there:
                oldest = recency.oldest()
                assert oldest is not None
                recency.discard(oldest)
                there.remove(oldest)
                if there & {things[number]}:
                    self.assertIsNot(oldest, things[number])
        self.assertEqual(set(recency), there)
