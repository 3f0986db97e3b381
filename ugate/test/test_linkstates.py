# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.linkstates}: what C{/sessions} and the metrics show.
"""

from __future__ import annotations

from typing import Any

from ugate.modules.linkstates import countsOf, linksOf
from ugate.test.linkedfakes import LinkedCase


class LinkStatesTests(LinkedCase):
    """
    A gate that a node has dialed in to, and both ends of links in HTTP/2.
    """

    def test_reverse(self) -> None:
        """
        Both ends of a link that a node keeps.
        """
        gate: Any = self.gate()
        self.node()
        bob: Any = self.mesh.gateways["bob"]
        self.ask()
        self.mesh.advance(2)
        (ours,), (theirs,) = linksOf(gate.tenant), linksOf(bob.tenant)
        self.assertEqual(
            ("root", "reverse", "listener in", self.keys["bob"], "h2", 1, 2.0, None, False),
            (
                *(ours.tenant, ours.kind, ours.place, ours.principal, ours.protocol),
                *(ours.streams, ours.age, ours.idle, ours.draining),
            ),
        )
        self.assertTrue(ours.peer.startswith(self.mesh.host("bob").addresses[0]))
        self.assertEqual(
            ("linked", "linked:gate:15009", self.keys["gate"], 1),
            (theirs.kind, theirs.place, theirs.principal, theirs.streams),
        )
        self.assertEqual([("reverse", 1, 1, 1)], list(countsOf(gate.tenant)))
        self.assertEqual([("linked", 1, 1, 1)], list(countsOf(bob.tenant)))

    def test_dialed(self) -> None:
        """
        Both ends of one that streams share on their way to a node; one without a stream is idle, and one that
        goes away is told so.
        """
        self.gate("h2connect:mtls:tcp:15008", policy={"rules": [{"action": "allow"}]})
        bob: Any = self.mesh.gateway(
            "bob",
            listen={"main": "socks:tcp:1080:interface=127.0.0.1"},
            node={"state": self.states["bob"]},
            routes=[{"match": "*", "via": f"h2connect:gate:15008:name={self.keys['gate']}"}],
        )
        gate: Any = self.mesh.gateways["gate"]
        served = self.node("eve", listen={"main": "socks:tcp:1080:interface=127.0.0.1"})
        self.mesh.serve("eve", 81, served)
        stream = self.mesh.client("bob").connect(r"socks:127.0.0.1:1080:to=eve\:81")
        self.mesh.flush()
        (ours,), (theirs,) = linksOf(bob.tenant), linksOf(gate.tenant)
        self.assertEqual(("dialed", "h2connect:gate:15008"), (ours.kind, ours.place))
        self.assertEqual(
            ("accepted", "listener in", self.keys["bob"]), (theirs.kind, theirs.place, theirs.principal)
        )
        stream.abort()
        self.mesh.advance(7)
        (ours,) = linksOf(bob.tenant)
        self.assertEqual((0, 7.0, False), (ours.streams, ours.idle, ours.draining))
        self.mesh.client("bob").connect(r"socks:127.0.0.1:1080:to=eve\:81")
        self.mesh.flush()
        bob.tenant.links.drain()
        (ours,) = linksOf(bob.tenant)
        self.assertEqual((1, None, True), (ours.streams, ours.idle, ours.draining))
