# -*- test-case-name: ugate.test.test_catries -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How often who could not prove who they are may try again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ugate.tenancy.buckets import originOf

MAX_FAILED: Final = 10
"""How many tries of one address may fail within L{PERIOD}."""

PERIOD: Final = 60.0
"""Seconds for which a failed try counts."""

MAX_ADDRESSES: Final = 4096
"""How many addresses are remembered; the oldest are forgotten first."""


class FailedTries:
    """
    Counts failed tries by address: of IPv6 by network, since a client has all of one.

    @since: ugate NEXT
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: a clock.
        """
        self._seconds = seconds
        self._failed: dict[str, deque[float]] = {}

    def isTooMany(self, peer: Any) -> bool:
        """
        Whether this address has to wait.
        """
        times = self._failed.get(_nameOf(peer))
        if times is None:
            return False
        while times and times[0] <= self._seconds() - PERIOD:
            times.popleft()
        return len(times) >= MAX_FAILED

    def failed(self, peer: Any) -> float:
        """
        A try of it failed, or begins: then it counts as one that failed until it is known to be none, so
        that many at once are not more than so many one after the other.

        @return: what L{good} is told.
        """
        name = _nameOf(peer)
        times = self._failed.pop(name, None)
        if times is None:
            times = deque(maxlen=MAX_FAILED)
        times.append(self._seconds())
        self._failed[name] = times
        if len(self._failed) > MAX_ADDRESSES:
            del self._failed[next(iter(self._failed))]
        return times[-1]

    def good(self, peer: Any, began: float) -> None:
        """
        A try of it did not fail.
        """
        name = _nameOf(peer)
        times = self._failed.get(name)
        if times is not None and began in times:
            times.remove(began)
            if not times:
                del self._failed[name]


def _nameOf(peer: Any) -> str:
    # What a negotiation found out of a stream has its address within.
    return originOf(str(getattr(getattr(peer, "peer", peer), "host", "")))
