# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump} and L{ugate.metered}: joined sockets that may not do all they can.
"""

from __future__ import annotations

from ugate.metering import TICK, Meter, Meters
from ugate.test.meteredfakes import MeteredTestCase
from ugate.test.pumpfakes import MEGABYTE
from ugate.test.splicefakes import noise


class PumpTests(MeteredTestCase):
    """
    What is received and sent here.
    """

    def test_rate(self) -> None:
        """
        As much arrives as may, byte for byte, and then more in each round; the other
        direction is not held up.
        """
        data = noise(MEGABYTE)
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(data)
        self.rest()
        self.assertEqual(len(stream.b.got), self.FIRST)
        self.rounds(4)
        self.assertEqual(len(stream.b.got), self.FIRST + 4 * self.ROUND)
        stream.b.give(data)
        self.arrive(stream.a, data)
        self.rounds(30)
        self.arrive(stream.b, data)
        self.assertEqual((self.meter.total, *stream.counts), (MEGABYTE,) * 3)

    def test_down(self) -> None:
        """
        So it is the other way.
        """
        stream = self.join(meters=Meters(down=self.meter))
        stream.b.give(noise(MEGABYTE))
        stream.a.give(noise(MEGABYTE))
        self.arrive(stream.b, noise(MEGABYTE))
        self.rest()
        self.assertEqual(len(stream.a.got), self.FIRST)

    def test_both(self) -> None:
        """
        One meter may be there for both.
        """
        stream = self.join(meters=Meters(self.meter, self.meter))
        stream.a.give(noise(MEGABYTE))
        stream.b.give(noise(MEGABYTE))
        self.rounds(8)
        got = len(stream.a.got), len(stream.b.got)
        self.assertLess(abs(sum(got) - self.FIRST - 8 * self.ROUND), self.ROUND + 8)

    def test_early(self) -> None:
        """
        What came before counts, and is not held up.
        """
        early, unread = noise(150_000, 1), noise(150_000, 2)
        meters = Meters(up=self.meter)
        stream = self.join(meters=meters, early=(early, b""), unread=(unread, b""))
        self.arrive(stream.b, early + unread)
        stream.a.give(b"more")
        self.rest()
        self.assertEqual(len(stream.b.got), 300_000)
        self.rounds(4)
        self.assertEqual(len(stream.b.got), 300_000)
        self.rounds(1)
        self.arrive(stream.b, early + unread + b"more")

    def test_fair(self) -> None:
        """
        Streams have equal parts, also those that began later.
        """
        streams = [self.join(meters=Meters(up=self.meter)) for _ in range(4)]
        for stream in streams:
            stream.a.give(noise(2 * MEGABYTE))
            self.rest()
        before = [len(stream.b.got) for stream in streams]
        self.assertEqual(before, [self.FIRST, 0, 0, 0])
        self.rounds(12)
        for stream, had in zip(streams, before, strict=True):
            self.assertLess(abs(len(stream.b.got) - had - 3 * self.ROUND), 5000)

    def test_others(self) -> None:
        """
        One that has no meter, or another, is not held up by one that waits.
        """
        self.join(meters=Meters(up=self.meter)).a.give(bytes(MEGABYTE))
        free, other = self.join(), self.join(meters=Meters(up=Meter(self.reactor, self.RATE)))
        self.rest()
        for stream in (free, other):
            stream.a.give(b"question")
            self.arrive(stream.b, b"question")
            stream.b.give(b"answer")
            self.arrive(stream.a, b"answer")

    def test_end(self) -> None:
        """
        The end comes after all that was held up.
        """
        data = noise(300_000)
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(data, end=True)
        self.rest()
        self.assertFalse(stream.b.ended)
        self.rounds(5)
        self.arrive(stream.b, data)
        self.assertTrue(stream.b.ended)
        stream.b.give(b"", end=True)
        self.over(stream, "done")

    def test_cut(self) -> None:
        """
        One that waits can be ended, and nothing waits any more.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.joined.close("month's bytes used up", abort=True)
        self.over(stream, "month's bytes used up")
        self.assertFalse(self.meter.isWaiting and self.meter._queue)
        self.rounds(3)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_reset(self) -> None:
        """
        A reset by who waits is heard of when it is his turn, and one by the other at once.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.b.reset()
        self.over(stream, "target: reset")
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(MEGABYTE))
        self.rest()
        stream.a.reset()

        def isOver() -> bool:
            self.reactor.advance(TICK)
            return bool(stream.reasons)

        # After what it sent before.
        self.until(isOver, "the end")
        self.over(stream, "client: reset")

    def test_slow(self) -> None:
        """
        Who waits for a peer that does not read waits for that, and loses nothing.
        """
        data = noise(MEGABYTE)
        stream = self.join(buffers=8192, meters=Meters(up=self.meter))
        stream.b.limit = 0
        stream.a.give(data)
        self.rounds(4)
        self.assertTrue(stream.joined.b.out)
        stream.b.limit = None
        for _ in range(60):
            self.rounds(1)
        self.arrive(stream.b, data)

    def test_change(self) -> None:
        """
        Another rate holds for streams that are up.
        """
        stream = self.join(meters=Meters(up=self.meter))
        stream.a.give(bytes(4 * MEGABYTE))
        self.rest()
        self.meter.change(4 * self.RATE)
        self.rounds(10)
        self.assertLess(abs(len(stream.b.got) - self.FIRST - 40 * self.ROUND), 8)
        self.meter.change(None)
        self.rounds(1)
        self.arrive(stream.b, bytes(4 * MEGABYTE))

    def test_noMoreDescriptors(self) -> None:
        """
        If it cannot go on, it ends, and the others go on.
        """
        good, bad = self.join(meters=Meters(up=self.meter)), self.join(meters=Meters(up=self.meter))
        for stream in (good, bad):
            stream.a.give(bytes(MEGABYTE))
        self.rest()
        arm = self.pump._arm

        def refuse(side: object, mask: int) -> None:
            if mask and side is bad.joined.a:
                raise OSError(28, "no room")
            arm(side, mask)  # type: ignore[arg-type]

        self.pump._arm = refuse  # type: ignore[method-assign]
        self.rounds(3)
        self.assertEqual((bad.reasons, good.reasons), (["client: no room"], []))
