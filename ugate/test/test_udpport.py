# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Ports for datagrams, up to the gateway and out again.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from ugate.endpoints.flowtable import QUIET
from ugate.endpoints.reach import asksForTarget, onlyLocal, takesLogins
from ugate.endpoints.udp import AT_ONCE
from ugate.endpoints.udpport import DatagramServerEndpoint, Port
from ugate.errors import Cause, Denied, Phase, Refused, StringError
from ugate.relay import IDLE_DATAGRAMS
from ugate.stream import UDP, Target
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.listening import Sockets
from ugate.tenancy.reactor import TenantReactor
from ugate.test.datagramfakes import NamedReactor, Peer, turn
from ugate.test.gatewayfakes import GatewayCase, Rules
from ugate.test.udpcases import ANYONE, PortCase, Straight


class PortTests(PortCase):
    """
    L{Port} with a gateway behind.
    """

    def test_bothWays(self) -> None:
        """
        Each peer has a flow, which is a stream to the gateway: decided, counted, logged.
        """
        port = self.listen()
        other = self.peer()
        self.client.send(b"one", port.getHost().port)
        other.send(b"two", port.getHost().port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"one", b"two"])
        info = self.rules.asked[0]
        self.assertEqual((str(info.target), info.principal), (f"udp:127.0.0.1:{self.target.port}", ANYONE))
        self.assertEqual(
            (str(info), info.protocol),
            (f"127.0.0.1:{self.client.port} -> udp:127.0.0.1:{self.target.port}", "udp"),
        )
        (first, _) = self.flows.streams()
        self.assertEqual((first.sent, first.received, first.state), (3, 0, "open"))
        flow = port.table.get(("127.0.0.1", self.client.port))
        flow.post(b"answer")
        self.assertEqual(self.client.take(), [b"answer"])

    def test_answers(self) -> None:
        """
        The target's answers go to who asked.
        """
        port = self.listen()
        self.client.send(b"question", port.getHost().port)
        turn(self.clock)
        data, address = self.target.socket.recvfrom(100)
        self.target.socket.sendto(data.upper(), address)
        turn(self.clock)
        self.assertEqual(self.client.take(), [b"QUESTION"])

    def test_name(self) -> None:
        """
        A target may be a name; what comes while it is looked up is kept, and goes first.
        """
        self.clock.nameResolver.pending["slow.example"] = []
        port = self.listen(host="slow.example")
        for each in b"one", b"two":
            self.client.send(each, port.getHost().port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [])
        receiver, number = self.clock.nameResolver.pending["slow.example"].pop()
        receiver.addressResolved(IPv4Address("UDP", "127.0.0.1", number))
        receiver.resolutionComplete()
        self.client.send(b"three", port.getHost().port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"one", b"two", b"three"])

    def test_idle(self) -> None:
        """
        A flow that is idle is over, with one line in the log; the next datagram begins another.
        """
        port = self.listen()
        self.client.send(b"one", port.getHost().port)
        turn(self.clock)
        self.clock.pump([IDLE_DATAGRAMS / 8] * 10)
        (line,) = self.said()
        self.assertIn(f"-> udp:127.0.0.1:{self.target.port} udp anyone: 3 sent, 0 received", line)
        self.assertTrue(line.endswith("s, idle"), line)
        self.assertEqual((len(port.table), len(self.flows)), (0, 0))
        self.client.send(b"two", port.getHost().port)
        turn(self.clock)
        self.assertEqual((self.target.take(), len(port.table)), ([b"one", b"two"], 1))

    def test_refused(self) -> None:
        """
        A peer that may not is not asked about for each datagram that it sends, nor is there a line for each.
        """
        self.rules.denied = Denied("x", "closed")
        port = self.listen()
        for _ in range(10):
            self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        self.assertEqual((len(self.said()), self.target.take(), self.rules.asked), (1, [], []))
        self.rules.denied = None
        self.clock.advance(QUIET)
        self.client.send(b"now", port.getHost().port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"now"])

    def test_noDatagrams(self) -> None:
        """
        A route that carries bytes alone is refused, and nothing is sent by it.
        """
        self.straight.networks = ("tcp",)
        port = self.listen()
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        (line,) = self.said()
        self.assertIn("its route carries no datagrams", line)
        self.assertEqual(self.rules.asked, [])

    def test_wrongDialer(self) -> None:
        """
        A dialer that says it carries datagrams and connects bytes all the same is caught.
        """

        class Wrong(Straight):
            endpointFor = Rules.endpointFor

        self.rules = wrong = Wrong()
        port = self.listen()
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        wire = wrong.dials[0].up()
        self.assertEqual(wire.value(), b"")
        self.assertTrue(wire.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_cap(self) -> None:
        """
        There are no more flows than there may be.
        """
        port = self.listen(flows=3)
        for _ in range(5):
            self.peer().send(b"x", port.getHost().port)
        turn(self.clock)
        self.assertEqual((len(port.table), len(self.flows), port.table.made), (3, 3, 2))
        # What came in the same turn for those that made way is dropped with them.
        self.assertEqual(len(self.target.take()), 3)
        self.assertEqual([line for line in self.said() if "made way: 3 flows" not in line], [])

    def test_turns(self) -> None:
        """
        A peer that sends much does not hold up all others.
        """
        port = self.listen()
        for _ in range(AT_ONCE + 1):
            self.client.send(b"x", port.getHost().port)
        port.doRead()
        self.assertEqual(len(self.target.take()), AT_ONCE)

    def test_stops(self) -> None:
        """
        When it is stopped, its flows end.
        """
        port = self.listen()
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        self.successResultOf(port.stopListening())
        self.successResultOf(port.stopListening())
        self.assertEqual((len(self.flows), self.clock.getReaders(), port.fileno()), (0, [], -1))
        port.doRead()
        port.connectionLost(None)

    def test_lostSocket(self) -> None:
        """
        So do they when the reactor finds its socket broken.
        """
        port = self.listen()
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        port.connectionLost(None)
        self.assertEqual((len(self.flows), port.isClosed), (0, True))

    def test_faults(self) -> None:
        """
        A fault in what is behind it is no end of it; nobody to serve a flow is none either.
        """
        port = self.listen()

        class Faulty(Factory):
            def buildProtocol(self, addr: Any) -> Any:
                raise ZeroDivisionError

        port.factory = Faulty()
        self.client.send(b"x", port.getHost().port)
        turn(self.clock)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        port.factory = type("Nobody", (Factory,), {"buildProtocol": lambda self, addr: None})()
        self.peer().send(b"x", port.getHost().port)
        turn(self.clock)
        self.assertTrue(all(flow.isClosed for flow in port.table))

    def test_largest(self) -> None:
        """
        The largest datagrams pass, both ways.
        """
        port = self.listen()
        self.client.send(bytes(65507), port.getHost().port)
        turn(self.clock)
        data, address = self.target.socket.recvfrom(65536)
        self.target.socket.sendto(data, address)
        turn(self.clock)
        self.assertEqual(list(map(len, self.client.take())), [65507])

    def test_ipv6(self) -> None:
        """
        The same by IPv6.
        """
        self.target, self.client = self.peer("::1"), self.peer("::1")
        port = self.listen(host="::1", interface="::1")
        self.client.send(b"six", port.getHost().port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"six"])
        self.assertEqual(str(self.rules.asked[0].target), f"udp:[::1]:{self.target.port}")


