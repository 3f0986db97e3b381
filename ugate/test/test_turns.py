# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.turns}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.turns import Turns
from ugate.test.credentialfakes import Counted


class TurnsTests(SynchronousTestCase):
    """
    L{Turns}.
    """

    def test_turns(self) -> None:
        """
        Only so many run at once; the others have their turn in their order, whatever becomes of those before.
        """
        running: list[tuple[Callable[[], bool], Deferred[bool]]] = []

        def elsewhere(call: Callable[[], bool]) -> Deferred[bool]:
            running.append((call, Deferred()))
            return running[-1][1]

        turns = Turns(elsewhere, 2)
        answers = [turns(partial(bool, number % 2)) for number in range(4)]
        self.assertEqual(len(running), 2)
        running[0][1].errback(ZeroDivisionError())
        self.failureResultOf(answers[0], ZeroDivisionError)
        self.assertEqual(len(running), 3)
        for call, answer in running[1:]:
            answer.callback(call())
        self.assertEqual([self.successResultOf(answer) for answer in answers[1:3]], [True, False])
        running[3][1].callback(True)
        self.assertTrue(self.successResultOf(answers[3]))

    def test_many(self) -> None:
        """
        A thousand that are done at once take no deep stack.
        """
        counted = Counted()
        turns = Turns(counted, 1)
        held: Deferred[bool] = Deferred()
        first = [True]

        def elsewhere(call: Callable[[], bool]) -> Deferred[bool]:
            if first.pop() if first else False:
                return held
            return counted(call)

        turns = Turns(elsewhere, 1)
        answers = [turns(lambda: True) for _ in range(3000)]
        held.callback(True)
        for answer in answers:
            self.assertTrue(self.successResultOf(answer))
