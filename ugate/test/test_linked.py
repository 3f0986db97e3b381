# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.linked} and L{ugate.endpoints.reverselistener}: nodes that are reached on links
which they keep to a gate.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.chain import Chain
from ugate.endpoints.hops import Hop
from ugate.endpoints.linked import LinkedServerEndpoint
from ugate.endpoints.reach import certifies, onlyLocal
from ugate.endpoints.reverselistener import ReverseListener
from ugate.errors import ListenRefused, StringError
from ugate.modules.meshstates import nodesOf
from ugate.stream import Target
from ugate.test.dialfakes import streamTo
from ugate.test.linkedfakes import LinkedCase
from ugate.test.mtlsfakes import Talk
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversations
from ugate.testing.turns import MeshError

BULK = bytes(range(256)) * 4096


class StringTests(SynchronousTestCase):
    """
    The strings of both sides.
    """

    def test_linked(self) -> None:
        """
        The gate, the keywords, and what they are without a word.
        """
        endpoint: Any = serverFromString(
            MemoryReactorClock(),
            r"linked:[\:\:1]:15009:links=3:names=Bob.corp,x:ports=22,80:name=gate.corp:timeout=4",
        )
        assert isinstance(endpoint, LinkedServerEndpoint)
        self.assertEqual((Target("::1", 15009), 3), (endpoint.hop.target, endpoint.links))
        self.assertEqual(
            ("gate.corp", 4.0, (b"h2r",)), (endpoint.hop.name, endpoint.hop.timeout, endpoint.hop.alpn)
        )
        self.assertEqual(b'{"names": ["bob.corp", "x"], "ports": [22, 80]}\n', endpoint._wish)
        plain: Any = serverFromString(MemoryReactorClock(), "linked:gate:15009")
        self.assertEqual((1, 10.0, ""), (plain.links, plain.hop.timeout, plain.hop.name))
        self.assertTrue(plain.asks and certifies(plain))
        self.assertFalse(onlyLocal(plain))

    def test_bad(self) -> None:
        """
        What is wrong is said.
        """
        for rest, wrong in (
            ("gate", "to which gate"),
            ("gate:0", "port 0"),
            ("gate:x", "port"),
            ("gate:1:links=17", "1 to 16"),
            ("gate:1:links=0", "1 to 16"),
            ("gate:1:names=", "at most 16 names"),
            ("gate:1:names=" + ",".join("x" * 17), "at most 16 names"),
            ("gate:1:ports=", "at most 16 ports"),
            ("gate:1:ports=x", "at most 16 ports"),
            ("gate:1:ports=0", "1 to 65535"),
            ("gate:1:ports=70000", "1 to 65535"),
            ("gate:1:ports=" + ",".join("1" * 17), "at most 16 ports"),
            ("gate:1:timeout=0", "timeout="),
            ("gate:1:ready=4", "ready= is not known"),
        ):
            error = self.assertRaises(StringError, serverFromString, MemoryReactorClock(), f"linked:{rest}")
            self.assertIn(wrong, str(error))
            self.assertTrue(str(error).startswith("linked: "))
        self.assertRaises(ValueError, LinkedServerEndpoint, None, Chain((Hop("mtls", "gate", 1),)), links=17)

    def test_reverse(self) -> None:
        """
        TLS below it speaks C{h2r} inside, unless it was told what.
        """
        for text, alpn in (("", (b"h2r",)), (":alpn=x", (b"x",))):
            endpoint: Any = serverFromString(MemoryReactorClock(), f"reverse:mtls:tcp:1{text}:handshake=3")
            assert isinstance(endpoint, ReverseListener)
            inner: Any = endpoint.inner
            self.assertEqual((alpn, 3.0, None), (inner.alpn, endpoint.deadline, endpoint.limits.idle))
        error = self.assertRaises(
            StringError, serverFromString, MemoryReactorClock(), "reverse:mtls:tcp:1:keys=x"
        )
        self.assertIn("wanted KEYIDs", str(error))

    def test_refused(self) -> None:
        """
        Without an identity there is no node, and without certificates no gate.
        """
        for text, why in (
            ("linked:gate:1", "has no identity here"),
            ("reverse:mtls:tcp:1", "has no identity here"),
            ("reverse:tcp:1", "write reverse:mtls:tcp:PORT"),
            ("reverse:mtls:tcp:1:anonymous=yes", "write reverse:mtls:tcp:PORT"),
        ):
            listening = serverFromString(MemoryReactorClock(), text).listen(Conversations())
            self.assertIn(why, str(self.failureResultOf(listening, ListenRefused).value))


