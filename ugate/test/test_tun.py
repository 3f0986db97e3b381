# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tun}.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import StringTransport

from ugate.endpoints.captured import Capture
from ugate.endpoints.reach import onlyLocal, takesLogins
from ugate.endpoints.tun import DeviceEndpoint, TunServerEndpoint
from ugate.endpoints.tunflows import PROTOCOL
from ugate.endpoints.tunport import TunPort
from ugate.errors import Refused
from ugate.stream import StreamInfo, Target
from ugate.tenancy.listening import Sockets
from ugate.tenancy.reactor import TenantReactor
from ugate.test.dialfakes import Net
from ugate.test.test_tunroutes import WAY
from ugate.test.tunfakes import FAR, OWN, PEER, outwards
from ugate.test.tunportfakes import PORT, Accepted, FakePort, FakeRoutes, TunCase


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
        transport: Any = StringTransport(IPv4Address("TCP", OWN[4], PORT), came)
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
        accepted: Any = Accepted(4, given.sport)
        self.assertEqual(second.find(accepted), Target(FAR[4], 80))

    def test_otherReactor(self) -> None:
        """
        One that waits for no descriptors.
        """
        endpoint = TunServerEndpoint(Net(), WAY, Capture(PROTOCOL))
        failure = self.failureResultOf(endpoint.listen(self.factory), Refused)
        self.assertIn("epoll", str(failure.value))
