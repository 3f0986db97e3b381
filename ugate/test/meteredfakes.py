# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Joined sockets with a meter.
"""

from __future__ import annotations

from ugate.metering import TICK, Meter
from ugate.test.pumpfakes import PumpTestCase


class MeteredTestCase(PumpTestCase):
    """
    Has a meter: at the beginning 200 000 bytes may pass, then 25 000 in each round.
    """

    threads = 0
    RATE = 1_000_000
    FIRST = 200_000
    ROUND = 25_000

    def setUp(self) -> None:
        super().setUp()
        self.meter = Meter(self.reactor, self.RATE)

    def stop(self) -> None:
        super().stop()
        self.meter.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def rounds(self, count: int) -> None:
        """
        So many rounds go by.
        """
        for _ in range(count):
            self.reactor.advance(TICK)
            while self.turn(0.001):
                pass