class LinkedTests(LinkedCase):
    """
    Streams to nodes.
    """

    def test_streams(self) -> None:
        """
        By its names and that of its key, many on one link, both ways, and each end by itself.
        """
        self.gate()
        served = self.node()
        for host in (
            "bob.corp",
            "BOB",
            self.keys["bob"],
            f"{self.keys['bob'].lower()}.default.cluster.local",
        ):
            stream = self.ask(host, b"question")
            self.assertEqual(b"question", served.last.received, host)
            stream.pour(BULK)
            served.last.pour(BULK[::-1])
            self.mesh.flush()
            self.assertEqual(BULK[::-1], stream.received)
            stream.halfClose()
            self.mesh.flush()
            self.assertEqual((b"question" + BULK, True), (served.last.received, served.last.isEnded))
            served.last.write(b"answer")
            served.last.halfClose()
            self.mesh.flush()
            self.assertEqual((BULK[::-1] + b"answer", True), (stream.received, stream.isClean))
        self.assertEqual(1, self.links())

    def test_who(self) -> None:
        """
        To the rules of the node a stream is the gate's, whoever asked that; no other principal may.
        """
        self.gate()
        for who, may in ((self.keys["gate"], True), (self.keys["alice"], False)):
            self.mesh.gateways.pop("bob", None)
            rules = {"rules": [{"action": "allow", "who": f"certificate:{who}"}]}
            served = self.node(host="bob" if may else "bob2", policy=rules)
            self.assertEqual(may, self.ask().isOpen)
            self.assertEqual(int(may), len(served.accepted))

    def test_claims(self) -> None:
        """
        For whom the gate says that it asks is a hint.
        """
        self.gate(
            listen={"in": "reverse:mtls:tcp:15009", "out": {"endpoint": "socks:tcp:1081", "open": True}}
        )
        self.node()
        self.mesh.client("alice").connect(r"socks:gate:1081:to=bob\:80")
        self.mesh.flush()
        bob: Any = self.mesh.gateways["bob"]
        (stream,) = bob.flows.streams()
        (alice,) = self.mesh.host("alice").addresses
        self.assertEqual(f"for={alice}", stream.info.hints["forwarded"])
        self.assertEqual(
            (self.keys["gate"], "certificate"), (stream.info.principal.name, stream.info.principal.method)
        )
        self.assertEqual(("linked", "h2connect"), stream.info.layers)

    def test_severalLinks(self) -> None:
        """
        Several links are kept, and used in turn; with one gone the others serve.
        """
        self.gate()
        served = self.node(more=":links=3")
        self.assertEqual(3, self.links())
        for _ in range(6):
            self.ask()
        gate: Any = self.mesh.gateways["gate"]
        sessions = gate.tenant.mesh.registry.sessionsOf(self.keys["bob"])
        self.assertEqual([2, 2, 2], [each.streams for each in sessions])
        sessions[0].link.abort("cut")
        self.mesh.flush()
        self.assertTrue(self.ask().isOpen)
        self.assertEqual((2, 7), (self.links(), len(served.accepted)))
        self.mesh.advance(2)
        self.assertEqual(3, self.links())

    def test_inside(self) -> None:
        """
        What listens on links may have more in front, as any listener: TLS that the gate cannot read.
        """
        self.gate()
        who = f"name={self.keys['gate']}"
        served = self.node(listen={"in": f"mtls:linked:gate:15009:{who}:anonymous=yes"})
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
        talk = Talk(self.mesh, self.ask(), context, "bob.corp")
        talk.send(b"secret")
        self.assertEqual(b"secret", served.last.received)

    def test_via(self) -> None:
        """
        The way to the gate may have hops, by their names too.
        """
        self.gate()
        self.mesh.gateway("proxy", listen={"main": {"endpoint": "socks:tcp:1080", "open": True}})
        served = self.node(more=":via=office", dial={"office": "socks:proxy:1080"})
        self.assertTrue(self.ask().isOpen)
        self.assertEqual(1, len(served.accepted))
        for host, via, why in (
            ("eve", "nowhere", "no hop is named 'nowhere'"),
            ("other", r"tcp\:gate", "via=tcp:gate: Twisted cannot read this"),
        ):
            error = self.assertRaises(MeshError, self.node, "eve", f":via={via}", host)
            self.assertIn(why, str(error))

    def test_explain(self) -> None:
        """
        The way there is told, and where it came from is among the nodes.
        """
        gate = self.gate()
        self.node(more=":links=2")
        said = "\n".join(self.mesh.gateways["gate"].tenant.mesh.explain(streamTo("bob.corp:80")))
        self.assertIn(f"bob.corp:80 is on the node {self.keys['bob']}", said)
        self.assertIn(f"on one of the 2 links that {self.keys['bob'].lower()} has to us", said)
        (there,) = [each for each in gate.tenant.nodes.all() if each.source == "reverse"]
        (address,) = there.addresses
        self.assertIn(
            f"reverse:{address.host}:{address.port}", [each.address for each in nodesOf(gate.tenant)]
        )
        self.assertEqual(("reverse", *self.mesh.host("bob").addresses), (address.transport, address.host))


