# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where the listeners of a node lead, and by which rules.
"""

from __future__ import annotations

from typing import Any

from ugate.errors import Denied, StringError
from ugate.interfaces import IEgress, ITenant
from ugate.node import Node, explain, tenantFrom
from ugate.stream import Target
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.schema import Dial, Listener
from ugate.tenancy.config.whole import Config, Route
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.match import parseMatch
from ugate.tenancy.policy import Rule, RulesPolicy
from ugate.test.dialfakes import streamTo
from ugate.test.nodefakes import HELLO, REQUEST, NodeCase

LOCAL = "tcp:1080:interface=127.0.0.1"


class TargetTests(NodeCase):
    """
    Listeners that say where to.
    """

    def test_unknown(self) -> None:
        """
        One that could never know does not start.
        """
        for endpoint in (LOCAL, f"proxyproto:{LOCAL}"):
            (said,) = self.cannotStart(self.config({"main": endpoint}))
            self.assertIn(f"listener main ({endpoint}) cannot know where a stream wants to go", said)
            self.assertIn("to: HOST:PORT", said)

    def test_to(self) -> None:
        """
        A plain listener with a target in the config.
        """
        node = self.start(self.config({"main": Listener(LOCAL, to="203.0.113.9:80")}))
        line = self.client(node)
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("203.0.113.9", 80))
        target = self.target()
        line.say(b"hello")
        self.assertEqual(target.value(), b"hello")

    def test_toBehindHeader(self) -> None:
        """
        The same behind a PROXY header.
        """
        listener = Listener(f"proxyproto:{LOCAL}", to="203.0.113.9:80", open=True)
        line = self.client(self.start(self.config({"main": listener})))
        self.assertEqual(self.reactor.tcpClients, [])
        line.say(b"PROXY UNKNOWN\r\n")
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("203.0.113.9", 80))

    def test_forward(self) -> None:
        """
        A string may say it itself; the stream needs no word from the client.
        """
        node = self.start(self.config({"main": f"forward:{LOCAL}:to=203.0.113.9\\:80"}))
        self.client(node)
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("203.0.113.9", 80))

    def test_clientSays(self) -> None:
        """
        What a client asks for goes before what the config says.
        """
        node = self.start(self.config({"main": Listener(f"socks:{LOCAL}", to="192.0.2.99:1")}))
        line = self.client(node)
        line.say(HELLO)
        line.say(REQUEST)
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("203.0.113.9", 80))


class TenantTests(NodeCase):
    """
    L{tenantFrom} and L{explain}.
    """

    def tenant(self, config: Config, own: OwnListeners | None = None) -> Any:
        """
        The tenant of a config.
        """
        return tenantFrom(self.reactor, config, OwnListeners() if own is None else own)

    def test_settings(self) -> None:
        """
        It has what the config says.
        """
        tenant = self.tenant(self.config({}, handshake=3.0))
        self.assertIs(ITenant(tenant.reactor), tenant)
        self.assertEqual((tenant.handshake, tenant.portal, list(tenant.hops)), (3.0, None, ["mesh", "dns"]))
        self.assertIsNot(self.tenant(self.config({}, users=True)).portal, None)

    def test_private(self) -> None:
        """
        Private ranges are a setting.
        """
        for private, denied in (("allow", False), ("deny", True)):
            tenant = self.tenant(self.config({}, private=private))
            endpoint = tenant.dialer.endpointFor(streamTo("10.0.0.1:80"))
            connecting = endpoint.connect(None)
            if denied:
                self.failureResultOf(connecting, Denied)
            else:
                self.assertNoResult(connecting)

    def test_direct(self) -> None:
        """
        Without routes all goes directly, and within the time of the config.
        """
        tenant = self.tenant(self.config({}, connect=4.0))
        self.assertEqual(
            tenant.dialer.explain(streamTo("192.0.2.1:80")),
            [
                "route 1 of 1: * via direct, since no route says otherwise",
                "  connect to 192.0.2.1:80 from here, within 4 s",
            ],
        )

    def test_routes(self) -> None:
        """
        Routes go in their order: named hops, hops in place, several ways, direct, none.
        """
        config = self.config(
            {},
            {"office": "socks:192.0.2.1:1080"},
            (
                Route(("*.corp", "10.0.0.0/8"), ("office",)),
                Route(("bad.example",), ("deny",), "it is bad"),
                Route(("worse.example",), ("deny",)),
                Route(("b.example",), ("connect:192.0.2.2:3128", "direct")),
                Route(("*:22",), ("direct",)),
            ),
        )
        tenant = self.tenant(config)
        for target, words in (
            ("x.corp:80", "route 1 of 7: *.corp via office"),
            ("10.1.2.3:80", "route 2 of 7: 10.0.0.0/8 via office"),
            ("bad.example:80", "refuse: it is bad"),
            ("worse.example:80", "refuse: this way is closed"),
            ("b.example:80", "way 2 of 2:"),
            ("c.example:22", "route 6 of 7: *:22 via direct"),
            ("c.example:80", "route 7 of 7: * via direct, since no route says otherwise"),
        ):
            lines = tenant.dialer.explain(streamTo(target))
            self.assertIn(words, "\n".join(lines), target)
        self.assertEqual(list(tenant.hops), ["mesh", "dns", "office"])

    def test_ownRest(self) -> None:
        """
        A route for all others leaves nothing to add.
        """
        tenant = self.tenant(self.config({}, routes=(Route(("*",), ("deny",), "closed"),)))
        self.assertEqual(
            tenant.dialer.explain(streamTo("a:1")), ["route 1 of 1: * via deny", "  refuse: closed"]
        )

    def test_paths(self) -> None:
        """
        Routes lead a path elsewhere, or nowhere, where they name it; else it is opened here, whatever is said
        of hosts. A way that carries none refuses it.
        """
        routes = (
            Route(("unix:/run/no/*",), ("deny",), "closed"),
            Route(("unix:/run/far/*",), ("ssh:bob@gate:22",)),
            Route(("unix:/run/none/*",), ("socks:proxy:1080",)),
            Route(("*",), ("deny",)),
        )
        tenant = self.tenant(self.config({}, routes=routes))
        for path, words in (
            ("/run/no/x", "refuse: closed"),
            ("/run/far/x", "ask ssh:gate:22 for unix:/run/far/x in SSH"),
            ("/run/x", "via direct, since no route says otherwise"),
        ):
            lines = tenant.dialer.explain(streamTo("x:1").but(target=Target.atPath(path)))
            self.assertIn(words, "\n".join(lines), path)
        # What the policy does not say is not allowed to begin with.
        lines = explain(tenant, Target.atPath("/run/none/x"))
        self.assertIn("no rule in policy.rules names that UNIX socket", lines[-1])
        tenant.policy = RulesPolicy([Rule(True, target=(parseMatch("unix:*"),))])
        lines = explain(tenant, Target.atPath("/run/none/x"))
        self.assertIn("its route carries no streams to UNIX sockets); add a route for it", lines[-1])

    def test_mistakes(self) -> None:
        """
        What cannot be made is told.
        """
        self.assertRaises(StringError, self.tenant, self.config({}, {"a": "b", "b": "a"}))
        self.assertRaises(StringError, self.tenant, self.config({}, routes=(Route(("*",), ("nowhere",)),)))
        config = self.config({}, users=True)
        assert config.policy.users is not None
        with open(config.policy.users, "a", encoding="utf-8") as out:
            out.write("bob\n")
        self.assertRaises(ConfigError, self.tenant, config)

    def test_hopsMayTakeLonger(self) -> None:
        """
        A stream as a whole has time for the slowest hop.
        """
        config = self.config({}, {"slow": Dial("socks:192.0.2.1:1080", timeout=50)}, connect=5.0)
        node = Node(self.reactor, config, threads=0)
        self.assertEqual(node.flows.dialing.seconds, 150)
        node = Node(self.reactor, self.config({}, connect=5.0), threads=0)
        self.assertEqual(node.flows.dialing.seconds, 15)

    def test_settingsOfFlows(self) -> None:
        """
        How many streams there may be, and whether each is told, are settings.
        """
        node = Node(self.reactor, self.config({}, streams=7, flows="quiet"), threads=0)
        self.assertEqual((node.flows.limit, node.flows.quiet), (7, True))
        self.assertFalse(Node(self.reactor, self.config({}), threads=0).flows.quiet)

    def test_explain(self) -> None:
        """
        Who asks, which rule, which way; for nobody it ends with the policy.
        """
        tenant = self.tenant(self.config({}))
        self.assertEqual(
            explain(tenant, Target("192.0.2.1", 80)),
            [
                "policy: operator (local) may, since no rule says otherwise",
                "route 1 of 1: * via direct, since no route says otherwise",
                "  connect to 192.0.2.1:80 from here, within 10 s",
            ],
        )
        *_, said = explain(tenant, Target("192.0.2.1", 80), None)  # type: ignore[arg-type]
        self.assertIn("denied by policy (nobody knows who asks)", said)

    def test_ownListeners(self) -> None:
        """
        No stream leads back to where the node listens, as long as it does.
        """
        node = self.start(self.config({"main": f"auto:{LOCAL}", "unix": "socks:unix:/run/ugate"}))
        egress = IEgress(node.tenant.reactor)
        for host in ("127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"):
            self.assertRaises(Denied, egress.check, host, 1080)
        egress.check("127.0.0.1", 1081)
        line = self.client(node)
        line.say(HELLO)
        self.assertEqual(line.say(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x04\x38")[:2], b"\x05\x02")
        node.stopService()
        egress.check("127.0.0.1", 1080)
