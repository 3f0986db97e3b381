# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpexchange}: requests.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied
from ugate.protocols.httpexchange import MAX_DISCARD
from ugate.test.exchangefakes import OK, get, post
from ugate.test.httpfakes import Proxy, readResponses, splits


class RequestTests(SynchronousTestCase):
    """
    Each kind of request.
    """

    def test_length(self) -> None:
        """
        Content with a length, however it comes.
        """
        for chunks in splits(post(b"Content-Length: 5\r\n") + b"hello"):
            proxy = Proxy()
            proxy.ask(*chunks)
            self.assertEqual(
                proxy.asked(),
                b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nVia: 1.1 ugate\r\n\r\nhello",
            )
            proxy.respond(OK)
            self.assertEqual(readResponses(proxy.told(), [b"POST"]), [(200, b"ok")])

    def test_chunked(self) -> None:
        """
        Content in chunks, with trailers.
        """
        data = (
            post(b"Transfer-Encoding: chunked\r\n")
            + b"3\r\nabc\r\n0\r\nDigest: z\r\nContent-Length: 9\r\n\r\n"
        )
        for chunks in splits(data):
            proxy = Proxy()
            proxy.ask(*chunks)
            head, _, body = proxy.asked().partition(b"\r\n\r\n")
            self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", head)
            self.assertEqual(body.replace(b"\r\n", b" ").split()[-3:], [b"0", b"Digest:", b"z"])
            proxy.respond(OK)
            self.assertEqual(readResponses(proxy.told(), [b"POST"]), [(200, b"ok")])

    def test_atOnce(self) -> None:
        """
        A target in the same process may answer before we are through with asking.
        """
        chunked = b"Transfer-Encoding: chunked\r\n"
        for request, end in (
            (get(b""), b"\r\n\r\n"),
            (post(b"Content-Length: 5\r\n") + b"hello", b"hello"),
            (post(chunked) + b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n"),
        ):
            for chunks in splits(request * 2):
                proxy = Proxy()
                proxy.gateway.reflex = (end, OK)
                proxy.ask(*chunks)
                self.assertEqual(readResponses(proxy.told(), [b"POST"] * 2), [(200, b"ok")] * 2)
                self.assertEqual((len(proxy.gateway.streams), proxy.client.disconnecting), (1, False))

    def test_continue(self) -> None:
        """
        The target says whether the content shall come.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n"))
        self.assertIn(b"\r\nExpect: 100-continue\r\n", proxy.asked())
        self.assertEqual(proxy.told(), b"")
        proxy.respond(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 100 Continue\r\n"))
        proxy.ask(b"hello")
        self.assertEqual(proxy.asked(), b"hello")
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"POST"]), [(200, b"ok")])
        self.assertFalse(proxy.client.disconnecting)

    def test_expectationRefused(self) -> None:
        """
        If we say no, nobody knows whether the content comes: the connection ends.
        """
        proxy = Proxy(Denied("a.example:80"))
        proxy.ask(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n"))
        told = proxy.told()
        self.assertIn(b"Connection: close\r\n", told)
        self.assertTrue(told.startswith(b"HTTP/1.1 403 "))
        self.assertTrue(proxy.client.disconnecting)

    def test_expectationFailed(self) -> None:
        """
        If the target says no, the content may still come, or the client goes away.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n"))
        proxy.respond(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 417 No\r\n"))
        proxy.ask(b"hello")
        self.assertTrue(proxy.asked().endswith(b"hello"))
        proxy.get()
        self.assertEqual(len(proxy.gateway.streams), 1)

    def test_discarded(self) -> None:
        """
        After a refusal the content is read, so that the connection can go on.
        """
        proxy = Proxy(Denied("a.example:80"))
        proxy.ask(post(b"Content-Length: 5\r\n"), b"he")
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 403 "))
        proxy.ask(b"llo")
        proxy.gateway.answer = True
        proxy.get()
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"GET"]), [(200, b"ok")])

    def test_discardLimit(self) -> None:
        """
        But not for ever.
        """
        for seconds, size, closed in (9.9, 1000, False), (10.1, 1000, True), (0, MAX_DISCARD, False):
            proxy = Proxy(Denied("a.example:80"))
            proxy.ask(post(b"Content-Length: 9999999\r\n"))
            proxy.ask(b"x" * size)
            proxy.clock.advance(seconds)
            self.assertEqual(proxy.client.disconnecting, closed)
            if not closed:
                proxy.ask(b"x" * (MAX_DISCARD + 1 - size))
                self.assertTrue(proxy.client.disconnecting)

    def test_earlyResponse(self) -> None:
        """
        A response before the end of the content: the rest still goes to the target.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 5\r\n"), b"he")
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"POST"]), [(200, b"ok")])
        proxy.ask(b"llo")
        self.assertTrue(proxy.asked().endswith(b"hello"))
        proxy.get()
        self.assertEqual(len(proxy.gateway.streams), 1)

    def test_earlyEnd(self) -> None:
        """
        If the target closes after that, the rest goes nowhere.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 5\r\n"), b"he")
        proxy.respond(b"HTTP/1.1 413 Big\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        proxy.last.transport.loseConnection()
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 413 Big\r\n"))
        proxy.ask(b"llo")
        self.assertFalse(proxy.client.disconnecting)
        proxy.get()
        self.assertEqual(len(proxy.gateway.streams), 2)
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"GET"]), [(200, b"ok")])

    def test_failsInContent(self) -> None:
        """
        A target that goes away in the middle of the content is a bad gateway.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 5\r\n"), b"he")
        proxy.last.transport.abortConnection()
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 502 "))
        proxy.ask(b"llo")
        proxy.get()
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"GET"]), [(200, b"ok")])

    def test_brokenContent(self) -> None:
        """
        Content that cannot be read is cut off at the target, and ends the connection.
        """
        proxy = Proxy()
        proxy.ask(post(b"Transfer-Encoding: chunked\r\n"), b"3\r\nabc\r\nzz\r\n")
        told = proxy.told()
        self.assertTrue(told.startswith(b"HTTP/1.1 400 "))
        self.assertIn(b"Connection: close\r\n", told)
        self.assertTrue(proxy.client.writeEnded)
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)
        self.assertNotIn(b"\r\n0\r\n", proxy.last.received)

    def test_brokenContentAnswered(self) -> None:
        """
        In the middle of a response that response cannot look whole either; after it,
        there is nothing left to say.
        """
        for response, aborted in (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", True), (OK, False):
            proxy = Proxy()
            proxy.ask(post(b"Transfer-Encoding: chunked\r\n"), b"3\r\nabc\r\n")
            proxy.respond(response)
            told = proxy.told()
            proxy.ask(b"zz\r\n")
            self.assertEqual(proxy.client.aborted, aborted)
            self.assertEqual(proxy.client.writeEnded, not aborted)
            self.assertTrue(told.startswith(b"HTTP/1.1 200 OK\r\n"))
            self.assertEqual(proxy.told(), b"")

    def test_truncated(self) -> None:
        """
        So is content that breaks off.
        """
        proxy = Proxy()
        proxy.ask(post(b"Content-Length: 5\r\n"), b"he")
        proxy.protocol.readConnectionLost()
        proxy.turn()
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)
