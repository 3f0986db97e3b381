# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Several tenants in one process: whose rules hold for a stream, and what none can do to another.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied, UgateError
from ugate.interfaces import IEgress, INode, ITenant
from ugate.node import Node, explain
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.config.schema import Delegation, Listener
from ugate.tenancy.config.whole import Route
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.reloadfakes import MAIN, OTHER, PUBLIC, ReloadCase, config
from ugate.testing import Conversation, Conversations, MemoryMesh

ALLOW = {"rules": [{"action": "allow"}]}


class SharedPortTests(SynchronousTestCase):
    """
    Tenants that share a port by credentials, or by names.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served: dict[str, Conversations] = {}
        for name, address in (
            ("one", "9.9.9.9"),
            ("two", "8.8.8.8"),
            ("in1", "10.1.0.5"),
            ("in2", "10.2.0.5"),
        ):
            self.mesh.host(name, address)
            self.served[name] = Conversations(name.encode())
            self.mesh.serve(name, 80, self.served[name])

    def users(self, **passwords: str) -> dict[str, Any]:
        """
        A policy with these users, who may do everything.
        """
        path = self.mktemp()
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            for name, password in passwords.items():
                out.write(f"{name}:{PasswordHash.ofPassword(password.encode(), ln=10)}\n")
        return {"users": path, **ALLOW}

    def ask(self, target: str, user: str = "", password: str = "", port: int = 1080) -> Conversation:
        """
        Ask for a stream.
        """
        login = ""
        if user:
            path = self.mktemp()
            with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
                out.write(password)
            login = f":user={user}:passwordFile={path}"
        asking = self.mesh.client("app").connect(f"socks:gate:{port}{login}:to={target}\\:80")
        self.mesh.flush()
        return asking

    def gate(self, **more: Any) -> Node:
        """
        A gateway with two tenants and one port, on which a password is wanted.
        """
        tenants = {
            "alice": {
                "ranges": ["10.1.0.0/16"],
                "hosts": ["one", "*.alice.example"],
                "policy": self.users(bob="of alice"),
                "routes": [{"match": "two", "via": "deny", "reason": "alice goes there no more"}],
                **more.pop("alice", {}),
            },
            "carol": {
                "ranges": ["10.2.0.0/16"],
                "hosts": ["two"],
                "policy": self.users(bob="of carol"),
                "dial": {"own": "socks:two:1080"},
                **more.pop("carol", {}),
            },
        }
        return self.mesh.gateway("gate", **{"listen": {"main": "auto:tcp:1080"}, "tenants": tenants, **more})

    def test_byCredentials(self) -> None:
        """
        One port, and two users of the same name: each has the rules of its tenant.
        """
        node = self.gate()
        alices, carols = self.ask("one", "bob@alice", "of alice"), self.ask("two", "bob@carol", "of carol")
        self.assertEqual((alices.received, carols.received), (b"one", b"two"))
        streams = list(node.flows.streams())
        self.assertEqual(
            [(each.tenant, each.listener, str(each.info.principal), each.via) for each in streams],
            [("alice", "main", "bob@alice", "direct"), ("carol", "main", "bob@carol", "direct")],
        )
        refused = self.ask("two", "bob@alice", "of alice")
        self.assertIn("denied by policy", str(refused.failure))
        (refusal,) = node.flows.refusals("alice")
        self.assertEqual((refusal.tenant, refusal.detail), ("alice", "alice goes there no more"))
        self.assertEqual(node.flows.refusals("carol"), [])

    def test_passwords(self) -> None:
        """
        The password of one is none of the other, nor of the root, nor of a tenant that is not there.
        """
        self.gate()
        for user, password in (
            ("bob@carol", "of alice"),
            ("bob", "of alice"),
            ("bob@nobody", "of alice"),
            ("bob@root", "of alice"),
            ("bob@alice/carol", "of carol"),
        ):
            asking = self.ask("one", user, password)
            self.assertIn("authentication failed", str(asking.failure), user)

    def test_byNames(self) -> None:
        """
        Whoever has not logged in has the rules of the tenant whose name it asks for.
        """
        node = self.gate(listen={"main": {"endpoint": "auto:tcp:1080", "open": True}}, policy={})
        self.assertEqual((self.ask("one").received, self.ask("two").received), (b"one", b"two"))
        self.assertEqual([each.tenant for each in node.flows.streams()], ["alice", "carol"])
        self.mesh.names["x.alice.example"] = ("9.9.9.9",)
        self.assertEqual(self.ask("x.alice.example").received, b"one")
        # The root has no rule for them.
        self.assertIn("denied by policy", str(self.ask("9.9.9.9").failure))
        self.assertEqual(node.flows.refusals()[0].tenant, "root")

    def test_ranges(self) -> None:
        """
        A tenant reaches the private addresses that are its own, and no others; so do its hops.
        """
        self.gate(
            alice={
                "routes": [{"match": "in2", "via": "out"}],
                "dial": {"out": {"hops": "socks:in2:80", "retries": 0}},
            }
        )
        self.assertEqual(self.ask("in1", "bob@alice", "of alice").received, b"in1")
        self.assertEqual(self.ask("in2", "bob@carol", "of carol").received, b"in2")
        for user, password, target in (("bob@alice", "of alice", "in2"), ("bob@carol", "of carol", "in1")):
            asking = self.ask(target, user, password)
            self.assertIn("denied by policy", str(asking.failure), user)
        self.assertEqual([len(self.served[name].accepted) for name in ("in1", "in2")], [1, 1])

    def test_listeners(self) -> None:
        """
        Nobody gets to a listener of this gateway through it, whoever has it.
        """
        self.mesh.host("gate", "9.9.9.1")
        node = self.gate(alice={"listen": {"own": {"endpoint": "auto:tcp:1081", "open": True}}})
        egress = IEgress(node.tenants["carol"].reactor)
        for port in (1080, 1081):
            self.assertRaises(Denied, egress.check, "9.9.9.1", port)

    def test_ownListener(self) -> None:
        """
        By a listener of its own a tenant has its own users, without a word on whose they are.
        """
        node = self.gate(alice={"listen": {"own": "auto:tcp:1081"}})
        self.assertEqual(self.ask("one", "bob", "of alice", 1081).received, b"one")
        self.assertEqual([each.tenant for each in node.flows.streams()], ["alice"])
        for user, password in (("bob@carol", "of carol"), ("bob", "of carol")):
            self.assertIn("authentication failed", str(self.ask("one", user, password, 1081).failure))

    def test_hops(self) -> None:
        """
        The hop of another is nothing that a tenant could name.
        """
        routes = [{"match": "*", "via": "own"}]
        error = self.assertRaises(UgateError, self.gate, alice={"routes": routes})
        self.assertIn("no dial section is named 'own'", str(error))

    def test_deeper(self) -> None:
        """
        Tenants have tenants; each stays within its parent.
        """
        node = self.gate(
            alice={
                "tenants": {
                    "dev": {"policy": self.users(eve="of dev"), "ranges": ["10.1.0.0/24"], "hosts": ["one"]}
                }
            }
        )
        self.assertEqual(self.ask("in1", "eve@alice/dev", "of dev").received, b"in1")
        (stream,) = node.flows.streams()
        self.assertEqual(stream.tenant, "alice/dev")
        self.assertEqual(list(node.tenants), ["root", "alice", "alice/dev", "carol"])
        self.assertEqual(self.lineOf(node), "main (tenant alice/dev)")

    def lineOf(self, node: Node) -> str:
        """
        What the log calls the listener of the only stream.
        """
        from ugate.flows import _where

        (stream,) = node.flows.streams()
        return _where(stream)

    def test_changes(self) -> None:
        """
        What the store is told applies, for that tenant alone.
        """
        node = self.gate()
        store: Any = node.store
        first = self.ask("one", "bob@alice", "of alice")
        store.put("alice", "policy", "", {**self.users(bob="changed"), "rules": []})
        self.mesh.flush()
        self.assertTrue(node.last.good, node.last.error)
        self.assertEqual(node.last.changed, ("policy alice",))
        self.assertIn("authentication failed", str(self.ask("one", "bob@alice", "of alice").failure))
        self.assertIn("denied by policy", str(self.ask("one", "bob@alice", "changed").failure))
        self.assertEqual(self.ask("two", "bob@carol", "of carol").received, b"two")
        self.assertEqual((first.received, len(node.relay)), (b"one", 2))


class TenantForTests(ReloadCase):
    """
    L{Tenant.tenantFor}, and what else a tenant of a node knows.
    """

    TENANTS = {"alice": Delegation(hosts=("*.alice.example", "Alice.example.")), "bob": Delegation()}

    def node(self) -> Node:
        """
        A node with tenants.
        """
        return self.run_(
            config({"main": MAIN}, tenants=self.TENANTS),
            alice=config(tenants={"dev": Delegation(hosts=("dev.alice.example",))}),
            alice__dev=config(),
            bob=config(),
        )

    def whose(self, tenant: ITenant, who: Principal | None, host: str = "x.example", **hints: str) -> str:
        """
        Whose rules hold.
        """
        info = StreamInfo(self.peer(), self.peer(), Target(host, 443), who, hints=hints)
        path: str = tenant.tenantFor(info).name
        return path

    def peer(self) -> Any:
        """
        Somebody.
        """
        from ugate.test.nodefakes import PEER

        return PEER

    def test_credentials(self) -> None:
        """
        Who has logged in belongs to where that was, if it is not above.
        """
        tenants = self.node().tenants
        for at, of, whose in (
            ("root", "root", "root"),
            ("root", "alice", "alice"),
            ("root", "alice/dev", "alice/dev"),
            ("alice", "alice/dev", "alice/dev"),
            ("alice", "alice", "alice"),
            ("alice", "root", "alice"),
            ("alice", "bob", "alice"),
            ("bob", "alice/dev", "bob"),
        ):
            self.assertEqual(self.whose(tenants[at], Principal("x", "password", of)), whose, (at, of))

    def test_gone(self) -> None:
        """
        Somebody of a tenant that is gone is not somebody else.
        """
        tenants = self.node().tenants
        for of in ("carol", "alice/test", "alice/dev/deep"):
            for at in ("root", *(("alice",) if of.startswith("alice") else ())):
                self.assertRaises(Denied, self.whose, tenants[at], Principal("x", "token", of))

    def test_names(self) -> None:
        """
        A name, as it is asked for or in a TLS greeting; never for who has logged in.
        """
        root = self.node().tenant
        operator = Principal("operator", "local")
        for host, whose in (
            ("alice.example", "alice"),
            ("ALICE.example.", "alice"),
            ("x.y.alice.example", "alice"),
            ("dev.alice.example", "alice/dev"),
            ("xalice.example", "root"),
            ("example", "root"),
            ("192.0.2.1", "root"),
        ):
            self.assertEqual(self.whose(root, operator, host), whose, host)
        self.assertEqual(self.whose(root, Principal("anyone", "open"), "db", sni="a.alice.example"), "alice")
        self.assertEqual(self.whose(root, Principal("x", "password"), "alice.example"), "root")
        self.assertEqual(self.whose(root, None, "alice.example"), "root")

    def test_namesChange(self) -> None:
        """
        Names that are delegated to another are that one's, also if the change cannot be.
        """
        node = self.node()
        operator = Principal("operator", "local")
        moved = {"alice": Delegation(), "bob": Delegation(hosts=("alice.example",))}
        self.bad(node, config({"main": MAIN, "twice": MAIN}, tenants=moved))
        self.assertEqual(self.whose(node.tenant, operator, "alice.example"), "alice")
        self.assertEqual(self.whose(node.tenant, operator, "x.alice.example"), "alice")
        self.good(node, config({"main": MAIN}, tenants=moved))
        self.assertEqual(self.whose(node.tenant, operator, "alice.example"), "bob")
        self.assertEqual(self.whose(node.tenant, operator, "x.alice.example"), "root")
        self.good(node, config({"main": MAIN}, tenants={"alice": Delegation()}), bob=None)
        self.assertEqual(self.whose(node.tenant, operator, "alice.example"), "root")
        self.assertEqual(node.tenant._byHost, {})

    def test_tree(self) -> None:
        """
        Each knows who it is of, and the node.
        """
        node = self.node()
        tenants: Any = node.tenants
        self.assertEqual(list(tenants), ["root", "alice", "alice/dev", "bob"])
        self.assertEqual(tenants["root"].children, {"alice": tenants["alice"], "bob": tenants["bob"]})
        self.assertIs(tenants["alice/dev"].parent, tenants["alice"])
        self.assertIs(INode(tenants["alice/dev"]), node)
        self.assertIs(ITenant(tenants["bob"].reactor), tenants["bob"])

    def test_lazy(self) -> None:
        """
        The parts of a tenant are made when they are needed.
        """
        node = self.run_(
            config({"main": MAIN}, tenants={"alice": Delegation()}),
            alice=config({}, {"hop": "socks:192.0.2.1:1"}, (Route(("*",), ("hop",)),)),
        )
        made = vars(node.tenants["alice"])
        parts = {"policy", "dialer", "hops", "dials", "reactor", "hopReactor", "limits", "portal"}
        self.assertEqual(parts & made.keys(), set())
        # Not either by a change.
        self.good(node, alice=config({}, {"hop": "socks:192.0.2.2:1"}, (Route(("*",), ("hop",)),)))
        self.assertEqual(parts & made.keys(), set())
        self.assertIn("192.0.2.2", "".join(node.tenants["alice"].dialer.explain(self.infoTo("x:1"))))

    def infoTo(self, target: str) -> StreamInfo:
        """
        A stream.
        """
        return StreamInfo(self.peer(), self.peer(), Target.fromText(target), Principal("operator", "local"))

    def test_portals(self) -> None:
        """
        The root has a portal when a tenant gets users, and has none when there are none any more; its
        listeners follow.
        """
        tenants = {"alice": Delegation(), "bob": Delegation()}
        node = self.run_(config({"main": MAIN}, tenants=tenants), alice=config(), bob=config())
        before = self.factory(node)
        self.assertIs(node.tenant.portal, None)
        users = self.passwords()
        self.good(node, alice=config(users=users))
        portal = node.tenant.portal
        self.assertIsNot(portal, None)
        self.assertIsNot(self.factory(node), before)
        before = self.factory(node)
        self.good(node, bob=config(users=users))
        self.assertIs(node.tenant.portal, portal)
        self.assertIs(self.factory(node), before)
        self.good(node, alice=config(), bob=config())
        self.assertIs(node.tenant.portal, None)
        self.assertIsNot(self.factory(node), before)
        self.assertEqual(len(self.reactor.ports), 1)

    def test_explain(self) -> None:
        """
        An explanation says whose rules hold, and which.
        """
        node = self.node()
        lines = explain(node.tenant, Target("x.alice.example", 443))
        self.assertEqual(lines[0], "tenant: alice")
        self.assertIn("by rule 1 of 1", lines[1])
        self.assertIn("route 1 of 1", lines[2])
        gone = explain(node.tenant, Target("x", 1), Principal("x", "password", "carol"))
        self.assertIn("there is no tenant carol", gone[0])

    def test_log(self) -> None:
        """
        The log says whose stream it was, if it was not the root's, and which way it went.
        """
        from twisted.logger import capturedLogs, formatEvent

        node = self.run_(
            config(tenants={"alice": Delegation()}),
            alice=config({"own": OTHER}, {"hop": "connect:9.9.9.9:1"}, (Route(("*",), ("hop",)),)),
        )
        line, target = self.stream(node, "alice/own", PUBLIC)
        target.say(b"HTTP/1.1 200 OK\r\n\r\n")
        with capturedLogs() as events:
            line.loseConnection()
            line.settle()
            for stream in node.flows.streams():
                stream.close("enough")
        said = "\n".join(str(formatEvent(event)) for event in events)
        self.assertIn("own (tenant alice): 192.0.2.7:40000 -> 9.9.9.9:80 via hop socks5 operator: ", said)


class ListenTests(ReloadCase):
    """
    What a tenant may listen with.
    """

    def test_process(self) -> None:
        """
        Standard input is none of a tenant's.
        """
        stopped = self.assertRaises(
            SystemExit,
            self.run_,
            config(tenants={"alice": Delegation()}),
            alice=config({"own": "socks:stdio:"}),
        )
        self.assertIn("only the root tenant may have it", str(stopped.code))

    def test_openRelay(self) -> None:
        """
        The users of others make no listener of a tenant safe.
        """
        stopped = self.assertRaises(
            SystemExit,
            self.run_,
            config(tenants={"alice": Delegation()}, users=self.passwords()),
            alice=config({"own": "auto:tcp:1080"}),
        )
        self.assertIn("tenant alice: listener own (auto:tcp:1080) would carry", str(stopped.code))

    def test_open(self) -> None:
        """
        One that is open has its own rules for that.
        """
        node = self.run_(
            config(tenants={"alice": Delegation()}),
            alice=config({"own": Listener("auto:tcp:1080", open=True)}, rules=()),
        )
        line = self.client(node, "alice/own")
        line.say(b"\x05\x01\x00")
        self.assertEqual(line.say(PUBLIC)[:2], b"\x05\x02")
        self.assertEqual([each.tenant for each in node.flows.refusals()], ["alice"])
