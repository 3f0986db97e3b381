# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.websocketshared}: tunnels that share connections in HTTP/2, in memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.ssl import PrivateCertificate
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialing import dialerFromText
from ugate.endpoints.websocketshared import AGAIN
from ugate.errors import Cause, Refused
from ugate.hoppools import poolsIn
from ugate.protocols.h2core import H2Core
from ugate.stream import StreamInfo
from ugate.test.datagramfakes import flowTo
from ugate.test.dialfakes import streamTo
from ugate.test.tlsfakes import Issuer
from ugate.testing import Conversation, Conversations, MemoryMesh, Reset

BULK = bytes(range(256)) * 4096
GATE = "h2connect:mtls:tcp:443:anonymous=only:websocket=/tunnel:hosts=gate"


class SharedCase(SynchronousTestCase):
    """
    A gate in TLS, and a hop that believes its certificate.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.root = Issuer("root")
        self.served = Conversations()
        self.mesh.serve("web", 80, self.served)
        self.folder = Path(self.mktemp())
        self.root.write(self.folder, "gate")
        self.trust(self.folder / "root-cert.pem")
        self.hop = self.hopTo("websocket:gate:443:tls=yes:path=/tunnel")

    def trust(self, path: Path) -> None:
        """
        Have this machine believe a root.
        """
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(path)

        def restore() -> None:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before

        self.addCleanup(restore)

    def hopTo(self, text: str) -> Any:
        """
        The dialer.
        """
        return dialerFromText(self.mesh.host("user").reactor, text)

    def gate(self, endpoint: str = GATE, name: str = "main", **more: Any) -> None:
        """
        The gate.
        """
        listen = {name: {"endpoint": endpoint, "open": True}}
        self.mesh.gateway("gate", listen=listen, identity={"dir": str(self.folder)}, **more)

    def connect(self, info: StreamInfo | None = None) -> Any:
        """
        Ask for a stream.
        """
        endpoint = self.hop.endpointFor(info or streamTo("web:80"))
        connected: Deferred[Any] = endpoint.connect(Factory.forProtocol(Conversation))
        self.mesh.flush()
        return connected

    def stream(self) -> Conversation:
        """
        One that is up.
        """
        stream: Conversation = self.successResultOf(self.connect())
        return stream

    def links(self) -> int:
        """
        How many connections to the gate there are.
        """
        return len([each for each in self.mesh.connections("gate") if ":443" in each])


class SharedTests(SharedCase):
    """
    Our own server takes them.
    """

    def test_stream(self) -> None:
        """
        Bytes go both ways, much of them, and each end by itself.
        """
        self.gate()
        stream = self.stream()
        server = self.served.last
        server.pause()
        for end in (stream, server):
            end.pour(BULK * 2)
            end.halfClose()
        self.mesh.flush()
        self.assertEqual((BULK * 2, True), (stream.received, stream.isEnded))
        self.assertGreater(len(stream.unpoured), 0)
        server.resume()
        self.mesh.flush()
        self.assertEqual((BULK * 2, True), (server.received, server.isEnded))
        self.assertTrue(stream.isOver and stream.isClean)
        self.assertEqual(0, next(iter(self.hop.pool.sessions)).streams)

    def test_shared(self) -> None:
        """
        Many are on one connection, and one that nobody reads holds up no other; a reload finds it.
        """
        self.gate()
        streams = [self.stream() for _ in range(20)]
        self.assertEqual(1, self.links())
        self.served.accepted[0].pause()
        for stream in streams:
            stream.write(BULK)
        self.mesh.flush()
        self.assertLess(len(self.served.accepted[0].received), len(BULK))
        self.assertEqual([BULK] * 19, [each.received for each in self.served.accepted[1:]])
        self.assertEqual([self.hop.pool], list(poolsIn(self.hop)))
        self.hop.pool.drain()
        self.served.accepted[0].resume()
        self.mesh.flush()
        self.assertEqual(BULK, self.served.accepted[0].received)

    def test_quiet(self) -> None:
        """
        A quiet tunnel lives, and so does its connection; one without tunnels is closed after a time.
        """
        self.gate()
        stream = self.stream()
        for _ in range(20):
            self.mesh.advance(25)
        stream.write(b"still there")
        self.mesh.flush()
        self.assertEqual((b"still there", 1), (self.served.last.received, self.links()))
        stream.halfClose()
        self.served.last.close()
        self.mesh.flush()
        self.mesh.advance(self.hop.pool.limits.idle)
        self.mesh.advance(1)
        self.assertEqual(0, self.links())

    def test_login(self) -> None:
        """
        The login of each tunnel is read when it is asked for; without a password none is.
        """
        self.gate()
        self.hop = self.hopTo("websocket:me@gate:443:tls=yes:path=/tunnel:passwordEnv=UGATE_TEST_PASSWORD")
        refused: Any = self.failureResultOf(self.connect(), Refused).value
        self.assertEqual((Cause.AUTHENTICATION, []), (refused.cause, self.served.accepted))
        self.assertIn("UGATE_TEST_PASSWORD", refused.detail)
        os.environ["UGATE_TEST_PASSWORD"] = "secret"
        self.addCleanup(os.environ.pop, "UGATE_TEST_PASSWORD")
        self.assertTrue(self.stream().isOpen)
        self.assertEqual(1, self.links())

    def test_masked(self) -> None:
        """
        What a client says is masked, also here.
        """
        self.gate()
        stream: Any = self.stream()
        sent: list[bytes] = []
        channel = stream.transport.channel._below.channel
        self.patch(type(channel), "write", lambda _, data: sent.append(bytes(data)))
        stream.write(b"question")
        data = b"".join(sent)
        self.assertEqual((b"\x82\x88", 14), (data[:2], len(data)))
        self.assertNotIn(b"question", data)

    def test_datagrams(self) -> None:
        """
        Datagrams are asked for there, and decided as such.
        """
        self.gate(policy={"rules": [{"action": "deny", "target": "udp:db:53"}, {"action": "allow"}]})
        refused: Any = self.failureResultOf(self.connect(flowTo("db", 53)), Refused).value
        self.assertEqual((Cause.DENIED, "websocket:gate:443"), (refused.cause, refused.hop))
        self.assertIn("deny target udp:db:53", refused.detail)
        self.assertEqual(1, self.links())

    def test_refused(self) -> None:
        """
        Why a stream is not is a status with words, and nothing else is tried.
        """
        self.gate()
        refused: Any = self.failureResultOf(self.connect(streamTo("web:81")), Refused).value
        self.assertEqual((Cause.CONNECTION_REFUSED, "websocket:gate:443"), (refused.cause, refused.hop))
        self.hop = self.hopTo("websocket:gate:443:tls=yes:path=/other")
        refused = self.failureResultOf(self.connect(), Refused).value
        self.assertIn("404", str(refused))
        self.assertEqual(2, self.links())

    def test_cut(self) -> None:
        """
        A reset behind is one here; with the connection all on it are lost, and the next has another.
        """
        self.gate()
        stream = self.stream()
        self.served.last.abort()
        self.mesh.flush()
        self.assertTrue(stream.isOver and not stream.isClean)
        stream = self.stream()
        fault = self.mesh.apply(Reset(), "user", "gate")
        self.mesh.flush()
        self.assertTrue(stream.isOver and not stream.isClean)
        fault.lift()
        self.assertTrue(self.stream().isOpen)


class SingleTests(SharedCase):
    """
    Servers that take none in HTTP/2.
    """

    def test_onlyHTTP1(self) -> None:
        """
        One that knows HTTP/1.1 alone gets a connection for each, and is not asked again for a while.
        """
        for alpn in (":alpn=http/1.1", ""):
            self.setUp()
            self.gate(f"websocket:mtls:tcp:443:anonymous=only{alpn}:path=/tunnel:hosts=gate")
            streams = [self.stream() for _ in range(3)]
            self.assertEqual((3, 0, 1), (self.links(), len(self.hop.pool.links()), self.hop.pool.failed))
            for stream in streams:
                stream.write(b"question")
            self.mesh.flush()
            self.assertEqual([b"question"] * 3, [each.received for each in self.served.accepted])
            self.mesh.advance(AGAIN)
            self.assertTrue(self.stream().isOpen)
            self.assertEqual(2, self.hop.pool.failed)
            self.mesh.stop()

    def test_notAsked(self) -> None:
        """
        One is not asked for HTTP/2 if the hop says so.
        """
        self.hop = self.hopTo("websocket:gate:443:tls=yes:path=/tunnel:alpn=http/1.1")
        self.gate("websocket:mtls:tcp:443:anonymous=only:alpn=h2,http/1.1:path=/tunnel:hosts=gate")
        self.assertTrue(self.stream().isOpen)
        self.assertEqual((1, None), (self.links(), self.hop.pool))
        self.hop = self.hopTo("websocket:gate:443:tls=yes:alpn=h2")
        self.assertIsNotNone(self.hop.pool)

    def test_atOnce(self) -> None:
        """
        Those that begin at the same moment find that out together.
        """
        self.gate("websocket:mtls:tcp:443:anonymous=only:path=/tunnel:hosts=gate")
        endpoints = [self.hop.endpointFor(streamTo("web:80")) for _ in range(5)]
        connected = [each.connect(Factory.forProtocol(Conversation)) for each in endpoints]
        self.mesh.flush()
        self.assertTrue(all(self.successResultOf(each).isOpen for each in connected))
        self.assertEqual(1, self.hop.pool.failed)

    def test_noExtension(self) -> None:
        """
        One that speaks HTTP/2 and does not say that it takes such requests is not asked for any there.
        """
        self.patch(H2Core, "isExtended", property(lambda core: False, lambda core, value: None))
        self.gate()
        refused: Any = self.failureResultOf(self.connect(), Refused).value
        self.assertIn("its answer is no HTTP/1.1", str(refused))
        self.assertEqual((False, []), (self.hop._shared.areTaken, self.hop.pool.links()))

    def test_breaksOff(self) -> None:
        """
        One that breaks off TLS over what is offered is asked in HTTP/1.1, with no offer.
        """
        options = PrivateCertificate.loadPEM(self.root.identity("old").pem()).options()
        self.mesh.serve("old", 443, TLSMemoryBIOFactory(options, False, self.served))
        self.hop = self.hopTo("websocket:old:443:tls=yes")
        connected = self.connect()
        self.mesh.advance(1)
        self.assertTrue(self.served.last.received.startswith(b"GET /?target=web:80 HTTP/1.1"))
        connected.cancel()
        self.failureResultOf(connected)

    def test_wrongServer(self) -> None:
        """
        Who is not there is not asked in another way, and who cannot prove who it is gets no further in it.
        """
        self.gate()
        self.hop = self.hopTo("websocket:other:443:tls=yes")
        self.mesh.host("other")
        refused: Any = self.failureResultOf(self.connect(), Refused).value
        self.assertEqual((Cause.CONNECTION_REFUSED, True), (refused.cause, self.hop._shared.areTaken))
        self.trust(self.stranger())
        self.hop = self.hopTo("websocket:gate:443:tls=yes:path=/tunnel")
        refused = self.failureResultOf(self.connect(), Refused).value
        self.assertIn("certificate", str(refused))
        self.assertEqual(([], []), (self.hop.pool.links(), self.served.accepted))

    def stranger(self) -> Path:
        """
        The root of somebody else.
        """
        folder = Path(self.mktemp())
        Issuer("other").write(folder, "gate")
        return folder / "root-cert.pem"
