# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.tries}.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.modules import tries
from ugate.modules.tries import MAX_FAILED, PERIOD, FailedTries
from ugate.stream import StreamInfo

ONE = IPv4Address("TCP", "192.0.2.1", 40000)
OTHER = IPv4Address("TCP", "192.0.2.2", 40000)


class TriesTests(SynchronousTestCase):
    """
    Who has to wait.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.tries = FailedTries(self.clock.seconds)

    def test_waits(self) -> None:
        """
        After so many failures an address has to wait until the first is long ago; others do not.
        """
        for number in range(MAX_FAILED):
            self.assertFalse(self.tries.isTooMany(ONE))
            self.tries.failed(ONE)
            self.clock.advance(1 if number else 2)
        self.assertTrue(self.tries.isTooMany(ONE))
        self.assertFalse(self.tries.isTooMany(OTHER))
        self.clock.advance(PERIOD - MAX_FAILED - 1)
        self.assertFalse(self.tries.isTooMany(ONE))
        self.tries.failed(ONE)
        self.assertTrue(self.tries.isTooMany(ONE))

    def test_good(self) -> None:
        """
        One that has begun counts until it is known to be good; those that failed stay.
        """
        began = [self.tries.failed(ONE) for _ in range(MAX_FAILED)]
        self.assertTrue(self.tries.isTooMany(ONE))
        self.tries.good(ONE, began[0])
        self.assertFalse(self.tries.isTooMany(ONE))
        self.tries.failed(ONE)
        self.assertTrue(self.tries.isTooMany(ONE))
        # Whatever is told of addresses and times that are forgotten is nothing.
        self.tries.good(ONE, 5.0)
        self.tries.good(OTHER, 0.0)
        self.assertTrue(self.tries.isTooMany(ONE))
        for _ in range(MAX_FAILED):
            self.tries.good(ONE, 0.0)
        self.assertEqual({}, self.tries._failed)

    def test_names(self) -> None:
        """
        An address within what a negotiation knows is the same, as are those of one network of IPv6.
        """
        six = [IPv6Address("TCP", f"2001:db8:0:{each}", 1) for each in ("1::1", "1::2", "2::1")]
        for _ in range(MAX_FAILED):
            self.tries.failed(StreamInfo(ONE, ONE))
            self.tries.failed(six[0])
            self.tries.failed(UNIXAddress(b"x"))
        self.assertTrue(self.tries.isTooMany(ONE))
        self.assertEqual([True, True, False], [self.tries.isTooMany(each) for each in six])
        self.assertTrue(self.tries.isTooMany(UNIXAddress(b"y")))

    def test_mapped(self) -> None:
        """
        Clients of IPv4 at a socket for both do not wait for each other.
        """
        for _ in range(MAX_FAILED):
            self.tries.failed(IPv6Address("TCP", "::ffff:192.0.2.1", 1))
        self.assertTrue(self.tries.isTooMany(ONE))
        self.assertFalse(self.tries.isTooMany(IPv6Address("TCP", "::ffff:192.0.2.2", 1)))

    def test_cap(self) -> None:
        """
        So many addresses are remembered, the last ones.
        """
        self.patch(tries, "MAX_ADDRESSES", 3)
        for number in range(5):
            for _ in range(MAX_FAILED):
                self.tries.failed(IPv4Address("TCP", f"192.0.2.{number}", 1))
        kept = [self.tries.isTooMany(IPv4Address("TCP", f"192.0.2.{number}", 1)) for number in range(5)]
        self.assertEqual([False, False, True, True, True], kept)
