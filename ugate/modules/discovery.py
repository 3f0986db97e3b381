# -*- test-case-name: ugate.test.test_discovery,ugate.test.interop.test_discovery -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{discovery}: the nodes on one network find each other.

What is learned so is where a node may be.  Who answers there is found out by TLS, each time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from random import random
from typing import Any, Final

from zope.interface import implementer

from twisted.application.service import IService, Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ugate.errors import Refused, UgateError
from ugate.interfaces import IModule, ITenant, MeshAddress, MeshNode
from ugate.modules.buckets import Bucket, Buckets
from ugate.modules.discoverysection import DiscoverySection
from ugate.modules.links import Link, readLinks
from ugate.modules.multicast import Datagram, Multicast
from ugate.modules.neighbours import FULL, SOURCES, Dropped, Neighbour, Neighbours
from ugate.tenancy.noderecords import peek, sign
from ugate.tenancy.nodes import CONFIG

SCAN: Final = 3.0
"""Seconds between looks at the network interfaces."""

SOON: Final = 1.0
"""Seconds from a change until it is announced, in which more may change."""

GAP: Final = 10.0
"""Seconds between announcements to all that others bring about, and between answers to one address."""

ANSWERS: Final = 20.0, 40.0
"""Answers a second in all, and how many at once."""

TOLD: Final = 60.0
"""Seconds between lines in the log about what was dropped."""

LIVES: Final = 3
"""How many announcements may be lost before we are forgotten."""

_BLOCK: Final = 256
_JITTER: Final = 0.1
_WORST: Final = 200


