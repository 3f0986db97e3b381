# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.meshlinks}: nodes of the mesh that are reached by HTTP/2, in a network in memory.
"""

from __future__ import annotations

from typing import Any

from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.tenancy.identityown import Own
from ugate.test.nodecases import ALLOW, MESH, NodesCase
from ugate.test.tlsfakes import Logged

ADDRESS = "h2connect:bob:15008"
LISTEN = {"mesh": MESH.replace("connect:", "h2connect:", 1)}


class MeshLinksTests(NodesCase):
    """
    Alice reaches bob by links.
    """

    def both(self, **sections: Any) -> Any:
        """
        Start both.
        """
        self.bob(listen=LISTEN)
        return self.alice(ADDRESS, **sections)

    def tenant(self) -> Any:
        """
        The root of alice.
        """
        return self.mesh.gateways["alice"].tenant

    def links(self) -> Any:
        """
        Those of alice.
        """
        return self.tenant().mesh.links()

    def test_share(self) -> None:
        """
        Streams are on one link, to whoever proves the key, and each ends by itself.
        """
        self.both()
        streams = [self.ask("bob:80") for _ in range(5)]
        (link,) = self.links()
        self.assertEqual(5, link.streams)
        self.assertEqual(("root", self.keys["bob"]), (link.key.tenant, link.key.peer))
        self.assertIn(self.keys["alice"], link.key.identity)
        streams[0].halfClose()
        self.mesh.flush()
        self.assertTrue(self.web.accepted[0].isEnded)
        self.web.accepted[0].write(b"answer")
        self.web.accepted[0].halfClose()
        self.mesh.flush()
        self.assertEqual((b"answer", True), (streams[0].received, streams[0].isClean))
        self.assertEqual(4, self.links()[0].streams)

    def test_names(self) -> None:
        """
        What another name has to be proven for has no part in a link.
        """
        self.both()
        self.ask("bob:80")
        self.ask(f"{self.keys['bob']}:80")
        self.assertEqual([2], [link.streams for link in self.links()])

    def test_wrongKey(self) -> None:
        """
        Who has another key gets no stream.
        """
        self.node("bob", listen=LISTEN, trust={"pins": [self.keys["alice"]]})
        known = {"keyid": self.keys["mallory"], "addresses": [ADDRESS]}
        self.alice(nodes={"bob": known})
        with Logged() as logged:
            self.assertIsNotNone(self.ask("bob:80").failure)
        self.assertIn(f"TLS at {ADDRESS}: authentication failed", "\n".join(logged.lines))
        self.assertEqual([], self.links())
        self.assertEqual([], self.web.accepted)

    def test_refused(self) -> None:
        """
        What the node says no to is refused in its words, and the link is still good.
        """
        self.both()
        self.assertIsNotNone(self.ask("bob:81").failure)
        self.assertTrue(self.ask("bob:80").isOpen)
        self.assertEqual(1, len(self.links()))

    def test_stop(self) -> None:
        """
        Nothing is left when the node stops.
        """
        self.both()
        stream = self.ask("bob:80")
        stream.abort()
        self.mesh.flush()
        self.assertEqual(1, len(self.links()))
        self.mesh.gateways["alice"].stopService()
        self.mesh.flush()
        self.assertEqual([], self.links())
        self.assertEqual([], self.mesh.connections("alice"))

    def test_identity(self) -> None:
        """
        When we are somebody else, no stream is on a link of who we were, but for those that were.
        """
        self.both()
        stream = self.ask("bob:80")
        tenant = self.tenant()
        tenant.identity.change(Own(self.folders["mallory"], Identity()))
        self.mesh.flush()
        self.assertIsNotNone(self.ask("bob:80").failure)
        self.assertEqual(1, len(self.web.accepted))
        self.assertTrue(stream.isOpen)
        stream.abort()
        self.mesh.flush()
        self.assertEqual([], self.links())

    def test_reload(self) -> None:
        """
        When we believe others, or may connect elsewhere, the next stream has a link of its own.
        """
        for kind, section in (
            ("trust", {"pins": [self.keys["mallory"]]}),
            ("policy", {**ALLOW, "private": "deny"}),
        ):
            self.both()
            self.ask("bob:80")
            tenant = self.tenant()
            self.store("alice").put(ROOT, kind, ONLY, section)
            self.mesh.advance(5)
            (link,) = tenant.mesh.links()
            self.assertEqual((1, 0), (link.streams, link.room), kind)
            self.mesh.stop()
            self.setUp()

    def test_removed(self) -> None:
        """
        The links of a tenant that is removed close with their last streams.
        """
        node = self.both()
        stream = self.ask("bob:80")
        node._tenants.remove(node.tenant)
        self.assertIsNotNone(self.ask("bob:80").failure)
        self.assertTrue(stream.isOpen)
        stream.abort()
        self.mesh.flush()
        self.assertEqual([], [each for each in self.mesh.connections("alice") if ":15008" in each])

    def test_drained(self) -> None:
        """
        Once they are closed no stream is opened, and those that are there go on.
        """
        self.both()
        stream = self.ask("bob:80")
        drained = self.tenant().mesh.drain()
        refused = self.ask("bob:80")
        self.assertIsNotNone(refused.failure)
        self.assertTrue(stream.isOpen)
        self.assertNoResult(drained)
        stream.abort()
        self.mesh.flush()
        self.successResultOf(drained)
