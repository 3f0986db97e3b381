# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.deadlines}.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    """
    Things that must end within ten seconds.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.late: list[tuple[str, float]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10.0, self.expired)

    def expired(self, thing: str) -> None:
        self.late.append((thing, self.clock.seconds()))

    def timers(self) -> int:
        return len(self.clock.getDelayedCalls())

    def test_onTime(self) -> None:
        """
        A thing expires when its time is over, not before, and only once.
        """
        self.deadlines.start("a")
        self.clock.advance(9.99)
        self.assertEqual(self.late, [])
        self.clock.advance(0.01)
        self.assertEqual(self.late, [("a", 10.0)])
        self.clock.pump([10.0] * 3)
        self.assertEqual(len(self.late), 1)

    def test_order(self) -> None:
        """
        Things expire in the order they began, each at its own time.
        """
        for thing in "bac":
            self.deadlines.start(thing)
            self.clock.advance(1)
        self.clock.pump([1.0] * 12)
        self.assertEqual(self.late, [("b", 10.0), ("a", 11.0), ("c", 12.0)])

    def test_late(self) -> None:
        """
        A clock that jumps makes all that is late expire, and no other.
        """
        self.deadlines.start("a")
        self.clock.advance(1)
        self.deadlines.start("b")
        self.clock.advance(8)
        self.deadlines.start("c")
        self.clock.advance(3)
        self.assertEqual([thing for thing, _ in self.late], ["a", "b"])
        self.assertEqual(list(self.deadlines), ["c"])

    def test_stop(self) -> None:
        """
        What is stopped does not expire; stopping what was never begun is nothing.
        """
        self.deadlines.start("a")
        self.deadlines.start("b")
        self.deadlines.stop("a")
        self.deadlines.stop("nobody")
        self.clock.advance(20)
        self.assertEqual([thing for thing, _ in self.late], ["b"])

    def test_restart(self) -> None:
        """
        A thing begun again has its time anew, and goes to the end of the row.
        """
        self.deadlines.start("a")
        self.clock.advance(1)
        self.deadlines.start("b")
        self.clock.advance(5)
        self.deadlines.start("a")
        self.assertEqual(len(self.deadlines), 2)
        self.clock.pump([0.5] * 30)
        self.assertEqual(self.late, [("b", 11.0), ("a", 16.0)])

    def test_lengthAndOrder(self) -> None:
        """
        It tells how many there are, and which; what it gives does not change meanwhile.
        """
        for thing in "abc":
            self.deadlines.start(thing)
        for thing in self.deadlines:
            self.deadlines.stop(thing)
        self.assertEqual(len(self.deadlines), 0)

    def test_oneTimer(self) -> None:
        """
        However many there are, there is one timer, and none when nothing is left.
        """
        self.assertEqual(self.timers(), 0)
        for number in range(100):
            self.deadlines.start(str(number))
            self.clock.advance(0.01)
            self.assertEqual(self.timers(), 1)
        self.clock.pump([0.1] * 120)
        self.assertEqual(len(self.late), 100)
        self.assertEqual(self.timers(), 0)

    def test_timerWithNothingLeft(self) -> None:
        """
        A timer that finds nothing is not set again; one that comes too early is.
        """
        self.deadlines.start("a")
        self.deadlines.stop("a")
        self.clock.advance(5)
        self.deadlines.start("b")
        self.assertEqual(self.timers(), 1)
        self.clock.advance(5)
        self.assertEqual(self.late, [])
        self.deadlines.stop("b")
        self.clock.advance(5)
        self.assertEqual((self.late, self.timers()), ([], 0))

    def test_close(self) -> None:
        """
        Closed, it forgets everything, its timer too; it can be used again.
        """
        self.deadlines.start("a")
        self.deadlines.close()
        self.assertEqual((len(self.deadlines), self.timers()), (0, 0))
        self.deadlines.close()
        self.clock.advance(20)
        self.assertEqual(self.late, [])
        self.deadlines.start("b")
        self.clock.advance(10)
        self.assertEqual(self.late, [("b", 30.0)])


class ExpiryTests(SynchronousTestCase):
    """
    What may happen while things expire.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.late: list[str] = []
        self.acts: dict[str, Callable[[], object]] = {}
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10.0, self.expired)
        for thing in "abc":
            self.deadlines.start(thing)

    def expired(self, thing: str) -> None:
        """
        Do once what the test wants done when this one expires.
        """
        self.late.append(thing)
        act = self.acts.pop(thing, None)
        if act is not None:
            act()

    def test_stopsAnother(self) -> None:
        """
        One that expires may stop another that is just as late.
        """
        self.acts["a"] = lambda: self.deadlines.stop("b")
        self.clock.advance(10)
        self.assertEqual(self.late, ["a", "c"])

    def test_startsAnotherAnew(self) -> None:
        """
        One that expires may give another that is just as late its time anew.
        """
        self.acts["a"] = lambda: self.deadlines.start("b")
        self.clock.advance(10)
        self.assertEqual(self.late, ["a", "c"])
        self.clock.advance(9.9)
        self.assertEqual(self.late, ["a", "c"])
        self.clock.advance(0.1)
        self.assertEqual(self.late, ["a", "c", "b"])

    def test_startsItselfAnew(self) -> None:
        """
        One that expires may begin again.
        """
        self.acts["b"] = lambda: self.deadlines.start("b")
        self.clock.advance(10)
        self.assertEqual(list(self.deadlines), ["b"])
        self.clock.advance(10)
        self.assertEqual(self.late, ["a", "b", "c", "b"])

    def test_closes(self) -> None:
        """
        One that expires may close it all.
        """
        self.acts["b"] = self.deadlines.close
        self.clock.advance(10)
        self.assertEqual(self.late, ["a", "b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fails(self) -> None:
        """
        An error while one expires does not keep the others alive, and is not hidden.
        """

        def fail() -> None:
            raise ZeroDivisionError("a mistake")

        self.acts["a"] = fail
        self.assertRaises(ZeroDivisionError, self.clock.advance, 10)
        self.clock.advance(0)
        self.assertEqual(self.late, ["a", "b", "c"])
        self.assertEqual(len(self.deadlines), 0)

    @given(st.lists(st.tuples(st.sampled_from("+-."), st.integers(0, 4)), max_size=60))
    def test_asManyTimers(self, acts: list[tuple[str, int]]) -> None:
        """
        It says the same as a timer for each thing would.
        """
        clock = Clock()
        seen: list[tuple[int, float]] = []
        wanted: list[tuple[int, float]] = []
        deadlines: Deadlines[int] = Deadlines(clock, 10.0, lambda n: seen.append((n, clock.seconds())))
        due: dict[int, float] = {}
        for act, number in acts:
            if act == "+":
                deadlines.start(number)
                due[number] = clock.seconds() + 10
            elif act == "-":
                deadlines.stop(number)
                due.pop(number, None)
            else:
                for _ in range(number):
                    clock.advance(1)
                    for other, when in tuple(due.items()):
                        if when <= clock.seconds():
                            wanted.append((other, clock.seconds()))
                            del due[other]
        self.assertEqual(sorted(seen), sorted(wanted))
        self.assertEqual(set(deadlines), set(due))
        self.assertLessEqual(len(clock.getDelayedCalls()), 1)
