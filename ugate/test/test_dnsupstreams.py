# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsupstreams}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialers import Deny
from ugate.errors import Cause, Refused, StringError
from ugate.hoppools import poolsIn
from ugate.modules.dnsdatagrams import DatagramServer
from ugate.modules.dnshttps import HttpsServer
from ugate.modules.dnssection import DnsUpstream
from ugate.modules.dnsstreams import StreamServer
from ugate.modules.dnsupstreams import Place, Ways, placeFrom, serversFrom
from ugate.stream import Target
from ugate.test.dialfakes import FakeDialer, Net
from ugate.test.dnsfakes import askedFor


class PlaceTests(SynchronousTestCase):
    """
    L{placeFrom}.
    """

    def place(self, to: str, **more: Any) -> Place:
        """
        What a text means.
        """
        return placeFrom(DnsUpstream(to, **{"via": "office", **more}))

    def test_forms(self) -> None:
        """
        All ways to write it.
        """
        for text, kind, target in (
            ("192.0.2.53", "udp", Target("192.0.2.53", 53)),
            ("2001:db8::53", "udp", Target("2001:db8::53", 53)),
            ("udp:192.0.2.53:5353", "udp", Target("192.0.2.53", 5353)),
            ("tcp:[2001:db8::53]:5353", "tcp", Target("2001:db8::53", 5353)),
            ("tcp:2001:db8::53", "tcp", Target("2001:db8::53", 53)),
            ("tls:dns.example", "tls", Target("dns.example", 853)),
            ("tls:dns.example:8853", "tls", Target("dns.example", 8853)),
        ):
            self.assertEqual(Place(kind, target, target.host), self.place(text), text)

    def test_https(self) -> None:
        """
        URLs.
        """
        url = "https://dns.example/dns-query"
        self.assertEqual(Place("https", Target("dns.example", 443), "dns.example", url), self.place(url))
        url = "https://[::1]:8443/x?y=1"
        self.assertEqual(Place("https", Target("::1", 8443), "::1", url), self.place(url))

    def test_address(self) -> None:
        """
        Where it is and what it is called may be two things.
        """
        place = self.place("tls:dns.example", via="direct", address="192.0.2.53")
        self.assertEqual((Target("192.0.2.53", 853), "dns.example"), (place.target, place.name))

    def test_mistakes(self) -> None:
        """
        What cannot be is said with what can.
        """
        for text in (
            "dns.example",
            "sctp:x",
            "tls:",
            "tls:x:99999",
            "https:x",
            "https://",
            "https://a:b@x/",
            "https://x/#y",
            "https://x:y/",
            "https://x/ y",
            "http://x/",
        ):
            self.assertRaises(StringError, self.place, text)
        error = self.assertRaises(StringError, self.place, "tls:dns.example", via="direct")
        self.assertIn("who would look up dns.example? Say where it is, as address:", str(error))
        self.assertRaises(StringError, self.place, "tls:dns.example", address="other.example")
        self.assertRaises(StringError, self.place, "192.0.2.53", via="dns")


class Tenant:
    """
    A tenant with one hop.
    """

    name = "root"

    def __init__(self) -> None:
        self.reactor: Any = Net()
        self.hopReactor: Any = self.reactor
        self.office = FakeDialer()
        self.hops: dict[str, Any] = {"office": self.office, "mesh": Deny()}


class ServersTests(SynchronousTestCase):
    """
    L{serversFrom}.
    """

    def setUp(self) -> None:
        tenant: Any = Tenant()
        self.tenant = tenant
        self.ways = Ways(tenant)

    def servers(self, *sections: Any) -> dict[str, list[Any]]:
        """
        What asks them.
        """
        return serversFrom(sections, self.ways)

    def test_kinds(self) -> None:
        """
        Each by what it speaks; what goes through others has no datagrams.
        """
        (servers,) = self.servers(
            "192.0.2.53",
            DnsUpstream("192.0.2.53", via="office"),
            "tcp:192.0.2.53",
            "tls:192.0.2.53",
            DnsUpstream("https://dns.example/dns-query", via="office"),
        ).values()
        kinds = [DatagramServer, StreamServer, StreamServer, StreamServer, HttpsServer]
        self.assertEqual(kinds, [type(each) for each in servers])
        self.assertEqual(
            [
                "udp:192.0.2.53:53",
                "tcp:192.0.2.53:53 via office",
                "tcp:192.0.2.53:53",
                "tls:192.0.2.53",
                "https://dns.example/dns-query via office",
            ],
            [each.title for each in servers],
        )
        self.assertEqual([False, False, True], [each.isPadded for each in servers[1:4]])

    def test_domains(self) -> None:
        """
        By the domains that they are for.
        """
        servers = self.servers(
            "192.0.2.53", DnsUpstream("192.0.2.54", domains=("Corp.example", "lab")), "192.0.2.55"
        )
        self.assertEqual({"": 2, "corp.example": 1, "lab": 1}, {k: len(v) for k, v in servers.items()})

    def test_ways(self) -> None:
        """
        A hop of the tenant is asked for each connection, and may be another one after a reload; the name
        goes there as it is.
        """
        (server,) = self.servers(DnsUpstream("tcp:dns.example", via="office"))[""]
        asking = server.ask(askedFor())
        self.assertEqual([Target("dns.example", 53)], [info.target for info in self.tenant.office.asked])
        server.stop()
        self.failureResultOf(asking, CancelledError)
        self.tenant.hops["office"] = other = FakeDialer()
        server.ask(askedFor())
        self.assertEqual((1, 1), (len(self.tenant.office.asked), len(other.asked)))

    def test_direct(self) -> None:
        """
        Straight there.
        """
        (server,) = self.servers("tcp:192.0.2.53")[""]
        server.ask(askedFor())
        self.assertEqual([("192.0.2.53", 53)], [each[:2] for each in self.tenant.reactor.tcpClients])

    def test_written(self) -> None:
        """
        A hop may be written out.
        """
        (server,) = self.servers(DnsUpstream("tls:dns.example", via="socks:192.0.2.9:1080"))[""]
        server.ask(askedFor())
        self.assertEqual([("192.0.2.9", 1080)], [each[:2] for each in self.tenant.reactor.tcpClients])

    def test_mistakes(self) -> None:
        """
        A mistake says which server it is of.
        """
        for section, words in (
            ("dns.example", "upstreams[1]: 'dns.example': wanted an address"),
            (DnsUpstream("192.0.2.1", via="nowhere"), "upstreams[1]: "),
        ):
            error = self.assertRaises(StringError, self.servers, "192.0.2.53", section)
            self.assertIn(words, str(error))

    def test_links(self) -> None:
        """
        Links of hops that are written out close when nobody needs them any more.
        """
        self.servers(DnsUpstream("tcp:192.0.2.53", via="h2connect:192.0.2.9:15008"))
        (pool,) = poolsIn(self.ways.dialer("h2connect:192.0.2.9:15008"))
        drained: list[object] = []
        self.patch(pool, "drain", lambda: drained.append(pool))
        self.ways.stop()
        self.assertEqual([pool], drained)

    def test_gone(self) -> None:
        """
        A hop that is gone after a reload is no fault of ours.
        """
        (server,) = self.servers(DnsUpstream("tcp:192.0.2.53", via="office"))[""]
        del self.tenant.hops["office"]
        refused = self.failureResultOf(server.ask(askedFor()), Refused).value
        self.assertIs(Cause.GENERAL, refused.cause)
        self.assertIn("office", str(refused))
