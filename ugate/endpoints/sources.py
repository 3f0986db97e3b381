# -*- test-case-name: ugate.test.test_sources -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who has not logged in yet, by the addresses that they come from: none has more than its share, and those whose
logins fail have to wait.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.links import LinkMaker
from ugate.errors import Cause, Phase, Refused
from ugate.stream import StreamInfo

SHARE: Final = 10
"""One source may have one in so many of the connections that are still free, and one in any case."""

WRONG: Final = 5.0
"""Seconds for a connection that ends after something wrong was tried."""

NOTHING: Final = 1.0
"""Seconds for one that ends without that, and without a login."""

LATE: Final = 10.0
"""Seconds for one that has not logged in in time."""

LEAST: Final = 15.0
"""So many of them together count, and fewer do not."""

LONGEST: Final = 600.0
"""And not more."""

KNOWN: Final = 10_000
"""Sources with such seconds at once; who has done nothing wrong for longest is forgotten for a new one."""

_NETWORK: Final = 64
"""Bits of an address of IPv6 that one customer has for all."""


class TurnedAway(Refused):
    """
    One of too many, of which the log knows already.

    @since: ugate NEXT
    """


def sourceOf(peer: object) -> str | None:
    """
    Whom a connection is counted to: an address, in IPv6 its network of 64 bits.  This machine is nobody: what
    comes from here is by our leave, maybe from a proxy, for all whom that serves.
    """
    return networkOf(getattr(peer, "host", ""))


def networkOf(host: str) -> str | None:
    """
    The same of an address.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        network = int(address) >> (128 - _NETWORK) << (128 - _NETWORK)
        return f"{IPv6Address(network)}/{_NETWORK}"
    return str(address)


class Sources:
    """
    The sources of the connections of one listener.

    @since: ugate NEXT
    """

    log = Logger()
    _isCrowded = False

    def __init__(self, clock: IReactorTime, most: int, deadline: float, penalties: bool = True) -> None:
        """
        @param clock: what tells the time.
        @param most: connections at once that have not logged in.
        @param deadline: seconds until one has to be.
        @param penalties: whether those have to wait whose logins fail.
        """
        self._seconds = clock.seconds
        self._most = most
        self._deadline = deadline
        self._penalties = penalties
        self._waiting: Counter[str] = Counter()
        # Until when, the last that did something wrong at the end; and who does not get in until then.
        self._until: dict[str, float] = {}
        self._shut: set[str] = set()

    def maker(self, make: LinkMaker) -> LinkMaker:
        """
        The same for those alone who may come.

        @param make: makes a protocol, whose C{wrong} says how often something wrong was tried.
        """

        def made(info: StreamInfo) -> tuple[IProtocol, Deferred[Any]]:
            source = sourceOf(info.peer)
            if source is None:
                return make(info)
            self._admit(source)
            protocol, ready = make(info)
            self._waiting[source] += 1
            ready.addBoth(self._ended, source, self._seconds(), protocol)
            return protocol, ready

        return made

    def _admit(self, source: str) -> None:
        """
        @raise TurnedAway: it may not come now.
        """
        if source in self._shut:
            if self._until[source] > self._seconds():
                raise _turnedAway(source, "its logins fail")
            self._forget(source)
        free = self._most - self._waiting.total()
        if self._waiting[source] < max(1, free // SHARE):
            self._isCrowded = False
            return
        if not self._isCrowded:
            self._isCrowded = True
            many = self._waiting[source]
            self.log.warn(
                "{source} has {many} connections that have not logged in: more are closed",
                source=source,
                many=many,
            )
        raise _turnedAway(source, "it has too many connections")

    def _ended(self, result: Any, source: str, began: float, protocol: Any) -> Any:
        self._waiting[source] -= 1
        if not self._waiting[source]:
            del self._waiting[source]
        if isinstance(result, Failure) and self._penalties:
            isLate = self._seconds() - began >= self._deadline
            self._punish(source, LATE if isLate else WRONG if protocol.wrong else NOTHING)
        return result

    def _punish(self, source: str, seconds: float) -> None:
        now = self._seconds()
        until = min(max(self._until.pop(source, now), now) + seconds, now + LONGEST)
        if len(self._until) >= KNOWN:
            self._forget(next(iter(self._until)))
        self._until[source] = until
        if until - now >= LEAST and source not in self._shut:
            self._shut.add(source)
            self.log.warn(
                "{source} has to wait for {seconds} s, since its logins fail",
                source=source,
                seconds=round(until - now),
            )

    def _forget(self, source: str) -> None:
        del self._until[source]
        self._shut.discard(source)


def _turnedAway(source: str, why: str) -> TurnedAway:
    return TurnedAway(Cause.OVERLOADED, Phase.NEGOTIATE, source, why)
