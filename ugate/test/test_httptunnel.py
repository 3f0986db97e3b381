# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httptunnel}, as clients of a forward proxy meet it.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.httpconnect import ESTABLISHED
from ugate.stream import Target
from ugate.test.httpfakes import HTTP, Proxy, splits

CONNECT = b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n"
WEBSOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class ConnectTests(SynchronousTestCase):
    """
    A CONNECT after other requests on the same connection.
    """

    def test_connect(self) -> None:
        """
        It makes a stream, and what follows goes both ways.
        """
        for chunks in splits(CONNECT + b"early"):
            proxy = Proxy()
            proxy.ask(*chunks)
            self.assertEqual(
                proxy.last.info,
                HTTP.but(target=Target("db.example", 5432), protocol="connect", layers=("http", "connect")),
            )
            self.assertEqual((proxy.told(), proxy.asked()), (ESTABLISHED, b"early"))
            proxy.respond(b"hello")
            proxy.ask(b"\r\nmore")
            self.assertEqual((proxy.told(), proxy.asked()), (b"hello", b"\r\nmore"))

    def test_later(self) -> None:
        """
        What the client sends before the stream is up waits, and so does the client.
        """
        proxy = Proxy(answer=False)
        proxy.ask(CONNECT)
        self.assertEqual(proxy.client.producerState, "producing")
        proxy.ask(b"early")
        self.assertEqual((proxy.told(), proxy.client.producerState), (b"", "paused"))
        proxy.last.transport.accept()
        proxy.turn()
        self.assertEqual((proxy.told(), proxy.asked()), (ESTABLISHED, b"early"))
        self.assertEqual(proxy.client.producerState, "producing")

    def test_serverFirst(self) -> None:
        """
        A target that speaks first is heard after the answer.
        """
        proxy = Proxy(answer=False)
        proxy.ask(CONNECT)
        proxy.last.transport.accept()
        proxy.last.transport.write(b"220 ready\r\n")
        proxy.turn()
        self.assertEqual(proxy.told(), ESTABLISHED + b"220 ready\r\n")

    def test_refused(self) -> None:
        """
        After a refusal the connection goes on.
        """
        proxy = Proxy(answer=Refused(Cause.TIMED_OUT, Phase.CONNECT, "db.example:5432"))
        proxy.ask(CONNECT)
        told = proxy.told()
        self.assertTrue(told.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n"), told)
        self.assertIn(b"Proxy-Status: ugate; error=connection_timeout\r\n", told)
        proxy.gateway.answer = True
        proxy.ask(CONNECT)
        self.assertEqual(proxy.told(), ESTABLISHED)

    def test_afterRequest(self) -> None:
        """
        The stream of the request before is closed.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(b"HTTP/1.1 204 No\r\n\r\n")
        first = proxy.last
        proxy.told()
        proxy.ask(CONNECT)
        self.assertEqual(proxy.told(), ESTABLISHED)
        self.assertIsNot(first, proxy.last)
        assert first.lost is not None
        first.lost.trap(ConnectionDone)


class UpgradeTests(SynchronousTestCase):
    """
    A request that asks for another protocol.
    """

    def test_websocket(self) -> None:
        """
        After 101 there are bytes, from the first one on.
        """
        proxy = Proxy()
        proxy.get(more=WEBSOCKET)
        asked = proxy.asked()
        self.assertIn(b"\r\nUpgrade: websocket\r\n", asked)
        self.assertIn(b"\r\nConnection: Upgrade\r\n", asked)
        proxy.respond(SWITCH + b"\x81\x02hi")
        head, _, rest = proxy.told().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"))
        self.assertIn(b"Upgrade: websocket", head)
        self.assertEqual(rest, b"\x81\x02hi")
        proxy.ask(b"\x81\x82mask")
        self.assertEqual(proxy.asked(), b"\x81\x82mask")

    def test_everyByte(self) -> None:
        """
        However the answer comes.
        """
        wanted = None
        for chunks in splits(SWITCH + b"\x00\r\n"):
            proxy = Proxy()
            proxy.get(more=WEBSOCKET)
            proxy.respond(*chunks)
            told = proxy.told()
            wanted = wanted or told
            self.assertEqual(told, wanted)

    def test_eager(self) -> None:
        """
        A client that does not wait for the answer is not lost.
        """
        proxy = Proxy()
        proxy.get(more=WEBSOCKET)
        proxy.asked()
        proxy.ask(b"eager")
        self.assertEqual((proxy.asked(), proxy.client.producerState), (b"", "paused"))
        proxy.respond(SWITCH)
        self.assertEqual((proxy.asked(), proxy.client.producerState), (b"eager", "producing"))

    def test_no(self) -> None:
        """
        A target need not change, and the connection goes on.
        """
        proxy = Proxy()
        proxy.get(more=WEBSOCKET)
        proxy.respond(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: upgrade\r\n")
        proxy.respond(b"Content-Length: 0\r\n\r\n")
        told = proxy.told()
        self.assertIn(b"Upgrade: h2c\r\n", told)
        proxy.get()
        self.assertEqual(len(proxy.gateway.streams), 1)
        proxy.respond(b"HTTP/1.1 204 No\r\n\r\n")
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 204 No\r\n"))

    def test_notAsked(self) -> None:
        """
        Nobody changes what the client did not ask to change.
        """
        for more in b"", b"Upgrade: websocket\r\n":
            proxy = Proxy()
            proxy.get(more=more)
            proxy.respond(SWITCH)
            self.assertTrue(proxy.told().startswith(b"HTTP/1.1 502 "))

    def test_inTheMiddle(self) -> None:
        """
        Nor in the middle of a request.
        """
        proxy = Proxy()
        proxy.ask(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + WEBSOCKET + b"\r\nab")
        proxy.respond(SWITCH)
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 502 "))
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)


class EndTests(SynchronousTestCase):
    """
    How a tunnel ends.
    """

    def setUp(self) -> None:
        self.proxy = Proxy()
        self.proxy.ask(CONNECT)
        self.proxy.told()

    def test_clientEnds(self) -> None:
        """
        The client's end goes through; the other direction goes on until its own.
        """
        proxy = self.proxy
        proxy.protocol.readConnectionLost()
        self.assertTrue(proxy.last.ended)
        proxy.respond(b"still")
        self.assertEqual((proxy.told(), proxy.client.disconnecting), (b"still", False))
        proxy.last.transport.loseWriteConnection()
        self.assertTrue(proxy.client.disconnecting)
        self.assertFalse(proxy.client.aborted)

    def test_targetEnds(self) -> None:
        """
        So does the target's.
        """
        proxy = self.proxy
        proxy.last.transport.loseWriteConnection()
        self.assertTrue(proxy.client.writeEnded)
        self.assertFalse(proxy.client.disconnecting)
        self.assertIsNone(proxy.client.producer)
        proxy.ask(b"still")
        self.assertEqual(proxy.asked(), b"still")
        proxy.protocol.readConnectionLost()
        self.assertTrue(proxy.last.ended and proxy.client.disconnecting)

    def test_endedBefore(self) -> None:
        """
        A client may end its direction before the stream is up.
        """
        proxy = Proxy(answer=False)
        proxy.ask(CONNECT + b"all")
        proxy.protocol.readConnectionLost()
        proxy.last.transport.accept()
        proxy.turn()
        self.assertEqual((proxy.asked(), proxy.last.ended), (b"all", True))

    def test_targetCloses(self) -> None:
        """
        A target that closes closes the client, after what was sent.
        """
        self.proxy.last.transport.loseConnection()
        self.assertTrue(self.proxy.client.disconnecting)
        self.assertFalse(self.proxy.client.aborted)

    def test_targetLost(self) -> None:
        """
        A target that is cut off cuts off the client.
        """
        self.proxy.last.transport.abortConnection()
        self.assertTrue(self.proxy.client.aborted)

    def test_clientLost(self) -> None:
        """
        And the other way round: the gateway hears how.
        """
        for reason, wanted in (ConnectionDone(), ConnectionDone), (ConnectionLost(), ConnectionAborted):
            self.setUp()
            self.proxy.protocol.connectionLost(Failure(reason))
            self.proxy.turn()
            assert self.proxy.last.lost is not None
            self.proxy.last.lost.trap(wanted)
            self.assertEqual(self.proxy.clock.getDelayedCalls(), [])

    def test_noDeadline(self) -> None:
        """
        A tunnel may rest for as long as the gateway lets it.
        """
        self.proxy.clock.advance(100000)
        self.assertFalse(self.proxy.client.disconnecting)


class PaceTests(SynchronousTestCase):
    """
    Back-pressure.
    """

    def test_both(self) -> None:
        """
        Whoever is slow slows down the other side.
        """
        proxy = Proxy()
        proxy.ask(CONNECT)
        proxy.last.transport.pauseProducing()
        self.assertEqual(proxy.client.producerState, "paused")
        proxy.last.transport.resumeProducing()
        self.assertEqual(proxy.client.producerState, "producing")
        target = StringTransport()
        proxy.last.transport.registerProducer(target, True)
        assert proxy.client.producer is not None
        proxy.client.producer.pauseProducing()
        self.assertEqual(target.producerState, "paused")
        proxy.client.producer.resumeProducing()
        self.assertEqual(target.producerState, "producing")

    def test_fullFromTheStart(self) -> None:
        """
        A target that is full when the tunnel begins leaves the client paused.
        """
        proxy = Proxy(answer=False)
        proxy.ask(CONNECT + b"early")
        self.assertEqual(proxy.client.producerState, "paused")
        proxy.last.transport.pauseProducing()
        proxy.last.transport.accept()
        proxy.turn()
        self.assertEqual(proxy.client.producerState, "paused")
        proxy.last.transport.resumeProducing()
        self.assertEqual(proxy.client.producerState, "producing")
