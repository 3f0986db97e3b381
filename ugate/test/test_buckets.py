# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.buckets}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.buckets import Bucket, Buckets, originOf


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
        Each key has its own; of too many, the one that was not used for longest is forgotten.
        """
        buckets = Buckets(1, 1, 2)
        self.assertEqual([True, False, True, False], [buckets.take(key, 1) for key in "aabb"])
        self.assertFalse(buckets.take("a", 1))
        self.assertTrue(buckets.take("c", 1))
        self.assertEqual(2, len(buckets))
        self.assertFalse(buckets.take("a", 1))
        self.assertTrue(buckets.take("b", 1))


class OriginTests(SynchronousTestCase):
    """
    L{originOf}.
    """

    def test_origins(self) -> None:
        """
        Each address of IPv4 is its own, also within one of IPv6; of IPv6 a network is one.
        """
        self.assertEqual("192.0.2.1", originOf("192.0.2.1"))
        self.assertEqual("192.0.2.1", originOf("::ffff:192.0.2.1"))
        self.assertEqual(originOf("2001:db8::1"), originOf("2001:db8::2:0:0:1"))
        self.assertNotEqual(originOf("2001:db8::1"), originOf("2001:db8:0:1::1"))
        self.assertEqual(originOf("fe80::1%eth0"), originOf("fe80::2"))
        self.assertEqual("", originOf(""))
