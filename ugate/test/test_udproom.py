# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams and the number of streams.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ugate.endpoints.udpport import DatagramServerEndpoint
from ugate.errors import Denied, Refused
from ugate.gateway import Gateway
from ugate.stream import UDP, StreamInfo, Target
from ugate.tenancy.config.schema import Limits
from ugate.tenancy.limits import TenantLimits
from ugate.test.datagramfakes import Peer, turn
from ugate.test.gatewayfakes import ALICE, HERE, PEER, Dial, FakeTenant, Rules
from ugate.test.udpcases import PortCase


class RoomTests(PortCase):
    """
    Flows and the number of streams.
    """

    def ports(self) -> set[int]:
        """
        Of those who have a flow.
        """
        return {stream.info.peer.port for stream in self.flows.streams()}  # type: ignore[attr-defined]

    def fill(self, port: Any, count: int) -> list[Peer]:
        """
        Some flows, the first of which is used again.
        """
        peers = [self.peer() for _ in range(count)]
        for each in (*peers, peers[0]):
            self.clock.advance(1)
            each.send(b"x", port.getHost().port)
            turn(self.clock)
        return peers

    def test_node(self) -> None:
        """
        When a node has no place for one more stream, the flow that was idle for longest goes.
        """
        self.flowsWith(streams=3)
        port = self.listen()
        peers = self.fill(port, 3)
        self.assertEqual(self.ports(), {peer.port for peer in peers})
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        self.assertEqual(self.ports(), {peers[0].port, peers[2].port, self.client.port})
        (line,) = self.said()
        self.assertIn("made way: no more streams may be open", line)
        self.straight.make = Dial
        self.rules.endpointFor = partial(Rules.endpointFor, self.rules)  # type: ignore[method-assign]
        wire = self.ask(StreamInfo(PEER, HERE, Target("db", 1), ALICE))
        self.assertEqual((wire.answers, len(self.flows)), ([], 3))
        self.assertNotIn(peers[2].port, self.ports())

    def test_denied(self) -> None:
        """
        Whom the rules or the routes deny takes nobody's place.
        """
        self.flowsWith(streams=1)
        (peer,) = self.fill(self.listen(), 1)
        denied = Denied("alice", "not there")
        self.rules.endpointFor = partial(Rules.endpointFor, self.rules)  # type: ignore[method-assign]
        for self.rules.denied, self.rules.refused in ((denied, None), (None, denied)):
            wire = self.ask(StreamInfo(PEER, HERE, Target("db", 1), ALICE))
            self.assertIs(self.refusal(wire), denied)
            self.assertEqual(self.ports(), {peer.port})

    def test_noneLeft(self) -> None:
        """
        Streams of bytes do not make way; neither does anything at a shutdown.
        """
        self.flowsWith(streams=1)
        port = self.listen()
        self.fill(port, 1)
        self.flows.stop()
        self.assertIsInstance(self.refusal(self.ask(StreamInfo(PEER, HERE, Target("db", 1), ALICE))), Refused)
        self.assertEqual(len(self.flows), 1)

    def test_tenant(self) -> None:
        """
        A tenant at its limit has only its own flows to let go.
        """
        limits = TenantLimits(self.clock, Limits(streams=2), path="alice")
        alice, bob = (FakeTenant(self.clock, self.rules) for _ in range(2))
        alice.name, bob.name, alice.limits = "alice", "bob", limits
        ports = []
        for tenant in (bob, alice):
            endpoint = DatagramServerEndpoint(self.clock, 0, Target("127.0.0.1", self.target.port, UDP))
            gateway = Gateway(tenant, self.flows, listener=tenant.name, anonymous=ALICE)
            port: Any = self.successResultOf(endpoint.listen(gateway))
            self.addCleanup(port.stopListening)
            ports.append(port)
        (bobs,) = self.fill(ports[0], 1)
        peers = self.fill(ports[1], 3)
        left = {bobs.port, peers[0].port, peers[2].port}
        self.assertEqual((self.ports(), limits.streams), (left, 2))
        self.rules.denied = Denied("alice", "not there")
        self.peer().send(b"x", ports[1].getHost().port)
        turn(self.clock)
        self.assertEqual((self.ports(), limits.streams), (left, 2))
        self.rules.denied = None
        limits.change(Limits(streams=2, opens=1))
        self.fill(ports[1], 3)
        self.assertEqual(limits.streams, 2)
