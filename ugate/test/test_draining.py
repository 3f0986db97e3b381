# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The wait for streams at the end of a node.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ugate.draining import Drain


class DrainTests(SynchronousTestCase):
    """
    L{Drain}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.streams: list[str] = []
        self.waiting = 0

    def begin(self, seconds: float) -> Drain:
        """
        Begin a drain.
        """
        drain = Drain(self.clock, self.streams.__len__, seconds)

        def waiting() -> None:
            self.waiting += 1

        drain.begin(waiting)
        return drain

    def test_nothingLeft(self) -> None:
        """
        Without streams it is over at once, and nothing is said.
        """
        with capturedLogs() as events:
            drain = self.begin(30)
        self.successResultOf(drain.done)
        self.assertEqual((self.waiting, events, self.clock.getDelayedCalls()), (0, [], []))

    def test_ends(self) -> None:
        """
        It is over soon after the last stream has ended, and how long it may take and took
        is said.
        """
        self.streams += "ab"
        with capturedLogs() as events:
            drain = self.begin(30)
            self.assertEqual(self.waiting, 1)
            self.clock.pump([0.1] * 30)
            self.streams.pop()
            self.clock.pump([0.1] * 30)
            self.assertNoResult(drain.done)
            self.streams.pop()
            self.clock.pump([0.1] * 3)
        self.successResultOf(drain.done)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["open streams: 2; they have 30 s to end", "all streams have ended, after 6.2 s"],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tooLong(self) -> None:
        """
        After the time it is over with what is left.
        """
        self.streams += "abc"
        with capturedLogs() as events:
            drain = self.begin(2.5)
            self.clock.pump([0.1] * 24)
            self.assertNoResult(drain.done)
            self.clock.advance(0.1001)
        self.successResultOf(drain.done)
        self.assertEqual(formatEvent(events[-1]), "streams cut after 2.5 s: 3")

    def test_noTime(self) -> None:
        """
        With no time it is over at once.
        """
        self.streams += "a"
        with capturedLogs() as events:
            drain = self.begin(0)
        self.successResultOf(drain.done)
        self.assertEqual(self.waiting, 0)
        self.assertEqual([formatEvent(event) for event in events], ["streams cut after 0.0 s: 1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cut(self) -> None:
        """
        It can be cut short; more than once makes no difference, nor does it afterwards.
        """
        self.streams += "a"
        with capturedLogs() as events:
            drain = self.begin(30)
            self.clock.advance(1)
            drain.cut()
            self.successResultOf(drain.done)
            drain.cut()
        self.assertEqual(formatEvent(events[-1]), "streams cut after 1.0 s: 1")
        self.assertEqual((len(events), self.clock.getDelayedCalls()), (2, []))

    @given(st.floats(0, 100), st.lists(st.floats(0, 20), max_size=20))
    def test_neverLongerThanItMay(self, seconds: float, lives: list[float]) -> None:
        """
        Whenever streams end, it is over within the time, and not while there is time left
        and a stream open.
        """
        clock = Clock()
        streams = dict.fromkeys(range(len(lives)))
        for number, life in enumerate(lives):
            clock.callLater(life, streams.pop, number)
        drain = Drain(clock, streams.__len__, seconds)
        over: list[float] = []
        drain.done.addCallback(lambda _: over.append(clock.seconds()))
        drain.begin(lambda: None)
        while clock.getDelayedCalls():
            clock.advance(max(0.0, min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds()))
        last = max(lives, default=0.0)
        if lives:
            self.assertGreaterEqual(over[0] + 1e-6, min(last, seconds))
        self.assertLessEqual(over[0], min(seconds, last + Drain.CHECK) + 1e-6)
