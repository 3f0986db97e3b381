# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How another configuration comes into force: what changes, and in which order.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from ugate.errors import Denied
from ugate.interfaces import IEgress
from ugate.reload import PATIENCE
from ugate.tenancy.config.schema import Delegation, PolicyRule
from ugate.test.nodefakes import HELLO, REQUEST
from ugate.test.reloadfakes import (
    ALICE,
    DENY,
    DIRECT,
    MAIN,
    OTHER,
    ReloadCase,
    Store,
    config,
)


class DifferenceTests(ReloadCase):
    """
    What is different changes, and nothing else.
    """

    def test_nothing(self) -> None:
        """
        When nothing is different nothing changes, and that is said.
        """
        node = self.run_(config({"main": MAIN}, {"office": "socks:a:1080"}, DIRECT))
        tenant = node.tenant
        before = (tenant.policy, tenant.dialer, tenant.hops, tenant.reactor, self.factory(node), node.ports)
        self.assertEqual(self.good(node, config({"main": MAIN}, {"office": "socks:a:1080"}, DIRECT)), ())
        after = (tenant.policy, tenant.dialer, tenant.hops, tenant.reactor, self.factory(node), node.ports)
        for one, two in zip(before, after, strict=True):
            self.assertTrue(one is two or one == two)
        self.assertEqual(self.said(), ["reload (test): nothing is different"])
        self.assertEqual((node.last.generation, node.reloading.good, node.reloading.bad), (1, 1, 0))

    def test_words(self) -> None:
        """
        Each difference has a name, for the log and for who asks.
        """
        node = self.run_(config({"main": MAIN, "other": OTHER}, tenants=ALICE), alice=config())
        changed = self.good(
            node,
            config({"main": f"{MAIN}:handshake=5", "new": "auto:unix:/run/x"}, tenants=ALICE, idle=5.0),
            alice=config({"own": "auto:unix:/run/y"}, {"hop": "socks:192.0.2.1:1"}, DENY, rules=()),
        )
        self.assertEqual(
            set(changed),
            {
                "node",
                "listen main",
                "listen new",
                "listen other",
                "policy alice",
                "routes alice",
                "listen alice/own",
                "dial alice/hop",
            },
        )
        self.assertEqual((node.last.generation, node.last.trigger), (2, "test"))
        self.assertEqual(node.last.changed, changed)

    def test_manyWords(self) -> None:
        """
        More than anybody reads are counted only.
        """
        node = self.run_(config())
        changed = self.good(node, config(dial={f"d{n}": "socks:192.0.2.1:1" for n in range(150)}))
        self.assertEqual((len(changed), changed[-1]), (101, "and 50 more"))

    def test_hops(self) -> None:
        """
        A hop that is as it was stays the same one, unless it is made of one that is not.
        """
        dial = {"a": "socks:192.0.2.1:1", "b": "a -> socks:192.0.2.2:1", "c": "socks:192.0.2.3:1"}
        node = self.run_(config({}, dial))
        hops = dict(node.tenant.hops)
        changed = self.good(node, config({}, {**dial, "a": "socks:192.0.2.9:1"}))
        self.assertEqual(changed, ("dial a",))
        now = node.tenant.hops
        self.assertIs(now["c"], hops["c"])
        self.assertIsNot(now["a"], hops["a"])
        self.assertIsNot(now["b"], node.tenant.dials["b"])
        said = "\n".join(node.tenant.hops["b"].explain(self.info("x.example:1")))
        self.assertIn("192.0.2.9", said)

    def test_otherTenants(self) -> None:
        """
        What one tenant changes is no matter of the others: they are the very same, with all that they have.
        """
        tenants = {"alice": Delegation(), "bob": Delegation()}
        node = self.run_(
            config({"main": MAIN}, tenants=tenants),
            alice=config({"own": OTHER}, routes=DIRECT),
            bob=config({"own": "auto:unix:/run/bob"}, routes=DIRECT),
        )
        bob, alice = node.tenants["bob"], node.tenants["alice"]
        had = (bob.dialer, bob.policy, bob.reactor, node.ports["bob/own"], self.factory(node, "bob/own"))
        mine = (alice.reactor, alice.policy, node.ports["alice/own"])
        dialer = alice.dialer
        self.assertEqual(self.good(node, alice=config({"own": OTHER}, routes=DENY)), ("routes alice",))
        self.assertIs(node.tenants["bob"], bob)
        self.assertIs(node.tenants["alice"], alice)
        now = (bob.dialer, bob.policy, bob.reactor, node.ports["bob/own"], self.factory(node, "bob/own"))
        self.assertEqual(now, had)
        self.assertEqual((alice.reactor, alice.policy, node.ports["alice/own"]), mine)
        self.assertIsNot(alice.dialer, dialer)

    def test_policyAndRoutes(self) -> None:
        """
        A listener goes on with the new rules and routes, without being touched itself.
        """
        node = self.run_(config({"main": MAIN}))
        factory = self.factory(node)
        self.good(node, config({"main": MAIN}, routes=DENY))
        self.assertIs(self.factory(node), factory)
        line = self.client(node)
        line.say(HELLO)
        self.assertEqual(line.say(REQUEST)[:2], b"\x05\x02")
        self.good(node, config({"main": MAIN}, rules=(PolicyRule("deny", reason="closed today"),)))
        line = self.client(node)
        line.say(HELLO)
        self.assertEqual(line.say(REQUEST)[:2], b"\x05\x02")
        (refusal, _) = node.flows.refusals("root")
        self.assertIn("closed today", refusal.detail)

    def test_settings(self) -> None:
        """
        Those of the node apply to what comes, and the idle time to all.
        """
        node = self.run_(config({"main": MAIN}))
        self.stream(node)
        self.good(node, config({"main": MAIN}, connect=2.0, streams=1, flows="quiet", idle=5.0, drain=7.0))
        flows = node.flows
        self.assertEqual((flows.limit, flows.quiet, flows.dialing.seconds), (1, True, 6.0))
        line = self.client(node)
        line.say(HELLO)
        self.assertEqual(line.say(REQUEST)[:2], b"\x05\x01")
        for _ in range(20):
            self.reactor.advance(0.5)
        self.assertEqual(len(node.relay), 0)

    def test_handshake(self) -> None:
        """
        The time for a handshake is a part of all listeners.
        """
        node = self.run_(config({"main": MAIN}, tenants=ALICE), alice=config({"own": OTHER}))
        factories = self.factory(node), self.factory(node, "alice/own")
        self.good(node, config({"main": MAIN}, tenants=ALICE, handshake=3.0))
        self.assertEqual(node.tenants["alice"].handshake, 3.0)
        for name, factory in zip(("main", "alice/own"), factories, strict=True):
            self.assertIsNot(self.factory(node, name), factory)
        self.assertEqual(len(self.reactor.ports), 2)

    def test_private(self) -> None:
        """
        What may be reached changes for what was made before, too.
        """
        node = self.run_(config())
        reactor = node.tenant.reactor
        IEgress(reactor).check("10.0.0.1", 1)
        self.good(node, config(private="deny"))
        self.assertRaises(Denied, IEgress(reactor).check, "10.0.0.1", 1)
        self.assertIs(node.tenant.reactor, reactor)
        IEgress(node.tenant.hopReactor).check("10.0.0.1", 1)


