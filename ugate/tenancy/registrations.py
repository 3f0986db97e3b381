# -*- test-case-name: ugate.test.test_registrations -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Nodes that tell a gate how they are reached, by records that their keys have signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import INodes, MeshNode
from ugate.tenancy.buckets import Buckets, originOf
from ugate.tenancy.keyids import vip6OfPoint
from ugate.tenancy.noderecords import SKEW, NodeRecord, peek, read

SOURCE: Final = "registration"
"""What the table of nodes calls what is known by these."""

BURST: Final = 20
"""Records that may come from one address at once, or from one network of IPv6."""

EACH: Final = 1.0
"""Seconds after which one more may."""

MAX_SENDERS: Final = 4096
"""Addresses of which we know how many have come."""


_POINT: Final = 65
"""Bytes of a key that is not RSA, at most."""


@dataclass(frozen=True, slots=True)
class _Last:
    """
    The last record of a node.
    """

    order: tuple[float, int]
    """Its order."""

    until: float
    """When no earlier one could be believed any more, by the clock of the reactor."""


class Registrations:
    """
    What a gate takes from nodes, into a table of nodes.

    @since: ugate NEXT
    """

    def __init__(
        self,
        nodes: INodes,
        clock: IReactorTime,
        keys: Collection[str],
        *,
        isOpen: bool,
        longest: int,
        most: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param nodes: the table.
        @param keys: the KEYIDs that may register.
        @param isOpen: whether every key may.
        @param longest: seconds that a record may be good for.
        @param most: how many nodes there may be.
        @param now: the time of day.
        """
        self._nodes = nodes
        self._clock = clock
        self._keys = frozenset(keys)
        self._isOpen = isOpen
        self._longest = longest
        self._most = most
        self._now = now
        self._last: dict[str, _Last] = {}
        self._senders = Buckets(1 / EACH, BURST, MAX_SENDERS)

    def take(self, data: bytes, sender: str) -> NodeRecord:
        """
        Take a record.

        @param sender: the address that it came from, or empty; it stands for an empty host in the record.
        @raise RecordError: it is not to be believed, and why.
        @raise Refused: it may not register, not now, or not so.
        """
        heading = peek(data)
        seconds = self._clock.seconds()
        if not self._senders.take(originOf(sender), seconds):
            raise _refused(Cause.OVERLOADED, sender, "too many records from there", "wait a while")
        now = self._now()
        record = read(data, now, longest=self._longest, heading=heading)
        keyid = record.keyid
        if not self._isOpen and keyid not in self._keys:
            raise _refused(Cause.DENIED, keyid, "its key may not register here", "add it to keys")
        self._checkOrder(record, seconds)
        self._apply(record, sender, seconds + record.expires - now, _addressOf(heading.key))
        self._last[keyid] = _Last(record.order, seconds + record.issued + self._longest + SKEW - now)
        return record

    def _checkOrder(self, record: NodeRecord, seconds: float) -> None:
        keyid = record.keyid
        last = self._last.get(keyid)
        if last is not None and record.order <= last.order:
            detail = "it has said something later already"
            raise _refused(Cause.GENERAL, keyid, detail, "see its clock; or somebody sends old records again")
        if last is None and len(self._last) >= self._most:
            over = [each for each, known in self._last.items() if known.until <= seconds]
            for each in over:
                del self._last[each]
            if not over:
                detail = f"{self._most} nodes are registered"
                raise _refused(Cause.OVERLOADED, keyid, detail, "wait until one is forgotten, or raise most")

    def _apply(self, record: NodeRecord, sender: str, expires: float, vip6: tuple[str, ...]) -> None:
        keyid = record.keyid
        if not record.lifetime:
            self._nodes.forget(keyid, SOURCE)
            return
        addresses = tuple(
            replace(each, host=each.host or sender) for each in record.addresses if each.host or sender
        )
        self._nodes.learn(MeshNode(keyid, addresses, (*record.names, *vip6), SOURCE, expires))


def _addressOf(key: bytes) -> tuple[str, ...]:
    """
    The address that follows from a key as records have it; none of RSA, which has another form there.
    """
    return (vip6OfPoint(key),) if len(key) <= _POINT else ()


def _refused(cause: Cause, who: str, detail: str, step: str) -> Refused:
    return Refused(cause, Phase.NEGOTIATE, f"registration of {who}", detail, step)
