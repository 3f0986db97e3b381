# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor of a tenant.
"""

from __future__ import annotations

import socket
from typing import Any

from zope.interface import implementer, providedBy

from twisted.internet import tcp
from twisted.internet.endpoints import TCP4ClientEndpoint, clientFromString, serverFromString
from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.accepting import Port
from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.errors import Denied
from ugate.interfaces import IDetachable, IEgress, ITenant
from ugate.poll import Poll, asSocketReactor
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.reactor import BACKLOG, TenantReactor
from ugate.tenancy.tenant import Around, Tenant
from ugate.test.dialfakes import Recorders
from ugate.test.pollfakes import Guest
from ugate.test.socketfakes import SocketTestCase


@implementer(IEgress)
class FakeEgress:
    """
    Forbids one address and remembers what it was asked.
    """

    mark = 0
    outgoing = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def isOwn(self, host: str, port: int, network: str = "tcp") -> bool:
        return False

    def cannotMark(self) -> None:
        pass

    def capture(self) -> None:
        pass

    def check(self, host: str, port: int, network: str = "tcp") -> None:
        self.asked.append((host, port))
        if host == "192.0.2.66":
            raise Denied(host, "not there")


class TenantReactorTests(SynchronousTestCase):
    """
    L{TenantReactor}.
    """

    def setUp(self) -> None:
        self.real: Any = MemoryReactorClock()
        self.tenant = Tenant(self.real, KnownPrincipals())
        self.egress = FakeEgress()
        self.reactor: Any = TenantReactor(self.real, self.tenant, self.egress)  # type: ignore[arg-type]

    def test_knowsItsTenant(self) -> None:
        """
        By the interfaces, whoever has the reactor finds the tenant and the rules; by
        another reactor nobody does.
        """
        self.assertIs(ITenant(self.reactor), self.tenant)
        self.assertIs(IEgress(self.reactor), self.egress)
        self.assertIs(ITenant(self.real, None), None)
        self.assertIs(IEgress(self.real, None), None)

    def test_sameInterfaces(self) -> None:
        """
        It provides what the reactor within does, no more and no less.
        """
        self.assertEqual(list(providedBy(self.reactor)), list(providedBy(self.real)))
        self.assertIs(IReactorTCP(self.reactor), self.reactor)
        self.assertTrue(IReactorUNIX.providedBy(self.reactor) and IReactorSSL.providedBy(self.reactor))
        small: Any = Clock()
        small.connectTCP = None
        other = TenantReactor(small, self.tenant, self.egress)  # type: ignore[arg-type]
        self.assertTrue(IReactorTime.providedBy(other))
        for interface in (IReactorTCP, IReactorFDSet, IReactorThreads):
            self.assertFalse(interface.providedBy(other), interface)

    def test_twoTenants(self) -> None:
        """
        Each of two reactors around one knows its own tenant.
        """
        other = Tenant(self.real, KnownPrincipals(), name="other")
        self.assertEqual(ITenant(other.reactor).name, "other")
        self.assertEqual(ITenant(self.tenant.reactor).name, "root")

    def test_connects(self) -> None:
        """
        A connection that the rules allow is the real reactor's, with all arguments.
        """
        factory = ClientFactory()
        connector = self.reactor.connectTCP("192.0.2.1", 80, factory, 7, ("127.0.0.1", 0))
        self.assertEqual(self.real.tcpClients, [("192.0.2.1", 80, factory, 7, ("127.0.0.1", 0))])
        self.assertIs(connector, self.real.connectors[0])
        self.assertEqual(self.egress.asked, [("192.0.2.1", 80)])

    def test_forbidden(self) -> None:
        """
        One that they forbid is not begun.
        """
        self.assertRaises(Denied, self.reactor.connectTCP, "192.0.2.66", 80, Factory())
        self.assertEqual(self.real.tcpClients, [])

    def test_endpoints(self) -> None:
        """
        The rules hold for Twisted's own endpoints as well.
        """
        endpoint = TCP4ClientEndpoint(self.reactor, "192.0.2.66", 80)
        self.failureResultOf(endpoint.connect(Factory()), Denied)
        endpoint = clientFromString(self.reactor, "tcp:192.0.2.66:80")
        self.failureResultOf(endpoint.connect(Factory()), Denied)
        self.assertEqual(self.real.tcpClients, [])

    def test_nestedStrings(self) -> None:
        """
        It is passed through the endpoints of a string, down to the listener.
        """
        endpoint = serverFromString(self.reactor, "socks:proxyproto:tcp:1080")
        while isinstance(endpoint, NegotiatedServerEndpoint):
            self.assertIs(ITenant(endpoint.reactor), self.tenant)
            endpoint = endpoint.inner
        self.assertIs(endpoint._reactor, self.reactor)

    def test_allElse(self) -> None:
        """
        Everything else is the real reactor's, time and timers too.
        """
        calls: list[str] = []
        self.reactor.callLater(2, calls.append, "later")
        self.real.advance(1.5)
        self.assertEqual((self.reactor.seconds(), calls), (1.5, []))
        self.real.advance(0.5)
        self.assertEqual(calls, ["later"])
        self.reactor.listenTCP(1080, Factory())
        self.assertEqual(self.real.tcpServers[0][0], 1080)
        self.assertRaises(AttributeError, getattr, self.reactor, "colour")


class WaitingTests(SocketTestCase):
    """
    Where the descriptors of a tenant wait.
    """

    def setUp(self) -> None:
        # Twisted keeps it for as long as the process runs.
        tcp._reservedFD.reserve()
        super().setUp()
        self.asked = 0
        self.poll: Poll | None = Poll(asSocketReactor(self.reactor))
        self.reactor.listenTCP = lambda *args: args  # type: ignore[attr-defined]
        self.reactor.connectTCP = None  # type: ignore[attr-defined]
        self.guest = Guest()
        real: Any = self.reactor
        self.tenant: Any = Tenant(real, KnownPrincipals(), around=Around(real, poll=self.ask))

    def ask(self) -> Poll | None:
        """
        What waits in the reactor's place.
        """
        self.asked += 1
        return self.poll

    def stop(self) -> None:
        self.guest.close()
        if self.poll is not None:
            self.poll.stop()

    def test_inThePoll(self) -> None:
        """
        They wait in the poll, for what clients ask as for the hops.
        """
        assert self.poll is not None
        for reactor in (self.tenant.reactor, self.tenant.hopReactor):
            self.assertEqual(self.asked, 0)
            reactor.addReader(self.guest)
            reactor.addWriter(self.guest)
            self.assertEqual(self.reactor.getReaders(), [self.poll])
            self.assertEqual(self.poll._guests, {self.guest.fileno(): self.guest})
            reactor.removeWriter(self.guest)
            self.assertIs(reactor.leave(self.guest), self.poll)
            self.poll.addReader(self.guest)
            reactor.removeReader(self.guest)
            # It is asked once, when it is first wanted.
            self.assertEqual((self.poll._guests, self.asked), ({}, 1))
            self.asked = 0

    def test_inTheReactor(self) -> None:
        """
        Without one they wait in the reactor.
        """
        assert self.poll is not None
        self.poll.stop()
        self.poll = None
        reactor = self.tenant.reactor
        reactor.addReader(self.guest)
        reactor.addWriter(self.guest)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([self.guest], [self.guest]))
        self.assertRaises(AttributeError, getattr, reactor, "leave")
        reactor.removeReader(self.guest)
        reactor.removeWriter(self.guest)
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(reactor.listenTCP(1080, "factory", 7, "::1"), (1080, "factory", 7, "::1"))

    def test_listens(self) -> None:
        """
        A port and what it accepts wait in the poll, with as much room as on other
        reactors.
        """
        assert self.poll is not None
        factory = Recorders()
        port = self.tenant.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.assertIsInstance(port, Port)
        self.assertEqual((port.backlog, port.reactor), (BACKLOG, self.tenant.reactor))
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.until(lambda: factory.made, "the connection")
        self.assertEqual(self.reactor.getReaders(), [self.poll])
        transport: Any = factory.made[0].transport
        self.assertEqual(list(self.poll._guests.values()), [port, transport])
        detached = IDetachable(transport).detach()
        self.assertIs(detached.waiting, self.poll)
        detached.socket.close()
        client.close()
        port.stopListening()
        self.reactor.advance(0)
        self.assertEqual(self.poll._guests, {})
