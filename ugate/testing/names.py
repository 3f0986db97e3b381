# -*- test-case-name: ugate.test.test_testing,ugate.test.test_testingreactor -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How a host of a mesh looks names up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver

from ugate.testing.network import Machine, Network


@implementer(IHostResolution)
class Lookup:
    """
    A name that is being looked up.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = False

    def cancel(self) -> None:
        """
        Nobody wants to know any more.
        """
        self.cancelled = True


@implementer(IHostnameResolver)
class MeshResolver:
    """
    Looks up the names of a mesh; the answer comes in a later turn.

    @since: ugate NEXT
    """

    def __init__(self, network: Network, machine: Machine) -> None:
        """
        @param machine: who asks.
        """
        self._network = network
        self._machine = machine

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """
        Look a name up.
        """
        lookup = Lookup(hostName)
        resolutionReceiver.resolutionBegan(lookup)
        fault = self._network.faults.onLookup(self._machine.name, hostName)
        if fault is not None and not fault.answers:
            return lookup
        found: list[IAddress] = []
        semantics: Any = transportSemantics
        if fault is None:
            for address in self._network.addressesOf(hostName):
                kind = IPv4Address if address.version == 4 else IPv6Address
                if addressTypes is None or kind in addressTypes:
                    found.append(kind(semantics, str(address), portNumber))
        self._network.turns.callLater(0, _answer, lookup, found, resolutionReceiver)
        return lookup


def _answer(lookup: Lookup, found: list[IAddress], receiver: IResolutionReceiver) -> None:
    if lookup.cancelled:
        return
    for address in found:
        receiver.addressResolved(address)
    receiver.resolutionComplete()
