# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.websocket}: tunnels through gateways, in a
network in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialing import dialerFromText
from ugate.errors import Cause, Refused
from ugate.posting import carriesDatagrams
from ugate.protocols.capsules import Capsules, capsule
from ugate.protocols.websocketframes import BINARY, CLOSE, frame
from ugate.protocols.websocketwire import GOODBYE, KEEPALIVE, STUCK
from ugate.test.datagramfakes import flowTo
from ugate.test.test_websocketserver import request
from ugate.testing import Conversation, Conversations, HalfClose, MemoryMesh, Reset, SplitWrites

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


class TunnelCase(SynchronousTestCase):
    """
    A gate that serves WebSocket, and a server behind.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)
        self.mesh.host("user")

    def gate(self, endpoint: str = "websocket:tcp:8080", **more: Any) -> None:
        """
        The gate, open to everybody unless it is told more.
        """
        listener: dict[str, object] = {"endpoint": endpoint}
        if "policy" not in more and "interface" not in endpoint:
            listener["open"] = True
        self.mesh.gateway("gate", listen={"main": listener}, **more)

    def connect(
        self,
        text: str = "websocket:gate:8080",
        hello: bytes = b"",
        to: str = "web\\:80",
        half: bool = False,
    ) -> Conversation:
        """
        A stream through.
        """
        stream = self.mesh.client("user").connect(f"{text}:to={to}", hello, half)
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

    def test_datagrams(self) -> None:
        """
        A flow of datagrams goes through, each whole, as one of the target that was asked for; and ends.
        """
        gate, user = self.mesh.host("gate"), self.mesh.host("user")
        self.successResultOf(serverFromString(gate.reactor, "websocket:tcp:8080").listen(self.served))
        hop = dialerFromText(user.reactor, "websocket:gate:8080")
        for source, destination in (("user", "gate"), ("gate", "user")):
            self.mesh.apply(SplitWrites(), source, destination)
        connected = hop.endpointFor(flowTo("db", 53)).connect(Factory.forProtocol(Conversation))
        self.mesh.flush()
        server: Any = self.served.last
        self.assertTrue(carriesDatagrams(server.transport))
        self.assertEqual("udp:db:53", str(server.transport.getPeer().target))
        server.transport.accept()
        self.mesh.flush()
        flow: Any = self.successResultOf(connected)
        self.assertTrue(carriesDatagrams(flow.transport))
        sent = [b"", b"question", bytes(1400)]
        flow.write(b"".join(map(capsule, sent)))
        server.write(capsule(b"answer"))
        self.mesh.flush()
        self.assertEqual(sent, Capsules().receive(server.received))
        self.assertEqual([b"answer"], Capsules().receive(flow.received))
        flow.close()
        self.mesh.flush()
        self.assertTrue(server.isEnded)
        server.close()
        self.mesh.flush()
        self.assertTrue(flow.isOver and flow.isClean)

    def test_flows(self) -> None:
        """
        At a gateway a flow is decided as one of datagrams: by rules for these, and why not is said.
        """
        rules = [{"action": "deny", "target": "udp:db:53", "who": "*"}, {"action": "allow"}]
        self.gate("websocket:tcp:8080:interface=127.0.0.1", policy={"rules": rules})
        hop = dialerFromText(self.mesh.host("gate").reactor, "websocket:127.0.0.1:8080")
        connected = hop.endpointFor(flowTo("db", 53)).connect(Factory.forProtocol(Conversation))
        self.mesh.flush()
        refused: Any = self.failureResultOf(connected, Refused).value
        self.assertEqual((Cause.DENIED, "websocket:127.0.0.1:8080"), (refused.cause, refused.hop))
        self.assertIn("deny who * target udp:db:53", refused.detail)

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

    def test_split(self) -> None:
        """
        Byte by byte, both ways, from the request to the last Close frame.
        """
        self.gate()
        for source, destination in (("user", "gate"), ("gate", "user")):
            self.mesh.apply(SplitWrites(), source, destination)
        stream = self.connect(hello=BULK[:1000], half=True)
        self.assertEqual((BULK[:1000], True), (self.served.last.received, self.served.last.isEnded))
        self.served.last.write(BULK[:2000])
        self.served.last.close()
        self.mesh.flush()
        self.assertEqual((BULK[:2000], True, True), (stream.received, stream.isClean, stream.isOver))

    def test_endedAnywhere(self) -> None:
        """
        Wherever the connection between the two ends, it is never taken for the end of the stream.
        """
        whole = b"12345" + b"67890" * 20
        for after in range(0, 400, 19):
            self.setUp()
            self.gate()
            self.mesh.apply(HalfClose(after), "user", "gate")
            stream = self.connect(hello=b"12345")
            stream.write(b"67890" * 20)
            stream.halfClose()
            self.mesh.flush()
            if self.served.accepted:
                server = self.served.last
                self.assertTrue(whole.startswith(server.received))
                self.assertEqual(server.received == whole and server.isEnded, server.isClean, after)
            self.mesh.stop()

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
