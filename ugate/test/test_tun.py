# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tun}.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.captured import Capture
from ugate.endpoints.reach import onlyLocal, takesLogins
from ugate.endpoints.tun import PROTOCOL, DeviceEndpoint, TunPort, TunServerEndpoint
from ugate.endpoints.tunroutes import Routes, Way
from ugate.errors import ListenRefused, Refused
from ugate.interfaces import IEgress
from ugate.protocols.tunpackets import ACK, FIN, RST
from ugate.stream import StreamInfo, Target
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.tenancy.listening import Sockets
from ugate.tenancy.reactor import TenantReactor
from ugate.test.dialfakes import Net
from ugate.test.socketfakes import SocketReactor
from ugate.test.test_tunroutes import WAY
from ugate.test.tunfakes import FAR, OWN, PEER, Segment, answerTo, outwards, read

PORT = 15001


class TunReactor(SocketReactor):
    """
    With rules on addresses, and an end.
    """

    connectTCP = None

    def __init__(self) -> None:
        super().__init__()
        self.own = OwnListeners().markWith(0x7567)
        self.egress = Egress(self.own, True)
        self.egress.capture()
        self.triggers: list[Any] = []

    def __conform__(self, interface: object) -> object | None:
        return self.egress if interface is IEgress else None

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> Any:
        """
        See L{IReactorCore}.
        """
        assert (phase, event) == ("during", "shutdown")
        self.triggers.append(call)
        return call

    def removeSystemEventTrigger(self, trigger: Any) -> None:
        """
        See L{IReactorCore}.
        """
        self.triggers.remove(trigger)


class FakeRoutes(Routes):
    """
    Routes that only remember.
    """

    made: list[FakeRoutes] = []
    refuses = ""

    def __init__(self, way: Way, mark: int) -> None:
        super().__init__(way, mark)
        self.isUp = False
        self.made.append(self)
        self.asked = way, mark

    def up(self) -> None:
        if self.refuses:
            raise ListenRefused(self.refuses)
        self.isUp = True

    def down(self) -> None:
        self.isUp = False


class FakePort:
    """
    What listens at an address of the device.
    """

    def __init__(self, port: int, factory: Any, backlog: int, interface: str, reactor: object) -> None:
        assert (port, backlog) == (0, 1024)
        self.factory = factory
        self.interface = interface
        self.isUp = False

    def startListening(self) -> None:
        """
        See L{IListeningPort}.
        """
        self.isUp = True

    def stopListening(self) -> Deferred[None]:
        """
        See L{IListeningPort}.
        """
        self.isUp = False
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """
        See L{IListeningPort}.
        """
        return IPv4Address("TCP", self.interface, PORT)


class Accepted:
    """
    A socket that was accepted from the neighbour.
    """

    def __init__(self, version: int, port: int) -> None:
        self._peer = PEER[version], port

    def getpeername(self) -> Any:
        """
        Who connected.
        """
        return (*self._peer, 0, 0)


class Kept(Protocol):
    """
    A stream, or a flow.
    """

    got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data


