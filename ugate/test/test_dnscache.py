# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.dnscache}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.dnsanswers import Answer
from ugate.protocols.dnscache import OVERHEAD, Cache
from ugate.protocols.dnswire import Asked

A, B, C = (Asked(letter.encode()) for letter in "abc")
GOOD = Answer(0, records=b"x" * 99, ttl=60)
COST = OVERHEAD + 100


class CacheTests(SynchronousTestCase):
    """
    L{Cache}.
    """

    def test_kept(self) -> None:
        """
        An answer is kept as long as it is good.
        """
        cache = Cache(10, 10**6)
        cache.put(A, GOOD, 1000)
        kept = cache.find(A, 1059)
        assert kept is not None
        self.assertEqual((GOOD, 1000, 1060), (kept.answer, kept.at, kept.until))
        self.assertIsNone(cache.find(B, 1000))
        self.assertIsNone(cache.find(A, 1060))
        self.assertEqual((0, 0), (len(cache), cache.size))

    def test_asked(self) -> None:
        """
        The same question with or without signatures has answers of its own.
        """
        cache = Cache(10, 10**6)
        cache.put(A, GOOD, 0)
        self.assertIsNone(cache.find(Asked(b"a", isSecure=True), 1))
        self.assertIsNone(cache.find(Asked(b"a", isUnchecked=True), 1))

    def test_stale(self) -> None:
        """
        One that is too old is kept a while longer, if that is wanted.
        """
        cache = Cache(10, 10**6, stale=100)
        cache.put(A, GOOD, 0)
        kept = cache.find(A, 159)
        assert kept is not None
        self.assertEqual(60, kept.until)
        self.assertIsNone(cache.find(A, 160))

    def test_not(self) -> None:
        """
        What may not be kept is not, and what was before is gone.
        """
        cache = Cache(10, 10**6)
        cache.put(A, GOOD, 0)
        cache.put(A, Answer(0), 0)
        self.assertIsNone(cache.find(A, 0))
        self.assertEqual((0, 0), (len(cache), cache.size))
        none = Cache(0, 10**6)
        none.put(A, GOOD, 0)
        self.assertEqual(0, len(none))

    def test_entries(self) -> None:
        """
        Of too many, that which was not asked for longest goes.
        """
        cache = Cache(2, 10**6)
        cache.put(A, GOOD, 0)
        cache.put(B, GOOD, 0)
        cache.find(A, 1)
        cache.put(C, GOOD, 2)
        self.assertEqual((2, 2 * COST), (len(cache), cache.size))
        self.assertIsNone(cache.find(B, 3))
        self.assertIsNotNone(cache.find(A, 3))

    def test_size(self) -> None:
        """
        Nor have they more bytes than they may; one that alone has more is not kept.
        """
        cache = Cache(10, 2 * COST)
        for asked in (A, B, C, C):
            cache.put(asked, GOOD, 0)
        self.assertEqual((2, 2 * COST), (len(cache), cache.size))
        cache.put(C, Answer(0, records=b"x" * 2 * COST, ttl=60), 0)
        self.assertEqual((1, COST), (len(cache), cache.size))
        cache.clear()
        self.assertEqual((0, 0), (len(cache), cache.size))
