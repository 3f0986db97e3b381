# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Gateways that reach each other by their keys and names, in a network in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.mesh import PATIENCE
from ugate.errors import Cause, Refused
from ugate.explaining import explain
from ugate.interfaces import MeshAddress, MeshNode
from ugate.stream import Target
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityown import Own
from ugate.tenancy.keyids import hostOf, keyidOf, vip6Of
from ugate.test import test_clienthello as offers
from ugate.test.tlsfakes import Logged
from ugate.testing import Blackhole, Conversation, Conversations, MemoryMesh

SOCKS = "socks:tcp:1080:interface=127.0.0.1"
MESH = "connect:mtls:tcp:15008"
ALLOW = {"rules": [{"action": "allow"}]}


class NodesCase(SynchronousTestCase):
    """
    Alice, and bob, who serves a page at port 80 of his name.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.folders: dict[str, str] = {}
        self.keys = {name: self.key(name) for name in ("alice", "bob", "mallory")}
        self.web = Conversations()
        self.mesh.serve("bob", 8080, self.web, "127.0.0.1")

    def key(self, name: str) -> str:
        """
        Make the key of a node.

        @return: its KEYID.
        """
        folder = Path(self.mktemp())
        folder.mkdir(0o700)
        self.folders[name] = str(folder)
        return keyidOf(Own(str(folder), Identity()).load().certificate.public_key())

    def vip6(self, name: str) -> str:
        """
        The address that follows from a key.
        """
        return vip6Of(Own(self.folders[name], Identity()).load().certificate.public_key())

    def node(self, name: str, **sections: Any) -> Any:
        """
        Start a gateway with that key.
        """
        sections["node"] = {"state": self.folders[name], **sections.get("node", {})}
        return self.mesh.gateway(name, **sections)

    def bob(self, **sections: Any) -> Any:
        """
        Who lets alice in.
        """
        return self.node(
            "bob",
            **{
                "listen": {"mesh": MESH},
                "trust": {"pins": [self.keys["alice"]]},
                "serve": {"web": {"port": 80, "to": "127.0.0.1:8080"}},
                "policy": {"rules": [{"action": "allow", "who": f"certificate:{self.keys['alice']}"}]},
                **sections,
            },
        )

    def alice(self, *addresses: str, **sections: Any) -> Any:
        """
        Who knows bob.
        """
        known = {"keyid": self.keys["bob"], "addresses": addresses or ("connect:bob:15008",)}
        return self.node(
            "alice", **{"listen": {"main": SOCKS}, "policy": ALLOW, "nodes": {"bob": known}, **sections}
        )

    def store(self, host: str) -> Any:
        """
        What a gateway is configured by.
        """
        return self.mesh.gateways[host].store

    def ask(self, target: str, host: str = "alice", hello: bytes = b"question") -> Conversation:
        """
        A program of alice opens a stream.
        """
        escaped = target.replace(":", r"\:")
        stream = self.mesh.client(host).connect(rf"socks:127.0.0.1:1080:to={escaped}", hello)
        self.mesh.flush()
        return stream

    def refused(self, target: str, host: str = "alice") -> Refused:
        """
        It is refused.
        """
        stream = self.ask(target, host)
        assert stream.failure is not None and isinstance(stream.failure.value, Refused), target
        return stream.failure.value


class ReachTests(NodesCase):
    """
    By whichever name.
    """

    def test_names(self) -> None:
        """
        The KEYID, a host that begins with it, the name in the config, in capitals too, and the address.
        """
        self.bob()
        keyid = self.keys["bob"]
        known = {
            "keyid": keyid,
            "addresses": "connect:bob:15008",
            "names": ["web.bob.example", self.vip6("bob")],
        }
        self.alice(nodes={"bob": known})
        for number, host in enumerate(
            (keyid, keyid.lower(), hostOf(keyid), "bob", "BOB", "web.bob.example", f"[{self.vip6('bob')}]"), 1
        ):
            stream = self.ask(f"{host}:80")
            self.assertTrue(stream.isOpen, (host, stream.failure))
            self.assertEqual(len(self.web.accepted), number, host)
            self.assertEqual(self.web.last.received, b"question")
            self.web.last.write(b"answer")
            self.mesh.flush()
            self.assertEqual(stream.received, b"answer")

    def test_halfClose(self) -> None:
        """
        The end of one direction goes through both; the answer comes back, and then the other end.
        """
        self.bob()
        self.alice()
        stream = self.ask("bob:80")
        stream.halfClose()
        self.mesh.flush()
        self.assertTrue(self.web.last.isEnded)
        self.assertFalse(stream.isEnded)
        self.web.last.write(b"answer")
        self.web.last.halfClose()
        self.mesh.flush()
        self.assertEqual((stream.received, stream.isClean), (b"answer", True))

    def test_unknown(self) -> None:
        """
        A KEYID that nobody knows is not looked up anywhere else.
        """
        self.alice()
        stream = self.ask(f"{hostOf(self.keys['mallory'])}:80")
        self.assertIsNotNone(stream.failure)
        lines = explain(self.mesh.gateways["alice"].tenant, Target(self.keys["mallory"], 80))
        self.assertIn("no node of that name is known here", "\n".join(lines))

    def test_route(self) -> None:
        """
        A route that says otherwise holds; one may say mesh, and a chain may begin with it.
        """
        self.bob()
        self.alice(
            routes=[
                {"match": "bob:80", "via": "deny"},
                {"match": "*.bob.example", "via": "mesh"},
                {"match": "by.example", "via": "chained"},
            ],
            dial={"chained": "mesh -> socks:bob:80"},
        )
        self.assertIsNotNone(self.ask("bob:80").failure)
        self.assertEqual(self.web.accepted, [])
        self.assertIn("no node", str(self.explained("x.bob.example:80")))
        self.ask("by.example:80")
        self.assertEqual(self.web.last.received[:1], b"\x05")

    def explained(self, target: str) -> str:
        """
        What alice would do.
        """
        return "\n".join(explain(self.mesh.gateways["alice"].tenant, Target.fromText(target)))

    def test_explain(self) -> None:
        """
        Which node it is and the ways there, behind what the policy says.
        """
        self.alice("connect:10.9.9.9:15008", "tls:bob:443", "connect:bob:15008")
        said = self.explained("bob:80")
        keyid = self.keys["bob"]
        self.assertTrue(said.startswith("policy: "), said)
        self.assertIn("via mesh, since this is the name of a node, and no route says otherwise", said)
        self.assertIn(f"bob:80 is on the node {keyid}, known by config", said)
        self.assertIn("way 2 of 2:", said)
        self.assertIn(f"which has to prove that it is {keyid}", said)
        self.assertIn(f"ask connect:bob:15008 for {keyid.lower()}:80 in HTTP CONNECT", said)

    def test_string(self) -> None:
        """
        C{mesh:} goes by the routes of the tenant whose reactor it has.
        """
        self.bob()
        node = self.alice()
        program = Conversation(b"hello")
        clientFromString(node.tenant.reactor, "mesh:bob:80").connect(Factory.forProtocol(lambda: program))
        self.mesh.flush()
        self.assertEqual(self.web.last.received, b"hello")
        program = Conversation(b"again")
        chain = clientFromChain(node.tenant.reactor, "mesh -> tcp:bob:80")
        chain.connect(Factory.forProtocol(lambda: program))
        self.mesh.flush()
        self.assertEqual(self.web.last.received, b"again")

    def test_tls(self) -> None:
        """
        TLS that only passes through goes to the TLS port of the node as it is, and to no other name.
        """
        secret = Conversations()
        self.mesh.serve("bob", 8443, secret)
        self.bob()
        sni = r"sni:tcp:8443:names=*.default.cluster.local,www.example:handshake=5"
        self.alice("connect:bob:15008", "tls:bob:8443", listen={"sni": sni})
        name = hostOf(self.keys["bob"])
        said = offers.hello(offers.sni(name.encode()))
        self.mesh.client("other").connect("tcp:alice:8443", said)
        self.mesh.flush()
        self.assertEqual(secret.last.received, said)
        self.assertEqual(self.web.accepted, [])


class AddressTests(NodesCase):
    """
    More than one address.
    """

    def test_next(self) -> None:
        """
        One that refuses is passed over, and tried last for a while.
        """
        self.bob()
        node = self.alice("connect:bob:1", "connect:bob:15008")
        self.assertTrue(self.ask("bob:80").isOpen)
        mesh = node.tenant.mesh
        keyid = self.keys["bob"]
        first, second = (MeshAddress("connect", "bob", port) for port in (1, 15008))
        self.assertIn("connection refused", mesh.lastTry(keyid, first).why)
        self.assertEqual(mesh.lastTry(keyid, second).why, "")
        self.mesh.advance(10)
        at = mesh.lastTry(keyid, first).at
        self.assertTrue(self.ask("bob:80").isOpen)
        self.assertEqual(mesh.lastTry(keyid, first).at, at)
        self.mesh.advance(21)
        self.assertTrue(self.ask("bob:80").isOpen)
        self.assertGreater(mesh.lastTry(keyid, first).at, at)

    def test_dead(self) -> None:
        """
        One that says nothing costs the first stream its time, and no other.
        """
        self.mesh.host("dead")
        self.mesh.host("alice")
        self.mesh.apply(Blackhole(), "alice", "dead")
        self.bob()
        self.alice("connect:dead:15008", "connect:bob:15008")
        stream = self.ask("bob:80")
        self.assertFalse(stream.isOpen)
        self.mesh.advance(PATIENCE + 1)
        self.assertTrue(stream.isOpen, stream.failure)
        self.assertTrue(self.ask("bob:80").isOpen)

    def test_saysNo(self) -> None:
        """
        A node that is there and says no is not asked again elsewhere.
        """
        node = self.bob()
        self.alice("connect:bob:15008", "connect:bob:15009")
        refused = self.refused("bob:22")
        self.assertIs(refused.cause, Cause.DENIED)
        self.assertEqual(1, len(node.flows.refusals()))

    def test_allFail(self) -> None:
        """
        What was wrong with each is told.
        """
        self.alice("connect:bob:1", "connect:bob:2")
        with Logged() as logged:
            self.refused("bob:80")
        said = "\n".join(logged.lines)
        self.assertIn("mtls:bob:2", said)
        self.assertIn("before it", said)


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
