# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.websocket} and L{ugate.endpoints.websocketstring}: tunnels through gateways, in a
network in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.hops import Hop
from ugate.endpoints.reach import asksForTarget, onlyLocal, takesLogins
from ugate.endpoints.websocket import WebSocketServerEndpoint, WebSocketUpstream
from ugate.errors import Cause, ListenRefused, StringError
from ugate.interfaces import Auth, IDialer
from ugate.protocols.websocketframes import BINARY, CLOSE, frame
from ugate.protocols.websocketwire import GOODBYE, KEEPALIVE, STUCK
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.dialfakes import FakeEndpoint, Net, streamTo
from ugate.test.test_websocketserver import LOGIN, request
from ugate.test.tlsfakes import Logged
from ugate.testing import Conversation, Conversations, MemoryMesh, Reset

BULK = bytes(range(256)) * 4096


class Slow(Conversation):
    """
    Reads a little, and then nothing for a while.
    """

    def __init__(self, clock: IReactorTime, pause: float) -> None:
        super().__init__()
        self._clock = clock
        self._pause = pause

    def dataReceived(self, data: bytes) -> None:
        """
        Remember it, and rest.
        """
        super().dataReceived(data)
        self.pause()
        self._clock.callLater(self._pause, self._goOn)

    def _goOn(self) -> None:
        if not self.isOver:
            self.resume()


class StringTests(SynchronousTestCase):
    """
    How it is written.
    """

    def test_hop(self) -> None:
        """
        A hop has a path, a login, and TLS, and gives its text back.
        """
        for text in (
            "websocket:gate:8080",
            "websocket:gate:443:user=me:passwordFile=/p:tls=yes:path=/tunnel:to=db\\:1",
            "websocket:gate:443:path=/a/b.c-d:via=socks\\:p\\:1",
        ):
            self.assertEqual(text, str(Hop.fromText(text)))
        for path in ("tunnel", "/a b", "/a?b", "/a#b", "/ü", "/a\nb", ""):
            error = self.assertRaises(StringError, Hop.fromText, f"websocket:gate:1:path={path}")
            self.assertIn("path=", str(error))

    def test_server(self) -> None:
        """
        A server string holds another one, and says what is taken.
        """
        net = Net()
        endpoint = serverFromString(
            net,
            "websocket:tcp:8080:path=/tunnel:origins=https\\://App.example,http\\://b\\:81:hosts=Gate.example"
            ":handshake=3",
        )
        assert isinstance(endpoint, WebSocketServerEndpoint)
        rules = endpoint.negotiation.keywords["rules"]  # type: ignore[attr-defined]
        self.assertEqual("/tunnel", rules.path)
        self.assertEqual({"https://app.example", "http://b:81"}, rules.origins)
        self.assertEqual({"gate.example"}, rules.hosts)
        self.assertEqual(3, endpoint.deadline)
        self.assertTrue(asksForTarget(endpoint) and takesLogins(endpoint))
        for wrong in (
            "path=x",
            "origins=app.example",
            "origins=https\\://a/b",
            "origins=",
            "hosts=a b",
            "hosts=a,,b",
            "proxied=maybe",
            "proxied=",
        ):
            error = self.assertRaises(StringError, serverFromString, net, f"websocket:tcp:8080:{wrong}")
            self.assertIn(f"websocket: {wrong.partition('=')[0]}=", str(error))

    def test_proxied(self) -> None:
        """
        Behind a web server, who connects is nobody of this machine.
        """
        net = Net()
        local = "websocket:tcp:8080:interface=127.0.0.1"
        for text, isLocal in ((local, True), (f"{local}:proxied=yes", False), (f"{local}:proxied=no", True)):
            endpoint = serverFromString(net, text)
            self.assertEqual(isLocal, onlyLocal(endpoint))
            self.assertEqual(Auth.NONE, endpoint.auth)

    def test_explain(self) -> None:
        """
        The way is told in words.
        """
        net = Net()
        chain = clientFromChain(net, "websocket:gate:8080:user=me -> tcp:db:5432")
        self.assertEqual("ask websocket:gate:8080 for db:5432 in WebSocket, as me", chain.explain()[-1])
        dialer = WebSocketUpstream(net, Hop.fromText("websocket:gate:443:tls=yes"), FakeEndpoint())
        self.assertTrue(IDialer.providedBy(dialer))
        self.assertIn("over TLS", dialer.explain(streamTo("db:1"))[-1])


