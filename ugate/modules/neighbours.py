# -*- test-case-name: ugate.test.test_neighbours -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who else is on a link, by what they announce: datagrams in, nodes out, without a socket or a clock.

Anybody on the link may send anything.  So what costs least is asked first: where a datagram is from, how many
came, whether it looks like a record, whether it is a later one than was heard; and the signature only then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ugate.interfaces import MeshAddress
from ugate.modules.datagrams import HOPS, Datagram
from ugate.modules.netlinks import Link
from ugate.tenancy.buckets import Bucket, Buckets
from ugate.tenancy.noderecords import SKEW, Heading, NodeRecord, RecordError, peek, read

MAX_ADDRESSES: Final = 8
"""Addresses that are kept of one node."""

MAX_PLACES: Final = 8
"""Addresses that one node may announce itself from."""

MAX_AT_PLACE: Final = 16
"""Nodes that may announce themselves from one address."""

LONGEST: Final = 3 * 3600
"""Seconds that an announcement may be good for."""

SOURCES: Final = 1024
"""Addresses whose rates are remembered."""

PER_SOURCE: Final = 8.0, 40.0
"""Datagrams a second from one address, and how many at once."""

PER_LINKS: Final = 200.0, 400.0
"""Datagrams a second in all, and how many at once."""

CHECKS: Final = 50.0, 100.0
"""Signatures a second that are checked, and how many at once."""

FAR = "not from a neighbour"
RATE = "too many"
BROKEN = "no announcements"
FULL = "no room for more nodes"
UNTRUSTED = "of nodes that are not trusted"
QUIET = ""


class Dropped(Exception):
    """
    A datagram from which nothing follows.

    @ivar why: one of a few sentences; empty for what comes all the time.
    @ivar detail: what exactly is wrong with it.
    """

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why, detail)
        self.why = why
        self.detail = detail


@dataclass(slots=True)
class _Place:
    """
    What was heard of one node from one address.
    """

    order: tuple[float, int]
    """That of the last record."""

    addresses: tuple[MeshAddress, ...] = ()
    """What it said; nothing once it has said goodbye, or nothing for too long."""

    expires: float = 0.0
    """Until when that is good, by the clock that never goes back."""

    until: float = 0.0
    """Until when records could be repeated that are older, in seconds since 1970."""


@dataclass(slots=True)
class Neighbour:
    """
    A node on one of our links.

    @since: ugate NEXT
    """

    keyid: str
    """Who it is."""

    places: dict[str, _Place] = field(default_factory=dict)
    """What was heard of it, by the addresses that it was heard from."""

    @property
    def addresses(self) -> tuple[MeshAddress, ...]:
        """
        The ways to it; none when it is gone.
        """
        found = [address for place in self.places.values() for address in place.addresses]
        return tuple(found[:MAX_ADDRESSES])

    @property
    def expires(self) -> float:
        """
        When all of that is good no more.
        """
        return max(place.expires for place in self.places.values())


@dataclass(frozen=True, slots=True)
class Heard:
    """
    What followed from a datagram.
    """

    neighbour: Neighbour
    """Of whom something is different."""

    isNewcomer: bool
    """Whether it cannot know yet who else is there."""


