# -*- test-case-name: ugate.test.test_discovery -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a node says of itself to all on its links, and to those who are new there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ugate.errors import UgateError
from ugate.interfaces import ITenant, MeshAddress
from ugate.modules.datagrams import Datagram
from ugate.modules.discoverysection import DiscoverySection
from ugate.modules.multicast import Multicast
from ugate.modules.neighbours import SOURCES
from ugate.modules.netlinks import Link
from ugate.tenancy.buckets import Bucket, Buckets
from ugate.tenancy.noderecords import peek, sign

SOON: Final = 1.0
"""Seconds from a change until it is announced, in which more may change."""

GAP: Final = 10.0
"""Seconds between announcements to all that others bring about, and between answers to one address."""

ANSWERS: Final = 20.0, 40.0
"""Answers a second in all, and how many at once."""

LIVES: Final = 3
"""How many announcements may be lost before we are forgotten."""

_BLOCK: Final = 256
_JITTER: Final = 0.1


class Announcer:
    """
    Announces a tenant, if its section says as what.

    @ivar links: where.
    @ivar key: our own key, as records have it.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        tenant: ITenant,
        title: str,
        section: DiscoverySection,
        multicast: Multicast,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        """
        @param title: what it is called in the log.
        @param multicast: what sends.
        @param now: the time of day.
        @param jitter: between 0 and 1: so that not all speak at once.
        """
        self.links: tuple[Link, ...] = ()
        self.key = b""
        self.title = title
        self._tenant = tenant
        self._interval = section.interval
        self._ways = [_split(each) for each in section.announce]
        self._multicast = multicast
        self._now = now
        self._jitter = jitter
        self._records: dict[tuple[int, bool], bytes] = {}
        self._issued = 0.0
        self._sequence = 0
        self._announced = 0.0
        self._answers = Bucket(*ANSWERS)
        self._answered = Buckets(1 / GAP, 1, SOURCES)
        self._timer: IDelayedCall | None = None
        self._stopFollowing: Callable[[], None] = lambda: None

    @property
    def isSpeaking(self) -> bool:
        """
        Whether anything is said.
        """
        return bool(self._ways)

    def start(self) -> None:
        """
        Announce us now, and again in a moment: a datagram may get lost, and an address that is new is not
        usable at once.

        @raise UgateError: there is no identity.
        """
        if self._ways:
            self._stopFollowing = self._tenant.identity.changed(self.soon)
            self._halt()
            self._announce()
            self.soon()

    def stop(self) -> None:
        """
        Say goodbye, if anything was said.
        """
        self._stopFollowing()
        self._halt()
        try:
            if self._records:
                self._tellAll(0)
        except UgateError as error:
            self.log.warn("{title}: no goodbye: {error}", title=self.title, error=error)

    def _halt(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def soon(self, delay: float = SOON) -> None:
        """
        Announce us in a moment.
        """
        if not self._ways:
            return
        reactor = self._tenant.reactor
        if self._timer is not None:
            if self._timer.getTime() <= reactor.seconds() + delay:
                return
            self._halt()
        self._timer = reactor.callLater(delay, self._announce)

    def _announce(self) -> None:
        self._timer = None
        self.soon(self._interval * (1 - _JITTER * self._jitter()))
        self._announced = self._tenant.reactor.seconds()
        try:
            self._tellAll(round(self._interval * LIVES))
        except UgateError as error:
            self.log.error("{title}: nothing is announced: {error}", title=self.title, error=error)

    def _tellAll(self, lifetime: int) -> None:
        """
        Tell all on our links where we are.

        @param lifetime: for how many seconds; 0 for no more.
        @raise UgateError: our key cannot be had.
        """
        self._records.clear()
        for link in self.links:
            for isIPv6 in (True, False):
                source = link.source(isIPv6)
                if source:
                    data = self._records[link.index, isIPv6] = self._record(source, lifetime)
                    self._multicast.tellAll(link, isIPv6, data)

    def _record(self, source: str, lifetime: int) -> bytes:
        # The time of day may go back, but not that of our records.
        self._issued = max(self._issued, self._now())
        self._sequence += 1
        data = sign(
            self._tenant.identity,
            [MeshAddress(transport, source, port) for transport, port in self._ways],
            issued=self._issued,
            lifetime=lifetime,
            sequence=self._sequence,
            block=_BLOCK,
        )
        self.key = peek(data).key
        return data

    def answer(self, datagram: Datagram, link: Link) -> None:
        """
        Let somebody know of us who is new on a link.  He is sent no more than came from there, so that nobody
        can have us send much to somebody else.
        """
        if not self._ways:
            return
        at: float = self._tenant.reactor.seconds()
        record = self._records.get((link.index, ":" in datagram.host))
        if record is None or len(record) > len(datagram.data):
            self.soon(max(SOON, self._announced + GAP - at))
        elif self._answered.take(f"{datagram.host}%{link.index}", at) and self._answers.take(at):
            self._multicast.tell(link, datagram.host, datagram.port, record)


def _split(text: str) -> tuple[str, int]:
    transport, _, port = text.partition(":")
    return transport, int(port)