class TunnelCase(SynchronousTestCase):
    """
    A gate that serves WebSocket, and a server behind.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)

    def gate(self, endpoint: str = "websocket:tcp:8080", **more: Any) -> None:
        """
        The gate, open to everybody unless it is told more.
        """
        listener: dict[str, object] = {"endpoint": endpoint}
        if "policy" not in more and "interface" not in endpoint:
            listener["open"] = True
        self.mesh.gateway("gate", listen={"main": listener}, **more)

    def connect(
        self, text: str = "websocket:gate:8080", hello: bytes = b"", to: str = "web\\:80"
    ) -> Conversation:
        """
        A stream through.
        """
        stream = self.mesh.client("user").connect(f"{text}:to={to}", hello)
        self.mesh.flush()
        return stream

    def ask(self, data: bytes, port: int = 8080, host: str = "gate") -> Conversation:
        """
        Bytes to the gate.
        """
        stream = self.mesh.client("user" if host == "gate" else "gate").connect(f"tcp:{host}:{port}", data)
        self.mesh.flush()
        return stream


class TunnelTests(TunnelCase):
    """
    Streams through.
    """

    def test_stream(self) -> None:
        """
        Bytes go both ways, and each end by itself; nothing is left.
        """
        self.gate()
        stream = self.connect(hello=b"question")
        self.assertEqual(b"question", self.served.last.received)
        stream.halfClose()
        self.mesh.flush()
        self.assertTrue(self.served.last.isEnded)
        self.assertFalse(stream.isEnded)
        self.served.last.write(b"answer")
        self.mesh.flush()
        self.assertEqual(b"answer", stream.received)
        self.served.last.halfClose()
        self.mesh.flush()
        self.assertTrue(stream.isClean and stream.isOver)
        self.mesh.advance(1)
        self.assertEqual([], self.mesh.connections("gate"))

    def test_serverFirst(self) -> None:
        """
        A server may speak, and end, before its client has said anything.
        """
        self.gate()
        stream = self.connect()
        self.served.last.write(b"220 ready")
        self.served.last.halfClose()
        self.mesh.flush()
        self.assertEqual((b"220 ready", True), (stream.received, stream.isEnded))
        stream.write(b"and?")
        self.mesh.flush()
        self.assertEqual(b"and?", self.served.last.received)

    def test_bulk(self) -> None:
        """
        Much goes both ways at once; who does not read holds up who writes.
        """
        self.gate()
        stream = self.connect()
        server = self.served.last
        server.pause()
        for end in (stream, server):
            end.pour(BULK * 4)
            end.halfClose()
        self.mesh.flush()
        self.assertEqual((BULK * 4, True), (stream.received, stream.isEnded))
        self.assertGreater(len(stream.unpoured), len(BULK))
        server.resume()
        self.mesh.flush()
        self.assertEqual((BULK * 4, True), (server.received, server.isEnded))

    def test_refused(self) -> None:
        """
        The answer waits for the target, and says why it cannot be reached.
        """
        self.gate()
        stream = self.connect(to="web\\:81")
        assert stream.failure is not None
        said = str(stream.failure.value)
        self.assertIn("websocket:gate:8080", said)
        self.assertIn("connect at web:81: connection refused", said)
        failure = self.connect("websocket:gate:8080:path=/other").failure
        self.assertIn("404", str(failure and failure.value))

    def test_noTarget(self) -> None:
        """
        Who says not where to is told so, unless the listener knows.
        """
        self.gate()
        stream = self.ask(request(path=b"/"))
        self.assertIn(b"HTTP/1.1 403", stream.received)
        self.assertIn(b"names no target", stream.received)

    def test_fixed(self) -> None:
        """
        With C{forward:} all tunnels lead to one place, and need no target.
        """
        self.gate("forward:websocket:tcp:8080:to=web\\:80")
        stream = self.ask(request(path=b"/") + b"".join(frame(BINARY, b"hello", True)))
        self.assertIn(b"HTTP/1.1 101 ", stream.received)
        self.assertEqual(b"hello", self.served.last.received)
        self.served.last.write(b"hi")
        self.mesh.flush()
        self.assertTrue(stream.received.endswith(b"\r\n\r\n\x82\x02hi"))

    def test_inner(self) -> None:
        """
        Another protocol may be spoken inside.
        """
        self.gate("socks:websocket:tcp:8080:path=/tunnel")
        chain = "websocket:gate:8080:path=/tunnel -> socks:gate:8080 -> tcp:web:80"
        stream = self.mesh.client("user").connect(chain, b"question")
        self.mesh.flush()
        self.assertEqual(b"question", self.served.last.received)
        stream.halfClose()
        self.served.last.write(b"answer")
        self.served.last.halfClose()
        self.mesh.flush()
        self.assertEqual((b"answer", True), (stream.received, stream.isClean))

    def test_twoTunnels(self) -> None:
        """
        A tunnel in a tunnel.
        """
        self.gate()
        self.mesh.gateway("second", listen={"main": {"endpoint": "websocket:tcp:8081", "open": True}})
        chain = "websocket:gate:8080 -> websocket:second:8081 -> tcp:web:80"
        stream = self.mesh.client("user").connect(chain, BULK)
        self.mesh.flush()
        self.assertEqual(BULK, self.served.last.received)
        stream.halfClose()
        self.served.last.close()
        self.mesh.flush()
        self.assertTrue(stream.isClean and stream.isOver)

    def test_cut(self) -> None:
        """
        A reset behind the tunnel is no end, nor is one of the tunnel.
        """
        self.gate()
        stream = self.connect(hello=b"x")
        self.served.last.abort()
        self.mesh.flush()
        self.assertTrue(stream.isOver)
        self.assertFalse(stream.isClean)
        stream = self.connect(hello=b"x")
        self.mesh.apply(Reset(), "user", "gate")
        self.mesh.flush()
        self.assertFalse(stream.isClean or self.served.last.isClean)

    def test_ended(self) -> None:
        """
        Who ends the connection without a Close frame has not said all.
        """
        self.gate()
        stream = self.ask(request(path=b"/?target=web:80") + b"".join(frame(BINARY, b"half of", True)))
        self.assertEqual(b"half of", self.served.last.received)
        stream.halfClose()
        self.mesh.flush()
        self.assertTrue(self.served.last.isOver)
        self.assertFalse(self.served.last.isClean)

    def test_quiet(self) -> None:
        """
        A quiet stream stays up, and a dead one does not.
        """
        self.gate()
        stream = self.connect(hello=b"x")
        for _ in range(10):
            self.mesh.advance(KEEPALIVE)
        self.assertTrue(stream.isOpen)
        silent = self.ask(request(path=b"/?target=web:80"))
        self.mesh.advance(KEEPALIVE)
        self.assertTrue(silent.received.endswith(b"\x89\x011"))
        self.mesh.advance(KEEPALIVE)
        self.assertTrue(silent.isOver)
        self.assertFalse(self.served.last.isClean)

    def test_hangingOn(self) -> None:
        """
        Who does not answer a Close frame loses its connection.
        """
        self.gate()
        stream = self.ask(request(path=b"/?target=web:80"))
        self.served.last.close()
        self.mesh.flush()
        self.mesh.advance(GOODBYE)
        self.assertTrue(stream.received.endswith(b"\x88\x02\x03\xe8"))

    def test_slowToTheEnd(self) -> None:
        """
        When both sides have ended, who reads slowly still gets all. Who takes nothing is cut.
        """
        for pause, isWhole in ((GOODBYE * 4, True), (GOODBYE * STUCK * 2, False)):
            mesh, served = MemoryMesh(), Conversations()
            self.successResultOf(
                serverFromString(mesh.host("gate").reactor, "websocket:tcp:8080").listen(served)
            )
            reactor = mesh.host("user").reactor
            slow = Slow(reactor, pause)
            slow.write(request(path=b"/") + b"".join(frame(CLOSE, b"", True)))
            connectProtocol(TCP4ClientEndpoint(reactor, mesh.host("gate").addresses[0], 8080), slow)
            mesh.flush()
            served.last.transport.accept()  # type: ignore[union-attr]
            served.last.write(BULK)
            served.last.halfClose()
            for _ in range(60):
                mesh.advance(pause)
            self.assertEqual((isWhole, not isWhole), (slow.isEnded, slow.isOver))
            said = BULK[-100:] + b"\x88\x02\x03\xe8"
            self.assertEqual(isWhole, slow.received.endswith(said), len(slow.received))

    def test_stops(self) -> None:
        """
        No timer is left when all is over.
        """
        self.gate()
        stream = self.connect(hello=b"x")
        stream.halfClose()
        self.served.last.close()
        self.mesh.flush()
        self.mesh.stop()


class LoginTests(TunnelCase):
    """
    Who may.
    """

    def file(self, text: str) -> str:
        """
        A file with something that is nobody's business.
        """
        path = Path(self.mktemp())
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    def test_login(self) -> None:
        """
        With a password file, who comes from elsewhere has to log in; who is of this machine need not, unless
        a web server stands before.
        """
        users = self.file(f"alice:{PasswordHash.ofPassword(b'secret', ln=10)}")
        policy = {"users": users, "rules": [{"action": "allow"}]}
        good, bad = self.file("secret"), self.file("wrong")
        self.gate(policy=policy)
        self.assertTrue(self.connect(f"websocket:gate:8080:user=alice:passwordFile={good}").isOpen)
        for login in (f":user=alice:passwordFile={bad}", ""):
            failure = self.connect("websocket:gate:8080" + login).failure
            self.assertIn(Cause.AUTHENTICATION.value, str(failure and failure.value))
        for more, isOpen in (("", True), (":proxied=yes", False)):
            self.mesh.stop()
            self.setUp()
            self.gate("websocket:tcp:8080:interface=127.0.0.1" + more, policy=policy)
            stream = self.ask(request(path=b"/?target=web:80"), host="127.0.0.1")
            self.assertEqual(b"HTTP/1.1 101" if isOpen else b"HTTP/1.1 401", stream.received[:12])
            stream = self.ask(request(LOGIN, b"/?target=web:80", b"any.example"), host="127.0.0.1")
            self.assertEqual(b"HTTP/1.1 101", stream.received[:12])

    def test_nobody(self) -> None:
        """
        Where others come by, somebody has to check who they are.
        """
        self.assertRaises(ListenRefused, self.gate, policy={})
        self.mesh = MemoryMesh()
        error = self.assertRaises(
            ListenRefused, self.gate, "websocket:tcp:8080:interface=127.0.0.1:proxied=yes", policy={}
        )
        self.assertIn("would carry the streams of anybody", str(error))

    def test_page(self) -> None:
        """
        On loopback everybody of this machine may, and no page that a browser of theirs shows.
        """
        self.gate("websocket:tcp:8080:interface=127.0.0.1:origins=https\\://app.example")
        path = b"/?target=web:80"
        for more, status in (
            (b"", 101),
            (b"Origin: https://app.example\r\n", 101),
            (b"Origin: https://evil.example\r\n", 403),
        ):
            stream = self.ask(request(more, path), host="127.0.0.1")
            self.assertEqual(b"HTTP/1.1 %d" % status, stream.received[:12])
        with Logged() as logged:
            stream = self.ask(request(path=path, host=b"evil.example"), host="127.0.0.1")
        self.assertEqual(b"HTTP/1.1 403", stream.received[:12])
        self.assertIn("hosts=", "\n".join(logged.lines))
