# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tunport}.
"""

from __future__ import annotations

from dataclasses import replace

from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from ugate.endpoints.tundevice import QUIET
from ugate.endpoints.tunflows import PROTOCOL
from ugate.errors import ListenRefused
from ugate.protocols.tunpackets import ACK, FIN, RST
from ugate.stream import StreamInfo, Target
from ugate.test.test_tunroutes import WAY
from ugate.test.tunfakes import FAR, OWN, PEER, Segment, answerTo, outwards
from ugate.test.tunportfakes import Accepted, FakeRoutes, Keeping, Kept, TunCase


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
        self.reactor.own.mark = 0
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
        self.reactor.advance(QUIET)
        self.assertEqual((self.kernel.recv(9), self.factory.running), (b"", 0))
        self.assertFalse(FakeRoutes.made[0].isUp)
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
        self.send(outwards(flags=0, body=b"x", protocol=17))
        self.assertEqual(self.factory.asked, [])
        last = self.send(answerTo(given, FIN | ACK, b"bye"))
        assert last is not None
        self.assertEqual(last.body, b"bye")
        self.reactor.advance(QUIET)
        self.assertEqual(self.kernel.recv(9), b"")
        self.assertFalse(FakeRoutes.made[0].isUp)

    def test_allEnds(self) -> None:
        """
        If all ends, those that were cut are told before the device goes.
        """
        port = self.started()
        given = self.connect(port)
        port.stopListening()
        self.kernel.send(answerTo(given, RST).toBytes())
        (device,) = self.reactor.getReaders()
        device.connectionLost(Failure(ConnectionDone()))
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

    def test_cannotChange(self) -> None:
        """
        Routes that cannot be are none; those of before are there again.
        """
        port = self.started()
        other = replace(WAY, mtu=1280)
        up = FakeRoutes.up

        def refusing(routes: FakeRoutes) -> None:
            if routes.asked[0] == other:
                raise ListenRefused("no")
            up(routes)

        self.patch(FakeRoutes, "up", refusing)
        port.change(other, 7)
        self.assertEqual([each.isUp for each in FakeRoutes.made], [False, False, True])
        self.assertEqual((port.way, FakeRoutes.made[2].asked[0]), (WAY, WAY))

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
