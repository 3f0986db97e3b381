# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.buckets}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.buckets import Bucket, Buckets


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
