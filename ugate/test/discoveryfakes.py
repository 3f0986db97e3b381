# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of discovery share: links and datagrams in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Address
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.interfaces import INodes, MeshAddress, MeshNode
from ugate.modules.datagrams import HOPS, Datagram
from ugate.modules.discovery import Discovery
from ugate.modules.discoverysection import DiscoverySection
from ugate.modules.netlinks import Link
from ugate.tenancy.identity import Identity
from ugate.tenancy.noderecords import sign
from ugate.test.identityfakes import NOW, p256
from ugate.test.test_noderecords import identityOf

ETH0 = Link(2, "eth0", IPv4Interface("192.0.2.1/24"), IPv6Address("fe80::1"))
ETH1 = Link(3, "eth1", IPv4Interface("198.51.100.1/24"), IPv6Address("fe80::11"))
PORT = 40000


def announcement(identity: Identity, host: str, *ways: str, **more: Any) -> bytes:
    """
    What somebody at that address says of itself.
    """
    addresses = [
        MeshAddress(transport, host, int(port))
        for transport, port in (each.split(":") for each in ways or ("connect:15008",))
    ]
    return sign(identity, addresses, **{"issued": NOW, "lifetime": 360, "block": 256, **more})


def datagram(data: bytes, host: str = "192.0.2.7", link: Link = ETH0, **changes: Any) -> Datagram:
    """
    It came from there, sent to all.
    """
    return replace(Datagram(data, host, PORT, link.index, HOPS, True), **changes)


@implementer(INodes)
class FakeNodes:
    """
    A table in memory.
    """

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.known: dict[tuple[str, str], MeshNode] = {}

    def find(self, name: str) -> MeshNode | None:
        """
        See L{INodes.find}.
        """
        return next((node for node in self.known.values() if node.keyid == name), None)

    def all(self) -> Sequence[MeshNode]:
        """
        See L{INodes.all}.
        """
        return [self.known[key] for key in sorted(self.known)]

    def learn(self, node: MeshNode) -> None:
        """
        See L{INodes.learn}.
        """
        key = node.keyid, node.source
        if key not in self.known and len(self.known) >= self.most:
            raise Refused(Cause.OVERLOADED, Phase.RESOLVE, node.keyid, "too many nodes")
        self.known[key] = node

    def forget(self, keyid: str, source: str) -> None:
        """
        See L{INodes.forget}.
        """
        self.known.pop((keyid, source), None)


class Air:
    """
    The links between several discoveries.
    """

    def __init__(self) -> None:
        self.sets: list[FakeMulticast] = []
        self.sent: list[tuple[str, int, bytes]] = []


class FakeMulticast:
    """
    The sockets of one of them.

    @ivar at: where it is, by link: its address.
    @ivar deaf: whether nothing reaches it.
    """

    def __init__(
        self, air: Air, groups: Iterable[str], port: int, received: Callable[[Datagram], object]
    ) -> None:
        self.air = air
        self.groups = tuple(groups)
        self.port = port
        self.received = received
        self.links: tuple[Link, ...] = ()
        self.isOpen = False
        self.isSending = False
        self.deaf = False
        self.toAll: list[bytes] = []
        self.toOne: list[tuple[str, int, bytes]] = []

    def open(self, isSending: bool) -> None:
        """
        See L{Multicast}.
        """
        self.isOpen, self.isSending = True, isSending
        self.air.sets.append(self)

    def follow(self, links: Iterable[Link]) -> None:
        """
        See L{Multicast}.
        """
        self.links = tuple(links)

    def tellAll(self, link: Link, isIPv6: bool, data: bytes) -> bool:
        """
        See L{Multicast}.
        """
        assert self.isSending
        self.toAll.append(data)
        for other in tuple(self.air.sets):
            if link.index in (each.index for each in other.links):
                other._take(Datagram(data, link.source(isIPv6), self._port, link.index, HOPS, True))
        return True

    def tell(self, link: Link, host: str, port: int, data: bytes) -> bool:
        """
        See L{Multicast}.
        """
        self.toOne.append((host, port, data))
        for other in tuple(self.air.sets):
            if other._port == port:
                other._take(Datagram(data, link.source(":" in host), self.port, link.index, HOPS, False))
        return True

    @property
    def _port(self) -> int:
        return PORT + self.air.sets.index(self)

    def _take(self, came: Datagram) -> None:
        if self.isOpen and not self.deaf:
            self.received(came)

    def close(self) -> None:
        """
        See L{Multicast}.
        """
        self.isOpen = False


class Trusted:
    """
    A trust, as far as it is asked.
    """

    def __init__(self, *keyids: str) -> None:
        self.keyids = keyids
        self.trouble = ""

    def hasKey(self, keyid: str) -> bool:
        """
        See L{ITrust}.
        """
        if self.trouble:
            raise UgateError(self.trouble)
        return keyid in self.keyids


class Tenant:
    """
    A tenant, as far as it is asked.
    """

    def __init__(self, clock: Clock, key: Any = None) -> None:
        self.name = "root"
        self.reactor: Any = clock
        self.identity = identityOf(key or p256())
        self.nodes = FakeNodes()
        self.trust = Trusted()


def linkOf(number: int, like: Link = ETH0) -> Link:
    """
    The same link for another host.
    """
    assert like.ipv4 is not None and like.ipv6 is not None
    return Link(like.index, like.name, type(like.ipv4)(f"{like.ipv4.ip + number}/24"), like.ipv6 + number)


class DiscoveryCase(SynchronousTestCase):
    """
    Nodes on links in memory.
    """

    def setUp(self) -> None:
        verifyObject(INodes, FakeNodes())
        self.clock = Clock()
        self.clock.advance(1000)
        self.air = Air()
        self.back = 0.0
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def now(self) -> float:
        """
        The time of day.
        """
        return NOW + self.clock.seconds() - self.back

    def said(self, text: str) -> list[str]:
        """
        What the log has with that in it.
        """
        lines = [formatEvent(event) for event in self.events]
        return [line for line in lines if text in line]

    def node(
        self, number: int, links: Sequence[Link] | None = None, key: Any = None, **section: Any
    ) -> Discovery:
        """
        A node that is there, and announces itself unless told otherwise.
        """
        given = {"announce": ("connect:15008",), **section}
        tenant: Any = Tenant(self.clock, key)
        found = list((linkOf(number),) if links is None else links)

        def multicast(reactor: Any, *more: Any) -> Any:
            return FakeMulticast(self.air, *more)

        made = Discovery(
            tenant,
            "lan",
            DiscoverySection(**given),
            links=lambda only: [link for link in found if not only or link.name in only],
            multicast=multicast,
            now=self.now,
            jitter=lambda: 0.0,
        )
        vars(made)["found"] = found
        return made

    def start(self, *nodes: Discovery) -> None:
        """
        Start them, one after the other.
        """
        for each in nodes:
            each.startService()

    def known(self, node: Discovery) -> dict[str, list[str]]:
        """
        Whom it knows, and where.
        """
        nodes: Any = node.tenant.nodes
        return {each.keyid: [address.host for address in each.addresses] for each in nodes.all()}

    def sockets(self, node: Discovery) -> FakeMulticast:
        """
        What it sends and receives with.
        """
        sockets: Any = node._multicast
        assert isinstance(sockets, FakeMulticast)
        return sockets

    def idOf(self, node: Discovery) -> str:
        """
        Who it is.
        """
        keyid: str = node.tenant.identity.keyid
        return keyid
