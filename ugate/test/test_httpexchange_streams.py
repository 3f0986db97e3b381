# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpexchange}: streams that are kept, slow, or gone.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.test.exchangefakes import OK, post
from ugate.test.httpfakes import Proxy


class RetryTests(SynchronousTestCase):
    """
    When a kept stream ends just as it is used again.
    """

    def again(self, request: bytes, *data: bytes, end: str = "loseConnection") -> Proxy:
        """
        A second request on a stream that ends at once.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.told()
        proxy.asked()
        proxy.ask(request)
        self.assertEqual(len(proxy.gateway.streams), 1)
        proxy.respond(*data)
        getattr(proxy.last.transport, end)()
        proxy.turn()
        return proxy

    def test_retry(self) -> None:
        """
        The request is made again, once, on a new stream.
        """
        for method in b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE":
            for end in "loseConnection", "loseWriteConnection", "abortConnection":
                proxy = self.again(b"%b http://a.example/2 HTTP/1.1\r\nHost: a\r\n\r\n" % method, end=end)
                self.assertEqual(len(proxy.gateway.streams), 2)
                self.assertTrue(proxy.asked().startswith(method + b" /2 HTTP/1.1\r\nHost: a.example\r\n"))
                self.assertEqual(proxy.told(), b"")
                proxy.respond(b"HTTP/1.1 204 No\r\n\r\n")
                self.assertTrue(proxy.told().startswith(b"HTTP/1.1 204 "))

    def test_once(self) -> None:
        """
        It is not made for a third time.
        """
        proxy = self.again(b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        proxy.last.transport.loseConnection()
        self.assertEqual(len(proxy.gateway.streams), 2)
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 502 "))

    def test_notSafe(self) -> None:
        """
        What may have had an effect is not done again.
        """
        for request, data in (
            (post(b"Content-Length: 0\r\n"), b""),
            (post(b"Content-Length: 5\r\n").replace(b"POST", b"PUT") + b"h", b""),
            (b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 1"),
            (b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ):
            proxy = self.again(request, data)
            self.assertEqual(len(proxy.gateway.streams), 1)
            self.assertIn(b"HTTP/1.1 502 ", proxy.told())

    def test_waiting(self) -> None:
        """
        Content that has not gone yet goes to the new stream.
        """
        request = post(b"Content-Length: 5\r\nExpect: 100-continue\r\n").replace(b"POST", b"PUT")
        proxy = self.again(request)
        self.assertEqual(len(proxy.gateway.streams), 2)
        proxy.respond(b"HTTP/1.1 100 Continue\r\n\r\n")
        proxy.ask(b"hello")
        self.assertTrue(proxy.asked().endswith(b"hello"))

    def test_refused(self) -> None:
        """
        If the new stream is refused, that is the answer.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.told()
        proxy.get()
        proxy.gateway.answer = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "a.example:80")
        proxy.last.transport.loseConnection()
        proxy.turn()
        self.assertIn(b"error=connection_refused", proxy.told())


class PaceTests(SynchronousTestCase):
    """
    Back-pressure, and that nothing is kept.
    """

    def test_upload(self) -> None:
        """
        A slow target slows down the client, and at most one chunk waits.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 200000\r\n"))
        proxy.asked()
        proxy.last.transport.pauseProducing()
        self.assertEqual(proxy.client.producerState, "producing")
        proxy.ask(b"a" * 60000)
        self.assertEqual((proxy.asked(), proxy.client.producerState), (b"", "paused"))
        proxy.last.transport.resumeProducing()
        self.assertEqual((proxy.asked(), proxy.client.producerState), (b"a" * 60000, "producing"))
        proxy.ask(b"b" * 60000)
        self.assertEqual(proxy.asked(), b"b" * 60000)

    def test_download(self) -> None:
        """
        A slow client slows down the target, and all that has come goes on at once.
        """
        proxy = Proxy()
        proxy.get()
        target = StringTransport()
        proxy.last.transport.registerProducer(target, True)
        proxy.respond(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"a" * 60000)
        self.assertEqual(len(proxy.told().partition(b"\r\n\r\n")[2]), 60000)
        assert proxy.client.producer is not None
        proxy.client.producer.pauseProducing()
        self.assertEqual(target.producerState, "paused")
        proxy.respond(b"b" * 60000)
        self.assertEqual(proxy.told(), b"b" * 60000)
        proxy.client.producer.resumeProducing()
        self.assertEqual(target.producerState, "producing")

    def test_slowFromTheStart(self) -> None:
        """
        A stream that is opened while the client does not read begins paused.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.get()
        assert proxy.client.producer is not None
        proxy.client.producer.pauseProducing()
        proxy.last.transport.loseConnection()
        proxy.turn()
        self.assertEqual(len(proxy.gateway.streams), 2)
        target = StringTransport()
        proxy.last.transport.registerProducer(target, True)
        self.assertEqual(target.producerState, "paused")
        proxy.client.producer.resumeProducing()
        self.assertEqual(target.producerState, "producing")

    def test_crossed(self) -> None:
        """
        A client that does not read still sends its content: its target may wait for it.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 4\r\n"))
        assert proxy.client.producer is not None
        proxy.client.producer.pauseProducing()
        proxy.asked()
        proxy.ask(b"body")
        self.assertEqual(proxy.asked(), b"body")


class EndTests(SynchronousTestCase):
    """
    When the client goes away.
    """

    def test_whileDialing(self) -> None:
        """
        The gateway hears of it.
        """
        proxy = Proxy(answer=False)
        proxy.get()
        proxy.protocol.connectionLost()
        proxy.turn()
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)
        self.assertEqual(proxy.clock.getDelayedCalls(), [])

    def test_whileWaiting(self) -> None:
        """
        It is not a clean end, since the response is not wanted any more.
        """
        proxy = Proxy()
        proxy.get()
        proxy.protocol.connectionLost()
        proxy.turn()
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)

    def test_whileResting(self) -> None:
        """
        Between requests it is.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.protocol.connectionLost()
        proxy.turn()
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionDone)
        self.assertEqual(proxy.clock.getDelayedCalls(), [])
