# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.h2connect}: gateways that speak HTTP/2 with each other, in a network in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.h2connect import H2Connect
from ugate.endpoints.hops import Hop
from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.endpoints.muxed import MuxedServerEndpoint
from ugate.errors import ListenRefused, Refused, StringError
from ugate.interfaces import IDialer
from ugate.test.dialfakes import FakeEndpoint, Net, streamTo
from ugate.test.tlsfakes import Issuer, Logged
from ugate.testing import Conversation, Conversations, MemoryMesh, Reset

SPIFFE = "spiffe://cluster.local/ns/default/sa/"
ALLOW = {"rules": [{"action": "allow"}]}
BULK = bytes(range(256)) * 4096


class StringTests(SynchronousTestCase):
    """
    How it is written.
    """

    def test_hop(self) -> None:
        """
        A hop has who it has to be, or is in clear text, and gives its text back.
        """
        for text in (
            "h2connect:gate:15008",
            "h2connect:gate:15008:h2c=yes:timeout=3:to=db\\:1",
            "h2connect:gate:15008:name=spiffe\\://c/ns/a/sa/b:via=socks\\:p\\:1",
        ):
            self.assertEqual(text, str(Hop.fromText(text)))
        error = self.assertRaises(StringError, Hop.fromText, "h2connect:gate:15008:h2c=yes:name=gate")
        self.assertIn("clear text", str(error))

    def test_server(self) -> None:
        """
        A server string holds another one; that for TLS offers C{h2} unless it was told what.
        """
        net = Net()
        for text, alpn in (("", (b"h2",)), (":alpn=h2,x", (b"h2", b"x"))):
            endpoint = serverFromString(net, f"h2connect:mtls:tcp:15008{text}")
            self.assertIsInstance(endpoint, MuxedServerEndpoint)
            self.assertIsInstance(endpoint.inner, MutualServerEndpoint)
            self.assertEqual(alpn, endpoint.inner.alpn)
        clear = serverFromString(net, "h2connect:tcp:15008:interface=127.0.0.1:handshake=3")
        self.assertEqual(3, clear.deadline)

    def test_explain(self) -> None:
        """
        The way is told in words.
        """
        net = Net()
        chain = clientFromChain(net, "h2connect:gate:15008 -> tcp:db:5432")
        self.assertIn("has to prove that it is gate", chain.explain()[-2])
        self.assertEqual(
            "ask h2connect:gate:15008 for db:5432 in HTTP/2 CONNECT, on a link that streams share",
            chain.explain()[-1],
        )
        clear = H2Connect(net, Hop.fromText("h2connect:gate:15008:h2c=yes"), FakeEndpoint())
        self.assertTrue(IDialer.providedBy(clear))
        self.assertIn("in clear text", clear.explain(streamTo("db:1"))[-1])

    def test_noTarget(self) -> None:
        """
        A stream that says not where to is refused before anything is dialed.
        """
        dialer = H2Connect(Net(), Hop.fromText("h2connect:gate:1:h2c=yes"), FakeEndpoint())
        self.assertRaises(Refused, dialer.endpointFor, streamTo("db:1").but(target=None))

    def test_noIdentity(self) -> None:
        """
        In TLS, a program without an identity is told so.
        """
        dialer = H2Connect(Net(), Hop.fromText("h2connect:gate:1"), FakeEndpoint())
        connected = dialer.endpointFor(streamTo("db:1")).connect(Conversations())
        self.assertIn("no identity", str(self.failureResultOf(connected, Refused).value))


