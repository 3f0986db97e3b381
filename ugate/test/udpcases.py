# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gateway that datagrams go through.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.direct import Direct
from ugate.endpoints.udpport import DatagramServerEndpoint
from ugate.relay import Relay
from ugate.stream import UDP, Principal, StreamInfo, Target
from ugate.test.datagramfakes import NamedReactor, Peer
from ugate.test.gatewayfakes import GatewayCase, Rules

ANYONE = Principal("anyone", "open")


class Straight(Rules):
    """
    Lets datagrams go where they want, if it is told so.
    """

    networks: tuple[str, ...] = ("tcp", "udp")
    reactor: Any = None
    direct: Direct | None = None

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        self.asked.append(info)
        if self.direct is None:
            self.direct = Direct(self.reactor)
        return self.direct.endpointFor(info)


class PortCase(GatewayCase):
    """
    A gateway that datagrams go through, and those who send them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = NamedReactor()
        self.addCleanup(self.clock.close)
        self.rules = self.straight = Straight()
        self.straight.reactor = self.clock
        self.relay = Relay(self.clock, 900)
        self.addCleanup(self.relay.stop)
        self.flowsWith()
        self.target, self.client = self.peer(), self.peer()

    def peer(self, host: str = "127.0.0.1") -> Peer:
        """
        A program.
        """
        peer = Peer(host)
        self.addCleanup(peer.close)
        return peer

    def listen(self, **options: Any) -> Any:
        """
        A port that leads to the target.
        """
        target = Target(options.pop("host", "127.0.0.1"), self.target.port, UDP)
        endpoint = DatagramServerEndpoint(self.clock, 0, target, **options)
        port: Any = self.successResultOf(endpoint.listen(self.gateway(anonymous=ANYONE)))
        self.addCleanup(port.stopListening)
        return port
