# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.limits}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock

from ugate.errors import Refused
from ugate.tenancy.limits import TenantLimits
from ugate.test.limitfakes import NONE, LimitsTestCase, Section
from ugate.test.meterfakes import Source, most


class StreamsTests(LimitsTestCase):
    """
    Streams at once.
    """

    def test_limit(self) -> None:
        """
        There may be so many; when one has ended, there may be one more.
        """
        alice = self.tenant("alice", Section(streams=2))
        alice.admit()
        alice.admit()
        self.refused(alice, "tenant alice: 2 streams are open", "raise limits.streams of tenant alice")
        alice.release()
        alice.admit()
        self.refused(alice)

    def test_none(self) -> None:
        """
        Without limits there may be any number, and they are counted.
        """
        for _ in range(1000):
            self.root.admit()
        self.assertEqual(self.root.streams, 1000)
        self.assertIs(self.root.meters, None)

    def test_parents(self) -> None:
        """
        Those of a tenant's tenants are its own, too; its siblings have theirs.
        """
        alice = self.tenant("alice", Section(streams=3))
        dev, ops = self.tenant("alice/dev", Section(streams=2), alice), self.tenant("alice/ops", NONE, alice)
        bob = self.tenant("bob", Section(streams=1))
        dev.admit()
        dev.admit()
        self.refused(dev, "tenant alice/dev: 2")
        ops.admit()
        self.refused(ops, "tenant alice: 3", "limits.streams of tenant alice")
        self.assertEqual((ops.streams, alice.streams), (1, 3))
        bob.admit()
        self.assertEqual(self.root.streams, 4)
        dev.release()
        ops.admit()
        self.refused(dev, "tenant alice: 3")

    def test_hop(self) -> None:
        """
        Where it is if nobody says.
        """
        refused = self.assertRaises(Refused, self.tenant("alice", Section(streams=0)).admit)
        self.assertEqual(refused.hop, "tenant alice")


class OpensTests(LimitsTestCase):
    """
    New streams a second.
    """

    def opened(self, limits: TenantLimits) -> int:
        """
        How many can be opened now.
        """
        count = 0
        while count < 10_000:
            try:
                limits.admit()
            except Refused:
                break
            limits.release()
            count += 1
        return count

    def test_rate(self) -> None:
        """
        There may be so many a second, some of them at once.
        """
        alice = self.tenant("alice", Section(opens=20))
        self.assertEqual(self.opened(alice), 10)
        self.refused(alice, "tenant alice: more than 20 new streams a second", "limits.opens of tenant alice")
        total = 0
        for _ in range(100):
            self.clock.advance(0.1)
            total += self.opened(alice)
        self.assertTrue(199 <= total <= 200)

    def test_nothing(self) -> None:
        """
        None a second is none at all.
        """
        alice = self.tenant("alice", Section(opens=0))
        self.clock.advance(100)
        self.assertEqual(self.opened(alice), 0)

    def test_one(self) -> None:
        """
        One a second is one a second.
        """
        alice = self.tenant("alice", Section(opens=1))
        self.assertEqual(self.opened(alice), 1)
        self.clock.advance(0.9)
        self.assertEqual(self.opened(alice), 0)
        self.clock.advance(0.25)
        self.assertEqual(self.opened(alice), 1)

    @given(
        opens=st.integers(1, 500),
        steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 300)), max_size=40),
    )
    def test_any(self, opens: int, steps: list[tuple[float, int]]) -> None:
        """
        In no ten seconds there are more than ten times as many and what a pause allows.
        """
        clock = Clock()
        limits = TenantLimits(clock, Section(opens=opens))
        opened: list[tuple[float, int]] = []
        for seconds, count in steps:
            clock.advance(seconds)
            for _ in range(count):
                try:
                    limits.admit()
                except Refused:
                    break
                opened.append((clock.seconds(), 1))
        self.assertLessEqual(most(opened, 10), opens * 10 + max(1, opens * 0.5) + 1)

    def test_parents(self) -> None:
        """
        All below share what their parent has, and none is counted that was refused.
        """
        alice = self.tenant("alice", Section(opens=4))
        dev, ops = self.tenant("alice/dev", Section(opens=100), alice), self.tenant("alice/ops", NONE, alice)
        dev.admit()
        ops.admit()
        self.refused(ops, "tenant alice: more than 4")
        for _ in range(100):
            self.refused(dev, "tenant alice: more than 4")
        self.assertEqual(dev.snapshot()["opens"], {"used": 1, "allowed": 100})