class MeshTestCase(SynchronousTestCase):
    """
    A gate that serves HTTP/2, one that uses it, and a server behind.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.root = Issuer("root")
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)

    def identity(self, *names: str) -> dict[str, str]:
        """
        An identity, with the roots that it came with.
        """
        folder = Path(self.mktemp())
        self.root.write(folder, *names)
        return {"dir": str(folder)}

    def gate(self, endpoint: str = "h2connect:mtls:tcp:15008", **more: Any) -> None:
        """
        The gate, for bob.
        """
        more.setdefault("policy", {"rules": [{"action": "allow", "who": f"certificate:{SPIFFE}bob"}]})
        self.mesh.gateway(
            "gate", listen={"main": endpoint}, identity=self.identity("gate.example", SPIFFE + "gate"), **more
        )

    def client(self, host: str, via: str, names: tuple[str, ...] = ()) -> None:
        """
        Somebody's own gateway, that leads to the gate.
        """
        self.mesh.gateway(
            host,
            listen={"main": "socks:tcp:1080:interface=127.0.0.1"},
            routes=[{"match": "*", "via": via}],
            policy=ALLOW,
            identity=self.identity(host, *names),
        )

    def bob(self) -> None:
        """
        Both gateways.
        """
        self.gate()
        self.client("bob", "h2connect:gate:15008:name=gate.example", (SPIFFE + "bob",))

    def connect(self, host: str = "bob", hello: bytes = b"", target: str = "web\\:80") -> Conversation:
        """
        A stream through.
        """
        stream = self.mesh.client(host).connect(f"socks:127.0.0.1:1080:to={target}", hello)
        self.mesh.flush()
        return stream

    def links(self) -> int:
        """
        How many connections to the gate are up.
        """
        return len([each for each in self.mesh.connections("gate") if ":15008" in each])


class GatewayTests(MeshTestCase):
    """
    Streams through both gateways.
    """

    def test_stream(self) -> None:
        """
        Who asks is who the certificate of the link says; bytes go both ways, and each end by itself.
        """
        self.bob()
        stream = self.connect(hello=b"question")
        self.assertEqual(b"question", self.served.last.received)
        stream.halfClose()
        self.mesh.flush()
        self.assertTrue(self.served.last.isEnded)
        self.assertFalse(stream.isEnded)
        self.served.last.write(b"answer")
        self.served.last.halfClose()
        self.mesh.flush()
        self.assertEqual((b"answer", True), (stream.received, stream.isClean))
        self.assertEqual(1, self.links())

    def test_serverFirst(self) -> None:
        """
        A server may speak, and end, before its client has said anything.
        """
        self.bob()
        stream = self.connect()
        self.served.last.write(b"220 ready")
        self.served.last.halfClose()
        self.mesh.flush()
        self.assertEqual((b"220 ready", True), (stream.received, stream.isEnded))
        stream.write(b"and?")
        self.mesh.flush()
        self.assertEqual(b"and?", self.served.last.received)

    def test_streamsShareALink(self) -> None:
        """
        Many streams are on one connection, and one that nobody reads holds up no other.
        """
        self.bob()
        streams = [self.connect() for _ in range(20)]
        self.served.accepted[0].pause()
        streams[0].write(BULK)
        self.mesh.flush()
        for stream in streams[1:]:
            stream.write(BULK)
            self.mesh.flush()
        self.assertEqual(1, self.links())
        for server in self.served.accepted[1:]:
            self.assertEqual(len(BULK), len(server.received))
        self.assertLess(len(self.served.accepted[0].received), len(BULK))
        self.served.accepted[0].resume()
        self.mesh.flush()
        self.assertEqual(BULK, self.served.accepted[0].received)

    def test_renewed(self) -> None:
        """
        Once we have another certificate, what begins is on another link, and what is up stays where it is.
        """
        self.bob()
        before = self.connect()
        bob: Any = self.mesh.gateways["bob"]
        self.root.write(Path(bob.config.identity.dir), "bob", SPIFFE + "bob")
        bob.tenant.identity.look()
        after = self.connect()
        self.assertEqual(2, self.links())
        for stream, server in zip((before, after), self.served.accepted, strict=True):
            stream.write(b"still")
            self.mesh.flush()
            self.assertEqual(b"still", server.received)

    def test_refusedTarget(self) -> None:
        """
        Why a target cannot be reached comes back, and in the words of whoever asked.
        """
        self.bob()
        with Logged() as logged:
            stream = self.connect(target="web\\:81")
        self.assertIsNotNone(stream.failure)
        said = "\n".join(logged.lines)
        self.assertIn("h2connect:gate:15008", said)
        self.assertIn("web:81, 502: connect at web:81: connection refused", said)
        self.assertTrue(self.connect().isOpen)
        self.assertEqual(1, self.links())

    def test_policy(self) -> None:
        """
        Who has a certificate and may not is told so.
        """
        self.gate()
        self.client("eve", "h2connect:gate:15008:name=gate.example", (SPIFFE + "eve",))
        with Logged() as logged:
            stream = self.connect("eve")
        self.assertIsNotNone(stream.failure)
        said = "\n".join(logged.lines)
        self.assertIn("h2connect:gate:15008: denied by policy (web:80, 403: policy at", said)
        self.assertIn("none of the 1 rules", said)
        self.assertEqual([], self.served.accepted)

    def test_wrongServer(self) -> None:
        """
        A gate that is not who it has to be gets no stream.
        """
        self.gate()
        self.client("bob", "h2connect:gate:15008:name=other.example", (SPIFFE + "bob",))
        with Logged() as logged:
            self.assertIsNotNone(self.connect().failure)
        self.assertIn("gate.example", "\n".join(logged.lines))

    def test_cut(self) -> None:
        """
        When the link breaks, its streams do; the next has a new one.
        """
        self.bob()
        stream = self.connect(hello=b"x")
        fault = self.mesh.apply(Reset(), "bob", "gate")
        self.mesh.flush()
        self.assertFalse(stream.isOpen)
        self.assertFalse(stream.isClean)
        fault.lift()
        again = self.connect(hello=b"again")
        self.assertTrue(again.isOpen)
        self.assertEqual(b"again", self.served.last.received)

    def test_clear(self) -> None:
        """
        In clear text, on loopback alone, whoever is on this machine may.
        """
        error = self.assertRaises(ListenRefused, self.gate, "h2connect:tcp:15008")
        self.assertIn("would carry the streams of anybody", str(error))
        self.mesh.stop()
        self.setUp()
        self.gate("h2connect:tcp:15008:interface=127.0.0.1", policy=ALLOW)
        stream = self.mesh.client("gate").connect(
            r"h2connect:127.0.0.1:15008:h2c=yes:to=web\:80", b"question"
        )
        self.mesh.flush()
        self.assertEqual(b"question", self.served.last.received)
        self.served.last.write(b"answer")
        self.mesh.flush()
        self.assertEqual(b"answer", stream.received)

    def test_inner(self) -> None:
        """
        What is below a link may be any endpoint, on either side.
        """
        for inner, way in (
            ("websocket:tcp:15008", "websocket:gate:15008 -> "),
            ("socks:tcp:15008", "socks:gate:15008 -> "),
            ("proxyproto:tcp:15008", "direct:proxyproto=v2 -> "),
        ):
            self.setUp()
            self.mesh.gateway("gate", listen={"main": {"endpoint": f"h2connect:{inner}", "open": True}})
            chain = f"{way}h2connect:gate:15008:h2c=yes -> tcp:web:80"
            stream = self.mesh.client("user").connect(chain, b"question", half=True)
            self.mesh.flush()
            self.assertEqual((b"question", True), (self.served.last.received, self.served.last.isEnded))
            self.served.last.write(b"answer")
            self.served.last.close()
            self.mesh.flush()
            self.assertEqual((b"answer", True), (stream.received, stream.isClean))
            self.mesh.stop()

    def test_twoHops(self) -> None:
        """
        What the first gate claims of a stream reaches the second.
        """
        seen = []

        class Watched(Conversations):
            def buildProtocol(self, addr: Any) -> Any:
                seen.append(addr)
                return super().buildProtocol(addr)

        host = self.mesh.host("end")
        endpoint = serverFromString(host.reactor, "h2connect:tcp:15008")
        self.successResultOf(endpoint.listen(Watched()))
        self.mesh.gateway(
            "gate",
            listen={"main": {"endpoint": "h2connect:tcp:15008", "open": True}},
            routes=[{"match": "*", "via": "h2connect:end:15008:h2c=yes"}],
            policy=ALLOW,
        )
        self.mesh.client("user").connect(r"h2connect:gate:15008:h2c=yes:to=web\:80")
        self.mesh.flush()
        (info,) = seen
        (user,) = self.mesh.host("user").addresses[:1]
        self.assertIn(f"for={user}", info.hints["forwarded"])
        self.assertEqual("web", info.target.host)