class Discovery(Service):
    """
    One section: who is on its links, and that we are.

    @ivar neighbours: who was heard.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        tenant: ITenant,
        name: str,
        section: DiscoverySection,
        *,
        links: Callable[[Collection[str]], Iterable[Link]] = readLinks,
        multicast: Callable[..., Multicast] = Multicast,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random,
    ) -> None:
        """
        @param links: what there is now.
        @param multicast: makes what sends and receives.
        @param now: the time of day.
        @param jitter: between 0 and 1: so that not all speak at once.
        """
        self.tenant = tenant
        self.section = section
        self.source = f"discovery.{name}"
        self.title = f"{tenant.name} discovery {name}"
        self.neighbours = Neighbours(section.nodes, self._isWanted)
        self._ways = [_split(each) for each in section.announce]
        self._readLinks = links
        self._multicast = multicast(tenant.reactor, section.groups, section.port, self._received)
        self._now = now
        self._jitter = jitter
        self._links: tuple[Link, ...] = ()
        self._records: dict[tuple[int, bool], bytes] = {}
        self._issued = 0.0
        self._sequence = 0
        self._announced = 0.0
        self._answers = Bucket(*ANSWERS)
        self._answered = Buckets(1 / GAP, 1, SOURCES)
        self._learned: set[str] = set()
        self._dropped: Counter[str] = Counter()
        self._worst = ""
        self._toldAt = -TOLD
        self._trouble = ""
        self._scanning: IDelayedCall | None = None
        self._announcing: IDelayedCall | None = None
        self._stopFollowing: Callable[[], None] = lambda: None

    # Its life.

    def startService(self) -> None:
        """
        Listen, and announce ourselves.

        @raise UgateError: it cannot be, and why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        try:
            if self._ways:
                self._stopFollowing = self.tenant.identity.changed(self._soon)
            self._multicast.open(bool(self._ways))
            self._scan()
            self._announce()
        except UgateError:
            self._close()
            raise
        # A datagram may get lost, and an address that is new is not usable at once.
        self._soon()

    def stopService(self) -> None:
        """
        Say goodbye, and forget who was heard.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        try:
            self._tellAll(0)
        except UgateError as error:
            self.log.warn("{title}: no goodbye: {error}", title=self.title, error=error)
        self._close()

    def _close(self) -> None:
        self.running = False
        self._stopFollowing()
        for timer in (self._scanning, self._announcing):
            if timer is not None and timer.active():
                timer.cancel()
        self._scanning = self._announcing = None
        self._multicast.close()
        for keyid in self._learned:
            self.tenant.nodes.forget(keyid, self.source)
        self._learned.clear()

    def _scan(self) -> None:
        """
        See which links there are, and who is gone.
        """
        reactor = self.tenant.reactor
        self._scanning = reactor.callLater(SCAN, self._scan)
        trouble = ""
        try:
            links = tuple(self._readLinks(self.section.interfaces))
        except UgateError as error:
            trouble, links = str(error), self._links
        if trouble and trouble != self._trouble:
            self.log.error("{title}: {error}", title=self.title, error=trouble)
        self._trouble = trouble
        # Also when they are the same: what could not be joined is tried again.
        self._multicast.follow(links)
        if links != self._links:
            self.log.info(
                "{title}: on {links}",
                title=self.title,
                links=", ".join(link.name for link in links) or "no network",
            )
            self._links = links
            self._soon()
        for neighbour in self.neighbours.forgetOld(self._now(), reactor.seconds()):
            self._changed(neighbour, "it was not heard any more")
        self._tellDropped()

    # What we say.

    def _soon(self, delay: float = SOON) -> None:
        """
        Announce ourselves in a moment.
        """
        if not self._ways or not self.running:
            return
        timer = self._announcing
        reactor = self.tenant.reactor
        if timer is not None and timer.active():
            if timer.getTime() <= reactor.seconds() + delay:
                return
            timer.cancel()
        self._announcing = reactor.callLater(delay, self._announce)

    def _announce(self) -> None:
        if not self._ways:
            return
        section = self.section
        self._soon(section.interval * (1 - _JITTER * self._jitter()))
        self._announced = self.tenant.reactor.seconds()
        try:
            self._tellAll(round(section.interval * LIVES))
        except UgateError as error:
            self.log.error("{title}: nothing is announced: {error}", title=self.title, error=error)

    def _tellAll(self, lifetime: int) -> None:
        """
        Tell all on our links where we are.

        @param lifetime: for how many seconds; 0 for no more.
        @raise UgateError: our key cannot be had.
        """
        self._records.clear()
        if not self._ways:
            return
        for link in self._links:
            for isIPv6 in (True, False):
                source = link.source(isIPv6)
                if not source:
                    continue
                data = self._record(source, lifetime)
                self._records[link.index, isIPv6] = data
                self._multicast.tellAll(link, isIPv6, data)

    def _record(self, source: str, lifetime: int) -> bytes:
        # The time of day may go back, but not that of our records.
        self._issued = max(self._issued, self._now())
        self._sequence += 1
        data = sign(
            self.tenant.identity,
            [MeshAddress(transport, source, port) for transport, port in self._ways],
            issued=self._issued,
            lifetime=lifetime,
            sequence=self._sequence,
            block=_BLOCK,
        )
        self.neighbours.ownKey = peek(data).key
        return data

    # What others say.

    def _received(self, datagram: Datagram) -> None:
        if not self.running:
            return
        link = next((each for each in self._links if each.index == datagram.link), None)
        at = self.tenant.reactor.seconds()
        try:
            heard = self.neighbours.hear(datagram, link, self._now(), at)
        except Dropped as error:
            if error.why:
                self._dropped[error.why] += 1
                self._worst = error.detail
            return
        self._changed(heard.neighbour, "it said goodbye")
        if heard.isNewcomer and datagram.isToAll and link is not None:
            self._answer(datagram, link, at)

    def _answer(self, datagram: Datagram, link: Link, at: float) -> None:
        """
        Let somebody know of us who is new.
        """
        if not self._ways:
            return
        record = self._records.get((link.index, ":" in datagram.host))
        if record is None or len(record) > len(datagram.data):
            # Nobody is sent more than came from there: see what is said of amplification.
            self._soon(max(SOON, self._announced + GAP - at))
        elif self._answered.take(f"{datagram.host}%{link.index}", at) and self._answers.take(at):
            self._multicast.tell(link, datagram.host, datagram.port, record)

    def _isWanted(self, keyid: str) -> bool:
        if not self.section.trusted:
            return True
        try:
            if self.tenant.trust.hasKey(keyid):
                return True
        except UgateError as error:
            self.log.warn("{title}: {error}", title=self.title, error=error)
        return self.tenant.nodes.find(keyid) is not None and any(
            node.keyid == keyid and node.source == CONFIG for node in self.tenant.nodes.all()
        )

    def _changed(self, neighbour: Neighbour, why: str) -> None:
        """
        Pass on what is known now of one of them.

        @param why: in case that it is gone.
        """
        keyid, addresses = neighbour.keyid, neighbour.addresses
        if not addresses:
            self.tenant.nodes.forget(keyid, self.source)
            if keyid in self._learned:
                self._learned.discard(keyid)
                self.log.info("{title}: {keyid} is gone: {why}", title=self.title, keyid=keyid, why=why)
            return
        # What it claims to be called is left out: it would be in the way of those who are called so.
        node = MeshNode(keyid, addresses, (), self.source, neighbour.expires)
        try:
            self.tenant.nodes.learn(node)
        except Refused as error:
            self._dropped[FULL] += 1
            self._worst = str(error)
            return
        if keyid not in self._learned:
            self._learned.add(keyid)
            self.log.info(
                "{title}: {keyid} is at {addresses}",
                title=self.title,
                keyid=keyid,
                addresses=", ".join(_inWords(each) for each in addresses),
            )

    def _tellDropped(self) -> None:
        """
        Say in the log, now and then, what was dropped.
        """
        at = self.tenant.reactor.seconds()
        if not self._dropped or at - self._toldAt < TOLD:
            return
        self._toldAt = at
        self.log.warn(
            "{title}: dropped {counts}; the last: {worst}",
            title=self.title,
            counts=", ".join(f"{count} {why}" for why, count in self._dropped.most_common()),
            worst=self._worst[:_WORST],
        )
        self._dropped.clear()


def _split(text: str) -> tuple[str, int]:
    transport, _, port = text.partition(":")
    return transport, int(port)


def _inWords(address: MeshAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.transport}:{host}:{address.port}"


@implementer(IModule)
class DiscoveryModule:
    """
    See L{IModule}.
    """

    name = "discovery"
    summary = "nodes on the same network that find each other"
    schema = DiscoverySection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = Discovery(tenant, name, section)
        return service