class StringTests(GatewayCase):
    """
    C{udp:} strings, and the endpoints that they mean.
    """

    def test_parsed(self) -> None:
        """
        The port, and what else it may say.
        """
        endpoint: Any = serverFromString(self.clock, "udp:5353:to=db.example\\:53")
        self.assertEqual(
            (endpoint.port, str(endpoint.target), endpoint.interface, endpoint.flows),
            (5353, "udp:db.example:53", "127.0.0.1", 5000),
        )
        self.assertTrue(onlyLocal(endpoint) and asksForTarget(endpoint))
        endpoint = serverFromString(self.clock, "udp:0:to=[\\:\\:1]\\:53:interface=\\:\\::flows=7")
        self.assertEqual(
            (str(endpoint.target), endpoint.interface, endpoint.flows), ("udp:[::1]:53", "::", 7)
        )
        self.assertFalse(onlyLocal(endpoint) or takesLogins(endpoint))
        self.assertTrue(onlyLocal(serverFromString(self.clock, "udp:1:to=a\\:1:interface=localhost")))

    def test_mistakes(self) -> None:
        """
        Each is told with what is wanted.
        """
        for text, words in (
            ("udp:5353", "where to? add to=HOST\\:PORT"),
            ("udp:5353:9:to=a\\:1", "wanted udp:PORT:to=HOST\\:PORT"),
            ("udp:65536:to=a\\:1", "wanted a number from 0 to 65535"),
            ("udp:x:to=a\\:1", "wanted a number from 0 to 65535"),
            ("udp:1:to=a", "the colon is written \\:"),
            ("udp:1:to=a\\:1:answers=all", "answers=all: wanted target or any"),
            ("socks:tcp:1:answers=all", "answers=all: wanted target or any"),
            ("auto:tcp:1:answers=all", "answers=all: wanted target or any"),
            ("udp:1:to=a\\:1:flows=0", "flows= 0: wanted a number from 1 to 100000"),
            ("udp:1:to=a\\:1:interface=eth0", "wanted an address of this host"),
            ("udp:1:to=a\\:1:via=x", "via= is not known; wanted to, interface, flows, answers"),
        ):
            error = self.assertRaises(StringError, serverFromString, self.clock, text)
            self.assertIn(words, str(error), text)

    def test_notHere(self) -> None:
        """
        Where it cannot listen, it says so.
        """
        clock = NamedReactor()
        self.addCleanup(clock.close)
        taken = Peer()
        self.addCleanup(taken.close)
        target = Target("a", 1, UDP)
        self.failureResultOf(
            DatagramServerEndpoint(clock, taken.port, target).listen(Factory()), CannotListenError
        )
        blind = type("Blind", (), {})()
        failure: Any = self.failureResultOf(DatagramServerEndpoint(blind, 1, target).listen(Factory()))
        self.assertIsInstance(failure.value, Refused)
        self.assertIs(failure.value.cause, Cause.UNSUPPORTED)
        self.assertIs(failure.value.phase, Phase.NEGOTIATE)

    def test_kept(self) -> None:
        """
        With the reactor of a tenant the socket outlives its listener, and no flow may lead back to it.
        """
        clock: Any = NamedReactor()
        self.addCleanup(clock.close)
        clock.connectTCP = None
        own = OwnListeners()
        sockets = Sockets(own)
        reactor = TenantReactor(clock, None, None, sockets=sockets)  # type: ignore[arg-type]
        one, two = Factory(), Factory()
        held: Any = self.successResultOf(DatagramServerEndpoint(reactor, 0, Target("a", 1, UDP)).listen(one))
        port: Port = held.place.port
        number = port.host.port
        self.assertEqual((own.holds("127.0.0.1", number, UDP), own.holds("127.0.0.1", number)), (True, False))
        sockets.begin(lambda owner: True)
        endpoint = DatagramServerEndpoint(reactor, 0, Target("b", 2, UDP), flows=9)
        again: Any = self.successResultOf(endpoint.listen(two))
        self.assertIs(again.place.port, port)
        sockets.commit()
        self.assertIs(port.factory, two)
        self.assertEqual((port.target, port.table.limit), (Target("b", 2, UDP), 9))
        self.successResultOf(again.stopListening())
        self.assertFalse(own.holds("127.0.0.1", number, UDP))
