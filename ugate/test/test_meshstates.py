# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What C{/nodes} shows.
"""

from __future__ import annotations

from ugate.interfaces import MeshNode
from ugate.modules.meshstates import nodesOf
from ugate.test.test_meshnodes import NodesCase


class MeshStatesTests(NodesCase):
    """
    A line for each address.
    """

    def test_shown(self) -> None:
        """
        Names, addresses, who says so, for how long, and how the last attempt ended.
        """
        self.bob()
        tenant = self.alice("connect:bob:1", "connect:bob:15008").tenant
        tenant.nodes.learn(MeshNode(self.keys["mallory"], (), (), "discovery", tenant.reactor.seconds() + 60))
        self.ask("bob:80")
        self.mesh.advance(2)
        shown = {each.address: each for each in nodesOf(tenant)}
        self.assertEqual(set(shown), {"connect:bob:1", "connect:bob:15008", ""})
        bad, good, other = (shown[each] for each in ("connect:bob:1", "connect:bob:15008", ""))
        self.assertEqual((bad.tenant, bad.keyid, bad.names), ("root", self.keys["bob"], ("bob",)))
        self.assertIn("connection refused", bad.failure)
        self.assertEqual((good.failure, good.tried, good.expires, good.source), ("", 2.0, None, "config"))
        self.assertEqual((other.source, other.expires, other.tried), ("discovery", 58.0, None))
