# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.slots}.
"""

from __future__ import annotations

import mmap

from twisted.trial.unittest import SynchronousTestCase

from ugate.slots import PLACES, SIZE, UNLIMITED, Slots


class SlotsTests(SynchronousTestCase):
    """
    The numbers.
    """

    def test_exchange(self) -> None:
        """
        Places are apart, and begin anew.
        """
        with mmap.mmap(-1, SIZE) as memory:
            numbers = Slots(memory)
            for place in (0, 7, PLACES - 1):
                numbers.begin(place)
            self.assertEqual(numbers.exchange(7, 5, 2.5), UNLIMITED)
            numbers.setAllowed(7, 9)
            self.assertEqual(numbers.exchange(7, 6, 3.5), 9)
            self.assertEqual((numbers.count(7), numbers.active(7), numbers.allowed(7)), (6, 3.5, 9))
            for place in (0, PLACES - 1):
                self.assertEqual(
                    (numbers.count(place), numbers.active(place), numbers.allowed(place)), (0, 0.0, UNLIMITED)
                )
            numbers.begin(7)
            self.assertEqual((numbers.count(7), numbers.active(7), numbers.allowed(7)), (0, 0.0, UNLIMITED))
            numbers.close()
