# -*- test-case-name: ugate.test.test_discovery,ugate.test.test_unfound,ugate.test.interop.test_discovery -*-
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
from ugate.interfaces import IModule, ITenant, MeshNode
from ugate.modules.announcing import Announcer
from ugate.modules.datagrams import Datagram
from ugate.modules.discoverysection import DiscoverySection
from ugate.modules.multicast import Multicast
from ugate.modules.neighbours import FULL, Dropped, Neighbour, Neighbours
from ugate.modules.netlinks import Link, readLinks
from ugate.tenancy.nodes import CONFIG, addressText

SCAN: Final = 3.0
"""Seconds between looks at the network interfaces."""

TOLD: Final = 60.0
"""Seconds between lines in the log about what was dropped."""

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
        self.neighbours = Neighbours(section.nodes, self._isWanted, lambda key: key == self._announcer.key)
        self._readLinks = links
        self._multicast = multicast(tenant.reactor, section.groups, section.port, self._received)
        self._announcer = Announcer(tenant, self.title, section, self._multicast, now, jitter)
        self._now = now
        self._learned: set[str] = set()
        self._dropped: Counter[str] = Counter()
        self._worst = ""
        self._toldAt = -TOLD
        self._trouble = ""
        self._scanning: IDelayedCall | None = None

    def startService(self) -> None:
        """
        Listen, and announce ourselves.

        @raise UgateError: it cannot be, and why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._multicast.open(self._announcer.isSpeaking)
            self._scan()
            self._announcer.start()
        except UgateError:
            self._close()
            raise

    def stopService(self) -> None:
        """
        Say goodbye, and forget who was heard.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._close()

    def _close(self) -> None:
        self.running = False
        if self._scanning is not None:
            self._scanning.cancel()
            self._scanning = None
        self._announcer.stop()
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
        links = self._announcer.links
        try:
            links = tuple(self._readLinks(self.section.interfaces))
        except UgateError as error:
            self._tellTrouble(str(error))
        else:
            self._trouble = ""
        # Also when they are the same: what could not be joined is tried again.
        self._multicast.follow(links)
        if links != self._announcer.links:
            self.log.info(
                "{title}: on {links}",
                title=self.title,
                links=", ".join(link.name for link in links) or "no network",
            )
            self._announcer.links = links
            self._announcer.soon()
        for neighbour in self.neighbours.forgetOld(self._now(), reactor.seconds()):
            self._changed(neighbour, "it was not heard any more")
        self._tellDropped()

    def _received(self, datagram: Datagram) -> None:
        if not self.running:
            return
        link = next((each for each in self._announcer.links if each.index == datagram.link), None)
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
            self._announcer.answer(datagram, link)

    def _isWanted(self, keyid: str) -> bool:
        if not self.section.trusted:
            return True
        try:
            if self.tenant.trust.hasKey(keyid):
                return True
        except UgateError as error:
            self._tellTrouble(str(error))
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
                addresses=", ".join(addressText(each) for each in addresses),
            )

    def _tellTrouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self.log.error("{title}: {error}", title=self.title, error=trouble)

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
