# -*- test-case-name: ugate.test.test_dialing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.dialing}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unittest import SkipTest

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.chain import parseChain
from ugate.endpoints.dialers import Deny, Fallback
from ugate.endpoints.dialing import MAKERS, MAX_NAMES, dialerFromChain, dialerFromText, dialersFromTexts
from ugate.endpoints.hops import KINDS, Hop
from ugate.endpoints.quoting import quoteValue
from ugate.errors import Denied, Refused, StringError
from ugate.interfaces import IDialer, INegotiation, ITenant
from ugate.stream import StreamInfo, Target
from ugate.test.dialfakes import FakeDialer, Net, Recorders, streamTo
from ugate.test.test_tlsclient import missing

INFO = streamTo("db.corp:5432")
LITERAL = streamTo("10.9.9.9:80")


@implementer(ITenant)
class FakeTenant:
    """
    A tenant with a reactor of its own.
    """

    name = "root"
    portal = None
    policy = None
    dialer = None
    handshake = 10.0
    parent = None
    limits = None
    identity: Any = None
    trust: Any = None
    nodes: Any = None
    names: Any = None
    children: Mapping[str, ITenant] = {}

    def __init__(self, reactor: Any, hops: Mapping[str, IDialer]) -> None:
        self.reactor = reactor
        self.hops = hops

    def tenantFor(self, info: StreamInfo) -> ITenant:
        return self


