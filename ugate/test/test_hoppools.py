# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.hoppools}: links of hops, when a reload changes these, and when the node stops.
"""

from __future__ import annotations

from typing import Any

from ugate.draining import GOODBYE
from ugate.endpoints.dialing import dialerFromText
from ugate.hoppools import poolsIn
from ugate.tenancy.config.sections import ONLY, ROOT
from ugate.test.dialfakes import Net
from ugate.test.test_h2connect import ALLOW, SPIFFE, MeshTestCase
from ugate.testing import SlowReader, Stall


class WithinTests(MeshTestCase):
    """
    Dialers made of dialers.
    """

    def test_all(self) -> None:
        """
        All pools are found, however deep.
        """
        for text, many in (
            ("direct", 0),
            ("socks:a:1", 0),
            ("h2connect:a:1:h2c=yes", 1),
            ("h2connect:a:1:h2c=yes:attempts=3:proxyproto=v1", 1),
            ("h2connect:a:1:h2c=yes -> h2connect:b:1:h2c=yes -> connect:c:1", 2),
            (["h2connect:a:1:h2c=yes", "socks:a:1 -> h2connect:b:1:h2c=yes"], 2),
        ):
            dialer = dialerFromText(Net(), text)
            self.assertEqual(many, len(set(poolsIn(dialer))), text)


class HopCase(MeshTestCase):
    """
    A client's gateway with a hop in C{dial}, one that is written in a route, and a gate.
    """

    HOP = "h2connect:gate:15008:name=gate.example"

    def setUp(self) -> None:
        super().setUp()
        self.gate(policy=ALLOW)
        node: Any = self.mesh.gateway(
            "bob",
            listen={"main": "socks:tcp:1080:interface=127.0.0.1"},
            dial={"far": self.HOP},
            routes=[{"match": "*:80", "via": "far"}, {"match": "*", "via": self.HOP}],
            policy=ALLOW,
            identity=self.identity("bob", SPIFFE + "bob"),
        )
        self.node = node
        self.mesh.serve("web", 81, self.served)

    def states(self) -> list[tuple[int, bool]]:
        """
        What each link carries, and whether it is going away.
        """
        return [(each.streams, each.isClosing) for each in self.node.tenant.links.sessions()]


class ReloadTests(HopCase):
    """
    Other configurations.
    """

    def test_kept(self) -> None:
        """
        What a reload leaves as it is keeps its links; so do hops when only routes are others, but for those
        that are written there.
        """
        streams = [self.connect()]
        self.mesh.advance(1)
        streams.append(self.connect(target="web\\:81"))
        self.assertEqual([(1, False), (1, False)], self.states())
        self.node.store.put(ROOT, "policy", ONLY, {**ALLOW, "private": "allow"})
        self.mesh.advance(2)
        self.assertEqual([(1, False), (1, False)], self.states())
        self.node.store.put(ROOT, "routes", "", {"match": "elsewhere", "via": "direct"})
        self.mesh.advance(2)
        self.assertEqual([(1, False), (1, True)], self.states())
        self.assertTrue(all(each.isOpen for each in streams))

    def test_removed(self) -> None:
        """
        Links of a hop that is gone say so, keep their streams, and close with these; the other side hears it.
        """
        stream = self.connect()
        gate: Any = self.mesh.gateways["gate"]
        (far,) = gate.tenant.links.sessions()
        self.node.store.put(ROOT, "dial", "far", {"hops": "socks:elsewhere:1"})
        self.mesh.advance(2)
        self.assertEqual(([(1, True)], True), (self.states(), far.isClosing))
        stream.write(b"still")
        self.mesh.flush()
        self.assertEqual(b"still", self.served.last.received)
        stream.close()
        self.served.last.close()
        self.mesh.flush()
        self.assertEqual(([], []), (self.states(), gate.tenant.links.sessions()))

    def test_trust(self) -> None:
        """
        When others are believed, new streams use new links.
        """
        self.connect()
        self.mesh.advance(1)
        self.node.store.put(ROOT, "trust", ONLY, {"skew": 200})
        self.mesh.advance(2)
        self.assertEqual([(1, True)], self.states())
        self.assertTrue(self.connect().isOpen)
        self.assertEqual([(1, True), (1, False)], self.states())


class StopTests(HopCase):
    """
    The end of either gateway.
    """

    def ends(self, host: str) -> None:
        """
        Stop one, with a stream that has its last bytes and both ends in that time.
        """
        node: Any = self.mesh.gateways[host]
        stream, idle = self.connect(), self.connect(target="web\\:81")
        idle.abort()
        self.mesh.flush()
        stopped = node.stopService()
        self.mesh.flush()
        self.assertEqual([(1, True)], self.states())
        self.assertTrue(stream.isOpen)
        stream.pour(b"x" * 1_000_000)
        stream.halfClose()
        self.mesh.flush()
        server = self.served.accepted[0]
        server.pour(b"y" * 1_000_000)
        server.halfClose()
        self.mesh.advance(1)
        self.successResultOf(stopped)
        self.assertEqual((b"x" * 1_000_000, True), (server.received, server.isClean))
        self.assertEqual((b"y" * 1_000_000, True), (stream.received, stream.isClean))
        self.assertEqual(0, self.links())
        del self.mesh.gateways[host]

    def test_client(self) -> None:
        """
        Of the one that has dialed.
        """
        self.ends("bob")

    def test_server(self) -> None:
        """
        Of the one that has accepted.
        """
        self.ends("gate")

    def test_lastBytes(self) -> None:
        """
        What a link has not sent yet when its last stream is over is sent, however slowly that is read.
        """
        size = 22_000
        stream = self.connect()
        server = self.served.last
        server.write(b"answer")
        server.halfClose()
        self.mesh.flush()
        self.mesh.apply(SlowReader(size - 2000), "bob", "gate")
        stream.pour(b"x" * size)
        stream.halfClose()
        stopped = self.node.stopService()
        self.mesh.flush()
        self.assertLess(len(server.received), size)
        self.mesh.advance(GOODBYE)
        self.assertEqual((size, True), (len(server.received), server.isEnded))
        self.successResultOf(stopped)
        del self.mesh.gateways["bob"]

    def test_dead(self) -> None:
        """
        A link whose other end is dead is not waited for long.
        """
        stream = self.connect()
        stream.abort()
        self.mesh.flush()
        self.mesh.apply(Stall(), "gate", "bob")
        stopped = self.node.stopService()
        self.mesh.advance(GOODBYE)
        self.successResultOf(stopped)
        del self.mesh.gateways["bob"]

    def test_late(self) -> None:
        """
        What has not ended in time is cut, and no link is left.
        """
        stream = self.connect()
        self.mesh.stop()
        self.assertFalse(stream.isOpen or stream.isClean)
        self.assertEqual(0, self.links())
