# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Several tenants in one process share a port, and none can do anything to another.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied, UgateError
from ugate.interfaces import IEgress
from ugate.node import Node
from ugate.tenancy.passwordhashes import PasswordHash
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
