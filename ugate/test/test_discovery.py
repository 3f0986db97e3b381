# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.discovery}: who finds whom.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ugate.errors import UgateError
from ugate.interfaces import MeshAddress
from ugate.modules.announcing import GAP
from ugate.modules.discovery import SCAN
from ugate.modules.netlinks import Link
from ugate.tenancy.identityfiles import Keypair
from ugate.tenancy.noderecords import read
from ugate.test.discoveryfakes import (
    ETH1,
    DiscoveryCase,
    announcement,
    datagram,
    linkOf,
)
from ugate.test.identityfakes import certified, p256
from ugate.test.test_noderecords import identityOf


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
