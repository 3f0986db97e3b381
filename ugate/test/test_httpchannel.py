# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpchannel}: requests one after another, the end, and what is not served.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied
from ugate.protocols.httpforward import HttpForwardFactory
from ugate.protocols.httphead import MAX_HEAD
from ugate.stream import Target
from ugate.test.channelfakes import OK, get
from ugate.test.httpfakes import HTTP, FakeGateway, Proxy, readResponses, splits


class KeepAliveTests(SynchronousTestCase):
    """
    Several requests on a connection.
    """

    def test_accepted(self) -> None:
        """
        The connection itself is answered once, and without a word.
        """
        proxy = Proxy()
        self.assertEqual((proxy.client.accepted, proxy.told()), (1, b""))

    def test_plainTransport(self) -> None:
        """
        A transport that owes no answer will do as well.
        """
        transport = StringTransport()
        protocol = HttpForwardFactory(FakeGateway(), Clock()).buildProtocol(HTTP)
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 400 "))

    def test_sameTarget(self) -> None:
        """
        Requests to one target share a stream.
        """
        proxy = Proxy()
        for _ in range(3):
            proxy.get()
            self.assertTrue(proxy.asked().startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\n"))
            proxy.respond(OK)
            self.assertEqual(readResponses(proxy.told(), [b"GET"]), [(200, b"ok")])
        self.assertEqual(len(proxy.gateway.streams), 1)
        self.assertEqual(proxy.last.info, HTTP.but(target=Target("a.example", 80)))

    def test_otherTarget(self) -> None:
        """
        For another target there is another stream, and the first one is closed.
        """
        proxy = Proxy()
        for host in "a.example", "b.example", "b.example:81":
            proxy.get(host)
            proxy.respond(OK)
        self.assertEqual(
            [str(s.info.target) for s in proxy.gateway.streams],
            ["a.example:80", "b.example:80", "b.example:81"],
        )
        for stream in proxy.gateway.streams[:2]:
            assert stream.lost is not None
            stream.lost.trap(ConnectionDone)
        self.assertIsNone(proxy.last.lost)

    def test_pipeline(self) -> None:
        """
        Requests that come all at once are made one after the other, and the client
        waits while there is one in front.
        """
        for chunks in splits(get() + get(b"b.example") + get(b"b.example")):
            proxy = Proxy()
            proxy.ask(*chunks)
            self.assertEqual(len(proxy.gateway.streams), 1)
            self.assertEqual(proxy.client.producerState, "paused")
            proxy.respond(OK)
            self.assertEqual(len(proxy.gateway.streams), 2)
            self.assertEqual(proxy.asked().count(b"GET"), 1)
            proxy.respond(OK)
            self.assertEqual(proxy.asked().count(b"GET"), 1)
            self.assertEqual(proxy.client.producerState, "producing")
            proxy.respond(OK)
            self.assertEqual(readResponses(proxy.told(), [b"GET"] * 3), [(200, b"ok")] * 3)

    def test_pipelineOfErrors(self) -> None:
        """
        Nor is there an answer to the next one while the client reads none.
        """
        proxy = Proxy(Denied("a.example:80"))
        assert proxy.client.producer is not None
        proxy.client.producer.pauseProducing()
        proxy.ask(get() * 5)
        self.assertEqual((proxy.told(), proxy.client.producerState), (b"", "paused"))
        proxy.client.producer.resumeProducing()
        self.assertEqual(len(readResponses(proxy.told(), [b"GET"] * 5)), 5)
        self.assertEqual(proxy.client.producerState, "producing")

    def test_emptyLines(self) -> None:
        """
        Empty lines between requests are ignored (RFC 9112, 2.2).
        """
        for chunks in splits(b"\r\n" + get() + b"\r\n\r\n" + get()):
            proxy = Proxy()
            proxy.ask(*chunks)
            proxy.respond(OK)
            proxy.respond(OK)
            self.assertEqual(len(readResponses(proxy.told(), [b"GET"] * 2)), 2)

    def test_emptyLineHeld(self) -> None:
        """
        A client that was paused for nothing but an empty line goes on.
        """
        proxy = Proxy()
        proxy.ask(get() + b"\r\n")
        self.assertEqual(proxy.client.producerState, "paused")
        proxy.respond(OK)
        self.assertEqual(proxy.client.producerState, "producing")

    def test_close(self) -> None:
        """
        A client may want only one response, and HTTP/1.0 always does.
        """
        for request in get(fields=b"Connection: close\r\n"), get(version=b"1.0"):
            proxy = Proxy()
            proxy.ask(request + get())
            self.assertIn(b"\r\nConnection: close\r\n", proxy.asked())
            proxy.respond(OK)
            self.assertIn(b"\r\nConnection: close\r\n", proxy.told())
            self.assertTrue(proxy.client.disconnecting)
            self.assertIsNone(proxy.client.producer)
            assert proxy.last.lost is not None
            proxy.last.lost.trap(ConnectionDone)
            self.assertEqual(len(proxy.gateway.streams), 1)

    def test_targetCloses(self) -> None:
        """
        A target that closes does not close the client.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertNotIn(b"Connection", proxy.told())
        proxy.get()
        self.assertEqual((len(proxy.gateway.streams), proxy.client.disconnecting), (2, False))

    def test_unsolicited(self) -> None:
        """
        What a target says between requests goes to nobody.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.told()
        proxy.respond(OK)
        self.assertEqual(proxy.told(), b"")
        proxy.get()
        self.assertEqual(len(proxy.gateway.streams), 2)


class HalfCloseTests(SynchronousTestCase):
    """
    A client that ends its direction.
    """

    def test_afterRequests(self) -> None:
        """
        It gets all its responses, and then the end.
        """
        proxy = Proxy()
        proxy.ask(get() + get(b"b.example"))
        proxy.protocol.readConnectionLost()
        proxy.respond(OK)
        self.assertFalse(proxy.client.disconnecting)
        proxy.respond(OK)
        self.assertEqual(len(readResponses(proxy.told(), [b"GET"] * 2)), 2)
        self.assertTrue(proxy.client.disconnecting)

    def test_resting(self) -> None:
        """
        Between requests it is the end.
        """
        for first in b"", get()[:-5]:
            proxy = Proxy()
            proxy.ask(first) if first else None
            proxy.protocol.readConnectionLost()
            self.assertTrue(proxy.client.disconnecting)
            self.assertEqual(proxy.told(), b"")

    def test_whileDialing(self) -> None:
        """
        While the target is dialed it changes nothing.
        """
        proxy = Proxy(answer=False)
        proxy.get()
        proxy.protocol.readConnectionLost()
        proxy.last.transport.accept()
        proxy.turn()
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"GET"]), [(200, b"ok")])
        self.assertTrue(proxy.client.disconnecting)

    def test_lingering(self) -> None:
        """
        After an error it is what we wait for.
        """
        proxy = Proxy()
        proxy.ask(b"rubbish\r\n\r\n")
        self.assertFalse(proxy.client.disconnecting)
        proxy.protocol.readConnectionLost()
        self.assertTrue(proxy.client.disconnecting)


