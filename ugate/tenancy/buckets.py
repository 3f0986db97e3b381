# -*- test-case-name: ugate.test.test_buckets -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How often something may happen: token buckets, one for all or one for each of many.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

_PREFIX: Final = 64
_BITS: Final = 128


def originOf(host: str) -> str:
    """
    What a client is counted as: its address, and of IPv6 the network, since a client has all of one.

    @since: ugate NEXT
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        # A socket for both has them so; all of these are in one network.
        return str(address.ipv4_mapped)
    return str(int(address) >> (_BITS - _PREFIX))


class Bucket:
    """
    So many at once, and so many a second.

    @since: ugate NEXT
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._left = burst
        self._at = 0.0

    def take(self, at: float) -> bool:
        """
        Whether it may happen once more.

        @param at: the time, in seconds by a clock that never goes back.
        """
        self._left = min(self._burst, self._left + (at - self._at) * self._rate)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Buckets:
    """
    A bucket for each key.  Of too many, those that were not used for longest are forgotten.

    @since: ugate NEXT
    """

    def __init__(self, rate: float, burst: float, most: int) -> None:
        """
        @param most: how many keys are remembered.
        """
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, at: float) -> bool:
        """
        Whether it may happen once more for that one.
        """
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = Bucket(self._rate, self._burst)
        self._buckets[key] = bucket
        return bucket.take(at)