class NameTests(LinkedCase):
    """
    Whose a name is, and who may come.
    """

    def test_asked(self) -> None:
        """
        A node that asks for its own name gets it, in whatever case.
        """
        self.gate()
        with Logged() as logged:
            self.node(more=":names=BOB.corp")
        self.assertIn("we are reached there by our key, and bob, bob.corp", "\n".join(logged.lines))
        self.assertTrue(self.ask().isOpen)

    def test_ofAnother(self) -> None:
        """
        Who asks for a name that its key was not given gets no stream and is told why, first or not; nobody
        else notices.
        """
        self.gate()
        with Logged() as logged:
            eve = self.node("eve", ":names=bob.corp")
            why = "the name bob.corp is not given to its key"
            said = "\n".join(logged.lines)
        self.assertEqual(2, said.count(why), said)
        self.assertIn("linked:gate:15009 refuses us", said)
        self.assertEqual(0, self.links("eve"))
        for host in ("bob.corp", self.keys["eve"]):
            self.assertIsNotNone(self.ask(host).failure)
        served = self.node()
        self.assertTrue(self.ask().isOpen)
        self.mesh.advance(60)
        self.assertEqual(
            (1, 0, 1, 0), (len(served.accepted), len(eve.accepted), self.links(), self.links("eve"))
        )

    def test_keys(self) -> None:
        """
        With a list, only these may dial in.
        """
        self.gate(f"reverse:mtls:tcp:15009:keys={self.keys['bob']}")
        with Logged() as logged:
            self.node("eve")
        self.assertIn("its key may not dial in here", "\n".join(logged.lines))
        self.assertIsNotNone(self.ask(self.keys["eve"]).failure)
        self.node("bob")
        self.assertTrue(self.ask().isOpen)

    def test_stranger(self) -> None:
        """
        Who is not believed does not get as far as that.
        """
        self.gate()
        with Logged() as logged:
            self.node("alice")
        self.assertIn("is not pinned", "\n".join(logged.lines))
        self.assertIsNotNone(self.ask(self.keys["alice"]).failure)

    def test_otherGate(self) -> None:
        """
        A node offers nothing to a gate that is not who it has to be.
        """
        self.gate()
        with Logged() as logged:
            self.node(more=f":name={self.keys['eve']}")
        self.assertIn(f"its key is {self.keys['gate']}, and not that of this name", "\n".join(logged.lines))
        self.assertEqual(0, self.links())

    def test_takesOver(self) -> None:
        """
        The same key from elsewhere takes over; what is up where it was goes on.
        """
        self.gate()
        before = self.node()
        old = self.ask()
        after = self.node(host="bob2")
        new = self.ask(hello=b"new")
        self.assertEqual((1, 1), (len(before.accepted), len(after.accepted)))
        old.write(b"old")
        self.mesh.flush()
        self.assertEqual((b"old", b"new"), (before.last.received, after.last.received))
        self.assertTrue(new.isOpen)

    def test_ownTenant(self) -> None:
        """
        A node is that of the tenant whose listener believes it, and nobody else's.
        """
        shop = {
            "trust": {"pins": [self.keys["bob"]]},
            "nodes": {"bob": {"keyid": self.keys["bob"], "names": ["bob.corp"]}},
            "listen": {"socks": "socks:tcp:1081:interface=127.0.0.1", "in": "reverse:mtls:tcp:15010"},
            "policy": {"rules": [{"action": "allow"}]},
        }
        gate = self.gate(nodes={}, trust={}, tenants={"shop": shop})
        key = gate.tenants["shop"].identity.keyid
        served = self.node(
            listen={"in": f"linked:gate:15010:name={key}"},
            policy={"rules": [{"action": "allow", "who": f"certificate:{key}"}]},
        )
        self.assertIsNotNone(self.ask().failure)
        stream = self.mesh.client("gate").connect(r"socks:127.0.0.1:1081:to=bob.corp\:80")
        self.mesh.flush()
        self.assertTrue(stream.isOpen)
        self.assertEqual(1, len(served.accepted))
