# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.discovery}: whom it does not find, and when it cannot start.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ugate.errors import ListenRefused, UgateError
from ugate.interfaces import MeshNode
from ugate.modules.discovery import SCAN, TOLD
from ugate.test.discoveryfakes import (
    DiscoveryCase,
    Tenant,
    Trusted,
    announcement,
    datagram,
)
from ugate.test.identityfakes import certified, p256
from ugate.test.test_noderecords import identityOf


class RefusedTests(DiscoveryCase):
    """
    Nodes and times that are not as they should be.
    """

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