class OrderTests(ReloadCase):
    """
    One after another.
    """

    def test_oneMore(self) -> None:
        """
        What is asked for while a reload runs leads to exactly one more, for all.
        """
        node = self.run_(config({"main": MAIN}))
        stops: Deferred[None] = Deferred()
        self.reactor.ports[0].stops = stops
        self.configs["root"] = config({"main": OTHER})
        results: list[Any] = []
        node.reload("first").addCallback(results.append)
        self.assertEqual((len(self.asked), results), (1, []))
        for name in ("second", "third", "second"):
            node.reload(name).addCallback(results.append)
        self.assertEqual((len(self.asked), results), (1, []))
        stops.callback(None)
        self.assertEqual(len(self.asked), 2)
        self.assertEqual(
            [outcome.trigger for outcome in sorted(results, key=lambda each: each.wall)],
            ["first", *["second, third"] * 3],
        )

    def test_tenants(self) -> None:
        """
        That one is about all that changed meanwhile.
        """
        node = self.run_(config({"main": MAIN}))
        stops: Deferred[None] = Deferred()
        self.reactor.ports[0].stops = stops
        self.configs["root"] = config()
        node.reload("first")
        node.reload("store", frozenset("a"))
        node.reload("store", frozenset("b"))
        stops.callback(None)
        self.assertEqual(self.asked, [None, frozenset("ab")])

    def test_stopped(self) -> None:
        """
        When the node is being stopped nothing changes any more, and that is what is told.
        """
        node = self.run_(config({"main": MAIN}, drain=5.0))
        self.stream(node)
        stopping = node.stopService()
        self.assertIn("being stopped", self.bad(node, config({"new": OTHER})))
        self.assertEqual((node.ports, self.asked), ({}, []))
        self.reactor.pump([1.0] * 6)
        self.successResultOf(stopping)

    def test_drain(self) -> None:
        """
        Who asks for the end is told when all has ended.
        """
        node = self.run_(config({"main": MAIN}))
        stops: list[Any] = []
        self.reactor.stop = lambda: stops.append(node.stopService())
        self.assertIs(self.successResultOf(node.drain()), None)
        self.assertEqual(len(stops), 1)

    def test_patience(self) -> None:
        """
        What does not stop keeps nobody from the next change for long.
        """
        node = self.run_(config({"main": MAIN}))
        self.reactor.ports[0].stops = Deferred()
        self.configs["root"] = config()
        one, two = node.reload("first"), node.reload("second")
        with capturedLogs() as events:
            self.reactor.advance(PATIENCE)
        self.assertIn("has not stopped", str(events[0]["log_format"]))
        self.assertEqual([self.successResultOf(each).good for each in (one, two)], [True, True])

    def test_store(self) -> None:
        """
        A store that changed leads to one, with what it says has changed; it is watched
        as long as the node runs.
        """
        store = Store()
        node = self.run_(config({"main": MAIN}), store=store)
        self.assertTrue(store.watched)
        assert store.callback is not None
        store.callback(frozenset(("root",)))
        store.callback(frozenset(("alice",)))
        self.assertEqual(self.asked, [])
        self.reactor.advance(0)
        self.assertEqual((self.asked, node.last.trigger), ([frozenset(("root", "alice"))], "store"))
        store.callback(None)
        self.reactor.advance(0)
        self.assertIs(self.asked.pop(), None)
        self.assertIs(node.store, store)
        store.callback(frozenset())
        node.stopService()
        self.assertEqual((store.watched, store.callback), (False, None))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_storeLooks(self) -> None:
        """
        Who asks for a reload has the store look, and is told what came of what it found.
        """
        store = Store()
        node = self.run_(config({"main": MAIN}), store=store)
        self.good(node)
        self.assertEqual((store.looked, self.asked), (1, [frozenset()]))
        store.found = frozenset(("root",))
        self.assertEqual(self.good(node, config({"main": OTHER})), ("listen main",))
        self.assertEqual((self.asked[1:], node.last.trigger), ([frozenset(("root",))], "test"))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
