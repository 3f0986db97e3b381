# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams that this host makes itself.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.direct import Direct
from ugate.endpoints.udp import AT_ONCE, CONE, DatagramEndpoint
from ugate.errors import Cause, Denied, Refused
from ugate.leg import Leg
from ugate.protocols.capsules import capsule
from ugate.stream import UDP, Target
from ugate.test.datagramfakes import NamedReactor, Peer, flowTo, turn


class DatagramEndpointTests(SynchronousTestCase):
    """
    L{DatagramEndpoint} and what it connects.
    """

    def setUp(self) -> None:
        self.reactor = NamedReactor()
        self.addCleanup(self.reactor.close)
        self.peer = Peer()
        self.addCleanup(self.peer.close)

    def connect(self, host: str = "127.0.0.1", port: int = 0) -> Any:
        """
        Ask the dialer for a flow.
        """
        endpoint = Direct(self.reactor, 5).endpointFor(flowTo(host, port or self.peer.port))
        self.assertIsInstance(endpoint, DatagramEndpoint)
        return endpoint.connect(Factory.forProtocol(Leg))

    def open(self, host: str = "127.0.0.1") -> Any:
        """
        Open one.
        """
        leg: Any = self.successResultOf(self.connect(host))
        self.addCleanup(leg.transport.loseConnection)
        return leg

    def test_bothWays(self) -> None:
        """
        Datagrams go to the target, and its answers come.
        """
        leg = self.open()
        leg.transport.write(capsule(b"question") + capsule(b""))
        self.assertEqual(self.peer.take(), [b"question", b""])
        self.peer.send(b"answer", leg.transport.getHost().port)
        self.peer.send(b"", leg.transport.getHost().port)
        turn(self.reactor)
        self.assertEqual(leg.takeEarly(), capsule(b"answer") + capsule(b""))
        self.assertEqual(self.reactor.asked, [("127.0.0.1", self.peer.port, UDP)])
        self.assertEqual(leg.transport.getPeer().port, self.peer.port)

    def test_onlyTheTarget(self) -> None:
        """
        Nobody else can answer.
        """
        leg = self.open()
        other = Peer()
        self.addCleanup(other.close)
        other.send(b"spoofed", leg.transport.getHost().port)
        turn(self.reactor)
        self.assertEqual(leg.early, b"")

    def test_receiver(self) -> None:
        """
        One by one, with a bound on how many in one turn.
        """
        leg = self.open()
        got: list[bytes] = []
        leg.transport.receive(got.extend)
        for number in range(AT_ONCE + 1):
            self.peer.send(b"%d" % number, leg.transport.getHost().port)
        self.reactor.turn()
        self.assertEqual(len(got), AT_ONCE)
        self.reactor.turn()
        self.assertEqual(got[-1], b"%d" % AT_ONCE)

    def test_largest(self) -> None:
        """
        The largest datagram of IPv4 goes, in fragments; one more byte is dropped and counted.
        """
        leg = self.open()
        failed: list[OSError] = []
        leg.transport.failed = failed.append
        leg.transport.post(bytes(65507))
        leg.transport.post(bytes(65508))
        self.assertEqual(([len(each) for each in self.peer.take()], leg.transport.dropped), ([65507], 1))
        self.assertEqual([each.errno for each in failed], [errno.EMSGSIZE])

    def test_nobodyThere(self) -> None:
        """
        What does not get there is no end of a flow: the next one may.  Whoever wants to know is told.
        """
        leg = self.open()
        self.peer.close()
        leg.transport.post(b"x")
        turn(self.reactor)
        failed: list[OSError] = []
        leg.transport.failed = failed.append
        leg.transport.post(b"x")
        turn(self.reactor)
        self.assertEqual([each.errno for each in failed], [errno.ECONNREFUSED])
        for _ in range(3):
            leg.transport.post(b"x")
            turn(self.reactor)
        self.assertEqual((leg.gone, leg.transport.dropped), (None, 0))

    def test_pausing(self) -> None:
        """
        While it is paused, the kernel keeps what comes.
        """
        leg = self.open()
        leg.transport.pauseProducing()
        self.peer.send(b"later", leg.transport.getHost().port)
        turn(self.reactor)
        self.assertEqual(leg.early, b"")
        leg.transport.resumeProducing()
        turn(self.reactor)
        self.assertEqual(leg.early, capsule(b"later"))

    def test_closes(self) -> None:
        """
        When it is over, the socket is closed and nobody waits for it.
        """
        leg = self.open()
        transport = leg.transport
        transport.loseConnection()
        self.assertEqual((transport.fileno(), self.reactor.getReaders()), (-1, []))
        transport.post(b"late")
        transport.pauseProducing()
        transport.resumeProducing()
        self.assertEqual((self.peer.take(), transport.dropped), ([], 1))
        leg = self.open()
        leg.transport.connectionLost(Failure(ConnectionLost("epoll")))
        self.assertIsInstance(leg.gone.value, ConnectionLost)

    def test_closedWhileReading(self) -> None:
        """
        Whoever gets a datagram may close.
        """
        leg = self.open()
        leg.transport.receive(lambda _: leg.transport.loseConnection())
        for _ in range(3):
            self.peer.send(b"x", leg.transport.getHost().port)
        turn(self.reactor)
        self.assertTrue(leg.transport.isClosed)

    def test_names(self) -> None:
        """
        A name is looked up, and leads to the first address that there is a way to.
        """
        leg = self.open("four.example")
        leg.transport.post(b"hello")
        self.assertEqual(self.peer.take(), [b"hello"])
        self.reactor.denied = "::1"
        leg = self.open("both.example")
        self.assertEqual(leg.transport.getPeer().host, "127.0.0.1")
        self.assertEqual([host for host, _, _ in self.reactor.asked], ["127.0.0.1", "::1", "127.0.0.1"])

    def test_noNames(self) -> None:
        """
        A name without an address, one that takes too long, and one that is none are refused.
        """
        refused: Any = self.failureResultOf(self.connect("none.example"), Refused).value
        self.assertIs(refused.cause, Cause.NAME_UNKNOWN)
        refused = self.failureResultOf(self.connect("a" * 64 + ".example"), Refused).value
        self.assertIs(refused.cause, Cause.NAME_UNKNOWN)
        self.reactor.nameResolver.pending["slow.example"] = []
        connecting = self.connect("slow.example")
        self.assertNoResult(connecting)
        self.reactor.advance(5)
        refused = self.failureResultOf(connecting, Refused).value
        self.assertIs(refused.cause, Cause.TIMED_OUT)
        receiver, _ = self.reactor.nameResolver.pending["slow.example"].pop()
        receiver.resolutionComplete()
        cancelled = self.connect("slow.example")
        cancelled.cancel()
        self.failureResultOf(cancelled)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """
        What the egress rules forbid, what the system cannot reach, and where nobody waits for sockets.
        """
        self.reactor.denied = "127.0.0.1"
        self.failureResultOf(self.connect(), Denied)
        refused: Any = self.failureResultOf(self.connect("255.255.255.255", 1), Refused).value
        self.assertIn("udp:255.255.255.255:1", str(refused))
        self.failureResultOf(self.connect("fe80::1%nosuch0", 1), Refused)
        self.failureResultOf(self.connect("four.example"), Denied)
        endpoint = DatagramEndpoint(type("Blind", (), {})(), Target("127.0.0.1", 1, UDP))
        refused = self.failureResultOf(endpoint.connect(Factory.forProtocol(Leg)), Refused).value
        self.assertIs(refused.cause, Cause.UNSUPPORTED)
        self.assertEqual(str(endpoint), "udp:127.0.0.1:1")

    def test_marked(self) -> None:
        """
        Where the kernel leads connections of this machine here, it can tell ours: of either kind.
        """
        made: list[Any] = []
        self.reactor.outgoing = type("Outgoing", (), {"add": lambda self, *what: made.append(what)})()
        self.reactor.mark = 7
        leg = self.open()
        shared = flowTo("127.0.0.1", self.peer.port).but(hints={CONE: "alice"})
        cone: Any = self.successResultOf(
            Direct(self.reactor).endpointFor(shared).connect(Factory.forProtocol(Leg))
        )
        self.addCleanup(cone.transport.loseConnection)
        ((where, _),) = made
        self.assertEqual(where, ("127.0.0.1", leg.transport.getHost().port, "127.0.0.1", self.peer.port))
        marks = [
            each.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
            for each in (leg.transport._socket, cone.transport._cone.socket)
        ]
        # Without the privilege nothing is marked, and that is said.
        self.assertIn((marks, self.reactor.unmarked), [([7, 7], 0), ([0, 0], 2)])

    def test_noProtocol(self) -> None:
        """
        When there is no protocol, nothing stays open.
        """

        class Nobody(Factory):
            def buildProtocol(self, addr: Any) -> Any:
                return None

        for host in "127.0.0.1", "four.example":
            endpoint = DatagramEndpoint(self.reactor, Target(host, self.peer.port, UDP))
            self.failureResultOf(endpoint.connect(Nobody()))
        self.assertEqual(self.reactor.getReaders(), [])
