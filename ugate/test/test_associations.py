# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
UDP ASSOCIATE, from the bytes of a client to its targets.
"""

from __future__ import annotations

from typing import Any

from zope.interface import directlyProvides

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IHalfCloseableDescriptor, ISSLTransport
from twisted.internet.protocol import connectionDone

from ugate.endpoints import associations
from ugate.endpoints.associationfactory import AssociationFactory
from ugate.endpoints.flowtable import Flow
from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.endpoints.servers import SERVERS
from ugate.errors import Denied
from ugate.gateway import Inbound
from ugate.protocols.socks5udp import headerFor
from ugate.relay import Relay
from ugate.stream import UDP, StreamInfo, Target
from ugate.test.datagramfakes import NamedReactor, Peer, turn
from ugate.test.gatewayfakes import ALICE, GatewayCase
from ugate.test.listenfakes import Line
from ugate.test.udpcases import Straight

GREET = b"\x05\x01\x00"
ASK = b"\x05\x03\x00\x01\0\0\0\0\0\0"


class Inner:
    """
    What a listener is given to listen with.
    """

    factory: Any = None

    def listen(self, factory: Any) -> Any:
        """
        See L{IStreamServerEndpoint}.
        """
        self.factory = factory


class Here(Line):
    """
    A connection to an address.
    """

    protocol: Any = None

    def __init__(self, host: IAddress) -> None:
        super().__init__(IPv4Address("TCP", "127.0.0.1", 40000))
        self.hostAddr = host


class AssociationTests(GatewayCase):
    """
    L{associations.Association} behind a listener.
    """

    prefix = "socks"

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
        self.inner = Inner()
        endpoint: Any = SERVERS[self.prefix].build(self.clock, self.inner, {})  # type: ignore[arg-type]
        self.assertIsInstance(endpoint, NegotiatedServerEndpoint)
        endpoint.listen(self.gateway(anonymous=ALICE))

    def peer(self, host: str = "127.0.0.1") -> Peer:
        """
        A program.
        """
        peer = Peer(host)
        self.addCleanup(peer.close)
        return peer

    def connect(self, ask: bytes = ASK, host: IAddress | None = None) -> Any:
        """
        A client asks for an association.

        @return: its connection.
        """
        line = Here(IPv4Address("TCP", "127.0.0.1", 1080) if host is None else host)
        line.protocol = self.inner.factory.buildProtocol(line.getPeer())
        line.protocol.makeConnection(line)
        line.protocol.dataReceived(GREET + ask)
        self.addCleanup(line.protocol.connectionLost, connectionDone)
        return line

    def associate(self, ask: bytes = ASK) -> tuple[Any, int]:
        """
        An association, and the port for datagrams.
        """
        line = self.connect(ask)
        reply = line.value()[2:]
        self.assertEqual(reply[:8], b"\x05\x00\x00\x01\x7f\x00\x00\x01")
        return line, int.from_bytes(reply[8:], "big")

    def header(self, host: str = "127.0.0.1", port: int = 0) -> bytes:
        """
        What says where a datagram goes.
        """
        return headerFor(Target(host, port or self.target.port, UDP), "")

    def test_bothWays(self) -> None:
        """
        A datagram goes to its target, and the answer comes with the header that the client wrote.
        """
        _, port = self.associate()
        for host in "127.0.0.1", "four.example":
            self.client.send(self.header(host) + b"question", port)
            turn(self.clock)
            data, address = self.target.socket.recvfrom(100)
            self.target.socket.sendto(data.upper(), address)
            turn(self.clock)
            self.assertEqual(self.client.take(), [self.header(host) + b"QUESTION"])
        first, second = self.rules.asked
        self.assertEqual((str(first.target), first.protocol), (f"udp:127.0.0.1:{self.target.port}", "socks5"))
        self.assertEqual((first.principal, first.layers), (ALICE, ("socks5", "udp")))
        self.assertEqual(
            (str(first).partition(" ")[0], dict(first.hints)), (f"127.0.0.1:{self.client.port}", {})
        )
        self.assertEqual(str(second.target), f"udp:four.example:{self.target.port}")

    def test_manyTargets(self) -> None:
        """
        Each target is a flow of its own, by policy: one may be denied and others not.
        """
        _, port = self.associate()
        other = self.peer()

        class Some(Straight):
            def check(self, info: StreamInfo) -> None:
                if info.target is not None and info.target.port == other.port:
                    raise Denied(str(info.target), "not there")

        self.rules = self.inner.factory.wrappedFactory.wrappedFactory.entry.tenant.policy = Some()
        for _ in range(3):
            for each in self.target.port, other.port:
                self.client.send(self.header(port=each) + b"x", port)
        turn(self.clock)
        self.assertEqual((self.target.take(), other.take()), ([b"x"] * 3, []))
        self.assertEqual(len([line for line in self.said() if "not there" in line]), 1)

    def test_onlyTheClient(self) -> None:
        """
        Nobody else may use it: not from another port, nor another address.
        """
        _, port = self.associate()
        stranger = self.peer("127.0.0.2")
        stranger.socket.sendto(self.header() + b"stranger", ("127.0.0.1", port))
        turn(self.clock)
        self.client.send(self.header() + b"one", port)
        self.peer().send(self.header() + b"other port", port)
        self.client.send(self.header() + b"two", port)
        turn(self.clock)
        self.peer().send(self.header() + b"later", port)
        stranger.socket.sendto(self.header() + b"later", ("127.0.0.1", port))
        self.client.send(self.header() + b"three", port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"one", b"two", b"three"])

    def test_namedPort(self) -> None:
        """
        A client that says from which port it sends is held to it.
        """
        _, port = self.associate(ASK[:-2] + self.client.port.to_bytes(2, "big"))
        self.peer().send(self.header() + b"other", port)
        turn(self.clock)
        self.client.send(self.header() + b"one", port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"one"])

    def test_garbage(self) -> None:
        """
        Fragments, headers cut short and places that are none are dropped; nothing else happens.
        """
        _, port = self.associate()
        self.client.send(self.header() + b"ok", port)
        turn(self.clock)
        whole = self.header()
        for bad in (
            b"",
            whole[:9],
            b"\0\0\1" + whole[3:] + b"x",
            whole[:-2] + b"\0\0x",
            b"\0\0\0\x03\x01/\0\x35x",
        ):
            self.client.send(bad, port)
        self.client.send(whole + b"", port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"ok", b""])

    def test_ends(self) -> None:
        """
        It ends with its connection, and so do its flows.
        """
        line, port = self.associate()
        self.client.send(self.header() + b"x", port)
        turn(self.clock)
        self.assertEqual(len(self.flows), 1)
        line.protocol.dataReceived(b"what a client says here is for nobody")
        line.protocol.connectionLost(connectionDone)
        self.assertEqual((len(self.flows), self.clock.getReaders()), (0, []))
        self.client.send(self.header() + b"late", port)
        turn(self.clock)
        self.assertEqual(self.target.take(), [b"x"])

    def test_cap(self) -> None:
        """
        One client has so many targets at most: who was idle for longest makes way.
        """
        self.patch(associations, "FLOWS", 2)
        _, port = self.associate()
        for each in [self.peer() for _ in range(3)]:
            self.client.send(self.header(port=each.port) + b"x", port)
        turn(self.clock)
        self.assertEqual(len(self.flows), 2)

    def test_tooMany(self) -> None:
        """
        All clients of a listener together have so many associations at most; one that ends makes place.
        """
        self.patch(associations, "ASSOCIATIONS", 1)
        line, _ = self.associate()
        refused = self.connect()
        self.assertEqual(refused.value()[2:4], b"\x05\x01")
        line.protocol.connectionLost(connectionDone)
        self.associate()

    def test_notHere(self) -> None:
        """
        Where there is no address for datagrams, the client is told so, by "command not supported"; or that
        the address cannot be had.
        """
        self.assertEqual(self.connect(host=UNIXAddress("/x")).value()[2:4], b"\x05\x07")
        self.assertEqual(self.connect(host=IPv4Address("TCP", "192.0.2.1", 1)).value()[2:4], b"\x05\x03")
        self.assertEqual(self.clock.getReaders(), [])

    def test_secret(self) -> None:
        """
        Who asks in TLS is refused: the datagrams would be in clear.
        """
        line = Here(IPv4Address("TCP", "127.0.0.1", 1080))
        directlyProvides(line, ISSLTransport, IHalfCloseableDescriptor)
        inMutual = StreamInfo(line.getPeer(), line.getHost(), principal=ALICE, layers=("mtls",))
        for each, peer in (line, line.getPeer()), (Here(line.getHost()), inMutual):
            each.protocol = self.inner.factory.buildProtocol(peer)
            each.protocol.makeConnection(each)
            each.protocol.dataReceived(GREET + ASK)
            self.assertEqual(each.value()[2:4], b"\x05\x07")
        self.assertEqual(self.clock.getReaders(), [])
        self.assertEqual(len([line for line in self.said() if "in TLS would be in clear" in line]), 2)

    def test_mapped(self) -> None:
        """
        A client of IPv4 on a port of IPv6 gets an address of IPv4.
        """
        line = self.connect(host=IPv6Address("TCP", "::ffff:127.0.0.1", 1080))
        self.assertEqual(line.value()[2:10], b"\x05\x00\x00\x01\x7f\x00\x00\x01")
        six = self.connect(host=IPv6Address("TCP", "::1", 1080))
        self.assertEqual(six.value()[2:6], b"\x05\x00\x00\x04")

    def test_streams(self) -> None:
        """
        Streams are served beside it.
        """
        factory = AssociationFactory(self.gateway(), self.clock)
        self.assertIsInstance(factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)), Inbound)
        factory.doStart()
        factory.doStop()

    def test_full(self) -> None:
        """
        What cannot be sent to the client is dropped and counted.
        """
        _, port = self.associate()
        self.client.send(self.header() + b"x", port)
        turn(self.clock)
        (stream,) = self.flows.streams()
        flow: Any = stream.transport  # type: ignore[attr-defined]
        self.assertIsInstance(flow, Flow)
        flow.post(bytes(65507))
        self.assertEqual(flow.dropped, 1)


class AutoTests(AssociationTests):
    """
    The same behind C{auto:}.
    """

    prefix = "auto"

    def setUp(self) -> None:
        super().setUp()
        # What serves requests of HTTP is around it.
        http = self.inner.factory.wrappedFactory
        self.inner.factory.wrappedFactory = http._inner
