# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.websockettunnels}: WebSocket on a stream of HTTP/2, frame by frame.
"""

from __future__ import annotations

import struct
from typing import Any

from hpack import NeverIndexedHeaderTuple

from twisted.cred.credentials import UsernamePassword
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.protocols.capsules import capsule
from ugate.protocols.h2frames import DATA, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, Code
from ugate.protocols.websocketframes import BINARY, CLOSE, PING, FrameReader, frame, goodbye
from ugate.protocols.websocketlink import WebSocketLink
from ugate.protocols.websocketrules import Rules
from ugate.protocols.websockettunnels import Asking
from ugate.protocols.websocketwire import KEEPALIVE, WINDOW, WebSocketStreams
from ugate.stream import UDP, StreamInfo, Target
from ugate.test.datagramfakes import flowTo
from ugate.test.dialfakes import Net
from ugate.test.h2fakes import CONNECT, INFO, RawPeer
from ugate.test.test_websocketframes import Counting
from ugate.testing import Conversation

EXTENDED = 8
"""SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, 3)."""

RULES = Rules("/tunnel", frozenset(["https://app.example"]), frozenset(["gate.example"]))


def request(path: str = "/tunnel?target=db:5432", **more: str) -> list[tuple[str, str]]:
    """
    What a browser asks for.
    """
    fields = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": path}
    fields |= {":authority": "gate.example", "sec-websocket-version": "13"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return list(fields.items())


class TunnelsTests(SynchronousTestCase):
    """
    A link with tunnels, and the frames of its peer.
    """

    def setUp(self) -> None:
        self.peer = RawPeer(rules=RULES)
        self.data = b""

    def opened(self, number: int = 1, **more: str) -> Conversation:
        """
        A stream that is up.
        """
        self.peer.headers(number, request(**more))
        stream = self.peer.streams[-1]
        stream.accept()
        inner = Conversation()
        stream.begin(inner)
        return inner

    def send(self, kind: int, payload: bytes = b"", flags: int = 0) -> None:
        """
        The peer sends a frame of WebSocket.
        """
        self.peer.send(DATA, flags, 1, b"".join(frame(kind, payload, True)))

    def told(self, number: int = 1) -> tuple[Any, list[int]]:
        """
        What came for a stream: the header fields, and the flags of its frames; its data is kept.
        """
        fields, flags = None, []
        for kind, flag, stream, payload in self.peer.frames():
            if kind == HEADERS and stream == number:
                fields = dict(self.peer.decoder.decode(payload))
            elif kind == DATA and stream == number:
                self.data += payload
            if stream == number:
                flags.append(flag)
        return fields, flags

    def test_settings(self) -> None:
        """
        A server says that it knows such requests, since it takes datagrams anyway; a client does not.
        """
        for client, rules, isThere in ((False, RULES, True), (False, None, True), (True, None, False)):
            kind, _, _, payload = RawPeer(client, rules=rules).frames()[0]
            self.assertEqual(SETTINGS, kind)
            self.assertEqual(isThere, (EXTENDED, 1) in struct.iter_unpack(">HL", payload))

    def test_stream(self) -> None:
        """
        The stream is known as one in WebSocket; its bytes are in messages, both ways, to the end of both.
        """
        inner = self.opened()
        info: Any = inner.transport.getPeer()  # type: ignore[union-attr]
        self.assertEqual((Target("db", 5432), "websocket"), (info.target, info.protocol))
        self.assertEqual(("websocket",), info.layers)
        self.send(BINARY, b"question")
        self.send(PING, b"?")
        self.assertEqual(b"question", inner.received)
        inner.write(b"answer")
        inner.halfClose()
        fields, flags = self.told()
        self.assertEqual({":status": "200"}, fields)
        reader = FrameReader(False, Counting())
        self.assertEqual(b"answer", b"".join(reader.feed(self.data.replace(b"\x8a\x01?", b""))))
        self.assertEqual((1000, ""), reader.close)
        self.assertFalse(END_STREAM & max(flags[1:]))
        self.send(BINARY, b" and more")
        self.send(CLOSE, goodbye(1000))
        self.assertEqual((b"question and more", True), (inner.received, inner.isOver))
        assert inner.lost is not None
        self.assertIsNotNone(inner.lost.check(ConnectionDone))
        self.assertEqual([END_STREAM], self.told()[1][-1:])
        self.peer.send(DATA, END_STREAM, 1)
        self.assertEqual(0, self.peer.link.streams)

    def test_plain(self) -> None:
        """
        On the same link, a CONNECT without more is what it always was.
        """
        self.peer.headers(1, CONNECT)
        (stream,) = self.peer.streams
        self.assertEqual("h2connect", stream.info.protocol)
        stream.accept()
        self.assertEqual({":status": "200"}, self.told()[0])

    def test_subprotocol(self) -> None:
        """
        What is chosen of what the client offers is said in the answer.
        """
        self.opened(sec_websocket_protocol="base64, binary")
        self.assertEqual({":status": "200", "sec-websocket-protocol": "binary"}, self.told()[0])

    def test_datagrams(self) -> None:
        """
        A flow of datagrams is asked for by its protocol, as in HTTP/1.1, and its capsules are in messages.
        """
        inner = self.opened(sec_websocket_protocol="connect-udp")
        info: Any = inner.transport.getPeer()  # type: ignore[union-attr]
        self.assertEqual((Target("db", 5432, UDP), "websocket"), (info.target, info.protocol))
        self.send(BINARY, capsule(b"question"))
        inner.write(capsule(b"answer"))
        self.assertEqual({":status": "200", "sec-websocket-protocol": "connect-udp"}, self.told()[0])
        self.assertEqual(capsule(b"question"), inner.received)
        self.assertEqual(b"".join(frame(BINARY, capsule(b"answer"), False)), self.data)

    def test_refused(self) -> None:
        """
        A refusal is a status, as with a CONNECT.
        """
        self.peer.headers(1, request())
        self.peer.streams[0].refuse(Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "db:5432"))
        fields, _ = self.told()
        self.assertEqual("502", fields[":status"])
        self.assertIn(b"connection refused", self.data)
        self.assertEqual(0, self.peer.link.streams)

    def test_others(self) -> None:
        """
        The rules are those of HTTP/1.1.
        """
        for number, (status, fields) in enumerate(
            (
                ("404", request("/other")),
                ("400", request("/tunnel?target=x")),
                ("426", request(sec_websocket_version="8")),
                ("403", request(origin="https://evil.example")),
                ("403", request(origin="https://any.example", **{":authority": "any.example"})),
                ("501", request(**{":protocol": "connect-ip"})),
            )
        ):
            self.setUp()
            self.peer.headers(1, fields)
            self.assertEqual(status, self.told()[0][":status"], number)
            self.assertEqual([], self.peer.streams)
        for fields in (request(origin="https://app.example"), request(origin="https://gate.example")):
            self.setUp()
            self.peer.headers(1, fields)
            self.assertEqual(1, len(self.peer.streams))

    def test_endWithoutClose(self) -> None:
        """
        An end of the stream of HTTP/2 in the middle is a loss.
        """
        inner = self.opened()
        self.send(BINARY, b"half of", END_STREAM)
        self.assertEqual((b"half of", True, False), (inner.received, inner.isOver, inner.isClean))
        self.assertIn(RST_STREAM, [each[0] for each in self.peer.frames()])

    def test_fault(self) -> None:
        """
        Who breaks WebSocket loses that stream, and no other.
        """
        inner = self.opened()
        other = self.opened(3)
        self.peer.send(DATA, 0, 1, b"\x82\x01x")
        self.assertTrue(inner.isOver and other.isOpen)
        self.told()
        self.assertIn(b"\x88", self.data)
        self.assertIn(b"a frame without a mask", self.data)

    def test_cut(self) -> None:
        """
        A reset is one, either way; so is the end of the link.
        """
        inner = self.opened()
        inner.abort()
        self.assertIn(RST_STREAM, [each[0] for each in self.peer.frames()])
        inner = self.opened(3)
        self.peer.send(RST_STREAM, 0, 3, struct.pack(">L", 8))
        self.assertFalse(inner.isClean)
        inner = self.opened(5)
        self.peer.link.abort("so it is")
        self.assertFalse(inner.isClean or inner.isOpen)
        self.assertEqual([], self.peer.clock.getDelayedCalls())

    def test_pressure(self) -> None:
        """
        Who does not read holds up the peer, which is granted nothing more on that stream.
        """
        inner = self.opened()
        inner.pause()
        for _ in range(WINDOW // 16000 + 1):
            self.send(BINARY, bytes(16000))
        granted = self.peer.frames()
        self.assertIn((WINDOW_UPDATE, 1), [(each[0], each[2]) for each in granted])
        for _ in range(4):
            self.send(BINARY, bytes(16000))
        self.assertEqual([], [each for each in self.peer.frames() if each[2] == 1])
        inner.resume()
        self.assertEqual((WINDOW // 16000 + 5) * 16000, len(inner.received))

    def test_keepalive(self) -> None:
        """
        A stream that says nothing is asked whether it is there.
        """
        inner = self.opened()
        self.peer.clock.advance(KEEPALIVE)
        self.told()
        self.assertEqual(b"\x89\x011", self.data)
        self.peer.clock.advance(KEEPALIVE)
        self.assertTrue(inner.isOver)


class AskingTests(SynchronousTestCase):
    """
    A link that asks its peer for tunnels.
    """

    def setUp(self) -> None:
        self.login: UsernamePassword | None = UsernamePassword(b"alice", b"secret")
        self.peer = RawPeer(
            client=True, greet=False, asking=Asking(lambda: self.login, "gate.example", "/tunnel")
        )

    def asked(self, info: StreamInfo = INFO) -> tuple[Any, int, dict[str, str]]:
        """
        What it asks for.
        """
        self.peer.greet([(EXTENDED, 1)])
        self.peer.frames()
        opened = self.peer.link.open(info)
        ((_, _, number, payload),) = self.peer.frames()
        self.fields = list(self.peer.decoder.decode(payload))
        return opened, number, {str(name): str(value) for name, value in self.fields}

    def test_request(self) -> None:
        """
        It is one as in RFC 8441, with the target in it, and a login that nobody keeps.
        """
        opened, number, fields = self.asked()
        wanted = dict(request("/tunnel?target=db.example:5432"))
        login = {"authorization": "Basic YWxpY2U6c2VjcmV0"}
        self.assertEqual(wanted | login, fields)
        self.assertIsInstance(self.fields[-1], NeverIndexedHeaderTuple)
        self.peer.headers(number, [(":status", "200")])
        self.assertEqual(INFO, self.successResultOf(opened).info)
        self.login = None
        self.peer.link.open(INFO)
        ((_, _, _, payload),) = self.peer.frames()
        self.assertEqual(wanted, dict(self.peer.decoder.decode(payload)))

    def test_datagrams(self) -> None:
        """
        Datagrams are asked for by their protocol, and a peer that does not choose it gets none.
        """
        chosen = ("sec-websocket-protocol", "connect-udp")
        opened, number, fields = self.asked(flowTo("db.example", 53))
        self.assertEqual("binary, connect-udp", fields["sec-websocket-protocol"])
        self.assertEqual("/tunnel?target=db.example:53", fields[":path"])
        self.peer.headers(number, [(":status", "200"), chosen])
        self.assertEqual("udp:db.example:53", str(self.successResultOf(opened).info.target))
        for info, more, cause in (
            (flowTo("db.example", 53), [], Cause.UNSUPPORTED),
            (flowTo("db.example", 53), [("sec-websocket-protocol", "binary")], Cause.UNSUPPORTED),
            (INFO, [chosen], Cause.PEER_MISBEHAVED),
            (INFO, [("sec-websocket-extensions", "permessage-deflate")], Cause.PEER_MISBEHAVED),
        ):
            self.setUp()
            opened, number, _ = self.asked(info)
            self.peer.headers(number, [(":status", "200"), *more])
            refused: Any = self.failureResultOf(opened, Refused).value
            self.assertIs(cause, refused.cause)
            self.assertEqual([(number, Code.CANCEL)], self.peer.resets())
            self.assertEqual(0, self.peer.link.streams)

    def test_endsFirst(self) -> None:
        """
        Who has said all ends its direction of the stream at once, so that the server is never the first; what
        that still has to say comes.
        """
        opened, number, _ = self.asked()
        self.peer.headers(number, [(":status", "200")])
        inner = Conversation()
        self.successResultOf(opened).begin(WebSocketLink(WebSocketStreams(self.peer.clock, True), inner))
        inner.write(b"question")
        inner.halfClose()
        said = [each for each in self.peer.frames() if each[2] == number]
        self.assertEqual(END_STREAM, said[-1][1])
        reader = FrameReader(True, Counting())
        self.assertEqual(b"question", b"".join(reader.feed(b"".join(each[3] for each in said))))
        self.assertEqual((1000, ""), reader.close)
        answer = [*frame(BINARY, b"answer", False), *frame(CLOSE, goodbye(1000), False)]
        self.peer.send(DATA, END_STREAM, number, b"".join(answer))
        self.assertEqual((b"answer", True, True), (inner.received, inner.isOver, inner.isClean))
        self.assertEqual(0, self.peer.link.streams)

    def test_cannotBeAsked(self) -> None:
        """
        A peer that takes no such requests, a target that HTTP cannot say, and a password that is not there.
        """
        self.peer.greet()
        refused: Any = self.failureResultOf(self.peer.link.open(INFO), Refused).value
        self.assertIs(Cause.UNSUPPORTED, refused.cause)
        self.setUp()
        self.peer.greet([(EXTENDED, 1)])
        self.peer.frames()
        odd = INFO.but(target=Target("b\xfccher.example", 1))
        refused = self.failureResultOf(self.peer.link.open(odd), Refused).value
        self.assertIs(Cause.NAME_UNKNOWN, refused.cause)
        self.login = UsernamePassword(b"a:b", b"")
        refused = self.failureResultOf(self.peer.link.open(INFO), Refused).value
        self.assertIs(Cause.UNSUPPORTED, refused.cause)
        self.assertEqual([], self.peer.frames())

    def test_refused(self) -> None:
        """
        A status other than 2xx is a refusal.
        """
        opened, number, _ = self.asked()
        self.peer.headers(number, [(":status", "401")], 5)
        refused: Any = self.failureResultOf(opened, Refused).value
        self.assertIs(Cause.AUTHENTICATION, refused.cause)


class StringTests(SynchronousTestCase):
    """
    How it is written.
    """

    def test_server(self) -> None:
        """
        A listener for HTTP/2 has a path for tunnels, and what else is said of them.
        """
        net = Net()
        serverFromString(net, "h2connect:mtls:tcp:1:websocket=/tunnel:origins=https\\://a:hosts=b")
        for wrong, text in (
            ("websocket=x", "websocket=:"),
            ("hosts=a", "websocket=PATH says"),
            ("origins=https\\://a", "websocket=PATH says"),
        ):
            error = self.assertRaises(StringError, serverFromString, net, f"h2connect:mtls:tcp:1:{wrong}")
            self.assertIn(text, str(error))
