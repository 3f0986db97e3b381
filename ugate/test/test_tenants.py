# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Several tenants in one process: whose rules hold for a stream, and what a tenant may listen with.
"""

from __future__ import annotations

from typing import Any

from ugate.errors import Denied
from ugate.interfaces import INode, ITenant
from ugate.node import Node, explain
from ugate.stream import Principal, StreamInfo, Target
from ugate.tenancy.config.schema import Delegation, Listener
from ugate.tenancy.config.whole import Route
from ugate.test.reloadfakes import MAIN, OTHER, PUBLIC, ReloadCase, config


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

    def test_path(self) -> None:
        """
        A path is no host, whatever it ends with.
        """
        root, who = self.node().tenants["root"], Principal("anyone", "open")
        info = StreamInfo(self.peer(), self.peer(), Target.atPath("/run/x.alice.example"), who)
        self.assertEqual("root", root.tenantFor(info).name)
        self.assertEqual("alice", self.whose(root, who, "x.alice.example"))

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
        alone = self.run_(config({"main": MAIN})).tenant
        self.assertRaises(Denied, self.whose, alone, Principal("x", "token", "alice"))

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
        Standard input is none of a tenant's, nor is the traffic of the machine.
        """
        for string in ("socks:stdio:", "tun:ug0"):
            stopped = self.assertRaises(
                SystemExit,
                self.run_,
                config(tenants={"alice": Delegation()}),
                alice=config({"own": string}),
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