class DialingTests(SynchronousTestCase):
    """
    Dialers from texts.
    """

    def setUp(self) -> None:
        """
        A network.
        """
        self.net = Net()

    def explain(self, text: str | Sequence[str], **names: IDialer) -> list[str]:
        """
        The way that a text means.
        """
        dialer = dialerFromText(self.net, text, names)
        self.assertTrue(verifyObject(IDialer, dialer))
        return dialer.explain(INFO)

    def assertBad(self, text: str | Sequence[str], *said: str, **names: IDialer) -> None:
        """
        The text is refused in words that hold each of C{said}.
        """
        error = str(self.assertRaises(StringError, dialerFromText, self.net, text, names))
        for each in said:
            self.assertIn(each, error)

    def test_kinds(self) -> None:
        """
        Each kind of hop has what makes its dialer, and the client side that it names
        can be loaded and made.
        """
        self.assertEqual({kind.name for kind in KINDS.values()}, set(MAKERS))
        for name, maker in MAKERS.items():
            if name == "direct":
                continue
            hop = Hop(name, "10.0.0.1", 1080)
            dialer: Any = maker(self.net, hop, FakeDialer())
            self.assertTrue(verifyObject(IDialer, dialer))
            if KINDS[name].leads or name in ("h2connect", "ssh"):
                # Nobody is asked for anything there, or on a link that is up.
                continue
            negotiation = dialer._client(Target("db.corp", 80), None, "hop")
            self.assertTrue(verifyObject(INegotiation, negotiation))

    def test_direct(self) -> None:
        """
        From here, in its own time.
        """
        self.assertEqual(
            self.explain(" direct "),
            [f"connect to db.corp:5432 from here, its name resolved here, within {DEFAULT_TIMEOUT:g} s"],
        )
        self.assertIn("within 3 s", self.explain("direct:timeout=3")[0])

    def test_deny(self) -> None:
        """
        Nowhere, with or without a reason.
        """
        self.assertEqual(self.explain("deny"), ["refuse: this way is closed"])
        self.assertEqual(self.explain("deny: no mail: ask us "), ["refuse: no mail: ask us"])

    def test_hops(self) -> None:
        """
        Each hop is dialed through those before it.
        """
        self.assertEqual(
            self.explain("socks:10.0.0.1:1080:timeout=2 -> connect:gw:3128:attempts=2"),
            [
                "at most 2 attempts:",
                "  connect to 10.0.0.1:1080 from here, within 2 s",
                "  ask socks:10.0.0.1:1080 for gw:3128 in SOCKS5",
                "  ask connect:gw:3128 for db.corp:5432 in HTTP CONNECT",
            ],
        )

    def test_proxyproto(self) -> None:
        """
        A PROXY header goes in front of what goes through the hop that has it.
        """
        self.assertEqual(
            self.explain("direct:proxyproto=v1 -> socks:10.0.0.1:1080:proxyproto=v2"),
            [
                f"connect to 10.0.0.1:1080 from here, within {DEFAULT_TIMEOUT:g} s",
                "send a PROXY header v1 that names the client",
                "ask socks:10.0.0.1:1080 for db.corp:5432 in SOCKS5",
                "send a PROXY header v2 that names the client",
            ],
        )

    def test_refusalsOfHeaders(self) -> None:
        """
        A header that cannot be sent is refused in the name of the hop, or of the
        target where there is none.
        """
        for text, hop in (
            ("socks:10.0.0.1:1080:proxyproto=v2", "socks:10.0.0.1:1080"),
            ("direct:proxyproto=v2", ""),
        ):
            dialer: Any = dialerFromText(self.net, text)
            self.assertEqual(dialer._hop, hop)

    def test_names(self) -> None:
        """
        A name is the hop of that name, and can begin a chain.
        """
        office = FakeDialer(name="office")
        self.assertIs(dialerFromText(self.net, "office", {"office": office}), office)
        self.assertEqual(
            self.explain("office -> socks:a:1", office=office),
            ["office to a:1", "ask socks:a:1 for db.corp:5432 in SOCKS5"],
        )
        self.assertEqual(
            self.explain("socks:a:1:via=office", office=office),
            self.explain("office -> socks:a:1", office=office),
        )
        self.assertIs(dialerFromText(self.net, "direct", {"direct": office}), office)
        self.assertBad("offcie", "no hop is named 'offcie'", "wanted one of office", office=office)
        self.assertBad("offcie -> socks:a:1", "no hop is named 'offcie'", "the config names none")

    def test_endpoint(self) -> None:
        """
        Any client endpoint of Twisted's can lead to the first hop.
        """
        dialer = dialerFromText(self.net, "socks:p:1:via=tcp\\:10.0.0.7\\:99")
        dialer.endpointFor(INFO).connect(Recorders())
        self.assertEqual(self.net.dialed, ["10.0.0.7:99"])
        self.assertEqual(dialer.explain(INFO)[0], "connect to socks:p:1 by tcp:10.0.0.7:99")
        self.assertBad("socks:p:1:via=nosuch\\:x", "via=nosuch:x", "Twisted cannot read")
        self.assertBad("socks:p:1:via=tcp\\:a\\:b\\:c", "via=tcp:a:b:c")

    def test_ourOwnErrors(self) -> None:
        """
        An error of ours inside of an endpoint string is not taken for one of Twisted's.
        """
        if missing:
            raise SkipTest(missing)
        text = f"tls:gw:443:endpoint={quoteValue('socks:a:1080')}"
        self.assertBad(f"socks:p:1:via={quoteValue(text)}", "socks:a:1080: where to?")

    def test_list(self) -> None:
        """
        A list is tried in its order.
        """
        self.assertIsInstance(dialerFromText(self.net, ["direct", "deny"]), Fallback)
        self.assertIsInstance(dialerFromText(self.net, ["deny"]), Deny)
        self.assertBad([], "an empty list")
        self.assertBad(["direct", "sock:a:1"], "'sock'")

    def test_target(self) -> None:
        """
        A chain with a target is no way for streams that have their own.
        """
        self.assertBad("socks:a:1 -> tcp:b:2", "leave out that of the chain")
        self.assertBad("", "an empty chain")

    def test_tls(self) -> None:
        """
        A hop that wants TLS gets it over what carries it.
        """
        if missing:
            self.assertRaises(Refused, dialerFromText, self.net, "connect:10.0.0.1:443:tls=yes")
            return
        dialerFromText(self.net, "connect:10.0.0.1:443:tls=yes").endpointFor(INFO).connect(Recorders())
        hello = self.net.up().value()
        # A record with a handshake.
        self.assertEqual(hello[:2], b"\x16\x03")

    def test_targetsOfClients(self) -> None:
        """
        What a client asks for is connected to by the reactor of its tenant, a hop of
        the config by the one that was given.
        """
        strict, given = Net(), Net()
        strict.forbidden["10.9.9.9"] = Denied("10.9.9.9:80", "private")
        given._tenant = FakeTenant(strict, {})
        for text in ("direct", "direct:timeout=3", "direct:proxyproto=v2:attempts=2"):
            connected = dialerFromText(given, text).endpointFor(LITERAL).connect(Recorders())
            self.failureResultOf(connected, Denied)
            self.assertEqual(given.dialed, [])
        for number, text in enumerate(("socks:10.9.9.9:80", "direct -> socks:10.9.9.9:80"), 1):
            dialerFromText(given, text).endpointFor(INFO).connect(Recorders())
            self.assertEqual(given.dialed, ["10.9.9.9:80"] * number)

    def test_fromChain(self) -> None:
        """
        The target of a chain is not looked at; without hops it is a connection from
        here.
        """
        dialer = dialerFromChain(self.net, parseChain("tcp:db:1"))
        self.assertEqual(dialer.explain(LITERAL), ["connect to 10.9.9.9:80 from here, within 10 s"])


