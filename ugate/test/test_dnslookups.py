# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnslookups}.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver

from ugate.modules.dnsforwarding import Forwarder
from ugate.modules.dnslookups import Lookups
from ugate.protocols.dnsanswers import Times
from ugate.protocols.dnscache import Cache
from ugate.test.dialfakes import Resolver
from ugate.test.dnsfakes import DnsCase, FakeServer


@implementer(IResolutionReceiver)
class Receiver:
    """
    Who wants to know.
    """

    def __init__(self) -> None:
        self.began: Any = None
        self.found: list[str] = []
        self.isComplete = False

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self.began = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        self.found.append(f"{address.type} {address.host} {address.port}")

    def resolutionComplete(self) -> None:
        self.isComplete = True


class FakeLocal:
    """
    What is known here.
    """

    def realAddresses(self, name: str) -> tuple[bytes, ...] | None:
        return {"printer.home": (b"\xc0\xa8\x01\x09",), "bob": ()}.get(name)


class LookupsTests(DnsCase):
    """
    L{Lookups}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server, self.system = FakeServer(), Resolver({"db.example": ["192.0.2.99"]})
        self.lookups = self.made({"": [self.server]})

    def made(self, servers: Any) -> Lookups:
        """
        With these servers.
        """
        local: Any = FakeLocal()
        forwarder = Forwarder(self.clock, servers, Cache(10, 10**6), Times())
        return Lookups(local, forwarder, lambda: self.system)

    def look(self, name: str, **more: Any) -> Receiver:
        """
        Look a name up.
        """
        receiver = Receiver()
        self.lookups.resolveHostName(receiver, name, 443, **more)
        return receiver

    def test_interface(self) -> None:
        """
        It is one of Twisted's resolvers.
        """
        verifyObject(IHostnameResolver, self.lookups)

    def test_asked(self) -> None:
        """
        Servers are asked for both families; the first of an address is that of IPv6.
        """
        receiver = self.look("DB.example.")
        self.assertEqual("DB.example.", receiver.began.name)
        self.server.say("db.example 60 A 192.0.2.1", at=1)
        self.assertFalse(receiver.isComplete)
        self.server.say("db.example 60 AAAA 2001:db8::1", at=0)
        self.assertEqual(["TCP 2001:db8::1 443", "TCP 192.0.2.1 443"], receiver.found)
        self.assertTrue(receiver.isComplete)
        again = self.look("db.example", addressTypes=[IPv4Address])
        self.assertEqual((["TCP 192.0.2.1 443"], 2), (again.found, len(self.server.asked)))
        self.assertEqual([], self.system.asked)

    def test_failed(self) -> None:
        """
        If nobody knows, there is no address.
        """
        receiver = self.look("db.example")
        self.server.fail(0)
        self.server.fail(1)
        self.assertEqual(([], True), (receiver.found, receiver.isComplete))
        receiver = self.look("a..b")
        self.assertEqual(([], True), (receiver.found, receiver.isComplete))

    def test_known(self) -> None:
        """
        What is known here is not asked of others.
        """
        self.assertEqual(["TCP 192.168.1.9 443"], self.look("printer.home").found)
        self.assertTrue(self.look("bob").isComplete)
        self.assertEqual([], self.server.asked)

    def test_cancelled(self) -> None:
        """
        Who does not want to know any more is told nothing.
        """
        receiver = self.look("db.example")
        receiver.began.cancel()
        self.server.fail(0)
        self.server.fail(1)
        self.assertFalse(receiver.isComplete)

    def test_system(self) -> None:
        """
        Where the section names nobody, the system is asked.
        """
        self.lookups = self.made({"corp.example": [self.server]})
        self.assertEqual(["TCP 192.0.2.99 443"], self.look("db.example").found)
        self.look("a.corp.example")
        self.assertEqual((["db.example"], 2), (self.system.asked, len(self.server.asked)))