class BytesTests(LimitsTestCase):
    """
    Bytes a second.
    """

    def test_meters(self) -> None:
        """
        There are meters for what is limited, by the tenant or above, and no others.
        """
        alice = self.tenant("alice", Section(up=1000))
        dev = self.tenant("alice/dev", Section(down=500), alice)
        free, mem = self.tenant("bob", NONE), self.tenant("carol", Section(buffers=10))
        self.assertIs(free.meters, None)
        for limits, up, down, buffers in (
            (alice, True, False, False),
            (dev, True, True, False),
            (mem, False, False, True),
        ):
            meters = limits.meters
            assert meters is not None
            there = meters.up is not None, meters.down is not None, meters.buffers is not None
            self.assertEqual(there, (up, down, buffers))
        one, two = dev.meters, dev.meters
        assert one is not None and two is not None and one.up is not None
        self.assertIs(one.up, two.up)
        self.assertEqual((one.up.rate, one.up.room()), (None, 200))

    def test_parents(self) -> None:
        """
        What passes below counts above.
        """
        alice = self.tenant("alice", Section(up=1_000_000))
        children = [self.tenant(f"alice/{name}", NONE, alice).meters for name in "ab"]
        sources = []
        for meters in children:
            assert meters is not None and meters.up is not None
            sources.append(Source(self.clock, meters.up))
            sources[-1].give(1 << 40)
        for _ in range(400):
            self.clock.advance(0.025)
        total = sum(source.sum for source in sources)
        self.assertTrue(abs(total - 10_000_000) < 500_000, total)
        self.assertEqual(alice.snapshot()["up"], {"used": total, "allowed": 1_000_000})
        self.assertEqual(alice.snapshot()["down"], {"used": None, "allowed": None})
        for source in sources:
            source.share.stop()
        self.root.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_buffers(self) -> None:
        """
        With no memory left no stream begins, here and below; with some, they do.
        """
        alice = self.tenant("alice", Section(buffers=1000))
        dev, bob = self.tenant("alice/dev", NONE, alice), self.tenant("bob", NONE)
        meters = dev.meters
        assert meters is not None and meters.buffers is not None
        meters.buffers.hold(999)
        dev.admit()
        meters.buffers.hold(1)
        self.refused(dev, "tenant alice: streams hold 1000 bytes", "limits.buffers of tenant alice")
        self.refused(alice)
        bob.admit()
        self.assertEqual(alice.snapshot()["buffers"], {"used": 1000, "allowed": 1000})
        alice.change(Section(buffers=2000))
        dev.admit()
        meters.buffers.hold(-500)
        self.assertEqual(self.root.buffers.used, 500)


class ChangeTests(LimitsTestCase):
    """
    Other limits on a reload.
    """

    def test_counts(self) -> None:
        """
        What is used stays used.
        """
        alice = self.tenant("alice", Section(streams=5, opens=4, month=1000))
        alice.admit()
        alice.admit()
        alice.used(400, 0)
        alice.change(Section(streams=2, opens=3, month=1000))
        self.refused(alice, "2 streams are open")
        alice.release()
        self.refused(alice, "more than 3 new streams")
        self.clock.advance(1)
        alice.admit()
        self.assertEqual(alice.snapshot()["month"]["used"], 400)
        alice.change(Section(streams=9, opens=100, month=500))
        self.clock.advance(0)
        self.assertEqual(self.cut, [])
        alice.change(Section(streams=9, opens=100, month=300))
        self.clock.advance(0)
        self.assertEqual(self.cut, ["alice"])
        self.clock.advance(1)
        self.refused(alice, "300 bytes of 2026-03")

    def test_none(self) -> None:
        """
        Limits can go and come.
        """
        alice = self.tenant("alice", Section(streams=1, opens=1, up=10, down=10, month=10, buffers=10))
        meters = alice.meters
        assert meters is not None and meters.up is not None and meters.down is not None
        alice.admit()
        meters.up.take(1000)
        alice.buffers.hold(10)
        alice.change(NONE)
        for _ in range(10):
            alice.admit()
        self.assertGreater(meters.up.room(), 1 << 20)
        self.assertIs(alice.meters, None)
        alice.change(Section(opens=100, up=500, down=50))
        self.assertEqual((meters.up.rate, meters.down.rate), (500, 50))
        alice.admit()
        again = alice.meters
        assert again is not None
        self.assertIs(again.up, meters.up)

    def test_stopsCounting(self) -> None:
        """
        A month that is not limited is not counted.
        """
        alice = self.tenant("alice", Section(up=1000, month=1000))
        meters = alice.meters
        assert meters is not None and meters.up is not None
        alice.change(Section(up=1000))
        meters.up.take(5000)
        self.clock.advance(0)
        self.assertEqual((self.cut, self.usage.of("alice").both), ([], (0, 0)))


class SizeTests(LimitsTestCase):
    """
    Many tenants.
    """

    def test_idle(self) -> None:
        """
        A tenant that does nothing has no meters, no timers, and no dictionary.
        """
        many = [self.tenant(f"t{n}", Section(10, 10, 10, 10, 10, 10)) for n in range(100)]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for limits in many:
            self.assertFalse(hasattr(limits, "__dict__"))
            self.assertEqual(limits.snapshot()["up"]["used"], None)
