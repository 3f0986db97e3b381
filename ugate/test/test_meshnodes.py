# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Gateways that reach each other by their keys and names, in a network in memory.
"""

from __future__ import annotations

from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory

from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.meshtransports import PATIENCE
from ugate.errors import Cause
from ugate.explaining import explain
from ugate.interfaces import MeshAddress
from ugate.stream import Target
from ugate.tenancy.keyids import hostOf
from ugate.test import hellofakes as offers
from ugate.test.nodecases import NodesCase
from ugate.test.tlsfakes import Logged
from ugate.testing import Blackhole, Conversation, Conversations


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
