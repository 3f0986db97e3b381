# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.limits}: bytes a month.
"""

from __future__ import annotations

from datetime import datetime, timezone

from ugate.errors import Refused
from ugate.tenancy.limits import USED_UP, TenantLimits
from ugate.test.limitfakes import NONE, LimitsTestCase, Section


class MonthTests(LimitsTestCase):
    """
    Bytes a month.
    """

    def take(self, limits: TenantLimits, up: int, down: int) -> None:
        """
        A stream carries so many.
        """
        meters = limits.meters
        assert meters is not None and meters.up is not None and meters.down is not None
        meters.up.take(up)
        meters.down.take(down)

    def test_usedUp(self) -> None:
        """
        Both ways count together; when they are used up, streams are cut soon, but not from
        within what moves them, and no more begin until the next month.
        """
        alice = self.tenant("alice", Section(month=1000))
        alice.admit()
        self.take(alice, 400, 599)
        alice.admit()
        self.clock.advance(1)
        self.assertEqual(self.cut, [])
        self.take(alice, 0, 1)
        self.assertEqual(self.cut, [])
        self.clock.advance(0)
        self.assertEqual(self.cut, ["alice"])
        self.refused(
            alice,
            "tenant alice: the 1000 bytes of 2026-03 are used up",
            "wait until 2026-04-01 (UTC)",
            "raise limits.month of tenant alice",
        )
        snapshot = alice.snapshot()["month"]
        self.assertEqual(snapshot, {"used": 1000, "allowed": 1000, "month": "2026-03"})
        self.now = datetime(2026, 4, 1, tzinfo=timezone.utc).timestamp()
        alice.admit()
        self.assertEqual(alice.snapshot()["month"]["used"], 0)

    def test_stillPassing(self) -> None:
        """
        For as long as bytes pass nevertheless, it is said again.
        """
        alice = self.tenant("alice", Section(month=1000))
        for _ in range(3):
            self.take(alice, 600, 600)
            self.take(alice, 600, 600)
            self.clock.advance(0)
        self.assertEqual(self.cut, ["alice"] * 3)

    def test_parents(self) -> None:
        """
        What a tenant's tenants use is used by it, and one that has nothing left is cut as a whole.
        """
        alice = self.tenant("alice", Section(month=1000))
        dev = self.tenant("alice/dev", Section(month=900), alice)
        ops = self.tenant("alice/ops", NONE, alice)
        self.take(ops, 500, 0)
        self.take(dev, 0, 500)
        self.clock.advance(0)
        self.assertEqual(self.cut, ["alice"])
        self.refused(dev, "tenant alice: the 1000 bytes")
        self.refused(ops, "tenant alice: the 1000 bytes")
        self.assertEqual(dev.snapshot()["month"]["used"], 500)
        self.assertEqual(ops.snapshot()["month"]["used"], None)
        self.tenant("bob", NONE).admit()

    def test_used(self) -> None:
        """
        What has no meters can be told.
        """
        alice = self.tenant("alice", Section(month=1000))
        dev = self.tenant("alice/dev", NONE, alice)
        dev.used(300, 200)
        self.assertEqual(self.usage.of("alice").both, (300, 200))
        dev.used(300, 200)
        self.clock.advance(0)
        self.assertEqual(self.cut, ["alice"])

    def test_again(self) -> None:
        """
        A tenant that was removed and added again has not got a new month.
        """
        self.take(self.tenant("alice", Section(month=1000)), 1000, 0)
        self.refused(self.tenant("alice", Section(month=1000)), "used up")

    def test_stop(self) -> None:
        """
        When all stops, nothing is left to be called.
        """
        alice = self.tenant("alice", Section(month=1000))
        self.take(alice, 1000, 0)
        alice.stop()
        self.root.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.cut), ([], []))

    def test_nobodyAsks(self) -> None:
        """
        Without anybody to cut streams, new ones are refused.
        """
        alone = TenantLimits(self.clock, Section(month=10), usage=self.usage)
        alone.used(10, 10)
        self.clock.advance(0)
        self.assertRaises(Refused, alone.admit)
        self.assertEqual(USED_UP, "month's bytes used up")
