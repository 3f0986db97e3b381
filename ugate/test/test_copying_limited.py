# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.copying}: rates.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionLost

from ugate.buffers import Buffers
from ugate.copyends import STALLED
from ugate.leg import EARLY_LIMIT
from ugate.metering import TICK, Meter, Meters
from ugate.test.copyfakes import CopyingTestCase


class LimitedTests(CopyingTestCase):
    """
    Rates: at the beginning 200 000 bytes may pass, then 25 000 in each round.
    """

    def setUp(self) -> None:
        super().setUp()
        self.meter = Meter(self.clock, 1_000_000)
        self.meters: Meters | None = Meters(up=self.meter)
        self.a.room = self.b.room = 1 << 30

    def feed(self, count: int, size: int = 50_000) -> None:
        """
        The first sends so many pieces, as far as it is let.
        """
        for _ in range(count):
            if self.a.paused:
                self.a.waiting.append(bytes(size))
            else:
                self.a.leg.dataReceived(bytes(size))

    def rounds(self, count: int) -> None:
        """
        So many rounds go by.
        """
        for _ in range(count):
            self.clock.advance(TICK)

    def test_rate(self) -> None:
        """
        It is paused when there is no room, and goes on when there is; what was too much is
        missing later.  The other direction is not held up.
        """
        copying = self.start()
        self.feed(20)
        self.assertEqual((copying.sent, self.a.paused), (200_000, True))
        self.rounds(1)
        self.assertEqual((copying.sent, self.a.paused), (250_000, True))
        self.rounds(1)
        self.assertEqual(copying.sent, 250_000)
        self.rounds(38)
        self.assertTrue(abs(copying.sent - 1_200_000) <= 50_000 or not self.a.waiting)
        self.b.leg.dataReceived(bytes(1 << 20))
        self.assertEqual((copying.received, self.b.paused), (1 << 20, False))
        self.rounds(20)
        self.assertEqual((copying.sent, self.a.paused), (1_000_000, False))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_down(self) -> None:
        """
        So it is the other way.
        """
        self.meters = Meters(down=self.meter)
        self.start()
        self.feed(20)
        self.assertFalse(self.a.paused)
        self.b.leg.dataReceived(bytes(300_000))
        self.assertTrue(self.b.paused)
        self.rounds(3)
        self.assertTrue(self.b.paused)
        self.rounds(2)
        self.assertFalse(self.b.paused)

    def test_two(self) -> None:
        """
        It goes on when there is room in the meter and in the other transport, in either order.
        """
        for first in (True, False):
            self.setUp()
            self.start()
            self.b.room = 200_000 - 1
            self.feed(5)
            self.assertTrue(self.a.paused and self.b.full)
            if first:
                self.b.drain()
                self.assertTrue(self.a.paused)
                self.rounds(2)
            else:
                self.rounds(2)
                self.assertTrue(self.a.paused)
                self.b.drain()
            self.assertEqual(self.copying.sent, 250_000)

    def test_early(self) -> None:
        """
        What came before passes and counts; who was paused goes on in its turn.
        """
        self.meter.take(200_000)
        self.a.leg.dataReceived(bytes(EARLY_LIMIT))
        self.a.waiting = [b"more"]
        self.start()
        self.assertEqual((self.copying.sent, self.a.paused), (EARLY_LIMIT, True))
        self.rounds(2)
        self.assertEqual(self.copying.sent, EARLY_LIMIT)
        self.rounds(2)
        self.assertEqual(self.copying.sent, EARLY_LIMIT + 4)

    def test_ends(self) -> None:
        """
        However it ends, nothing waits any more, and no transport is told to go on.
        """
        events: tuple[Callable[[], object], ...] = (
            lambda: self.copying.close("month's bytes used up", abort=True),
            lambda: self.a.lose(ConnectionLost()),
            lambda: self.b.lose(ConnectionLost()),
            self.ended,
        )
        for event in events:
            self.setUp()
            self.start()
            self.feed(6)
            self.assertTrue(self.a.paused)
            event()
            self.rounds(10)
            self.assertEqual((self.clock.getDelayedCalls(), self.a.paused), ([], True))

    def ended(self) -> None:
        """
        The first has nothing more.
        """
        self.a.waiting.clear()
        self.a.leg.readConnectionLost()

    def test_endsWithinWrite(self) -> None:
        """
        Also if that is found out while the last piece is passed on.
        """
        self.b.write = lambda data: self.copying.close("broken", abort=True)  # type: ignore[method-assign]
        self.start()
        self.a.leg.dataReceived(bytes(300_000))
        self.rounds(3)
        self.assertEqual((self.finished, self.clock.getDelayedCalls()), (["broken"], []))

    def test_buffers(self) -> None:
        """
        A transport that is full holds memory until it is not, or until the end.
        """
        for end in (self.drained, lambda: self.copying.close("idle", abort=True)):
            self.setUp()
            buffers = Buffers()
            self.meters = Meters(buffers=buffers)
            self.a.leg.dataReceived(b"early")
            self.a.leg.count(buffers)
            self.start()
            self.assertEqual(buffers.used, 0)
            self.b.room = 1000
            self.feed(2)
            self.assertEqual(buffers.used, STALLED)
            end()
            self.assertEqual(buffers.used, 0)

    def drained(self) -> None:
        """
        The second has room again.
        """
        self.a.waiting.clear()
        self.b.drain()
