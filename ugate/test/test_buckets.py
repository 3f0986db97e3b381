# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.buckets}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.buckets import Bucket, Buckets


class BucketsTests(SynchronousTestCase):
    """
    How often.
    """

    def test_burst(self) -> None:
        """
        So often at once, then once in a while; who waits longer has no more than that.
        """
        rate = Buckets(0.5, 3, 10)
        self.assertEqual([rate.take("a", 1.0) for _ in range(4)], [True, True, True, False])
        self.assertEqual([rate.take("a", 3.0) for _ in range(2)], [True, False])
        self.assertEqual([rate.take("a", 100.0) for _ in range(4)], [True, True, True, False])

    def test_cap(self) -> None:
        """
        No more are known than there is room for: the one that came first is forgotten.
        """
        rate = Buckets(0.1, 1, 2)
        self.assertEqual([rate.take(each, 1.0) for each in "abcbca"], [True, True, True, False, False, True])
        self.assertEqual(2, len(rate))


class BucketTests(SynchronousTestCase):
    """
    L{Bucket} and L{Buckets}.
    """

    def test_bucket(self) -> None:
        """
        So many at once, then so many a second, and never more than that after a pause.
        """
        bucket = Bucket(2, 3)
        self.assertEqual([True] * 3 + [False], [bucket.take(5) for _ in range(4)])
        self.assertEqual([False, True, False], [bucket.take(at) for at in (5.25, 5.5, 5.75)])
        self.assertEqual([True] * 3 + [False], [bucket.take(100) for _ in range(4)])

    def test_buckets(self) -> None:
        """
        Each key has its own; of too many, the first is forgotten.
        """
        buckets = Buckets(1, 1, 2)
        self.assertEqual([True, False, True, False], [buckets.take(key, 1) for key in "aabb"])
        self.assertTrue(buckets.take("c", 1))
        self.assertEqual(2, len(buckets))
        self.assertTrue(buckets.take("a", 1))
        self.assertFalse(buckets.take("c", 1))