class ErrorTests(SynchronousTestCase):
    """
    What is not served.
    """

    def test_goesOn(self) -> None:
        """
        After a request that leads nowhere the connection goes on.
        """
        for request, status in (
            (b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 200),
            (b"TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 405),
            (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"POST http://a:0/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400),
        ):
            for chunks in splits(request):
                proxy = Proxy()
                proxy.ask(*chunks)
                self.assertEqual(readResponses(proxy.told(), [request.split()[0]])[0][0], status)
                self.assertEqual(proxy.gateway.streams, [])
                proxy.get()
                self.assertEqual(len(proxy.gateway.streams), 1)

    def test_ends(self) -> None:
        """
        After a request whose end nobody can be sure of it does not.
        """
        for request, status in (
            (b"rubbish\r\n\r\n", b"400"),
            (b"\x16\x03\x01", b"400"),
            (b"GET http://a/ HTTP/1.1\r\n\r\n", b"400"),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", b"400"),
            (get(fields=b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), b"400"),
            (get(fields=b"Content-Length: 3\r\nContent-Length: 4\r\n"), b"400"),
            (get(fields=b"Content-Length: +3\r\n"), b"400"),
            (get(fields=b"Transfer-Encoding: chunked\r\n", version=b"1.0"), b"400"),
            (get(fields=b"Transfer-Encoding: gzip, chunked\r\n"), b"501"),
            (get(fields=b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), b"501"),
            (get(version=b"2.0"), b"505"),
            (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", b"400"),
        ):
            for chunks in splits(request + get()):
                proxy = Proxy()
                proxy.ask(*chunks)
                told = proxy.told()
                self.assertTrue(told.startswith(b"HTTP/1.1 " + status), (request, told))
                self.assertEqual(
                    told.count(b"HTTP/1.1 "),
                    1 + told.count(b" of HTTP/1.1 ") + told.count(b"speaks HTTP/1.1 "),
                )
                self.assertIn(b"Connection: close\r\n", told)
                self.assertEqual(proxy.gateway.streams, [])
                self.assertTrue(proxy.client.writeEnded)

    def test_secret(self) -> None:
        """
        What cannot be read is not repeated.
        """
        proxy = Proxy()
        proxy.ask(b"GET http://a/ HTTP/1.1\r\nHost: a\r\nAuthorization : hush\r\n\r\n")
        self.assertNotIn(b"hush", proxy.told())

    def test_tooLong(self) -> None:
        """
        A head has its limit.
        """
        proxy = Proxy()
        proxy.ask(get(fields=b"X: ")[:-2].ljust(MAX_HEAD, b"x"))
        self.assertEqual(proxy.told(), b"")
        proxy.ask(b"x")
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 431 "))
        proxy.ask(b"x" * 1000)
        self.assertEqual(proxy.told(), b"")

    def test_closesStream(self) -> None:
        """
        The stream that was kept is closed with the client.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.ask(b"rubbish\r\n\r\n")
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionDone)
