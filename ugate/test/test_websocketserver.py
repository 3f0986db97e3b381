# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websocketserver}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.httphead import MAX_HEAD
from ugate.protocols.websocketrules import Rules
from ugate.protocols.websocketserver import WebSocketServer, acceptOf
from ugate.stream import UDP, Principal, StreamInfo, Target
from ugate.test.httpfakes import ALICE, CLIENT, PROXY, splits
from ugate.test.test_httpconnect import check

BASE = StreamInfo(CLIENT, PROXY, layers=("outer",))
LOGIN = b"Authorization: Basic YWxpY2U6c2VjcmV0\r\n"
WRONG = b"Authorization: Basic YWxpY2U6d3Jvbmc=\r\n"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
RULES = Rules("/tunnel", frozenset(["https://app.example"]), frozenset(["gate.example"]))


def request(
    more: bytes = b"", path: bytes = b"/tunnel?target=db:5432", host: bytes = b"127.0.0.1:80"
) -> bytes:
    """
    What a good client says.
    """
    return (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n%b\r\n" % (path, host, KEY, more)
    )


def drive(server: WebSocketServer, chunks: Iterable[bytes]) -> tuple[bytes, Step | None, bytes]:
    """
    Feed a negotiation as its host does.

    @return: what a failure says, the last step, and what came after.
    """
    rest, done = b"", None
    try:
        for chunk in chunks:
            if done is not None:
                rest += chunk
                continue
            step = server.receive(chunk)
            if step.credentials is not None:
                step = server.login(check(step.credentials))
            if step.done:
                done, rest = step, step.rest
    except ProtocolError as e:
        return e.reply, None, b""
    return b"", done, rest


