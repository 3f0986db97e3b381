# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.capturedudp}: datagrams of which the test says where they were to go.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock

from ugate.endpoints import capturedudp
from ugate.endpoints.capturedudp import Answers, CapturedDatagramsEndpoint, CapturedPort, originalIn
from ugate.endpoints.flowtable import QUIET
from ugate.endpoints.reach import asksForTarget, onlyLocal, takesLogins
from ugate.endpoints.udp import AT_ONCE
from ugate.errors import ListenRefused, Refused, StringError
from ugate.interfaces import IEgress
from ugate.stream import UDP, Target
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.test.datagramfakes import NamedReactor, Peer, turn
from ugate.test.gatewayfakes import GatewayCase
from ugate.test.udpcases import ANYONE, Straight


def ancillary(host: str, port: int) -> list[tuple[int, int, bytes]]:
    """
    What the kernel says beside a datagram that was to go there.
    """
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
        return [
            (0, 1, b""),
            (socket.IPPROTO_IPV6, 74, struct.pack("=H", 10) + struct.pack("!HI16sI", port, 0, packed, 0)),
        ]
    return [
        (socket.IPPROTO_IP, 20, struct.pack("=H", 2) + struct.pack("!H4s8x", port, socket.inet_aton(host)))
    ]


class LedReactor(NamedReactor):
    """
    A reactor with the rules of a tenant.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own = OwnListeners()
        self.egress = Egress(self.own, True)

    def __conform__(self, interface: object) -> object | None:
        return self.egress if interface is IEgress else None


class LedSocket(socket.socket):
    """
    One that the kernel leads datagrams to.

    @ivar led: where the next ones were to go; L{None} for nowhere else.
    """

    led: tuple[str, int] | None = None

    def recvmsg(self, *args: Any) -> Any:
        data, _, flags, address = super().recvmsg(*args)
        return data, [] if self.led is None else ancillary(*self.led), flags, address


class PortTests(GatewayCase):
    """
    L{CapturedPort} with a gateway behind.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = LedReactor()
        self.addCleanup(self.clock.close)
        self.rules = self.straight = Straight()
        self.straight.reactor = self.clock
        self.flowsWith()
        self.target, self.client = self.peer(), self.peer()
        self.bound = LedSocket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bound.bind(("127.0.0.1", 0))
        self.port = CapturedPort(self.clock, self.bound, self.gateway(anonymous=ANYONE), 3)
        self.assertTrue(verifyObject(IListeningPort, self.port))
        self.port.answers = Answers(None, self.answering)
        self.made: list[tuple[str, int]] = []
        self.broken = False
        self.port.startListening()
        self.addCleanup(self.port.stopListening)

    def answering(self, host: str, port: int) -> socket.socket:
        """
        A socket that would have the address of another, if the kernel let it.
        """
        self.made.append((host, port))
        if self.broken:
            raise OSError(errno.EMFILE, "none left")
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind(("127.0.0.1", 0))
        return made

    def peer(self) -> Peer:
        """
        A program.
        """
        peer = Peer("127.0.0.1")
        self.addCleanup(peer.close)
        return peer

    def send(self, *datagrams: bytes, led: tuple[str, int] | None, peer: Peer | None = None) -> None:
        """
        Somebody sends them there, and they are led here.
        """
        self.bound.led = led
        for each in datagrams:
            (peer or self.client).send(each, self.bound.getsockname()[1])
        turn(self.clock)

    def test_bothWays(self) -> None:
        """
        Each peer has a flow to each place; the answers of it go from a socket with that address.
        """
        place = "127.0.0.1", self.target.port
        self.send(b"one", b"two", led=place)
        self.assertEqual(self.target.take(), [b"one", b"two"])
        info: Any = self.rules.asked[0]
        self.assertEqual((info.target, info.protocol), (Target(*place, UDP), "tproxy"))
        self.assertEqual((info.host.host, info.host.port), place)
        self.assertEqual((len(self.port.table), self.made), (1, []))
        other = self.peer()
        self.send(b"three", led=("127.0.0.1", other.port))
        self.assertEqual((other.take(), len(self.port.table)), ([b"three"], 2))
        for flow in self.port.table:
            flow.post(b"answer")
        self.assertEqual(self.client.take(), [b"answer", b"answer"])
        self.assertEqual(sorted(self.made), sorted([place, ("127.0.0.1", other.port)]))

    def test_sharedSockets(self) -> None:
        """
        Flows to the same place share its socket, which is closed with the last of them.
        """
        place = "127.0.0.1", self.target.port
        self.send(b"one", led=place)
        self.send(b"two", led=place, peer=self.peer())
        flows = list(self.port.table)
        for flow in flows:
            flow.post(b"x")
        self.assertEqual((len(self.made), len(self.port.answers)), (1, 1))
        flows[0].lost()
        self.assertEqual(len(self.port.answers), 1)
        flows[1].lost()
        self.assertEqual(len(self.port.answers), 0)

    def test_noSocket(self) -> None:
        """
        Without one an answer is dropped; the next one tries again.
        """
        self.send(b"one", led=("127.0.0.1", self.target.port))
        (flow,) = self.port.table
        self.broken = True
        flow.post(b"x")
        self.broken = False
        flow.post(b"y")
        self.assertEqual((flow.dropped, self.client.take()), (1, [b"y"]))

    def test_limit(self) -> None:
        """
        There are only so many flows, and sockets.
        """
        for number in range(5):
            self.send(b"x", led=("127.0.0.1", self.target.port), peer=self.peer() if number else None)
        self.assertEqual(len(self.port.table), 3)

    def test_turns(self) -> None:
        """
        Not all that is there is taken at once.
        """
        self.bound.led = "127.0.0.1", self.target.port
        for _ in range(AT_ONCE + 5):
            self.client.send(b"x", self.bound.getsockname()[1])
        self.port.doRead()
        self.assertEqual(len(self.target.take()), AT_ONCE)
        self.port.doRead()
        self.assertEqual(len(self.target.take()), 5)

    def test_notLed(self) -> None:
        """
        What was sent to the port itself, to a listener of ours, or by ourselves, goes nowhere; it is logged.
        """
        self.send(b"x", led=None)
        self.assertEqual((self.port.dropped, len(self.port.table)), (1, 0))
        self.clock.own.add("127.0.0.1", 53, UDP)
        said: list[str] = []

        class Log:
            def info(self, text: str, **fields: object) -> None:
                said.append(text.format(**fields))

        self.patch(CapturedPort, "_log", Log())
        self.send(b"x", b"y", led=("127.0.0.1", 53))
        self.assertIn("127.0.0.1:53 is a listener of this gateway", said.pop())
        self.assertEqual(said, [])
        self.clock.advance(QUIET)
        self.clock.egress.capture()
        outgoing: Any = self.clock.egress.outgoing
        outgoing.add(("127.0.0.1", self.client.port, "192.0.2.9", 99), self.client.socket)
        self.send(b"x", led=("192.0.2.9", 99))
        self.assertIn("our own datagrams to udp:192.0.2.9:99 were captured again", said.pop())
        self.assertEqual(self.rules.asked, [])


