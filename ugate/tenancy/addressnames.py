# -*- test-case-name: ugate.test.test_addressnames -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which names addresses stand for: what the resolver of a tenant has told its clients.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from zope.interface import implementer

from twisted.internet.interfaces import IReactorTime

from ugate.interfaces import INames
from ugate.tenancy.fakeaddresses import FakeAddresses
from ugate.tenancy.match import packed

MOST: Final = 65536
"""Addresses of which the name is remembered."""

GRACE: Final = 600.0
"""Seconds for which it is, when the answer is no longer good: programs use one for longer than they may."""


@implementer(INames)
class AddressNames:
    """
    The table of a tenant.  It stays the same object whatever becomes of its sections, since clients keep
    what they were told.

    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, most: int = MOST) -> None:
        """
        @param most: how many addresses are remembered.
        """
        self._clock = clock
        self._most = most
        # What was told longest ago comes first.
        self._names: dict[bytes, tuple[str, float]] = {}
        self._ranges: dict[IPv4Network | IPv6Network, FakeAddresses] = {}

    def __len__(self) -> int:
        return len(self._names)

    def learn(self, name: str, number: bytes, ttl: float) -> None:
        """
        A client was told that a name has that address.  Of those that are made up it is known anyway.

        @param number: the address, packed.
        @param ttl: seconds for which that is good.
        """
        if self.isMadeUp(number):
            return
        names = self._names
        names.pop(number, None)
        names[number] = name, self._clock.seconds() + ttl + GRACE
        if len(names) > self._most:
            del names[next(iter(names))]

    def nameFor(self, address: str) -> str | None:
        """
        See L{INames.nameFor}.
        """
        number = packed(address)
        if number is None:
            return None
        for made in self._ranges.values():
            if made.has(number):
                return made.nameFor(number)
        name, until = self._names.get(number, ("", 0.0))
        if not name:
            return None
        if until < self._clock.seconds():
            del self._names[number]
            return None
        return name

    def isFake(self, address: str) -> bool:
        """
        See L{INames.isFake}.
        """
        if not self._ranges:
            return False
        number = packed(address)
        return number is not None and self.isMadeUp(number)

    def isMadeUp(self, number: bytes) -> bool:
        """
        The same of an address that is packed.
        """
        return any(made.has(number) for made in self._ranges.values())

    def fake(self, network: IPv4Network | IPv6Network, inUse: Callable[[], Collection[str]]) -> FakeAddresses:
        """
        The addresses that are made up out of a range: those that it had, if it was in use before.

        @param inUse: see L{FakeAddresses}.
        """
        made = self._ranges.pop(network, None)
        if made is None:
            made = FakeAddresses(self._clock, network, inUse)
        made.inUse = inUse
        self._ranges[network] = made
        return made

    def keep(self, networks: Collection[IPv4Network | IPv6Network]) -> None:
        """
        Forget the ranges that are not among these: something may really be there.
        """
        for network in self._ranges.keys() - set(networks):
            del self._ranges[network]