class Neighbours:
    """
    All that are heard.

    @since: ugate NEXT
    """

    def __init__(
        self,
        most: int,
        isWanted: Callable[[str], bool] = lambda keyid: True,
        isOurs: Callable[[bytes], bool] = lambda key: False,
    ) -> None:
        """
        @param most: how many there may be.
        @param isWanted: whether one of that KEYID may be.
        @param isOurs: whether a key, as records have it, is our own: what we say ourselves is heard too.
        """
        self._isOurs = isOurs
        self._most = most
        self._isWanted = isWanted
        self._all: dict[bytes, Neighbour] = {}
        self._sources = Buckets(*PER_SOURCE, SOURCES)
        self._links = Bucket(*PER_LINKS)
        self._checks = Bucket(*CHECKS)

    def __len__(self) -> int:
        return len(self._all)

    def all(self) -> list[Neighbour]:
        """
        All that are known, and those that were lately.
        """
        return list(self._all.values())

    def hear(self, datagram: Datagram, link: Link | None, now: float, at: float) -> Heard:
        """
        Take a datagram.

        @param link: the one that it came by, if that is one of ours.
        @param now: the time, in seconds since 1970.
        @param at: the time by the clock that never goes back.
        @raise Dropped: nothing follows from it.
        """
        host = datagram.host
        if link is None or datagram.hops != HOPS or not link.isNeighbour(host):
            raise Dropped(FAR, f"from {host}, with {datagram.hops} hops left")
        place = f"{host}%{link.name}" if ":" in host else host
        if not self._sources.take(place, at) or not self._links.take(at):
            raise Dropped(RATE, f"from {place}")
        try:
            heading = peek(datagram.data)
        except RecordError as error:
            raise Dropped(BROKEN, f"from {place}: {error}") from error
        known = self._all.get(heading.key)
        before = None if known is None else known.places.get(place)
        if self._isOurs(heading.key) or (
            before is not None and (heading.issued, heading.sequence) <= before.order
        ):
            raise Dropped(QUIET)
        if before is None:
            self._checkRoom(known, place)
        record = self._checked(datagram, heading, place, now, at)
        return self._take(heading.key, place, record, now, at)

    def _checkRoom(self, known: Neighbour | None, place: str) -> None:
        """
        @raise Dropped: there are too many already.
        """
        if known is not None:
            if len(known.places) >= MAX_PLACES:
                raise Dropped(FULL, f"{known.keyid} from {place} too")
        elif len(self._all) >= self._most:
            raise Dropped(FULL, f"one more from {place}")
        if sum(place in each.places for each in self._all.values()) >= MAX_AT_PLACE:
            raise Dropped(FULL, f"one more from {place}, where there are {MAX_AT_PLACE}")

    def _checked(self, datagram: Datagram, heading: Heading, place: str, now: float, at: float) -> NodeRecord:
        """
        What it says.

        @raise Dropped: it is not to be believed.
        """
        if not self._checks.take(at):
            raise Dropped(RATE, f"signatures, the last from {place}")
        try:
            record = read(datagram.data, now, longest=LONGEST, heading=heading)
        except RecordError as error:
            raise Dropped(BROKEN, f"from {place}: {error}") from error
        if any(each.host != datagram.host for each in record.addresses) or not record.addresses:
            # So nobody can repeat it from elsewhere.
            raise Dropped(BROKEN, f"from {place}: it is of another address")
        if record.lifetime and record.expires <= now:
            raise Dropped(BROKEN, f"from {place}: it is too old")
        if not self._isWanted(record.keyid):
            raise Dropped(UNTRUSTED, f"{record.keyid} from {place}")
        return record

    def _take(self, key: bytes, place: str, record: NodeRecord, now: float, at: float) -> Heard:
        known = self._all.get(key)
        before = None if known is None else known.places.get(place)
        if not record.lifetime:
            if known is None or before is None or not before.addresses:
                raise Dropped(QUIET)
            before.order = record.order
            before.addresses = ()
            before.expires = at
            return Heard(known, False)
        if known is None:
            known = self._all[key] = Neighbour(record.keyid)
        # Each process counts from the start.
        isNewcomer = before is None or not before.addresses or record.sequence <= before.order[1]
        known.places[place] = _Place(
            record.order,
            tuple(MeshAddress(each.transport, place, each.port) for each in record.addresses),
            at + min(record.lifetime, record.expires - now),
            record.expires + SKEW,
        )
        return Heard(known, isNewcomer)

    def forgetOld(self, now: float, at: float) -> list[Neighbour]:
        """
        Forget what is good no more.

        @return: those of whom something is different.
        """
        changed = []
        for key, each in list(self._all.items()):
            isChanged = False
            for place, heard in list(each.places.items()):
                if heard.addresses and heard.expires <= at:
                    heard.addresses = ()
                    isChanged = True
                # Until then nobody who repeats what it said is believed.
                if not heard.addresses and heard.until <= now:
                    del each.places[place]
            if isChanged:
                changed.append(each)
            if not each.places:
                del self._all[key]
        return changed