class SocketTests(GatewayCase):
    """
    What is asked of the kernel, and how it is written.
    """

    def test_original(self) -> None:
        """
        Both families, and nothing.
        """
        for host in ("203.0.113.9", "2001:db8::9"):
            self.assertEqual(originalIn(ancillary(host, 53)), Target(host, 53, UDP))
        self.assertIs(originalIn([(0, 1, b"x")]), None)

    def test_listen(self) -> None:
        """
        Where the kernel allows it a port is opened; else the error says what it needs.
        """
        clock = LedReactor()
        self.addCleanup(clock.close)
        endpoint = CapturedDatagramsEndpoint(clock, 0)
        self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
        try:
            capturedudp.transparentSocket("192.0.2.9", 0).close()
        except PermissionError:
            failure = self.failureResultOf(endpoint.listen(self.gateway()), ListenRefused)
            self.assertIn("CAP_NET_ADMIN", failure.getErrorMessage())
            return
        port: Any = self.successResultOf(endpoint.listen(self.gateway()))
        self.assertIsNot(clock.egress.outgoing, None)
        taken = CapturedDatagramsEndpoint(clock, port.getHost().port)
        self.failureResultOf(taken.listen(self.gateway()), CannotListenError)
        port.stopListening()

    def test_cannot(self) -> None:
        """
        Without privileges, or a reactor that waits for sockets, it does not listen.
        """

        def forbidden(host: str, port: int) -> socket.socket:
            raise PermissionError(errno.EPERM, "no")

        self.patch(capturedudp, "transparentSocket", forbidden)
        clock = LedReactor()
        self.addCleanup(clock.close)
        failure = self.failureResultOf(
            CapturedDatagramsEndpoint(clock, 1).listen(self.gateway()), ListenRefused
        )
        self.assertIn("CAP_NET_ADMIN", failure.getErrorMessage())
        memory = CapturedDatagramsEndpoint(MemoryReactorClock(), 1)
        self.failureResultOf(memory.listen(self.gateway()), Refused)

    def test_string(self) -> None:
        """
        As it is written; it is never only for this machine.
        """
        endpoint: Any = serverFromString(MemoryReactorClock(), "tproxy:udp:15001:interface=\\:\\:1:flows=7")
        self.assertEqual((endpoint.port, endpoint.interface, endpoint.flows), (15001, "::1", 7))
        self.assertEqual(
            (asksForTarget(endpoint), onlyLocal(endpoint), takesLogins(endpoint)), (True, False, False)
        )
        for text, words in (
            ("tproxy:udp", "wanted tproxy:udp:PORT"),
            ("tproxy:udp:0", "the port 0: wanted"),
            ("tproxy:udp:1:to=x", "to= is not known; wanted interface, flows"),
            ("tproxy:udp:1:flows=0", "flows= 0: wanted"),
        ):
            self.assertIn(
                words, str(self.assertRaises(StringError, serverFromString, MemoryReactorClock(), text))
            )
