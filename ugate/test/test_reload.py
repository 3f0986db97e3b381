# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How another configuration comes into force.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs

from ugate.errors import Denied, StringError
from ugate.interfaces import IEgress
from ugate.listenerstrings import filesOf
from ugate.reload import PATIENCE
from ugate.tenancy.config.schema import Delegation, Limits, Listener, PolicyRule
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Route
from ugate.test.nodefakes import HELLO, REQUEST, inUse
from ugate.test.reloadfakes import (
    MAIN,
    OTHER,
    PUBLIC,
    Hello,
    HelloModule,
    HelloService,
    ReloadCase,
    Store,
    config,
)

ALICE = {"alice": Delegation()}
DIRECT = (Route(("*",), ("direct",)),)
DENY = (Route(("*",), ("deny",)),)


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

    def info(self, target: str) -> Any:
        """
        A stream to a target.
        """
        from ugate.test.dialfakes import streamTo

        return streamTo(target)

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


class ListenerTests(ReloadCase):
    """
    Sockets and what is behind them.
    """

    def test_sameAddress(self) -> None:
        """
        A listener that changed at its address keeps the socket; who has connected before
        goes on with what it found.
        """
        node = self.run_(config({"main": MAIN}))
        (port,) = self.reactor.ports
        before, old = self.factory(node), self.client(node)
        self.assertEqual(self.good(node, config({"main": MAIN.replace("auto", "socks4")})), ("listen main",))
        self.assertEqual(self.reactor.ports, [port])
        self.assertTrue(port.listening)
        after = self.factory(node)
        self.assertIsNot(after, before)
        self.assertEqual((before.numPorts, after.numPorts), (0, 1))
        self.assertEqual(old.say(HELLO), b"\x05\x00")
        self.assertNotEqual(self.client(node).say(HELLO), b"\x05\x00")
        self.assertEqual(node.tenant._around.own._byPort, {1080: ["127.0.0.1"]})

    def test_keptAlive(self) -> None:
        """
        Who has connected to a listener that is gone opens no new streams by it; to one that was
        changed, by the rules of now.
        """
        node = self.run_(config({"main": MAIN}))
        gone, stays = self.client(node), self.client(node)
        gone.say(HELLO)
        self.good(node, config({"main": MAIN.replace("auto", "socks")}))
        stays.say(HELLO)
        self.assertEqual(stays.say(REQUEST), b"")
        self.assertEqual(node.listeners()[0].accepted, 1)
        self.good(node, config())
        self.assertEqual(gone.say(REQUEST)[:2], b"\x05\x02")
        self.assertEqual(node.flows.refusals()[0].detail, "its listener is gone")

    def test_renamed(self) -> None:
        """
        The same with another name, or of another tenant, and with two that change places.
        """
        tenants = {"alice": Delegation()}
        node = self.run_(config({"a": MAIN, "b": OTHER}, tenants=tenants), alice=config())
        ports = list(self.reactor.ports)
        self.good(node, config({"a": OTHER, "b": MAIN}, tenants=tenants))
        self.assertEqual([self.port(node, name) for name in "ba"], ports)
        self.good(node, config({"c": OTHER}, tenants=tenants), alice=config({"c": MAIN}))
        self.assertEqual([self.port(node, name) for name in ("alice/c", "c")], ports)
        self.assertEqual(self.reactor.ports, ports)
        self.assertTrue(all(port.listening for port in ports))
        self.stream(node, "alice/c", PUBLIC)
        (stream,) = node.flows.streams()
        self.assertEqual((stream.tenant, stream.listener), ("alice", "c"))

    def port(self, node: Any, name: str) -> Any:
        """
        The port of a listener.
        """
        return node.ports[name].place.port

    def test_moved(self) -> None:
        """
        A listener that goes elsewhere listens there first; then the old socket is closed.
        """
        node = self.run_(config({"main": MAIN}))
        self.good(node, config({"main": OTHER}))
        self.assertEqual([port.listening for port in self.reactor.ports], [False, True])
        self.assertEqual(node.listeners()[0].address, "127.0.0.1:1081")
        self.assertEqual(node.own._byPort, {1081: ["127.0.0.1"]})

    def test_removed(self) -> None:
        """
        One that is gone takes nobody new; its streams go on.
        """
        node = self.run_(config({"main": MAIN}))
        line, target = self.stream(node)
        self.assertEqual(self.good(node, config()), ("listen main",))
        self.assertEqual(([port.listening for port in self.reactor.ports], node.ports), ([False], {}))
        self.assertEqual(node.listeners(), [])
        line.say(b"hello")
        self.assertEqual(target.value(), b"hello")

    def test_inUse(self) -> None:
        """
        A port that somebody else has: all is as before, also what could have been.
        """
        node = self.run_(config({"main": MAIN}))
        (port,) = self.reactor.ports
        before, dialer = self.factory(node), node.tenant.dialer
        self.reactor.taken = inUse(1081)
        error = self.bad(
            node, config({"new": "auto:tcp:1082:interface=127.0.0.1", "main": OTHER}, routes=DENY)
        )
        self.assertIn("listener main (auto:tcp:1081:interface=127.0.0.1) cannot listen", error)
        self.assertIn("ss -ltnp", error)
        self.assertTrue(port.listening)
        self.assertIs(self.factory(node), before)
        self.assertIs(node.tenant.dialer, dialer)
        self.assertEqual([each.listening for each in self.reactor.ports], [True, False])
        self.assertEqual((list(node.ports), node.own._byPort), (["main"], {1080: ["127.0.0.1"]}))
        # And that can be repaired.
        self.reactor.taken = {}
        self.good(node, config({"main": OTHER}))

    def test_takenBack(self) -> None:
        """
        A socket that would have been taken over stays where it was when something else is wrong.
        """
        node = self.run_(config({"main": MAIN}))
        before = self.factory(node)
        self.reactor.taken = inUse(1081)
        self.bad(node, config({"main": MAIN.replace("auto", "socks"), "other": OTHER}))
        self.assertIs(self.factory(node), before)
        self.assertEqual(before.numPorts, 1)
        self.assertEqual(self.client(node).say(HELLO), b"\x05\x00")
        self.good(node, config({"main": MAIN.replace("auto", "socks")}))
        self.assertEqual((before.numPorts, self.factory(node).numPorts), (0, 1))

    def test_anotherHasIt(self) -> None:
        """
        What another tenant listens on is not to be had, nor is it told who that is.
        """
        tenants = {"alice": Delegation(), "bob": Delegation()}
        node = self.run_(config({"main": MAIN}, tenants=tenants), alice=config({"own": OTHER}), bob=config())
        error = self.bad(node, bob=config({"mine": OTHER}))
        self.assertEqual(
            error,
            f"tenant bob: listener mine ({OTHER}) cannot listen: another tenant of this gateway has it",
        )
        self.assertEqual(
            self.bad(node, config({"main": MAIN, "twice": MAIN}, tenants=tenants)),
            f"listener twice ({MAIN}) cannot listen: listen main has it",
        )

    def test_openRelay(self) -> None:
        """
        What may not be at the start may not be later.
        """
        node = self.run_(config({"main": MAIN}))
        self.assertIn("would carry the streams of anybody", self.bad(node, config({"main": "auto:tcp:1080"})))
        self.assertTrue(self.reactor.ports[0].listening)

    def test_unix(self) -> None:
        """
        The same for paths.
        """
        node = self.run_(config({"main": "auto:unix:/run/a"}))
        self.good(node, config({"main": "socks:unix:/run/a"}))
        self.assertEqual(len(self.reactor.ports), 1)
        self.good(node, config({"main": "socks:unix:/run/b"}))
        self.assertEqual([port.listening for port in self.reactor.ports], [False, True])

    def test_anyPort(self) -> None:
        """
        With port 0 there may be several; each keeps its own.
        """
        zero = "auto:tcp:0:interface=127.0.0.1"
        node = self.run_(config({"a": zero, "b": zero}))
        ports = [self.port(node, name) for name in "ab"]
        self.good(node, config({"b": zero.replace("auto", "socks"), "a": zero.replace("auto", "socks")}))
        self.assertEqual([self.port(node, name) for name in "ab"], ports)

    def test_wrappers(self) -> None:
        """
        What is around a socket does not matter: HAProxy's header, a header of our own.
        """
        node = self.run_(config({"main": Listener(f"auto:haproxy:{MAIN[5:]}", open=True)}))
        (port,) = self.reactor.ports
        self.good(node, config({"main": Listener(f"socks:haproxy:{MAIN[5:]}", open=True)}))
        self.good(node, config({"main": Listener(f"socks:proxyproto:{MAIN[5:]}", open=True)}))
        self.good(node, config({"main": MAIN}))
        self.assertEqual(self.reactor.ports, [port])
        self.assertEqual(self.client(node).say(HELLO), b"\x05\x00")

    def test_files(self) -> None:
        """
        A file of keys that was changed changes the listener that names it.
        """
        path = self.mktemp()
        with open(path, "w") as out:
            out.write("one")
        text = f"forward:{MAIN[5:]}:to=x.tls\\:1"
        node = self.run_(config({"main": text, "key": f"{OTHER}:handshake=5"}))
        before = self.factory(node)
        listening = node._listeners.all["root", "main"]
        files = filesOf(f"auto:ssl:443:privateKey={path}:certKey=/nowhere")
        self.assertEqual([each[0] for each in files], [path])
        listening.made = (*listening.made[:2], files)
        self.good(node)
        self.assertIsNot(self.factory(node), before)

    def test_folder(self) -> None:
        """
        So does one in a folder of keys.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        text = f"auto:tls:{folder}:443"
        nothing = filesOf(text)
        with open(os.path.join(folder, "one.pem"), "w") as out:
            out.write("one")
        one = filesOf(text)
        with open(os.path.join(folder, "one.pem"), "w") as out:
            out.write("another")
        self.assertEqual(len({nothing, one, filesOf(text)}), 3)
        self.assertEqual(filesOf(f"auto:tcp:443:interface={folder}"), ())

    def test_stdio(self) -> None:
        """
        Standard input is there from the start, or not at all; nor may a tenant have it.
        """
        node = self.run_(config({"main": MAIN}, tenants=ALICE), alice=config())
        error = self.bad(node, config({"main": MAIN, "in": "socks:stdio:"}, tenants=ALICE))
        self.assertIn("listener in (socks:stdio:) can only be there from the start", error)
        error = self.bad(node, alice=config({"in": "socks:stdio:"}))
        self.assertIn("only the root tenant may have it", error)


class RefusedTests(ReloadCase):
    """
    What cannot be does not apply, as a whole.
    """

    def test_mistakes(self) -> None:
        """
        Mistakes are told in the log, to who asked and to who asks later.
        """
        node = self.run_(config({"main": MAIN}))
        self.wrong = StringError("ugate.yaml:3:1: unknown key 'lisen'")
        error = self.bad(node)
        self.assertEqual(error, "ugate.yaml:3:1: unknown key 'lisen'")
        (line,) = self.said()
        self.assertEqual(
            line,
            "reload (test) refused, what was configured before still applies:\n"
            "ugate.yaml:3:1: unknown key 'lisen'",
        )
        self.assertEqual(self.events[-1]["log_level"].name, "error")
        self.assertEqual((node.last.good, node.last.error, node.last.generation), (False, error, 1))
        self.assertEqual((node.reloading.good, node.reloading.bad), (0, 1))

    def test_allOfThem(self) -> None:
        """
        All that is wrong is told at once, with the tenant that it is wrong with; nothing of it applies.
        """
        node = self.run_(config({"main": MAIN}, tenants=ALICE), alice=config())
        error = self.bad(
            node,
            config({"main": MAIN}, {"a": "b -> socks:x:1", "b": "a -> socks:y:1"}, tenants=ALICE),
            alice=config({}, routes=(Route(("*",), ("nowhere -> socks:z:1",)),)),
        )
        self.assertEqual(len(error.split("\n")), 2, error)
        self.assertIn("it needs itself", error)
        self.assertIn("tenant alice: ", error)
        self.assertEqual(vars(node.tenants["alice"]).get("dialer"), None)
        explained = node.tenants["alice"].dialer.explain(DifferenceTests.info(self, "192.0.2.1:1"))  # type: ignore[arg-type]
        self.assertIn("direct", explained[0])

    def test_fault(self) -> None:
        """
        A fault of ours is told as one, and nothing applies either.
        """
        node = self.run_(config({"main": MAIN}))
        real = self.reactor.listenTCP

        def listenTCP(*args: Any, **named: Any) -> Any:
            raise ZeroDivisionError("in a reactor")

        self.reactor.listenTCP = listenTCP
        error = self.bad(node, config({"main": OTHER}))
        self.assertIn("in a reactor", error)
        self.reactor.listenTCP = real
        self.assertEqual(self.good(node, config({"main": OTHER})), ("listen main",))
        self.patch(node._listeners, "plan", lambda *args: 1 / 0)
        self.assertIn("a fault of ours: ZeroDivisionError", self.bad(node, config({"main": MAIN})))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_newTenant(self) -> None:
        """
        A tenant that cannot be is not there, and its names are nobody's.
        """
        node = self.run_(config({"main": MAIN}))
        self.bad(
            node,
            config({"main": MAIN}, tenants={"alice": Delegation(hosts=("a.example",))}),
            alice=config({"own": MAIN}),
        )
        self.assertEqual((list(node.tenants), node.tenant.children, node.tenant._byHost), (["root"], {}, {}))

    def test_othersMistakes(self) -> None:
        """
        What one tenant gets wrong does not keep another one from a change.
        """
        node = self.run_(config(tenants={"a": Delegation(), "b": Delegation()}), a=config(), b=config())
        self.wrong = StringError("a is wrong")
        self.successResultOf(node.reload("store", frozenset("a")))
        self.assertFalse(node.last.good)

        def read(previous: Any, changed: Any) -> Any:
            self.asked.append(changed)
            if "a" in changed:
                raise StringError("a is wrong")
            return {**previous, "b": config(rules=())}

        node.reloading._read = read
        outcome = self.successResultOf(node.reload("store", frozenset("b")))
        self.assertEqual((outcome.good, outcome.changed), (True, ("policy b",)))
        # What is left is not forgotten for that.
        self.assertEqual(outcome.others, "a is wrong")
        self.assertEqual(self.asked, [frozenset("a"), frozenset("ab"), frozenset("b")])
        # That is tried again.
        node.reloading._read = self.read
        self.wrong = None
        self.assertEqual(self.successResultOf(node.reload("store", frozenset("b"))).others, "")
        self.successResultOf(node.reload("store", frozenset("b")))
        self.assertEqual(self.asked[3:], [frozenset("ab"), frozenset("b")])

    def test_stillWrong(self) -> None:
        """
        A tenant that could not be, and still cannot, is not told as good because there is nothing
        of it yet that could be different.
        """
        node = self.run_(config())

        def read(previous: Any, changed: Any) -> Any:
            self.asked.append(changed)
            if ROOT in changed:
                raise StringError("a is wrong")
            return previous

        node.reloading._read = read
        self.assertFalse(self.successResultOf(node.reload("store", frozenset([ROOT, "a"]))).good)
        outcome = self.successResultOf(node.reload("store", frozenset("a")))
        self.assertEqual((outcome.good, outcome.error), (False, "a is wrong"))
        self.assertEqual(self.asked, [frozenset([ROOT, "a"])] * 2)
        self.assertEqual((node.reloading.good, node.reloading.bad), (0, 2))

    def test_unknownMistakes(self) -> None:
        """
        When nobody knows what is wrong, all is looked at the next time, too; still others can change.
        """
        node = self.run_(config(tenants={"a": Delegation()}), a=config())
        self.wrong = StringError("somewhere")
        self.successResultOf(node.reload("SIGHUP"))

        def read(previous: Any, changed: Any) -> Any:
            self.asked.append(changed)
            if changed is None:
                raise StringError("somewhere")
            return {**previous, "a": config(rules=())}

        node.reloading._read = read
        self.assertTrue(self.successResultOf(node.reload("store", frozenset("a"))).good)
        self.assertEqual(self.asked, [None, None, frozenset("a")])
        node.reloading._read = self.read
        self.wrong = None
        self.configs["a"] = config(rules=())
        self.successResultOf(node.reload("store", frozenset("a")))
        self.successResultOf(node.reload("store", frozenset("a")))
        self.assertEqual(self.asked[3:], [None, frozenset("a")])


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


class ModuleTests(ReloadCase):
    """
    Modules are services of the node.
    """

    def node(self, **greetings: str) -> Any:
        """
        A node with such modules.
        """
        return self.run_(self.having(**greetings), modules=[HelloModule()])

    def having(self, **greetings: str) -> Any:
        """
        A configuration with such modules.
        """
        return config(
            {"main": MAIN}, modules={("hello", name): Hello(each) for name, each in greetings.items()}
        )

    def test_start(self) -> None:
        """
        They run with the node, and end with it.
        """
        node = self.node(a="hi", b="ho")
        a = node.modules["root", "hello", "a"]
        self.assertEqual((a.running, a.name, a.section, a.tenant), (1, "a", Hello("hi"), node.tenant))
        self.successResultOf(node.stopService())
        self.assertEqual([each.running for each in node.modules.values()], [0, 0])

    def test_difference(self) -> None:
        """
        What is as it was runs on; what is different is replaced, what is gone is stopped.
        """
        node = self.node(a="hi", b="ho", c="hu")
        a, b, c = (node.modules["root", "hello", name] for name in "abc")
        self.assertEqual(
            set(self.good(node, self.having(a="hi", b="HO", d="hey"))), {"hello b", "hello c", "hello d"}
        )
        self.assertIs(node.modules["root", "hello", "a"], a)
        self.assertEqual([each.running for each in (a, b, c)], [1, 0, 0])
        self.assertEqual({name for _, _, name in node.modules}, set("abd"))
        self.assertTrue(all(each.running for each in node.modules.values()))
        self.assertEqual(len(node.services), 3)

    def test_bad(self) -> None:
        """
        One that cannot be, or cannot start, leaves all as it was.
        """
        node = self.node(a="hi")
        (a,) = node.modules.values()
        self.assertEqual(self.bad(node, self.having(a="hi", b="bad")), "hello.b: no such greeting")
        self.assertEqual(self.bad(node, self.having(a="ho", b="crash")), "hello.b cannot start: it crashes")
        self.assertEqual((list(node.modules.values()), a.running, len(node.services)), ([a], 1, 1))

    def test_port(self) -> None:
        """
        The port of a module that is replaced goes on with the new one, if all is good.
        """
        made: list[Any] = []

        class Serving(HelloService):
            def startService(self) -> None:
                super().startService()
                made.append(self.tenant.reactor.listenTCP(80, Factory(), interface="127.0.0.1"))

            def stopService(self) -> Any:
                made[0].stopListening()
                return super().stopService()

        class ServingModule(HelloModule):
            def makeService(self, tenant: Any, name: str, section: Any) -> Any:
                return Serving(tenant, name, section)

        node = self.run_(self.having(a="hi"), modules=[ServingModule()])
        port = self.reactor.ports[-1]
        self.assertIs(port.factory, made[0].factory)
        self.reactor.taken = inUse(1081)
        self.bad(node, config({"main": OTHER}, modules={("hello", "a"): Hello("ho")}))
        self.assertIs(port.factory, made[0].factory)
        self.good(node, self.having(a="ho"))
        self.assertIs(port.factory, made[-1].factory)
        self.assertEqual((port.listening, len(self.reactor.ports)), (True, 2))

    def test_noModule(self) -> None:
        """
        A kind that no module is of.
        """
        node = self.run_(config())
        self.assertIn("there is no module of that kind", self.bad(node, self.having(a="hi")))

    def test_cannotStart(self) -> None:
        """
        At the start such a one ends it.
        """
        for greeting in ("bad", "crash"):
            stopped = self.assertRaises(SystemExit, self.node, a=greeting)
            self.assertIn("ugate: hello.a", str(stopped.code))


class StreamTests(ReloadCase):
    """
    What becomes of streams.
    """

    DENIED = (PolicyRule("deny", reason="not any more"),)

    def test_goOn(self) -> None:
        """
        No change cuts a stream, whatever it would be told now.
        """
        node = self.run_(config({"main": MAIN}))
        line, target = self.stream(node)
        self.good(node, config({}, routes=DENY, rules=self.DENIED))
        line.say(b"hello")
        self.assertEqual((target.value(), len(node.flows)), (b"hello", 1))

    def test_close(self) -> None:
        """
        Unless the policy says so, of the streams that it refuses; with the reason.
        """
        node = self.run_(config({"main": MAIN}))
        self.stream(node)
        waiting = self.client(node)
        waiting.say(HELLO)
        waiting.say(REQUEST)
        self.good(node, config({"main": MAIN}, rules=self.ports(80), close=True))
        self.assertEqual(len(node.flows), 2)
        self.good(node, config({"main": MAIN}, rules=self.ports(81), close=True))
        self.assertEqual(len(node.flows), 0)
        self.assertIn("the policy has changed: rule 2: not any more", "\n".join(self.said()))
        self.assertEqual(waiting.value()[:2], b"\x05\x02")

    def ports(self, port: int) -> tuple[PolicyRule, ...]:
        """
        Rules that allow one port.
        """
        return (PolicyRule("allow", target=(f"*:{port}",)), *self.DENIED)

    def test_removedTenant(self) -> None:
        """
        The streams of a tenant that is gone go on with it, unless a policy says that they end.
        """
        for close in (False, True):
            self.setUp()
            node = self.run_(
                config({"main": MAIN}, tenants=ALICE), alice=config({"own": OTHER}, close=close, rules=())
            )
            alice = node.tenants["alice"]
            self.stream(node, "alice/own", PUBLIC)
            (stream,) = node.flows.streams()
            self.assertIs(stream.owner, alice)
            changed = self.good(node, config({"main": MAIN}), alice=None)
            self.assertEqual(set(changed) - {"policy alice"}, {"listen alice/own", "tenants alice"})
            self.assertEqual((list(node.tenants), list(node.ports)), (["root"], ["main"]))
            self.assertEqual(len(node.flows), 0 if close else 1)
            if not close:
                self.assertIs(stream.owner, alice)
                self.assertEqual(node.flows.totals("alice").opened, 1)
                stream.close("enough")
                self.good(node)
            self.assertEqual(node.flows.totals("alice").opened, 0)

    def test_limits(self) -> None:
        """
        Other limits hold at once, and nothing that counts is forgotten.
        """

        def limited(streams: int) -> Any:
            tenants = {"alice": Delegation(limits=Limits(streams=streams))}
            return config({"main": MAIN}, tenants=tenants)

        node = self.run_(limited(1), alice=config({"own": OTHER}))
        self.stream(node, "alice/own", PUBLIC)
        self.assertEqual(self.refused(node), b"\x05\x01")
        self.good(node, limited(2))
        self.stream(node, "alice/own", PUBLIC)
        self.assertEqual(self.refused(node), b"\x05\x01")
        refusal = node.flows.refusals()[0]
        self.assertIn("tenant alice: 2 streams are open", refusal.detail)
        for stream in node.flows.streams():
            stream.close("enough")
        limits: Any = node.tenants["alice"].limits
        self.assertEqual((limits.streams, len(node.flows)), (0, 0))

    def test_month(self) -> None:
        """
        When the bytes of a month are used up, the streams of that tenant end, and of those below it.
        """
        tenants = {"alice": Delegation(limits=Limits(month=10)), "bob": Delegation()}
        node = self.run_(
            config(tenants=tenants),
            alice=config(tenants={"dev": Delegation()}),
            alice__dev=config({"own": MAIN}),
            bob=config({"own": OTHER}),
        )
        line, _ = self.stream(node, "alice/dev/own", PUBLIC)
        self.stream(node, "bob/own", PUBLIC)
        line.say(b"0123456789ab")
        with capturedLogs() as events:
            self.reactor.advance(0)
        self.assertEqual([stream.tenant for stream in node.flows.streams()], ["bob"])
        self.assertIn("month's bytes used up", str([event.get("flow") for event in events]))

    def refused(self, node: Any) -> bytes:
        """
        What one more stream is told.
        """
        line = self.client(node, "alice/own")
        line.say(HELLO)
        return line.say(PUBLIC)[:2]
