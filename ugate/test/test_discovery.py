# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.discovery} and its section.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ListenRefused, UgateError
from ugate.interfaces import IModule, INodes, MeshAddress, MeshNode
from ugate.modules.announcing import GAP
from ugate.modules.discovery import SCAN, TOLD, Discovery, DiscoveryModule
from ugate.modules.discoverysection import DiscoverySection
from ugate.modules.netlinks import Link
from ugate.tenancy.identityfiles import Keypair
from ugate.tenancy.noderecords import read
from ugate.test.discoveryfakes import ETH0, ETH1, Air, FakeMulticast, FakeNodes, announcement, datagram
from ugate.test.identityfakes import NOW, certified, p256
from ugate.test.test_noderecords import identityOf


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


class DiscoveryTests(DiscoveryCase):
    """
    L{Discovery}.
    """

    def test_two(self) -> None:
        """
        Two nodes know each other as soon as both are there, the first by an answer to it alone.
        """
        alice, bob = self.node(1), self.node(2)
        self.start(alice, bob)
        self.assertEqual({self.idOf(alice): ["fe80::2%eth0", "192.0.2.2"]}, self.known(bob))
        self.assertEqual({self.idOf(bob): ["fe80::3%eth0", "192.0.2.3"]}, self.known(alice))
        answers = self.sockets(alice).toOne
        self.assertEqual(["fe80::3", "192.0.2.3"], [host for host, _, _ in answers])
        self.assertEqual([], self.sockets(bob).toOne)
        (node,) = alice.tenant.nodes.all()
        self.assertEqual(MeshAddress("connect", "fe80::3%eth0", 15008), node.addresses[0])
        self.assertEqual(((), "discovery.lan", 1360.0), (node.names, node.source, node.expires))
        where = "connect:[fe80::3%eth0]:15008"
        self.assertEqual(1, len(self.said(f"{self.idOf(bob)} is at {where}")))

    def test_refreshed(self) -> None:
        """
        Each interval it is said again, and once more soon after the start; who says nothing is forgotten
        after three.
        """
        alice, bob = self.node(1), self.node(2)
        self.start(alice, bob)
        sent = self.sockets(bob).toAll
        self.assertEqual(2, len(sent))
        self.clock.advance(1)
        self.assertEqual(4, len(sent))
        for _ in range(20):
            self.clock.pump([SCAN] * 40)
            self.assertEqual(1, len(self.known(alice)))
        self.assertEqual(4 + 2 * 20, len(sent))
        self.sockets(bob).deaf = True
        self.sockets(alice).deaf = True
        self.clock.pump([SCAN] * 79)
        self.assertEqual(1, len(self.known(alice)))
        self.clock.pump([SCAN] * 42)
        self.assertEqual({}, self.known(alice))
        self.assertEqual(1, len(self.said(f"{self.idOf(bob)} is gone: it was not heard any more")))

    def test_goodbye(self) -> None:
        """
        Who stops says so, closes all and forgets; the others forget it at once.
        """
        alice, bob = self.node(1), self.node(2)
        self.start(alice, bob)
        self.clock.advance(2)
        bob.stopService()
        self.assertEqual({}, self.known(alice))
        self.assertEqual({}, self.known(bob))
        self.assertEqual(1, len(self.said(f"{self.idOf(bob)} is gone: it said goodbye")))
        self.assertFalse(self.sockets(bob).isOpen)
        for data in self.sockets(bob).toAll[-2:]:
            self.assertEqual(0, read(data, self.now()).lifetime)
        alice.stopService()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_restart(self) -> None:
        """
        One that fell and comes again with the same key is told at once who is there.
        """
        key = p256()
        alice, bob = self.node(1), self.node(2, key=key)
        self.start(alice, bob)
        self.sockets(bob).isOpen = False
        self.clock.pump([1] * int(GAP + 1))
        again = self.node(2, key=key)
        self.start(again)
        self.assertEqual([self.idOf(alice)], list(self.known(again)))

    def test_listening(self) -> None:
        """
        Who is told to announce nothing sends nothing, needs no key, and learns.
        """
        alice, bob = self.node(1, announce=()), self.node(2)
        tenant: Any = alice.tenant
        del tenant.identity
        self.start(alice, bob)
        self.assertEqual([self.idOf(bob)], list(self.known(alice)))
        self.assertEqual({}, self.known(bob))
        self.clock.pump([SCAN] * 100)
        alice.stopService()
        sockets = self.sockets(alice)
        self.assertEqual((False, [], []), (sockets.isSending, sockets.toAll, sockets.toOne))

    def test_links(self) -> None:
        """
        Interfaces that come and go are noticed; those that are not named are left alone.
        """
        alice = self.node(1, [])
        bob = self.node(2, [linkOf(2), linkOf(2, ETH1)])
        carol = self.node(3, [linkOf(3, ETH1)], interfaces=("eth0",))
        self.start(bob, alice, carol)
        self.assertEqual({}, self.known(alice))
        vars(alice)["found"].append(linkOf(1, ETH1))
        self.clock.advance(SCAN)
        self.assertEqual((linkOf(1, ETH1),), self.sockets(alice).links)
        self.assertEqual({}, self.known(bob))
        self.clock.advance(1)
        self.assertEqual({self.idOf(alice): ["fe80::12%eth1", "198.51.100.2"]}, self.known(bob))
        self.assertEqual({self.idOf(bob): ["fe80::13%eth1", "198.51.100.3"]}, self.known(alice))
        vars(alice)["found"].clear()
        self.clock.advance(SCAN)
        self.assertEqual((), self.sockets(alice).links)
        self.assertEqual(
            ((), [], {}), (self.sockets(carol).links, self.sockets(carol).toAll, self.known(carol))
        )

    def test_linksUnread(self) -> None:
        """
        When the interfaces cannot be read it goes on with those it has, and says so once.
        """
        alice, bob = self.node(1), self.node(2)
        self.start(alice)

        def fails(only: Collection[str]) -> Sequence[Link]:
            raise UgateError("no such thing")

        alice._readLinks = fails
        self.clock.pump([SCAN] * 3)
        self.assertEqual(1, len(self.said("no such thing")))
        self.start(bob)
        self.assertEqual(1, len(self.known(alice)))

    def test_identity(self) -> None:
        """
        Another key is announced soon, and what the old one said ends by itself.
        """
        alice, bob = self.node(1), self.node(2)
        self.start(alice, bob)
        self.clock.advance(2)
        before = self.idOf(bob)
        identity: Any = bob.tenant.identity
        other = certified(key=p256())
        held = Keypair(other.key, (other.certificate,), ())
        old = identity._held
        identity._use(held)
        identity._tell(old)
        self.assertEqual([before], list(self.known(alice)))
        self.clock.advance(1)
        self.assertEqual({before, other.keyid}, {*self.known(alice)})
        self.clock.pump([SCAN] * 120)
        self.assertEqual([other.keyid], list(self.known(alice)))
        # It does not take itself for somebody else.
        self.assertNotIn(other.keyid, self.known(bob))

    def test_clockBack(self) -> None:
        """
        When the time of day goes back, what we say is later nevertheless.
        """
        alice, bob = self.node(1), self.node(2)
        self.start(alice, bob)
        self.clock.advance(1)
        self.back = 50.0
        self.clock.pump([SCAN] * 200)
        self.assertEqual(1, len(self.known(alice)))

    def test_answers(self) -> None:
        """
        One address is answered once in a while, whoever it says that it is; and never with more than it sent.
        """
        alice = self.node(1)
        self.start(alice)
        sockets = self.sockets(alice)
        host = "192.0.2.7"

        def ask(key: Any, **more: Any) -> int:
            before = len(sockets.toOne)
            data = announcement(identityOf(key), host, issued=self.now(), **more)
            sockets.received(datagram(data))
            for _, _, answer in sockets.toOne[before:]:
                self.assertLessEqual(len(answer), len(data))
            return len(sockets.toOne) - before

        self.clock.advance(1)
        self.assertEqual(1, ask(p256()))
        self.assertEqual(0, ask(p256()))
        self.clock.advance(GAP)
        self.assertEqual(1, ask(p256()))
        self.clock.advance(GAP)
        told = len(sockets.toAll)
        self.assertEqual(0, ask(Ed25519PrivateKey.generate(), block=1))
        self.assertEqual(told, len(sockets.toAll))
        self.clock.advance(1)
        self.assertEqual(told + 2, len(sockets.toAll))
        for _ in range(5):
            self.clock.advance(0.5)
            self.assertEqual(0, ask(Ed25519PrivateKey.generate(), block=1))
        self.assertEqual(told + 2, len(sockets.toAll))
        self.clock.advance(GAP)
        self.assertEqual(told + 4, len(sockets.toAll))

    def test_answersInAll(self) -> None:
        """
        There are only so many answers in all, and none to what was sent to us alone.
        """
        alice = self.node(1)
        self.start(alice)
        sockets = self.sockets(alice)
        for number in range(60):
            host = f"192.0.2.{number + 100}"
            data = announcement(identityOf(p256()), host, issued=self.now())
            sockets.received(datagram(data, host))
        self.assertEqual(40, len(sockets.toOne))
        self.clock.advance(60)
        data = announcement(identityOf(p256()), "192.0.2.8", issued=self.now())
        sockets.received(datagram(data, "192.0.2.8", isToAll=False))
        self.assertEqual(40, len(sockets.toOne))
        self.assertEqual(61, len(self.known(alice)))

    def test_dropped(self) -> None:
        """
        What is dropped is counted, and told once in a minute.
        """
        alice = self.node(1)
        self.start(alice)
        received = self.sockets(alice).received
        for _ in range(3):
            received(datagram(b"nonsense"))
        received(datagram(b"nonsense", hops=1))
        self.clock.advance(SCAN)
        (line,) = self.said("dropped")
        self.assertIn(
            "3 no announcements, 1 not from a neighbour; the last: from 192.0.2.7, with 1 hops", line
        )
        received(datagram(b"nonsense"))
        self.clock.pump([SCAN] * int(TOLD / SCAN - 1))
        self.assertEqual(1, len(self.said("dropped")))
        self.clock.advance(SCAN)
        self.assertEqual(2, len(self.said("dropped")))
        self.clock.pump([SCAN] * 60)
        self.assertEqual(2, len(self.said("dropped")))

    def test_full(self) -> None:
        """
        Where the table takes no more, a node is left out until it does.
        """
        alice, bob = self.node(1), self.node(2)
        nodes: Any = alice.tenant.nodes
        nodes.most = 0
        self.start(alice, bob)
        self.assertEqual({}, self.known(alice))
        self.assertEqual([], self.said("is at connect:[fe80::3"))
        self.clock.advance(SCAN)
        self.assertIn("too many nodes", self.said("dropped")[0])
        nodes.most = 1
        self.clock.pump([SCAN] * 41)
        self.assertEqual([self.idOf(bob)], list(self.known(alice)))

    def test_trusted(self) -> None:
        """
        C{trusted: yes} learns those whose keys are trusted, and those that the configuration names.
        """
        alice = self.node(1, trusted=True)
        bob, carol, mallory = self.node(2), self.node(3), self.node(4)
        tenant: Any = alice.tenant
        tenant.trust = Trusted(self.idOf(bob))
        nodes: Any = tenant.nodes
        nodes.learn(MeshNode(self.idOf(carol), ()))
        nodes.learn(MeshNode(self.idOf(mallory), (), source="registration"))
        self.start(alice, bob, carol, mallory)
        learned = {each.keyid for each in nodes.all() if each.source == alice.source}
        self.assertEqual({self.idOf(bob), self.idOf(carol)}, learned)
        self.clock.advance(SCAN)
        self.assertIn(
            f"of nodes that are not trusted; the last: {self.idOf(mallory)}", self.said("dropped")[0]
        )
        tenant.trust.trouble = "known: no such file"
        self.clock.pump([SCAN] * 41)
        self.assertEqual(1, len({*self.said("known: no such file")}))

    def test_unstartable(self) -> None:
        """
        What cannot be is said, and nothing is left behind.
        """
        alice = self.node(1)
        sockets = self.sockets(alice)

        def refuses(isSending: bool) -> None:
            raise ListenRefused("UDP port 5227 cannot be listened on")

        sockets.open = refuses  # type: ignore[method-assign]
        self.assertRaises(ListenRefused, alice.startService)
        self.assertFalse(alice.running)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], alice.tenant.identity._callbacks)

    def test_noIdentity(self) -> None:
        """
        Who has no key cannot announce, and nothing is left behind.
        """

        class Keyless(Tenant):
            identity: Any = property(lambda self: self.fail(), lambda self, value: None)

            def fail(self) -> None:
                raise UgateError("key.pem: it may be read by others")

        alice = self.node(1)
        tenant: Any = Keyless(self.clock)
        alice.tenant = alice._announcer._tenant = tenant
        self.assertRaises(UgateError, alice.startService)
        self.assertEqual(([], False), (self.clock.getDelayedCalls(), self.sockets(alice).isOpen))
        self.assertEqual([], self.said("goodbye"))

    def test_unsigned(self) -> None:
        """
        A key that cannot sign is told of in the log, and it is tried again.
        """
        alice = self.node(1)
        self.start(alice)
        told = len(self.sockets(alice).toAll)
        strange = certified(key=Ed25519PrivateKey.generate())
        tenant: Any = alice.tenant

        class Broken:
            certificate = strange.certificate

            def sign(self, data: bytes) -> bytes:
                raise UgateError("the key is gone")

        whole, tenant.identity = tenant.identity, Broken()
        self.clock.advance(1)
        self.assertEqual(1, len(self.said("nothing is announced: the key is gone")))
        self.assertEqual(told, len(self.sockets(alice).toAll))
        tenant.identity = whole
        self.clock.pump([SCAN] * 41)
        self.assertEqual(told + 2, len(self.sockets(alice).toAll))
        tenant.identity = Broken()
        alice.stopService()
        self.assertEqual(1, len(self.said("no goodbye: the key is gone")))

    def test_stopped(self) -> None:
        """
        What comes after the end is nothing to us.
        """
        alice = self.node(1)
        self.start(alice)
        alice.stopService()
        self.sockets(alice).received(
            datagram(announcement(identityOf(p256()), "192.0.2.7", issued=self.now()))
        )
        self.assertEqual({}, self.known(alice))


