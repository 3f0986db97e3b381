# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor of a tenant.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer, providedBy

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

from ugate.endpoints.negotiated import NegotiatedServerEndpoint
from ugate.errors import Denied
from ugate.interfaces import IEgress, ITenant
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.reactor import TenantReactor
from ugate.tenancy.tenant import Tenant


@implementer(IEgress)
class FakeEgress:
    """
    Forbids one address and remembers what it was asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def check(self, host: str, port: int) -> None:
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
