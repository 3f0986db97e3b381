# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams that end when nothing has moved on them.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.idling import Idling


class Stream:
    """
    Moves when it is told so.
    """

    active = 0.0


class IdlingTests(SynchronousTestCase):
    """
    L{Idling}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.over: list[Stream] = []
        self.idling: Idling[Stream] = Idling(self.clock, 80, self.expired)

    def expired(self, stream: Stream) -> None:
        """
        One was idle.
        """
        self.over.append(stream)
        self.idling.discard(stream)

    def test_expires(self) -> None:
        """
        Who was idle for longer ends, within an eighth of the time; who has moved does not.
        """
        one, two = Stream(), Stream()
        self.idling.add(one)
        self.idling.add(two)
        self.clock.pump([10] * 8)
        two.active = 80.0
        self.assertEqual(self.over, [])
        self.clock.advance(10)
        self.assertEqual((self.over, list(self.idling), len(self.idling)), ([one], [two], 1))
        self.clock.pump([10] * 8)
        self.assertEqual(self.over, [one, two])
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_change(self) -> None:
        """
        Another time holds for those too that are there.
        """
        one = Stream()
        self.idling.add(one)
        self.idling.change(8)
        self.clock.pump([1] * 9)
        self.assertEqual(self.over, [one])
        self.idling.change(8)
        self.idling.change(9)

    def test_stop(self) -> None:
        """
        Nobody ends when nobody looks.
        """
        self.idling.add(Stream())
        self.idling.stop()
        self.idling.stop()
        self.clock.advance(1000)
        self.assertEqual((self.over, self.clock.getDelayedCalls()), ([], []))