class SectionTests(SynchronousTestCase):
    """
    L{DiscoverySection}.
    """

    read = partial(msgspec.convert, type=DiscoverySection)

    def test_nothing(self) -> None:
        """
        Nothing is announced unless it is said what.
        """
        section = self.read({})
        self.assertEqual(
            ((), (), ("ff02::5227", "224.0.0.250"), 5227, 120.0, 256, False), msgspec.structs.astuple(section)
        )

    def test_ways(self) -> None:
        """
        Transports with ports.
        """
        for good in ("connect:15008", "tls:443", "h2connect:65535", "x:1"):
            self.read({"announce": [good]})
        for bad in (
            "connect",
            "connect:",
            "connect:0",
            "connect:65536",
            "connect:1:2",
            "Connect:1",
            "tcp:01",
            ":1",
        ):
            self.assertRaises(msgspec.ValidationError, self.read, {"announce": [bad]})
        self.assertRaises(msgspec.ValidationError, self.read, {"announce": ["a:1"] * 9})

    def test_groups(self) -> None:
        """
        Only groups that stay on their link, one of a family.
        """
        for good in (["ff02::5227"], ["224.0.0.250"], ["224.0.0.1", "ff02::1"]):
            self.read({"groups": good})
        for bad in (
            [],
            ["239.1.1.1"],
            ["ff05::5227"],
            ["192.0.2.1"],
            ["fe80::1"],
            ["all"],
            ["224.0.0.250", "224.0.0.251"],
            ["ff02::1", "ff02::2"],
        ):
            self.assertRaises(msgspec.ValidationError, self.read, {"groups": bad})

    def test_numbers(self) -> None:
        """
        Each number has a least and a most.
        """
        for bad in (
            {"port": 0},
            {"port": 65536},
            {"interval": 0.5},
            {"interval": 3601},
            {"nodes": 0},
            {"nodes": 4097},
            {"interfaces": ["a b"]},
            {"interfaces": ["x" * 16]},
            {"other": 1},
        ):
            self.assertRaises(msgspec.ValidationError, self.read, bad)

    def test_module(self) -> None:
        """
        A section makes a service, which opens nothing yet.
        """
        module = DiscoveryModule()
        verifyObject(IModule, module)
        tenant: Any = Tenant(Clock())
        service: Any = module.makeService(tenant, "lan", DiscoverySection())
        self.assertEqual("root discovery lan", service.title)
        self.assertFalse(service.running)
