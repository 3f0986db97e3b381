# -*- test-case-name: ugate.test.test_clients -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.clients}.
"""

from __future__ import annotations

from hypothesis import given
from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.chain import Chain
from ugate.endpoints.clients import OURSELVES, ChainEndpoint, clientFromChain, clientFromParts
from ugate.errors import Cause, Phase, Refused, StringError
from ugate.stream import Target
from ugate.test.dialfakes import FakeDialer, Net, Recorders
from ugate.test.test_chain import chains
from ugate.test.test_dialing import FakeTenant

TEXT = "socks:10.0.0.1:1080 -> connect:gw:3128 -> tcp:db:5432"


class ChainClientTests(SynchronousTestCase):
    """
    A chain as an endpoint.
    """

    def test_interface(self) -> None:
        """
        It is an endpoint whose text is that of the chain.
        """
        endpoint = clientFromChain(Net(), TEXT)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        self.assertEqual((str(endpoint), repr(endpoint)), (TEXT, f"<ChainEndpoint {TEXT}>"))

    @given(chains())
    def test_roundTrip(self, chain: Chain) -> None:
        """
        The text of the endpoint is the normal form, and makes the same endpoint.
        """
        if chain.end is None:
            self.assertRaises(StringError, ChainEndpoint, FakeDialer(), chain)
        else:
            self.assertEqual(str(ChainEndpoint(FakeDialer(), chain)), str(chain))

    def test_connect(self) -> None:
        """
        The target is asked of the dialer, for ourselves.
        """
        dialer = FakeDialer()
        endpoint = ChainEndpoint(dialer, Chain(target=Target("db", 5432)))
        factory = Recorders()
        connected = endpoint.connect(factory)
        self.assertEqual((dialer.asked[0].peer, dialer.asked[0].target), (OURSELVES, Target("db", 5432)))
        dialer.endpoint.up()
        self.assertEqual([self.successResultOf(connected)], factory.made)
        connected = endpoint.connect(factory)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)

    def test_refused(self) -> None:
        """
        A dialer that knows no way is a connection that fails.
        """
        refused = Refused(Cause.AUTHENTICATION, Phase.AUTH, "socks:p:1")
        endpoint = ChainEndpoint(FakeDialer(refused), Chain(target=Target("db", 5432)))
        self.assertIs(self.failureResultOf(endpoint.connect(Recorders()), Refused).value, refused)

    def test_explain(self) -> None:
        """
        The way in words.
        """
        self.assertEqual(
            clientFromChain(Net(), TEXT).explain(),
            [
                "connect to 10.0.0.1:1080 from here, within 10 s",
                "ask socks:10.0.0.1:1080 for gw:3128 in SOCKS5",
                "ask connect:gw:3128 for db:5432 in HTTP CONNECT",
            ],
        )

    def test_direct(self) -> None:
        """
        A target alone is a connection from here.
        """
        net = Net()
        clientFromChain(net, "tcp:10.0.0.5:80").connect(Recorders())
        self.assertEqual(net.dialed, ["10.0.0.5:80"])

    def test_names(self) -> None:
        """
        The reactor of a tenant knows its hops; another one knows none.
        """
        office = FakeDialer(name="office")
        endpoint = clientFromChain(Net(tenant=FakeTenant(Net(), {"office": office})), "office -> tcp:db:5432")
        self.assertEqual(endpoint.explain(), ["office to db:5432"])
        error = self.assertRaises(StringError, clientFromChain, Net(), "office -> tcp:db:5432")
        self.assertIn("the config names none", str(error))

    def test_noTarget(self) -> None:
        """
        Without a target there is nothing to connect to.
        """
        error = self.assertRaises(StringError, clientFromChain, Net(), "socks:a:1")
        self.assertIn("write socks:a:1 -> tcp:HOST:PORT", str(error))


class PartsTests(SynchronousTestCase):
    """
    What Twisted has taken apart.
    """

    def assertBad(self, parts: str, said: str, **keywords: str) -> None:
        """
        The parts are refused with these words.
        """
        error = self.assertRaises(StringError, clientFromParts, Net(), "socks", parts.split(":"), keywords)
        self.assertIn(said, str(error))

    def test_hop(self) -> None:
        """
        A hop with C{to=} is the chain of the two.
        """
        self.assertEqual(
            str(clientFromParts(Net(), "socks", ["10.0.0.1", "1080"], {"to": "db:5432", "user": "me"})),
            "socks:10.0.0.1:1080:user=me -> tcp:db:5432",
        )

    def test_addresses(self) -> None:
        """
        Of an address in brackets Twisted makes three parts, of an escaped one a part.
        """
        for parts in (["[", "", "1]", "1080"], ["::1", "1080"], ["[::1]", "1080"]):
            endpoint = clientFromParts(Net(), "socks", parts, {"to": "[::1]:80"})
            self.assertEqual(str(endpoint), "socks:[::1]:1080 -> tcp:[::1]:80")

    def test_chain(self) -> None:
        """
        A chain without keywords is one.
        """
        parts = TEXT.split(":")
        self.assertEqual(str(clientFromParts(Net(), parts[0], parts[1:], {})), TEXT)

    def test_chainWithKeywords(self) -> None:
        """
        Nobody knows to which hop a keyword belongs: the error says what to use.
        """
        self.assertBad("a:1 -> socks:b:1 -> tcp:c:1", "clientFromChain", user="x")
        self.assertBad("a:1:b:1", "clientFromChain", user="x -> socks")

    def test_noTarget(self) -> None:
        """
        The error says how to write one.
        """
        self.assertBad("a:1", "write socks:a:1:to=HOST\\:PORT")
        self.assertBad("a:1", "write socks:a:1:to=HOST\\:PORT", user="me")