class WebSocketServerTests(SynchronousTestCase):
    """
    Requests, from good ones to bad ones.
    """

    def served(self, data: bytes, auth: Auth = Auth.NONE, rules: Rules = RULES) -> StreamInfo:
        """
        What is known of a request that is taken.
        """
        reply, done, _ = drive(WebSocketServer(BASE, auth, rules), [data])
        assert done is not None and done.info is not None, reply
        return done.info

    def refused(self, data: bytes, auth: Auth = Auth.NONE, rules: Rules = RULES) -> tuple[int, bytes]:
        """
        What is said of one that is not.
        """
        reply, done, _ = drive(WebSocketServer(BASE, auth, rules), [data])
        self.assertIsNone(done)
        self.assertIn(b"Connection: close", reply)
        return int(reply[9:12]), reply

    def test_good(self) -> None:
        """
        However it comes, the target and what follows are the same; and it is answered when its stream is up.
        """
        verifyObject(INegotiation, WebSocketServer(BASE, Auth.NONE, RULES))
        for chunks in splits(request() + b"frames"):
            server = WebSocketServer(BASE, Auth.NONE, RULES)
            self.assertEqual(b"", server.start())
            _, done, rest = drive(server, chunks)
            assert done is not None
            wanted = BASE.but(target=Target("db", 5432), protocol="websocket", layers=("outer", "websocket"))
            self.assertEqual((wanted, b"frames"), (done.info, rest))
            self.assertEqual(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                server.accept(),
            )

    def test_accept(self) -> None:
        """
        The answer to the key in RFC 6455, 1.3.
        """
        self.assertEqual(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", acceptOf(KEY))

    def test_refuse(self) -> None:
        """
        What cannot be reached is said by a status.
        """
        server = WebSocketServer(BASE, Auth.NONE, RULES)
        drive(server, [request()])
        reply = server.refuse(Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "db:5432"))
        self.assertTrue(reply.startswith(b"HTTP/1.1 502 Bad Gateway\r\n"), reply)
        self.assertIn(b"connection refused", reply)

    def test_targets(self) -> None:
        """
        A target, none, and what is none.
        """
        for query, target in (
            (b"", None),
            (b"?", None),
            (b"?other=1", None),
            (b"?x=1&target=%5B::1%5D%3A22", Target("::1", 22)),
            (b"?target=[::1]:22", Target("::1", 22)),
        ):
            # What was known below is no target: it is where we are.
            self.assertEqual(target, self.served(request(path=b"/tunnel" + query)).target)
        for query in (
            b"?target=",
            b"?target=db",
            b"?target=db:0",
            b"?target=a:1&target=b:2",
            b"?target=a%0d%0ab:1",
            b"?" + b"a=1&" * 40,
        ):
            self.assertEqual(400, self.refused(request(path=b"/tunnel" + query))[0], query)

    def test_belowIsNoTarget(self) -> None:
        """
        The name by which TLS came here is ours, and not where a stream wants to go.
        """
        base = BASE.but(target=Target("gate.example", 443))
        _, done, _ = drive(WebSocketServer(base, Auth.NONE, RULES), [request(path=b"/tunnel")])
        assert done is not None and done.info is not None
        self.assertIsNone(done.info.target)

    def test_path(self) -> None:
        """
        Anything else is not there, whatever it asks for, and nobody is told what is.
        """
        for path in (b"/", b"/tunnel/", b"/TUNNEL", b"/tunnel2?target=a:1", b"http://h/tunnel", b"*"):
            status, reply = self.refused(request(path=path))
            self.assertEqual((404, False), (status, b"/tunnel" in reply))

    def test_notWebSocket(self) -> None:
        """
        Who is no WebSocket client, or one of another version, is told what is spoken here.
        """
        for old, new, status in (
            (b"GET", b"POST", 426),
            (b"Upgrade: WebSocket", b"Upgrade: h2c", 426),
            (b"Upgrade: WebSocket\r\n", b"", 426),
            (b", Upgrade", b"", 426),
            (b"Version: 13", b"Version: 8", 426),
            (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
            (KEY, b"dGhlIHNhbXBsZSBub25jZQ", 400),
            (KEY, b"dGhl", 400),
            (b"Sec-WebSocket-Key: " + KEY + b"\r\n", b"", 400),
            (b"Host: 127.0.0.1:80\r\n", b"", 400),
            (b"HTTP/1.1", b"HTTP/2.0", 505),
            (b"HTTP/1.1", b"HTTP/1.0", 426),
            (b"Connection", b"Content-Length: 5\r\nConnection", 400),
            (b"Connection", b"Transfer-Encoding: chunked\r\nConnection", 400),
            (b"Connection", b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\nConnection", 400),
        ):
            data = request()
            self.assertIn(old, data)
            self.assertEqual(status, self.refused(data.replace(old, new))[0], new)
        self.assertIn(b"Sec-WebSocket-Version: 13", self.refused(request().replace(b": 13", b": 8"))[1])
        for data in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"hello\r\n\r\n"):
            self.assertEqual(400, self.refused(data)[0])

    def test_longHead(self) -> None:
        """
        A head has a limit, and its own answer.
        """
        self.assertEqual(431, self.refused(request()[:-2] + b"X: " + b"x" * MAX_HEAD)[0])

    def test_login(self) -> None:
        """
        With a login, by Basic; without one, as the listener demands.
        """
        for auth in Auth:
            info = self.served(request(LOGIN), auth)
            self.assertEqual(None if auth is Auth.NONE else ALICE, info.principal)
        self.assertIsNone(self.served(request(), Auth.OPTIONAL).principal)
        for auth, more in (
            (Auth.REQUIRED, b""),
            (Auth.REQUIRED, WRONG),
            (Auth.OPTIONAL, WRONG),
            (Auth.OPTIONAL, b"Authorization: Digest x\r\n"),
            (Auth.REQUIRED, LOGIN + LOGIN),
            (Auth.REQUIRED, b"Proxy-" + LOGIN),
        ):
            status, reply = self.refused(request(more), auth)
            self.assertEqual(401, status)
            self.assertIn(b'WWW-Authenticate: Basic realm="ugate"', reply)

    def test_certificate(self) -> None:
        """
        Who has proven below who it is stays that.
        """
        carol = Principal("carol", "certificate")
        server = WebSocketServer(BASE.but(principal=carol), Auth.OPTIONAL, RULES)
        _, done, _ = drive(server, [request(host=b"any.example")])
        assert done is not None and done.info is not None
        self.assertEqual(carol, done.info.principal)

    def test_origin(self) -> None:
        """
        A page of a site that is not listed may not, but one of the very host and port that is asked; a
        login does not help.
        """
        for origin in (b"https://evil.example", b"null", b"http://127.0.0.1:8000", b"http://127.0.0.1", b""):
            for auth, more in ((Auth.NONE, b""), (Auth.REQUIRED, LOGIN)):
                data = request(more + b"Origin: %b\r\n" % origin)
                self.assertEqual(403, self.refused(data, auth)[0], origin)
        both = b"Origin: https://app.example\r\nOrigin: https://evil.example\r\n"
        self.assertEqual(403, self.refused(request(both))[0])
        for origin in (b"https://app.example", b"HTTPS://App.Example", b"http://127.0.0.1:80"):
            self.served(request(b"Origin: %b\r\n" % origin))

    def test_rebinding(self) -> None:
        """
        Without a login, a name that is not listed may be one that a foreign server had point here.
        """
        evil = request(b"Origin: http://evil.example:80\r\n", host=b"evil.example:80")
        for auth in (Auth.NONE, Auth.OPTIONAL):
            self.assertEqual(403, self.refused(evil, auth)[0])
        self.assertEqual(ALICE, self.served(request(LOGIN, host=b"any.example"), Auth.OPTIONAL).principal)
        for host in (
            b"localhost:80",
            b"a.localhost",
            b"[::1]:80",
            b"192.0.2.1",
            b"Gate.Example.:8",
            b"gate.example",
        ):
            self.served(request(host=host))
        for host in (b"localhost.evil.example", b"127.0.0.1.evil.example", b"1.2.3", b"gate.example.evil"):
            self.assertEqual(403, self.refused(request(host=host))[0], host)
        for host in (b"a b", b"user@127.0.0.1", b"127.0.0.1:80:80", b""):
            self.assertEqual(400, self.refused(request(host=host))[0], host)

    def test_elsewhere(self) -> None:
        """
        Programs from elsewhere may ask for any name; a page has to be listed, or its name.
        """
        base = BASE.but(host=IPv4Address("TCP", "192.0.2.1", 80))
        for more, host, isTaken in (
            (b"", b"any.example", True),
            (b"Origin: http://any.example\r\n", b"any.example", False),
            (b"Origin: http://gate.example\r\n", b"gate.example", True),
            (b"Origin: http://192.0.2.1\r\n", b"192.0.2.1", True),
        ):
            _, done, _ = drive(WebSocketServer(base, Auth.NONE, RULES), [request(more, host=host)])
            self.assertEqual(isTaken, done is not None)
        local = BASE.but(host=UNIXAddress("/run/ugate.sock"))
        _, done, _ = drive(WebSocketServer(local, Auth.NONE, RULES), [request(host=b"any.example")])
        self.assertIsNone(done)

    def test_subprotocol(self) -> None:
        """
        What browsers ask for that carry screens is chosen; other names are not.
        """
        for more, chosen in ((b"base64, binary", b"binary"), (b"chat", b""), (b"binary2", b"")):
            server = WebSocketServer(BASE, Auth.NONE, RULES)
            drive(server, [request(b"Sec-WebSocket-Protocol: %b\r\n" % more)])
            self.assertEqual(bool(chosen), b"Sec-WebSocket-Protocol: binary\r\n\r\n" in server.accept())

    def test_datagrams(self) -> None:
        """
        The protocol that is offered says that a stream is for datagrams; nothing in the target does.
        """
        offered = b"Sec-WebSocket-Protocol: binary, Connect-UDP\r\n"
        for chunks in splits(request(offered)):
            server = WebSocketServer(BASE, Auth.NONE, RULES)
            _, done, _ = drive(server, chunks)
            assert done is not None and done.info is not None
            self.assertEqual(Target("db", 5432, UDP), done.info.target)
            self.assertIn(b"Sec-WebSocket-Protocol: connect-udp\r\n\r\n", server.accept())
        self.assertEqual(400, self.refused(request(path=b"/tunnel?target=udp:db:53"))[0])
        self.assertEqual(400, self.refused(request(offered, path=b"/tunnel?target=udp:db:53"))[0])
        server = WebSocketServer(BASE, Auth.NONE, RULES)
        _, done, _ = drive(server, [request(offered, path=b"/tunnel")])
        assert done is not None and done.info is not None
        self.assertIsNone(done.info.target)
        self.assertIn(b"Sec-WebSocket-Protocol: binary\r\n", server.accept())

    def test_extensions(self) -> None:
        """
        Compression is never agreed on.
        """
        server = WebSocketServer(BASE, Auth.NONE, RULES)
        drive(server, [request(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")])
        self.assertNotIn(b"Extensions", server.accept())

    @given(st.binary(max_size=60), st.integers(0, 200))
    def test_anything(self, data: bytes, at: int) -> None:
        """
        Whatever stands in a request, it is taken or answered.
        """
        good = request()
        drive(WebSocketServer(BASE, Auth.REQUIRED, RULES), [data])
        drive(WebSocketServer(BASE, Auth.REQUIRED, RULES), [good[:at] + data + good[at:]])
        drive(WebSocketServer(BASE, Auth.NONE, RULES), [good[:at] + data + good[at + len(data) :]])
