# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams through a proxy of SOCKS5.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.direct import Direct
from ugate.endpoints.hops import Hop
from ugate.endpoints.socksupstream import SocksUpstream
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDialer
from ugate.leg import Leg
from ugate.posting import networksOf
from ugate.protocols.capsules import LARGEST, capsule
from ugate.protocols.socks5client import Socks5Client
from ugate.protocols.socks5udp import headerFor
from ugate.stream import TCP, UDP, StreamInfo, Target
from ugate.test.datagramfakes import MemoryDatagrams, flowTo
from ugate.test.dialfakes import streamTo
from ugate.test.listenfakes import Line

PROXY = IPv4Address("TCP", "192.0.2.9", 1080)
ASKED = b"\x05\x03\x00\x01" + bytes(6)
BOUND = b"\x05\x00\x00\x01\x0a\x00\x00\x01\x10\x01"
"""The address is not the proxy's: it may see itself by another one."""


@implementer(IDialer, IStreamClientEndpoint)
class Via:
    """
    What carries connections and datagrams to the proxy.
    """

    networks: tuple[str, ...] = (TCP, UDP)

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.control = Line(PROXY)
        self.below: Any = MemoryDatagrams()
        self.refused: Refused | None = None

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer}.
        """
        self.targets.append(str(info.target))
        return self

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer}.
        """
        return ["by the way"]

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.
        """
        protocol: Any = factory.buildProtocol(PROXY)
        if self.targets[-1].startswith(UDP):
            if self.refused is not None:
                return fail(self.refused)
            if isinstance(self.below, MemoryDatagrams):
                self.below.begin(protocol)
            else:
                protocol.makeConnection(self.below)
        else:
            self.control.protocol = protocol  # type: ignore[attr-defined]
            protocol.makeConnection(self.control)
        return succeed(protocol)


class SocksUpstreamTests(SynchronousTestCase):
    """
    L{SocksUpstream}.
    """

    host = "203.0.113.5"

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.via = Via()

    def dial(self, reply: bytes = BOUND) -> Any:
        """
        Ask for a flow; the proxy replies.
        """
        hop = Hop("socks", "proxy.example", 1080)
        dialer = SocksUpstream(self.clock, hop, Socks5Client, self.via)
        connecting = dialer.endpointFor(flowTo(self.host, 53)).connect(Factory.forProtocol(Leg))
        control: Any = self.via.control
        control.protocol.dataReceived(b"\x05\x00")
        self.assertEqual(control.value(), b"\x05\x01\x00" + ASKED)
        if reply:
            control.protocol.dataReceived(reply)
        return connecting

    def header(self, host: str = "") -> bytes:
        """
        What is in front of each datagram.
        """
        return headerFor(Target(host or self.host, 53, UDP), "")

    def test_bothWays(self) -> None:
        """
        Each datagram goes to the proxy itself with a header, and comes with one.
        """
        leg: Any = self.successResultOf(self.dial())
        self.assertEqual(self.via.targets, ["proxy.example:1080", "udp:192.0.2.9:4097"])
        leg.transport.write(capsule(b"question"))
        self.assertEqual(self.via.below.sent, [self.header() + b"question"])
        self.via.below.arrived(self.header() + b"answer")
        self.assertEqual(leg.takeEarly(), capsule(b"answer"))
        got: list[bytes] = []
        leg.transport.receive(got.extend)
        self.via.below.arrived(self.header() + b"more")
        self.assertEqual(got, [b"more"])

    def test_others(self) -> None:
        """
        What is not of the target, a fragment or no datagram of SOCKS5 is dropped; only the proxy knows whom a
        name leads to.
        """
        leg: Any = self.successResultOf(self.dial())
        for bad in self.header("203.0.113.6") + b"x", b"\0\0\1" + self.header()[3:] + b"x", b"", b"noise":
            self.via.below.arrived(bad)
        self.assertEqual((leg.early, leg.transport.dropped), (b"", 4))
        self.host, self.via = "db.example", Via()
        leg = self.successResultOf(self.dial())
        self.via.below.arrived(self.header("203.0.113.6") + b"x")
        self.assertEqual(leg.early, capsule(b"x"))

    def test_undelivered(self) -> None:
        """
        What does not get to the proxy does not get to the target.
        """
        leg: Any = self.successResultOf(self.dial())
        failed: list[OSError] = []
        leg.transport.failed = failed.append
        error = OSError("nobody there")
        self.via.below.fail(error)
        self.assertEqual(failed, [error])

    def test_overBytes(self) -> None:
        """
        What carries datagrams to the proxy may be a stream of capsules.
        """
        self.via.below = wire = Line(PROXY)
        leg: Any = self.successResultOf(self.dial())
        leg.transport.post(b"question")
        self.assertEqual(wire.value(), capsule(self.header() + b"question"))
        below = leg.transport._below
        answer = capsule(self.header() + b"answer")
        below.dataReceived(answer[:5])
        below.dataReceived(answer[5:])
        self.assertEqual(leg.early, capsule(b"answer"))
        below.dataReceived(capsule(bytes(LARGEST + 1)))
        self.assertTrue(leg.transport.isClosed)
        below.dataReceived(capsule(bytes(LARGEST + 1)))
        below.dataReceived(answer)

    def test_ends(self) -> None:
        """
        When the flow is over, so is the association; when that ends, or what is below, so does the flow.
        """
        leg: Any = self.successResultOf(self.dial())
        leg.transport.loseConnection()
        self.assertTrue(self.via.control.disconnecting)
        self.assertTrue(self.via.below.isClosed)
        self.assertIsInstance(leg.gone.value, ConnectionDone)
        self.via = Via()
        leg = self.successResultOf(self.dial())
        control: Any = self.via.control
        control.protocol.connectionLost(connectionDone)
        self.assertIsInstance(leg.gone.value, ConnectionLost)
        self.assertTrue(self.via.below.isClosed)
        self.via = Via()
        leg = self.successResultOf(self.dial())
        self.via.below.lost(OSError("no route"))
        self.assertEqual(leg.gone.getErrorMessage(), "no route")
        self.assertTrue(self.via.control.disconnecting)

    def test_refused(self) -> None:
        """
        The proxy may say no, or say it badly.
        """
        for reply, cause in (
            (b"\x05\x07" + BOUND[2:], Cause.UNSUPPORTED),
            (b"\x05\x02" + BOUND[2:], Cause.DENIED),
            (BOUND[:-2] + b"\0\0", Cause.PEER_MISBEHAVED),
            (b"\x05\x00\x00\x07", Cause.PEER_MISBEHAVED),
        ):
            self.via = Via()
            refused: Any = self.failureResultOf(self.dial(reply), Refused).value
            self.assertIs(refused.cause, cause)
            self.assertTrue(self.via.control.disconnected)

    def test_noWay(self) -> None:
        """
        With no way for the datagrams, the association is given up; so it is when nobody wants it.
        """
        self.via.refused = Refused(Cause.NETWORK_UNREACHABLE, Phase.CONNECT, "x")
        self.failureResultOf(self.dial(), Refused)
        self.assertTrue(self.via.control.disconnected)
        self.via = Via()
        connecting = self.dial(b"")
        connecting.cancel()
        self.failureResultOf(connecting)
        self.assertTrue(self.via.control.disconnected)

    def test_late(self) -> None:
        """
        A proxy that does not reply is given up.
        """
        connecting = self.dial(b"")
        self.clock.advance(10)
        refused: Any = self.failureResultOf(connecting, Refused).value
        self.assertIs(refused.cause, Cause.TIMED_OUT)

    def test_noProtocol(self) -> None:
        """
        When there is no protocol, nothing stays open.
        """
        hop = Hop("socks", "proxy.example", 1080)

        class Nobody(Factory):
            def buildProtocol(self, addr: Any) -> Any:
                return None

        endpoint = SocksUpstream(self.clock, hop, Socks5Client, self.via).endpointFor(flowTo("a", 53))
        connecting = endpoint.connect(Nobody())
        control: Any = self.via.control
        control.protocol.dataReceived(b"\x05\x00" + BOUND)
        self.failureResultOf(connecting)
        self.assertTrue(self.via.control.disconnecting)
        self.assertTrue(self.via.below.isClosed)

    def test_networks(self) -> None:
        """
        It carries datagrams if the way to it does, and not where TLS was asked for: they would be in clear.
        """

        def made(**options: Any) -> Any:
            return SocksUpstream(self.clock, Hop("socks", "p", 1, **options), Socks5Client, self.via)

        self.assertIn(UDP, networksOf(made()))
        self.via.networks = (TCP,)
        self.assertNotIn(UDP, networksOf(made()))
        self.assertNotIn(
            UDP,
            networksOf(
                SocksUpstream(self.clock, Hop("socks", "p", 1, tls=True), Socks5Client, Direct(self.clock))
            ),
        )

    def test_streams(self) -> None:
        """
        Streams go as they did.
        """
        dialer = SocksUpstream(self.clock, Hop("socks", "p", 1), Socks5Client, self.via)
        dialer.endpointFor(streamTo("192.0.2.1:80")).connect(Factory.forProtocol(Leg))
        control: Any = self.via.control
        control.protocol.dataReceived(b"\x05\x00")
        self.assertEqual(control.value()[3:7], b"\x05\x01\x00\x01")
        self.assertRaises(Refused, dialer.endpointFor, streamTo("a:1").but(target=None))
