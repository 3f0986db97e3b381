# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websocketclient}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.websocketclient import WebSocketClient
from ugate.protocols.websocketrules import Rules
from ugate.protocols.websocketserver import WebSocketServer, acceptOf
from ugate.stream import UDP, Target
from ugate.test.httpfakes import ALICE, splits
from ugate.test.test_websocketserver import BASE, drive

DB = Target("db.example", 5432)
FLOW = Target("db.example", 53, UDP)
OK = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n"
)


def client(target: Target = DB, login: UsernamePassword | None = None, path: str = "/") -> WebSocketClient:
    """
    One that asks C{gate}.
    """
    return WebSocketClient(target, login, "websocket:gate:80", place="gate", path=path)


def answered(asking: WebSocketClient, answer: bytes = OK) -> bytes:
    """
    The good answer to what it has asked.
    """
    return answer % acceptOf(asking._key) if b"%b" in answer else answer


class WebSocketClientTests(SynchronousTestCase):
    """
    What is asked, and what the answers mean.
    """

    def refusal(self, answer: bytes) -> Refused:
        """
        What an answer means, however it comes.
        """
        found = set()
        for chunks in splits(answer):
            asking = client()
            asking.start()
            refused: Refused = self.assertRaises(
                Refused,
                lambda: [asking.receive(answered(asking, each)) for each in chunks],  # noqa: B023
            )
            found.add((refused.cause, refused.phase, refused.hop))
        self.assertEqual(1, len(found))
        self.assertEqual("websocket:gate:80", refused.hop)
        return refused

    def test_request(self) -> None:
        """
        It is a request as in RFC 6455, with the target in it.
        """
        asking = client()
        verifyObject(INegotiation, asking)
        self.assertEqual(
            b"GET /?target=db.example:5432 HTTP/1.1\r\nHost: gate\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n"
            % asking._key,
            asking.start(),
        )
        self.assertNotEqual(asking._key, client()._key)

    def test_ourServer(self) -> None:
        """
        Our server takes it, by the path and the login of both.
        """
        asking = client(Target("2001:db8::1", 22), UsernamePassword(b"alice", b"secret"), "/a/b")
        server = WebSocketServer(BASE, Auth.REQUIRED, Rules("/a/b"))
        _, done, _ = drive(server, [asking.start()])
        assert done is not None and done.info is not None
        self.assertEqual((Target("2001:db8::1", 22), ALICE), (done.info.target, done.info.principal))
        self.assertEqual(Step(done=True, rest=b"early"), asking.receive(server.accept() + b"early"))

    def test_good(self) -> None:
        """
        However the answer comes, what follows is the stream's.
        """
        asking = client()
        asking.start()
        for chunks in splits(answered(asking) + b"X-More: 1\r\n\r\nfra"):
            asking = client()
            asking.start()
            chunks = list(chunks)
            whole = answered(asking) + b"X-More: 1\r\n\r\nfra"
            at, rest, done = 0, b"", False
            for chunk in chunks:
                piece = whole[at : at + len(chunk)]
                at += len(chunk)
                if done:
                    rest += piece
                    continue
                step = asking.receive(piece)
                if step.done:
                    done, rest = True, step.rest
            self.assertEqual((True, b"fra"), (done, rest))

    def test_informational(self) -> None:
        """
        Other answers may come before.
        """
        asking = client()
        asking.start()
        data = b"HTTP/1.1 103 Early Hints\r\n\r\n" + answered(asking) + b"\r\n"
        self.assertTrue(asking.receive(data).done)

    def test_statuses(self) -> None:
        """
        What a status means, with what the server says of it.
        """
        for status, cause in (
            (b"401 Unauthorized", Cause.AUTHENTICATION),
            (b"403 Forbidden", Cause.DENIED),
            (b"404 Not Found", Cause.GENERAL),
            (b"502 Bad Gateway", Cause.GENERAL),
            (b"504 Gateway Timeout", Cause.TIMED_OUT),
            (b"301 Moved Permanently", Cause.GENERAL),
            (b"200 OK", Cause.GENERAL),
        ):
            answer = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nwhy?" % status
            refused = self.refusal(answer)
            self.assertEqual((cause, True), (refused.cause, "why?" in str(refused)), status)
            self.assertIn(status.decode(), str(refused))
        page = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>"
        self.assertNotIn("html", str(self.refusal(page)))
        error = (
            b"HTTP/1.1 502 x\r\nProxy-Status: ugate; error=connection_refused\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(Cause.CONNECTION_REFUSED, self.refusal(error).cause)

    def test_longText(self) -> None:
        """
        Not all of a long text is waited for.
        """
        asking = client()
        asking.start()
        head = b"HTTP/1.1 502 x\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n"
        self.assertRaises(Refused, asking.receive, head + b"x" * 600)

    def test_misbehaved(self) -> None:
        """
        It speaks something else, or agreed on what nobody asked for.
        """
        for answer in (
            b"SSH-2.0-x\r\n\r\n",
            OK + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            OK + b"Sec-WebSocket-Protocol: chat\r\n\r\n",
            OK.replace(b"Upgrade: websocket", b"Upgrade: h2c") + b"\r\n",
            OK.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n",
            OK.replace(b"%b", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") + b"\r\n",
        ):
            asking = client()
            asking.start()
            refused = self.assertRaises(Refused, asking.receive, answered(asking, answer))
            self.assertEqual(
                (Cause.PEER_MISBEHAVED, Phase.REMOTE, True),
                (refused.cause, refused.phase, "at that path" in refused.nextStep),
            )

    def test_datagrams(self) -> None:
        """
        Datagrams are asked for by their protocol, which the server has to choose: one that does not know it
        may have opened a stream of bytes.
        """
        chosen = b"Sec-WebSocket-Protocol: connect-udp\r\n"
        asking = client(FLOW)
        self.assertTrue(asking.start().startswith(b"GET /?target=db.example:53 HTTP/1.1\r\n"))
        self.assertIn(b"Sec-WebSocket-Protocol: binary, connect-udp\r\n", client(FLOW).start())
        self.assertTrue(asking.receive(answered(asking, OK + chosen + b"\r\n")).done)
        for more, cause, text in (
            (b"", Cause.UNSUPPORTED, "takes no datagrams"),
            (b"Sec-WebSocket-Protocol: binary\r\n", Cause.UNSUPPORTED, "takes no datagrams"),
            (b"Sec-WebSocket-Protocol: chat\r\n", Cause.PEER_MISBEHAVED, "did not offer"),
        ):
            asking = client(FLOW)
            asking.start()
            given = answered(asking, OK + more + b"\r\n")
            refused = self.assertRaises(Refused, asking.receive, given)
            self.assertEqual((cause, "websocket:gate:80"), (refused.cause, refused.hop))
            self.assertIn(text, str(refused))
        asking = client()
        asking.start()
        given = answered(asking, OK + chosen + b"\r\n")
        self.assertIs(Cause.PEER_MISBEHAVED, self.assertRaises(Refused, asking.receive, given).cause)
        asking = client(FLOW)
        asking.start()
        refused = self.assertRaises(Refused, asking.receive, b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n")
        self.assertIn("udp:db.example:53", str(refused))

    def test_cannotBeSaid(self) -> None:
        """
        A target or a login that HTTP cannot say is refused before anything is sent.
        """
        self.assertRaises(Refused, client, Target("bücher.example", 1))
        self.assertRaises(Refused, client, DB, UsernamePassword(b"a:b", b""))

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """
        Whatever a server says, the only error is a refusal.
        """
        for answer in (data, b"HTTP/1.1 " + data, OK.replace(b"%b", data)):
            asking = client()
            asking.start()
            try:
                asking.receive(answer)
            except Refused:
                pass
