# -*- test-case-name: ugate.test.test_dnslookups -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A tenant's resolver, asked by its own streams that go on from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver

from ugate.modules.dnsforwarding import Forwarder
from ugate.modules.dnslocal import LocalNames
from ugate.protocols.dnsanswers import Answer
from ugate.protocols.dnswire import Asked, questionOf

_TYPES: Final = (28, 1)


@implementer(IHostResolution)
class _Looking:
    """
    One look-up.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.isOver = False

    def cancel(self) -> None:
        """
        See L{IHostResolution}: nobody wants to know any more.
        """
        self.isOver = True


@implementer(IHostnameResolver)
class Lookups:
    """
    What looks names up for streams: real addresses, never one that was made up.

    @since: ugate NEXT
    """

    def __init__(self, local: LocalNames, forwarder: Forwarder, system: Callable[[], Any]) -> None:
        """
        @param system: what is asked about names for which the section names nobody.
        """
        self._local = local
        self._forwarder = forwarder
        self._system = system

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[Any]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """
        See L{IHostnameResolver}.
        """
        name = hostName.lower().removesuffix(".")
        known = self._local.realAddresses(name)
        if known is None and not self._forwarder.serversFor(name):
            found: IHostResolution = self._system().resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
            return found
        looking = _Looking(hostName)
        resolutionReceiver.resolutionBegan(looking)
        asked = self._ask(name) if known is None else succeed([known])
        asked.addCallback(_tell, resolutionReceiver, looking, portNumber, addressTypes, transportSemantics)
        return looking

    def _ask(self, name: str) -> Deferred[list[tuple[bytes, ...]]]:
        try:
            questions = [Asked(questionOf(name, kind)) for kind in _TYPES]
        except ValueError:
            return succeed([])
        return gatherResults([self._addresses(asked, name) for asked in questions])

    def _addresses(self, asked: Asked, name: str) -> Deferred[tuple[bytes, ...]]:
        kept = self._forwarder.kept(asked)
        answer = self._forwarder.ask(asked, name) if kept is None else succeed(kept.answer)
        return answer.addCallback(_numbersIn)


def _numbersIn(answer: Answer) -> tuple[bytes, ...]:
    return answer.addresses


def _tell(
    found: Sequence[tuple[bytes, ...]],
    receiver: IResolutionReceiver,
    looking: _Looking,
    port: int,
    types: Sequence[type[Any]] | None,
    semantics: str,
) -> None:
    if looking.isOver:
        return
    for number in (each for numbers in found for each in numbers):
        kind: Any = IPv4Address if len(number) == 4 else IPv6Address
        if types is None or kind in types:
            receiver.addressResolved(kind(semantics, str(ip_address(number)), port))
    receiver.resolutionComplete()
