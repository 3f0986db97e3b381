# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.websocketstring}: how tunnels are written, and who may open them.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.clients import clientFromChain
from ugate.endpoints.hops import Hop
from ugate.endpoints.reach import asksForTarget, onlyLocal, takesLogins
from ugate.endpoints.websocket import WebSocketServerEndpoint, WebSocketUpstream
from ugate.errors import Cause, ListenRefused, Refused, StringError
from ugate.interfaces import Auth, IDialer
from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.dialfakes import FakeEndpoint, Net, streamTo
from ugate.test.test_websocket import TunnelCase
from ugate.test.test_websocketserver import LOGIN, request
from ugate.test.tlsfakes import Logged
from ugate.testing import MemoryMesh


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
            "hosts=a\\:80",
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
        hop = Hop.fromText("websocket:bücher.example:443")
        self.assertIn("xn--", str(self.assertRaises(Refused, WebSocketUpstream, net, hop, FakeEndpoint())))


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
