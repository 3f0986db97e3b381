# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Gateways that reach each other by name: who is not who they say, what is served, and what changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugate.errors import Refused
from ugate.explaining import explain
from ugate.interfaces import MeshAddress, MeshNode
from ugate.stream import Target
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import hostOf, keyidOf
from ugate.test.nodecases import ALLOW, MESH, SOCKS, NodesCase
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversations


class OutsiderTests(NodesCase):
    """
    Who is not who they say.
    """

    def test_otherKey(self) -> None:
        """
        Somebody else at bob's address is found out before a byte passes; and so is who says to be alice.
        """
        served = Conversations()
        self.mesh.serve("mallory", 8080, served, "127.0.0.1")
        self.node(
            "mallory",
            listen={"mesh": MESH, "main": SOCKS},
            trust={"pins": [self.keys["alice"]]},
            serve={"web": {"port": 80, "to": "127.0.0.1:8080"}},
            policy=ALLOW,
            nodes={"bob": {"keyid": self.keys["bob"], "addresses": "connect:bob:15008"}},
        )
        self.alice("connect:mallory:15008")
        with Logged() as logged:
            self.refused("bob:80")
        self.assertIn("its key is " + self.keys["mallory"], "\n".join(logged.lines))
        self.assertEqual(served.accepted, [])
        self.bob()
        with Logged() as logged:
            self.refused("bob:80", "mallory")
        self.assertIn("is not pinned", "\n".join(logged.lines))
        self.assertEqual(self.web.accepted, [])

    def learned(self, *names: str, address: str = "mallory", port: int = 15008) -> Any:
        """
        The network says that mallory's key has some names.
        """
        self.node(
            "mallory",
            listen={"mesh": MESH},
            trust={"pins": [self.keys["alice"]]},
            serve={"web": "127.0.0.1:8080"},
            policy=ALLOW,
        )
        node = self.alice()
        tells = MeshNode(
            self.keys["mallory"], (MeshAddress("connect", address, port),), names, "discovery", None
        )
        node.tenant.nodes.learn(tells)
        return node

    def test_claimedName(self) -> None:
        """
        A name that only the network gives has to be in a certificate that is believed; the KEYID need not.
        """
        served = Conversations()
        self.mesh.serve("mallory", 8080, served, "127.0.0.1")
        self.learned("printer")
        with Logged() as logged:
            self.refused("printer:8080")
        self.assertIn("its key", "\n".join(logged.lines))
        self.assertEqual(served.accepted, [])
        self.assertTrue(self.ask(f"{self.keys['mallory']}:8080").isOpen)

    def test_takenName(self) -> None:
        """
        A name of the config is not taken over, nor is one with dots led by itself.
        """
        web = Conversations()
        self.mesh.serve("www.example", 80, web)
        node = self.learned("www.example")
        self.assertTrue(self.ask("www.example:80").isOpen)
        self.assertEqual(len(web.accepted), 1)
        taken = MeshNode(self.keys["mallory"], (), ("bob",), "discovery", None)
        error = self.assertRaises(Refused, node.tenant.nodes.learn, taken)
        self.assertIn(f"the name bob is that of {self.keys['bob']}", str(error))

    def test_loopback(self) -> None:
        """
        The network cannot lead us to ourselves; the config can.
        """
        self.learned(address="127.0.0.1", port=8080)
        with Logged() as logged:
            self.refused(f"{self.keys['mallory']}:80")
        self.assertIn("a loopback address that the network gave us", "\n".join(logged.lines))


class ServeTests(NodesCase):
    """
    What is served under our own name.
    """

    def test_listedOnly(self) -> None:
        """
        Another port is refused, with the reason in the log; and so is all, if nothing is listed.
        """
        self.bob()
        self.alice()
        with Logged() as logged:
            self.refused("bob:8080")
        self.assertIn("this node serves nothing on port 8080 of its own name", "\n".join(logged.lines))
        self.store("bob").delete("root", "serve", "web")
        self.mesh.flush()
        self.refused("bob:80")
        self.assertEqual(self.web.accepted, [])

    def test_policy(self) -> None:
        """
        Rules see one name, by whichever we were asked for.
        """
        keyid = self.keys["bob"]
        denied = {"action": "deny", "target": f"{hostOf(keyid)}:80"}
        self.bob(
            policy={"rules": [denied, {"action": "allow"}]},
            nodes={"me": keyid},
        )
        self.alice()
        for host in (keyid, hostOf(keyid), hostOf(keyid, "other", "x.example"), "bob"):
            self.refused(f"{host}:80")
        self.assertEqual(self.web.accepted, [])

    def test_explain(self) -> None:
        """
        The section, and where it leads.
        """
        node = self.bob()
        said = "\n".join(explain(node.tenant, Target(self.keys["bob"], 80)))
        self.assertIn("via serve, since this is a name of our own", said)
        self.assertIn("by serve.web:\n    connect to 127.0.0.1:8080 from here", said)
        said = "\n".join(explain(node.tenant, Target(self.vip6("bob"), 81)))
        self.assertIn("serves nothing on port 81", said)

    def test_tenant(self) -> None:
        """
        A tenant serves what its ranges hold, and no more.
        """
        folder = Path(self.folders["bob"]) / "tenants" / "carol"
        folder.mkdir(parents=True, mode=0o700)
        keyid = keyidOf(Own(str(folder), Identity()).load().certificate.public_key())
        carol = {
            "listen": {"mesh": "connect:mtls:tcp:15009"},
            "trust": {"pins": [self.keys["alice"]]},
            "serve": {"web": {"port": 80, "to": "127.0.0.1:8080"}},
            "policy": ALLOW,
        }
        self.bob(tenants={"carol": carol})
        self.alice(nodes={"carol": {"keyid": keyid, "addresses": "connect:bob:15009"}})
        self.refused("carol:80")
        self.store("bob").put("root", "tenants", "carol", {"ranges": ["127.0.0.0/8"]})
        self.mesh.flush()
        self.assertTrue(self.ask("carol:80").isOpen)


class ReloadTests(NodesCase):
    """
    Changes while it runs.
    """

    def test_change(self) -> None:
        """
        The table stays the same object; streams go on.
        """
        self.bob()
        node = self.alice()
        nodes, mesh = node.tenant.nodes, node.tenant.mesh
        stream = self.ask("bob:80")
        node.store.delete("root", "nodes", "bob")
        self.mesh.flush()
        self.assertIs(node.tenant.nodes, nodes)
        self.assertIs(node.tenant.mesh, mesh)
        self.assertEqual(nodes.all(), [])
        self.assertIsNotNone(self.ask(f"{self.keys['bob']}:80").failure)
        stream.write(b" goes on")
        self.mesh.flush()
        self.assertEqual(self.web.last.received, b"question goes on")
        node.store.put(
            "root", "nodes", "robert", {"keyid": self.keys["bob"], "addresses": ["connect:bob:15008"]}
        )
        self.mesh.flush()
        self.assertTrue(self.ask("robert:80").isOpen)

    def test_faulty(self) -> None:
        """
        With a mistake elsewhere, all stays.
        """
        node = self.alice()
        before = node.tenant.nodes.all()
        node.store.put("root", "listen", "other", {"endpoint": "socks:tcp:1080:interface=127.0.0.1"})
        node.store.delete("root", "nodes", "bob")
        self.mesh.flush()
        self.assertEqual(node.tenant.nodes.all(), before)
