# -*- test-case-name: ugate.test.test_addressnames -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Addresses that are made up for names, out of a range where nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network
from math import inf
from secrets import randbelow
from typing import Final

from twisted.internet.interfaces import IReactorTime

MOST: Final = 65536
"""Addresses of a range that are used."""

REST: Final = 120.0
"""Seconds for which an address stays that of a name, since somebody was told or used it."""

_AGAIN: Final = 1.0
"""Seconds for which what streams use is not looked up again."""


class FakeAddresses:
    """
    The addresses of one range, which are used in their order, from anywhere in it.

    A name keeps its address.  When none is left, the one that was not used for longest goes to another
    name; never one that a stream uses, or that was used a moment ago.

    @since: ugate NEXT
    """

    def __init__(
        self,
        clock: IReactorTime,
        network: IPv4Network | IPv6Network,
        inUse: Callable[[], Collection[str]],
        most: int = MOST,
    ) -> None:
        """
        @param network: the range; its first address is not used, nor its last.
        @param inUse: the names that streams are for, now.
        @param most: how many addresses are used.
        """
        self.network = network
        self.inUse = inUse
        self._clock = clock
        self._size = network.max_prefixlen // 8
        self._first = int(network.network_address) + 1
        self._many = max(0, network.num_addresses - 2)
        self._room = min(most, self._many)
        # Programs use addresses of before a restart, which should be nobody's then.
        self._start = randbelow(self._many) if self._room else 0
        # The name that was not used for longest comes first.
        self._names: dict[str, tuple[bytes, float]] = {}
        self._addresses: dict[bytes, str] = {}
        self._used: Collection[str] = ()
        self._lookedAt = -inf

    def __len__(self) -> int:
        return len(self._names)

    def has(self, number: bytes) -> bool:
        """
        Whether it is in the range.

        @param number: an address, packed.
        """
        if len(number) != self._size:
            return False
        return 0 <= int.from_bytes(number, "big") - self._first + 1 < self.network.num_addresses

    def addressFor(self, name: str) -> bytes | None:
        """
        The address of a name, packed; L{None} if all are in use.
        """
        known = self._names.get(name)
        if known is None:
            number = self._free()
            if number is None:
                return None
            self._addresses[number] = name
        else:
            number = known[0]
        self._touch(name, number)
        return number

    def nameFor(self, number: bytes) -> str | None:
        """
        The name of an address, which is used by that.
        """
        name = self._addresses.get(number)
        if name is not None:
            self._touch(name, number)
        return name

    def _touch(self, name: str, number: bytes) -> None:
        self._names.pop(name, None)
        self._names[name] = number, self._clock.seconds()

    def _free(self) -> bytes | None:
        if len(self._names) < self._room:
            # None is ever given back, so they are used up in their order.
            place = (self._start + len(self._names)) % self._many
            return (self._first + place).to_bytes(self._size, "big")
        now = self._clock.seconds()
        while self._names:
            name, (number, at) = next(iter(self._names.items()))
            if now - at < REST:
                break
            if name in self._streams(now):
                self._touch(name, number)
                continue
            del self._names[name]
            return number
        return None

    def _streams(self, now: float) -> Collection[str]:
        if now - self._lookedAt >= _AGAIN:
            # Whatever began in between was used too short a time ago to be asked about.
            self._used, self._lookedAt = frozenset(self.inUse()), now
        return self._used
