# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.pauses}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.pauses import pauseBefore


class PauseTests(SynchronousTestCase):
    """
    How long.
    """

    def test_doubles(self) -> None:
        """
        Twice as long after each failure, up to a limit, however often it fails.
        """
        whole = [pauseBefore(failed, 1.0, 10.0, lambda: 1.0) for failed in (1, 2, 3, 4, 5, 100_000)]
        self.assertEqual([1.0, 2.0, 4.0, 8.0, 10.0, 10.0], whole)

    def test_jitter(self) -> None:
        """
        Chance takes off up to a half.
        """
        self.assertEqual(2.0, pauseBefore(3, 1.0, 10.0, lambda: 0.0))
        self.assertEqual(3.0, pauseBefore(3, 1.0, 10.0, lambda: 0.5))