class NamedTests(SynchronousTestCase):
    """
    The named hops of a config.
    """

    def setUp(self) -> None:
        """
        A network.
        """
        self.net = Net()

    def assertBad(self, texts: Mapping[str, str | Sequence[str]], said: str) -> None:
        """
        The config is refused with these words.
        """
        self.assertEqual(str(self.assertRaises(StringError, dialersFromTexts, self.net, texts)), said)

    def test_order(self) -> None:
        """
        They may be made of one another, in any order.
        """
        dialers = dialersFromTexts(
            self.net,
            {"both": ["far", "near"], "far": "near -> connect:gw:3128", "near": "socks:10.0.0.1:1080"},
        )
        self.assertEqual(list(dialers), ["both", "far", "near"])
        self.assertEqual(
            dialers["far"].explain(INFO),
            [
                "connect to 10.0.0.1:1080 from here, within 10 s",
                "ask socks:10.0.0.1:1080 for gw:3128 in SOCKS5",
                "ask connect:gw:3128 for db.corp:5432 in HTTP CONNECT",
            ],
        )
        self.assertEqual(dialers["both"].explain(INFO)[0], "way 1 of 2:")
        connected = dialers["both"].endpointFor(INFO).connect(Recorders())
        self.net.down(ConnectionRefusedError())
        self.assertEqual(self.net.dialed, ["10.0.0.1:1080"] * 2)
        self.assertNoResult(connected)

    def test_unknown(self) -> None:
        """
        A name that there is not is said with those that there are.
        """
        self.assertBad(
            {"a": "c", "b": "direct"},
            "a: no hop is named 'c': wanted one of a, b; or write it out, as socks:HOST:PORT",
        )
        self.assertBad(
            {"a": "c -> socks:p:1", "b": "direct"},
            "a: no hop is named 'c': wanted one of a, b; or write it out, as socks:HOST:PORT",
        )

    def test_circle(self) -> None:
        """
        What needs itself is shown.
        """
        self.assertBad({"a": "a"}, "a: it needs itself: a -> a")
        self.assertBad(
            {"x": "a", "a": "b -> socks:p:1", "b": ["direct", "a"]}, "b: it needs itself: a -> b -> a"
        )

    def test_errors(self) -> None:
        """
        The error names the hop that it is in, and no other.
        """
        self.assertBad(
            {"a": "b", "b": "sock:p:1"},
            "b: hop 1: 'sock' is no kind of hop: wanted one of socks, socks5, socks4, connect, mtls, "
            "forward, h2connect, websocket, ssh, direct",
        )
        for name in ("socks", "direct", "deny", "a b", ""):
            error = self.assertRaises(StringError, dialersFromTexts, self.net, {name: "socks:p:1"})
            self.assertIn(f"{name!r}: the name of a hop", str(error))

    def test_limit(self) -> None:
        """
        They need one another no deeper than so.
        """
        texts = {f"h{n}": f"h{n + 1}" for n in range(MAX_NAMES - 1)}
        last = f"h{MAX_NAMES - 1}"
        self.assertEqual(len(dialersFromTexts(self.net, {**texts, last: "direct"})), MAX_NAMES)
        error = self.assertRaises(
            StringError, dialersFromTexts, self.net, {**texts, last: "end", "end": "direct"}
        )
        self.assertIn(f"more than {MAX_NAMES}", str(error))
