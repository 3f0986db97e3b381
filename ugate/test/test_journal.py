# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Changes that can be taken back.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.journal import Journal


class Thing:
    """
    Something with attributes.
    """

    color = "red"


class JournalTests(SynchronousTestCase):
    """
    L{Journal}.
    """

    def test_rollback(self) -> None:
        """
        All is as before, however often it was changed.
        """
        journal, thing, mapping = Journal(), Thing(), {"a": 1}
        journal.set(thing, "color", "green")
        journal.set(thing, "color", "blue")
        journal.put(mapping, "a", 2)
        journal.put(mapping, "b", 3)
        journal.drop(mapping, "a")
        journal.drop(mapping, "c")
        self.assertEqual((thing.color, mapping), ("blue", {"b": 3}))
        journal.rollback()
        self.assertEqual((vars(thing), mapping), ({}, {"a": 1}))

    def test_clear(self) -> None:
        """
        An attribute that was taken away comes back.
        """
        journal, thing = Journal(), Thing()
        thing.color = "green"
        journal.clear(thing, "color")
        self.assertEqual(thing.color, "red")
        journal.rollback()
        self.assertEqual(thing.color, "green")

    def test_commit(self) -> None:
        """
        After a commit nothing is taken back; what was left for then is done.
        """
        journal, mapping, done = Journal(), {"a": 1}, list[str]()
        journal.put(mapping, "a", 2)
        journal.did(lambda: done.append("undone"))
        journal.later(lambda: done.append("later"))
        self.assertEqual(done, [])
        journal.commit()
        journal.rollback()
        self.assertEqual((mapping, done), ({"a": 2}, ["later"]))

    def test_order(self) -> None:
        """
        The last change is taken back first; what was for later is not done.
        """
        journal, done = Journal(), list[int]()
        for number in range(3):
            journal.did(lambda number=number: done.append(number))  # type: ignore[misc]
        journal.later(lambda: done.append(9))
        journal.rollback()
        self.assertEqual(done, [2, 1, 0])

    @given(
        st.dictionaries(st.integers(0, 5), st.integers()),
        st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers())),
    )
    def test_any(self, before: dict[int, int], steps: list[Any]) -> None:
        """
        Whatever was done.
        """
        journal, mapping = Journal(), dict(before)
        for put, key, value in steps:
            if put:
                journal.put(mapping, key, value)
            else:
                journal.drop(mapping, key)
        journal.rollback()
        self.assertEqual(mapping, before)
