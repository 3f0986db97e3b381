# -*- test-case-name: ugate.test.test_direct -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.direct}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.address import UNIXAddress
from twisted.internet.error import TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialing import dialerFromText
from ugate.endpoints.direct import Direct, Unrouted
from ugate.endpoints.names import NameEndpoint
from ugate.errors import Cause, Denied, Refused
from ugate.interfaces import IDialer
from ugate.stream import UDP, StreamInfo, Target
from ugate.tenancy.policy import KnownPrincipals
from ugate.tenancy.tenant import Tenant
from ugate.test.dialfakes import CLIENT, LISTENER, Net, Recorders, streamTo


class UnroutedTests(SynchronousTestCase):
    """
    L{Unrouted}.
    """

    def test_ended(self) -> None:
        """
        What was in TLS that ended here is not sent on in clear; what passes through is, as all else.
        """
        verifyObject(IDialer, Unrouted(Net()))
        dialer = Unrouted(Net())
        info = streamTo("www.example:443").but(layers=("sni", "ended"))
        error = self.assertRaises(Denied, dialer.endpointFor, info)
        self.assertIn('add a route, as {match: "www.example", via: "forward:', str(error))
        self.assertEqual([str(error)], dialer.explain(info))
        for layers in ((), ("sni",), ("mtls",), ("auto", "tls"), ("sni", "ended", "socks5")):
            other = info.but(layers=layers)
            self.assertIsInstance(dialer.endpointFor(other), NameEndpoint)
            self.assertEqual(Direct(Net()).explain(other), dialer.explain(other))


class DirectTests(SynchronousTestCase):
    """
    The dialer that connects from here.
    """

    def test_interface(self) -> None:
        """
        It is a dialer.
        """
        self.assertTrue(verifyObject(IDialer, Direct(Net())))

    def test_literal(self) -> None:
        """
        An address is dialed as it is.
        """
        for target in ("10.0.0.1:80", "[::1]:80"):
            net = Net()
            connected = Direct(net, 4.0).endpointFor(streamTo(target)).connect(Recorders())
            self.assertEqual((net.dialed, net.tcpClients[0][3], net.resolver.asked), ([target], 4.0, []))
            net.up()
            self.successResultOf(connected)

    def test_asClient(self) -> None:
        """
        Connections come from the client's address, if that is said; a client that has none is refused.
        """
        for target in ("10.0.0.1:80", "db.corp:80"):
            net = Net({"db.corp": ["10.0.0.1"]})
            dialer = dialerFromText(net, "direct:asClient=yes")
            dialer.endpointFor(streamTo(target)).connect(Recorders())
            self.assertEqual(net.tcpClients[0][4], (CLIENT.host, 0))
        datagrams = streamTo("10.0.0.1:80").but(target=Target("10.0.0.1", 80, UDP))
        refused = self.assertRaises(Refused, dialer.endpointFor, datagrams)
        self.assertEqual(dialer.explain(datagrams), [str(refused)])
        nobody = streamTo("10.0.0.1:80").but(peer=UNIXAddress(b"/x"))
        refused = self.assertRaises(Refused, dialer.endpointFor, nobody)
        self.assertEqual(refused.cause, Cause.UNSUPPORTED)
        self.assertIn("from the address of the client", dialer.explain(streamTo("10.0.0.1:80"))[0])

    def test_asClientOfTenant(self) -> None:
        """
        Only the node itself connects from the addresses of others: a tenant could be anybody.
        """
        root = Tenant(Net(), KnownPrincipals())
        alice = Tenant(Net(), KnownPrincipals(), name="alice", parent=root)
        info = streamTo("10.0.0.1:80")
        for reactor in (root.reactor, root.hopReactor):
            dialerFromText(reactor, "direct:asClient=yes").endpointFor(info)
        for reactor in (alice.reactor, alice.hopReactor):
            dialer = dialerFromText(reactor, "direct:asClient=yes")
            denied = self.assertRaises(Denied, dialer.endpointFor, info)
            self.assertIn("the tenant alice could connect from any address", str(denied))
            self.assertEqual(dialer.explain(info), [str(denied)])
            dialerFromText(reactor, "direct").endpointFor(info)

    def test_name(self) -> None:
        """
        A name is looked up.
        """
        net = Net({"db.corp": ["10.0.0.1"]})
        connected = Direct(net).endpointFor(streamTo("db.corp:80")).connect(Recorders())
        self.assertEqual(net.dialed, ["10.0.0.1:80"])
        net.down(TimeoutError())
        refused = self.failureResultOf(connected, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual((refused.hop, refused.cause), ("db.corp:80", Cause.TIMED_OUT))

    def test_timeout(self) -> None:
        """
        The limit holds for a lookup too.
        """
        net = Net()
        net.resolver.pending["db.corp"] = []
        connected = Direct(net, 2.0).endpointFor(streamTo("db.corp:80")).connect(Recorders())
        net.advance(2.0)
        self.failureResultOf(connected, Refused)

    def test_noTarget(self) -> None:
        """
        Without a target there is no way.
        """
        info = StreamInfo(CLIENT, LISTENER)
        error = self.assertRaises(Refused, Direct(Net()).endpointFor, info)
        self.assertEqual(Direct(Net()).explain(info), [str(error)])

    def test_explain(self) -> None:
        """
        One line, which says where the name is resolved.
        """
        self.assertEqual(
            [Direct(Net(), 2.5).explain(streamTo(target)) for target in ("10.0.0.1:80", "db.corp:80")],
            [
                ["connect to 10.0.0.1:80 from here, within 2.5 s"],
                ["connect to db.corp:80 from here, its name resolved here, within 2.5 s"],
            ],
        )

    def test_explainForbidden(self) -> None:
        """
        What the egress rules forbid is not explained as a way.
        """
        reactor = Tenant(Net(), KnownPrincipals(), private=False).reactor
        for target, why in (("169.254.169.254:80", "metadata"), ("[::1]:80", "a private address")):
            (line,) = Direct(reactor).explain(streamTo(target))
            self.assertIn("denied by policy", line)
            self.assertIn(why, line)
        self.assertEqual(
            Direct(reactor).explain(streamTo("1.1.1.1:80")), ["connect to 1.1.1.1:80 from here, within 10 s"]
        )
