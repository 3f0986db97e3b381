# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A socket that takes answers from anybody.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ugate.endpoints.associationfactory import AssociationFactory
from ugate.endpoints.associations import AssociationSocket
from ugate.endpoints.direct import Direct
from ugate.endpoints.udp import CONE
from ugate.endpoints.udpport import boundSocket
from ugate.leg import Leg
from ugate.protocols.capsules import capsule
from ugate.protocols.socks5udp import headerFor
from ugate.stream import UDP, StreamInfo, Target
from ugate.test.datagramfakes import flowTo, turn
from ugate.test.gatewayfakes import ALICE
from ugate.test.udpcases import PortCase


class ConeTests(PortCase):
    """
    L{ConeSocket<ugate.endpoints.cone.ConeSocket>} behind the dialer, and behind listeners.
    """

    def setUp(self) -> None:
        super().setUp()
        self.direct = Direct(self.clock)
        self.stranger = self.peer()

    def open(self, port: int, whose: str = "alice", host: str = "127.0.0.1") -> Any:
        """
        A flow.
        """
        info = flowTo(host, port).but(hints={CONE: whose} if whose else {})
        leg: Any = self.successResultOf(self.direct.endpointFor(info).connect(Factory.forProtocol(Leg)))
        self.addCleanup(leg.transport.loseConnection)
        return leg

    def test_shared(self) -> None:
        """
        The flows of one client go out by one socket, those of others by others; each target answers its flow.
        """
        other = self.peer()
        flows = [self.open(self.target.port), self.open(other.port), self.open(self.target.port, "bob")]
        ports = [leg.transport.getHost().port for leg in flows]
        self.assertEqual((ports[0] == ports[1], ports[0] == ports[2]), (True, False))
        self.target.send(b"from the target", ports[0])
        other.send(b"from the other", ports[0])
        turn(self.clock)
        self.assertEqual(
            [leg.takeEarly() for leg in flows], [capsule(b"from the target"), capsule(b"from the other"), b""]
        )
        flows[0].transport.write(capsule(b"out"))
        self.assertEqual(self.target.take(), [b"out"])
        self.assertEqual(str(flows[0].transport.getPeer().port), str(self.target.port))

    def test_strangers(self) -> None:
        """
        What anybody else sends goes to the flow that was used last.
        """
        other = self.peer()
        one, two = self.open(self.target.port), self.open(other.port)
        port = one.transport.getHost().port
        self.stranger.send(b"first", port)
        turn(self.clock)
        one.transport.post(b"x")
        self.stranger.send(b"second", port)
        turn(self.clock)
        self.assertEqual((two.takeEarly(), one.takeEarly()), (capsule(b"first"), capsule(b"second")))
        one.transport.loseConnection()
        self.stranger.send(b"third", port)
        turn(self.clock)
        self.assertEqual(two.takeEarly(), capsule(b"third"))

    def test_ends(self) -> None:
        """
        With the last flow, the socket is closed; a second flow to a target takes the place of the first.
        """
        one = self.open(self.target.port)
        again = self.open(self.target.port)
        self.assertTrue(one.transport.isClosed)
        self.assertEqual(len(self.clock.getReaders()), 1)
        again.transport.loseConnection()
        self.assertEqual((self.clock.getReaders(), self.direct._cones), ([], {}))
        lost = self.open(self.target.port)
        (cone,) = self.clock.getReaders()
        cone.connectionLost(Failure(ConnectionLost("epoll")))
        self.assertIsInstance(lost.gone.value, ConnectionLost)
        self.assertEqual(self.clock.getReaders(), [])

    def test_closed(self) -> None:
        """
        Without the hint a socket is for one target, and hears nobody else.
        """
        leg = self.open(self.target.port, "")
        self.stranger.send(b"x", leg.transport.getHost().port)
        turn(self.clock)
        self.assertEqual(leg.early, b"")

    def test_ipv6(self) -> None:
        """
        Both families may be in use at once.
        """
        six = self.peer("::1")
        one, two = self.open(self.target.port), self.open(six.port, host="::1")
        two.transport.post(b"six")
        self.assertEqual(six.take(), [b"six"])
        six.send(b"answer", two.transport.getHost().port)
        turn(self.clock)
        self.assertEqual((two.takeEarly(), one.early), (capsule(b"answer"), b""))

    def test_port(self) -> None:
        """
        By a port with C{answers=any}, the client gets what anybody sends to where it was heard from.
        """
        port = self.listen(isCone=True)
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        _, seen = self.target.socket.recvfrom(10)
        self.stranger.send(b"hello", seen[1])
        self.target.send(b"answer", seen[1])
        turn(self.clock)
        self.assertEqual(sorted(self.client.take()), [b"answer", b"hello"])

    def test_association(self) -> None:
        """
        By an association: with the address of who has sent it, who can be answered by the same socket.
        """
        factory = AssociationFactory(self.gateway(), self.clock, isCone=True)
        info = StreamInfo(flowTo("a", 1).peer, flowTo("a", 1).host, principal=ALICE)
        info = info.but(peer=IPv4Address("TCP", "127.0.0.1", 1))
        hearing = AssociationSocket(factory, boundSocket("127.0.0.1", 0), info)
        self.addCleanup(hearing.close)
        self.clock.addReader(hearing)
        here = hearing.host.port
        target, stranger = (
            headerFor(Target("127.0.0.1", each.port, UDP), "") for each in (self.target, self.stranger)
        )
        self.client.send(target + b"x", here)
        turn(self.clock)
        _, seen = self.target.socket.recvfrom(10)
        self.stranger.send(b"hello", seen[1])
        self.target.send(b"answer", seen[1])
        turn(self.clock)
        self.assertEqual(sorted(self.client.take()), sorted([target + b"answer", stranger + b"hello"]))
        self.client.send(stranger + b"who is there", here)
        turn(self.clock)
        self.assertEqual(self.stranger.socket.recvfrom(100), (b"who is there", seen))
