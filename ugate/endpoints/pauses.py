# -*- test-case-name: ugate.test.test_pauses -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How long to wait before something is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_DOUBLINGS: Final = 30


def pauseBefore(failed: int, first: float, longest: float, jitter: Callable[[], float]) -> float:
    """
    Seconds to wait: twice as many after each failure, and never all at the same moment.

    @param failed: how often it has failed, at least once.
    @param first: seconds after the first failure, at most.
    @param longest: seconds that no pause is longer than.
    @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
    @since: ugate NEXT
    """
    return min(first * 2.0 ** min(failed - 1, _DOUBLINGS), longest) * (1 + jitter()) / 2