class Keeping(Factory):
    """
    All of them.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.asked: list[Any] = []
        self.answer: Any = Kept
        self.running = 0

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        self.asked.append(addr)
        made = self.answer()
        if made is not None:
            self.made.append(made)
        return made


class TunCase(SynchronousTestCase):
    """
    A device whose kernel is the other end of a socket.
    """

    def setUp(self) -> None:
        self.reactor = TunReactor()
        self.addCleanup(self.reactor.close)
        self.kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.kernel.close)
        for each in (self.kernel, ours):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.ours = ours.detach()
        self.factory = Keeping()
        FakeRoutes.made = []
        FakeRoutes.refuses = ""

    def port(self, way: Way = WAY, limit: int = 4) -> TunPort:
        """
        One that does not listen yet.
        """
        return TunPort(
            self.reactor,
            way,
            self.factory,
            limit,
            open=lambda name: self.ours,
            routes=FakeRoutes,
            port=FakePort,
        )

    def started(self) -> TunPort:
        """
        One that listens.
        """
        port = self.port()
        port.startListening()
        self.addCleanup(port._go)
        return port

    def send(self, segment: Segment) -> Segment | None:
        """
        Send a packet into the device.

        @return: what comes back, if anything does.
        """
        self.kernel.send(segment.toBytes())
        self.reactor.getReaders()[0].doRead()
        return self.back()

    def back(self) -> Segment | None:
        """
        What comes back.
        """
        try:
            return read(self.kernel.recv(70000))
        except BlockingIOError:
            return None

    def connect(self, port: TunPort, version: int = 4, sport: int = 40000) -> Segment:
        """
        Begin a connection, and accept it.
        """
        given = self.send(outwards(version, sport))
        assert given is not None
        port.find(Accepted(version, given.sport))
        return given


class PortTests(TunCase):
    """
    L{TunPort}.
    """

    def test_up(self) -> None:
        """
        It listens at its addresses, and traffic is led there; then its factory is told.
        """
        port = self.started()
        self.assertTrue(verifyObject(IListeningPort, port))
        self.assertEqual([each.interface for each in port._ports], ["10.98.0.1", "fd98::1"])
        self.assertEqual([each.device for each in port._ports], ["ug0", "ug0"])
        (routes,) = FakeRoutes.made
        self.assertEqual((routes.isUp, routes.asked), (True, (WAY, 0x7567)))
        self.assertEqual((str(port.getHost()), self.factory.running), ("tun:ug0", 1))

    def test_connections(self) -> None:
        """
        Whoever is accepted is known by the target, and by where it really comes from.
        """
        port = self.started()
        for version, kind in ((4, IPv4Address), (6, IPv6Address)):
            given = self.connect(port, version)
            self.assertEqual((given.source, given.target), (PEER[version], OWN[version]))
            self.assertEqual(port.find(Accepted(version, given.sport)), Target(FAR[version], 80))
            came = kind("TCP", PEER[version], given.sport)
            self.assertEqual(port.sourceOf(came), kind("TCP", OWN[version], 40000))

    def test_strangers(self) -> None:
        """
        Who connects to the port itself came by no device.
        """
        port = self.started()
        self.assertRaises(OSError, port.find, Accepted(4, 5))
        self.connect(port)
        came = IPv4Address("TCP", "192.0.2.9", 1025)
        self.assertEqual(port.sourceOf(came), came)

    def test_otherPackets(self) -> None:
        """
        What is neither TCP nor UDP is dropped, and so is what is of no known version.
        """
        self.started()
        self.assertIsNone(self.send(outwards(protocol=1)))
        self.kernel.send(b"\0" * 60)
        self.reactor.getReaders()[0].doRead()
        self.assertIsNone(self.back())

    def test_noSuchVersion(self) -> None:
        """
        A device without an address of IPv6 takes none of that.
        """
        port = self.port(replace(WAY, addresses=WAY.addresses[:1]))
        port.startListening()
        self.addCleanup(port._go)
        self.assertIsNone(self.send(outwards(6)))

    def test_noMark(self) -> None:
        """
        Without a mark our own connections would come back.
        """
        self.reactor.own.markWith(0)
        error = self.assertRaises(ListenRefused, self.port().startListening)
        self.assertIn("node.mark", str(error))
        self.assertEqual(self.kernel.recv(9), b"")

    def test_noRoutes(self) -> None:
        """
        Where nothing can be led there, there is no device.
        """
        FakeRoutes.refuses = "no"
        self.assertRaises(ListenRefused, self.port().startListening)
        self.assertEqual((self.kernel.recv(9), self.factory.running), (b"", 0))


class StopTests(TunCase):
    """
    How it ends.
    """

    def test_idle(self) -> None:
        """
        Nothing of it is left.
        """
        port = self.started()
        self.successResultOf(port.stopListening())
        self.reactor.advance(0)
        self.assertEqual((self.kernel.recv(9), self.factory.running), (b"", 0))
        self.assertFalse(FakeRoutes.made[0].isUp)
        self.assertEqual(self.reactor.triggers, [])
        self.successResultOf(port.stopListening())
        self.assertEqual(self.factory.running, 0)

    def test_open(self) -> None:
        """
        Connections that are up go on, and no new ones begin; the device goes with the last of them.
        """
        port = self.started()
        given = self.connect(port)
        self.successResultOf(port.stopListening())
        self.reactor.advance(1)
        self.assertTrue(FakeRoutes.made[0].isUp)
        refused = self.send(outwards(sport=1))
        assert refused is not None
        self.assertEqual(refused.flags, RST | ACK)
        last = self.send(answerTo(given, FIN | ACK, b"bye"))
        assert last is not None
        self.assertEqual(last.body, b"bye")
        self.reactor.advance(0)
        self.assertEqual(self.kernel.recv(9), b"")
        self.assertEqual((FakeRoutes.made[0].isUp, self.reactor.triggers), (False, []))

    def test_allEnds(self) -> None:
        """
        If all ends, those that were cut are told before the device goes.
        """
        port = self.started()
        given = self.connect(port)
        port.stopListening()
        self.kernel.send(answerTo(given, RST).toBytes())
        (trigger,) = self.reactor.triggers
        trigger()
        told = self.back()
        assert told is not None
        self.assertEqual((told.target, told.dport, told.flags), (OWN[4], 40000, RST))
        self.assertEqual(self.kernel.recv(9), b"")
        self.assertFalse(FakeRoutes.made[0].isUp)

    def test_changed(self) -> None:
        """
        Other routes take the place of the old ones; the same ones are left alone.
        """
        port = self.started()
        port.change(WAY, 7)
        self.assertEqual((len(FakeRoutes.made), port.sessions[4].limit, port.table.limit), (1, 7, 7))
        other = replace(WAY, mtu=1280)
        port.change(other, 7)
        self.assertEqual([each.isUp for each in FakeRoutes.made], [False, True])
        self.assertEqual(FakeRoutes.made[1].asked[0], other)
        FakeRoutes.refuses = "no"
        with capturedLogs() as logs:
            port.change(WAY, 7)
        self.assertEqual(logs[0]["log_level"], LogLevel.critical)

    def test_factory(self) -> None:
        """
        Another listener's factory takes its place at all addresses.
        """
        port = self.started()
        other = Keeping()
        port.factory = other
        self.assertEqual([each.factory for each in port._ports], [other, other])
        self.assertIs(port.factory, other)


class DatagramTests(TunCase):
    """
    Datagrams in a device.
    """

    def datagram(self, body: bytes, version: int = 4, sport: int = 40000) -> Segment:
        """
        One of a program of this host.
        """
        return outwards(version, sport, 53, flags=0, body=body, protocol=17)

    def test_bothWays(self) -> None:
        """
        Each source has a flow to each target, and answers come from there.
        """
        self.started()
        for version in (4, 6):
            self.assertIsNone(self.send(self.datagram(b"one", version)))
            self.send(self.datagram(b"two", version))
            info = self.factory.asked[-1]
            self.assertIsInstance(info, StreamInfo)
            self.assertEqual(str(info.target), str(Target(FAR[version], 53, "udp")))
            self.assertEqual((info.peer.host, info.peer.port), (OWN[version], 40000))
            self.assertEqual((info.protocol, info.layers), (PROTOCOL, (PROTOCOL,)))
            flow = self.factory.made[-1].transport
            flow.post(b"answer")
            back = self.back()
            assert back is not None
            self.assertEqual(
                (back.source, back.sport, back.target, back.dport, back.body),
                (FAR[version], 53, OWN[version], 40000, b"answer"),
            )
        self.assertEqual(len(self.factory.made), 2)

    def test_limit(self) -> None:
        """
        With one more than there may be, the one that was silent for longest makes way.
        """
        port = self.started()
        for sport in range(1, 6):
            self.send(self.datagram(b"x", sport=sport))
        self.assertEqual((len(port.table), port.table.made), (4, 1))

    def test_bad(self) -> None:
        """
        What is not whole, has no port, or is not from a program of this host begins nothing.
        """
        port = self.started()
        self.send(Segment("192.0.2.9", 1, FAR[4], 53, 0, b"x", protocol=17))
        self.send(Segment(OWN[4], 1, FAR[4], 0, 0, b"x", protocol=17))
        packet = bytearray(self.datagram(b"hello").toBytes())
        self.kernel.send(bytes(packet[:-1]))
        self.reactor.getReaders()[0].doRead()
        self.assertEqual((self.factory.asked, port.sessions[4].dropped), ([], 3))

    def test_nobody(self) -> None:
        """
        A flow that nobody wants, or that cannot be served, is no matter of others.
        """
        self.started()
        self.factory.answer = lambda: None
        self.send(self.datagram(b"x", sport=1))
        self.factory.answer = lambda: 1 // 0
        self.send(self.datagram(b"x", sport=2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.factory.answer = Kept
        self.send(self.datagram(b"x", sport=3))
        self.assertEqual(len(self.factory.made), 1)

    def test_full(self) -> None:
        """
        What the kernel does not take is counted.
        """
        self.started()
        self.send(self.datagram(b"x"))
        flow = self.factory.made[0].transport
        while not flow.dropped:
            flow.post(b"x" * 9999)
        self.assertEqual(flow.dropped, 1)


class EndpointTests(TunCase):
    """
    L{TunServerEndpoint}.
    """

    def setUp(self) -> None:
        super().setUp()

        def open(endpoint: DeviceEndpoint, factory: Any, reactor: Any) -> TunPort:
            self.opened.append(reactor)
            port = TunPort(
                reactor, endpoint.way, factory, endpoint.limit,
                open=lambda name: self.ours, routes=FakeRoutes, port=FakePort,
            )  # fmt: skip
            endpoint._port = port
            port.startListening()
            self.addCleanup(port._go)
            return port

        self.opened: list[Any] = []
        self.patch(DeviceEndpoint, "_open", open)

    def endpoint(self, reactor: Any = None, **capture: Any) -> TunServerEndpoint:
        """
        One of WAY.
        """
        return TunServerEndpoint(reactor or self.reactor, WAY, Capture(PROTOCOL, **capture), limit=4)

    def test_says(self) -> None:
        """
        Only programs of this machine reach it, and say no names or passwords.
        """
        endpoint = self.endpoint()
        self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
        self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint.inner))
        self.assertTrue(onlyLocal(endpoint))
        self.assertFalse(takesLogins(endpoint))

    def test_stream(self) -> None:
        """
        What is known of a stream once it is accepted.
        """
        port: Any = self.successResultOf(self.endpoint().listen(self.factory))
        given = self.send(outwards(dport=5432))
        assert given is not None
        came = IPv4Address("TCP", PEER[4], given.sport)
        protocol = port._ports[0].factory.buildProtocol(came)
        transport: Any = StringTransport(IPv4Address("TCP", OWN[4], PORT), came)  # type: ignore[no-untyped-call]
        transport.socket = Accepted(4, given.sport)
        protocol.makeConnection(transport)
        info = self.factory.made[-1].transport.getPeer()
        self.assertEqual(info.peer, IPv4Address("TCP", OWN[4], 40000))
        self.assertEqual(info.host, IPv4Address("TCP", FAR[4], 5432))
        self.assertEqual((info.target, info.protocol), (Target(FAR[4], 5432), PROTOCOL))

    def test_flow(self) -> None:
        """
        Datagrams are not negotiated about.
        """
        self.successResultOf(self.endpoint().listen(self.factory))
        self.send(outwards(flags=0, body=b"x", protocol=17))
        self.assertIsInstance(self.factory.asked[-1], StreamInfo)

    def test_takenOver(self) -> None:
        """
        A listener that is made anew has the device of the one before.
        """
        sockets = Sockets(self.reactor.own)
        tenant: Any = None
        reactor = TenantReactor(self.reactor, tenant, self.reactor.egress, sockets=sockets)
        first = self.endpoint(reactor)
        with sockets.owned(("root", "listen", "tun")):
            self.successResultOf(first.listen(self.factory))
            sockets.begin(lambda owner: True)
            second = TunServerEndpoint(reactor, replace(WAY, mtu=1280), Capture(PROTOCOL), limit=9)
            self.successResultOf(second.listen(self.factory))
        sockets.commit()
        self.assertEqual(len(self.opened), 1)
        device: Any = second.inner
        self.assertEqual((device._port.way.mtu, device._port.limit), (1280, 9))
        given = self.send(outwards())
        assert given is not None
        self.assertEqual(second.find(Accepted(4, given.sport)), Target(FAR[4], 80))

    def test_otherReactor(self) -> None:
        """
        One that waits for no descriptors.
        """
        endpoint = TunServerEndpoint(Net(), WAY, Capture(PROTOCOL))
        failure = self.failureResultOf(endpoint.listen(self.factory), Refused)
        self.assertIn("epoll", str(failure.value))
