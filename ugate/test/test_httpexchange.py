# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpexchange}, as clients of a forward proxy meet it.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Phase, Refused
from ugate.protocols.httpexchange import MAX_DISCARD
from ugate.test.httpfakes import Proxy, readResponses, splits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(fields: bytes, version: bytes = b"1.1") -> bytes:
    """
    The head of a POST.
    """
    return b"POST http://a.example/ HTTP/%b\r\nHost: a.example\r\n%b\r\n" % (version, fields)


def get(fields: bytes, version: bytes = b"1.1") -> bytes:
    """
    A GET.
    """
    return post(fields, version).replace(b"POST", b"GET")


class ResponseTests(SynchronousTestCase):
    """
    Each kind of response.
    """

    def response(
        self, *chunks: bytes, method: bytes = b"GET", version: bytes = b"1.1", end: str = ""
    ) -> Proxy:
        """
        A request and what the target answers.
        """
        proxy = Proxy()
        proxy.ask(b"%b http://a.example/ HTTP/%b\r\nHost: a.example\r\n\r\n" % (method, version))
        proxy.respond(*chunks)
        if end:
            getattr(proxy.last.transport, end)()
            proxy.turn()
        return proxy

    def test_length(self) -> None:
        """
        A length stays a length, however the response comes.
        """
        for chunks in splits(b"HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"):
            told = self.response(*chunks).told()
            self.assertEqual(
                told, b"HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 5\r\nVia: 1.1 ugate\r\n\r\nhello"
            )

    def test_chunked(self) -> None:
        """
        Chunks stay chunks, with their trailers.
        """
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        data = head + b"3;x=y\r\nabc\r\n0\r\nDigest: z\r\nHost: b\r\n\r\n"
        for chunks in splits(data):
            proxy = self.response(*chunks)
            told = proxy.told()
            self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", told)
            self.assertTrue(told.endswith(b"\r\n0\r\nDigest: z\r\n\r\n"), told)
            self.assertEqual(readResponses(told, [b"GET"]), [(200, b"abc")])
            self.assertFalse(proxy.client.disconnecting)

    def test_chunkedForOld(self) -> None:
        """
        HTTP/1.0 knows no chunks: there the end of the connection is the end.
        """
        proxy = self.response(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
            version=b"1.0",
        )
        told = proxy.told()
        self.assertNotIn(b"chunked", told)
        self.assertIn(b"Connection: close\r\n", told)
        self.assertTrue(told.endswith(b"\r\n\r\nabc"))
        self.assertTrue(proxy.client.disconnecting and not proxy.client.aborted)

    def test_untilEnd(self) -> None:
        """
        What ended with the target's connection is chunked, so that ours can go on.
        """
        for end in "loseWriteConnection", "loseConnection":
            proxy = self.response(b"HTTP/1.0 200 OK\r\n\r\n", b"abc", end=end)
            told = proxy.told()
            self.assertIn(b"\r\nVia: 1.0 ugate\r\n", told)
            self.assertEqual(readResponses(told, [b"GET"]), [(200, b"abc")])
            self.assertFalse(proxy.client.disconnecting)
            proxy.get()
            self.assertEqual(len(proxy.gateway.streams), 2)

    def test_untilEndForOld(self) -> None:
        """
        For HTTP/1.0 it stays so.
        """
        proxy = self.response(b"HTTP/1.1 200 OK\r\n\r\nabc", version=b"1.0", end="loseConnection")
        self.assertTrue(proxy.told().endswith(b"\r\n\r\nabc"))
        self.assertTrue(proxy.client.disconnecting and not proxy.client.aborted)

    def test_noContent(self) -> None:
        """
        Some responses never have content, whatever their header says.
        """
        for method, head in (
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
            (b"GET", b"HTTP/1.1 204 No\r\n\r\n"),
            (b"GET", b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n"),
        ):
            proxy = self.response(head, method=method)
            self.assertEqual(readResponses(proxy.told(), [method])[0][1], b"")
            proxy.get()
            proxy.respond(OK)
            self.assertEqual(readResponses(proxy.told(), [b"GET"]), [(200, b"ok")])
            self.assertEqual(len(proxy.gateway.streams), 1)

    def test_twoFramings(self) -> None:
        """
        Of a length and chunks only the chunks go on.
        """
        proxy = self.response(
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )
        told = proxy.told()
        self.assertNotIn(b"Content-Length", told)
        self.assertEqual(readResponses(told, [b"GET"]), [(200, b"ab")])

    def test_informational(self) -> None:
        """
        Responses before the final one go through, but not to HTTP/1.0.
        """
        data = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
        told = self.response(data).told()
        self.assertTrue(told.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 ugate\r\n\r\n"))
        self.assertTrue(self.response(data, version=b"1.0").told().startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_refused(self) -> None:
        """
        A stream that is refused is a response that says why, and a HEAD gets its header.
        """
        for method in b"GET", b"HEAD":
            proxy = Proxy(Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, "a.example:80"))
            proxy.ask(b"%b http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n" % method)
            told = proxy.told()
            self.assertTrue(told.startswith(b"HTTP/1.1 502 Bad Gateway\r\n"))
            self.assertIn(b"Proxy-Status: ugate; error=dns_error\r\n", told)
            self.assertEqual(b"does not exist" in told, method == b"GET")
            self.assertNotIn(b"Connection: close", told)
            self.assertFalse(proxy.client.disconnecting)

    def test_denied(self) -> None:
        """
        What policy denies is 403.
        """
        proxy = Proxy(Denied("a.example:80", "rule 3"))
        proxy.get()
        self.assertEqual(readResponses(proxy.told(), [b"GET"])[0][0], 403)

    def test_rubbish(self) -> None:
        """
        A target that speaks no HTTP is a bad gateway.
        """
        for data in b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n":
            for chunks in splits(data):
                proxy = self.response(*chunks)
                told = proxy.told()
                self.assertEqual(readResponses(told, [b"GET"])[0][0], 502)
                self.assertIn(b"error=http_protocol_error", told)

    def test_silent(self) -> None:
        """
        So is one that closes without an answer; the request is not repeated on a new stream.
        """
        for data in b"", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\n":
            for end in "loseWriteConnection", "loseConnection", "abortConnection":
                proxy = self.response(data, end=end)
                told = proxy.told()
                self.assertEqual(readResponses(told, [b"GET"])[0][0], 502)
                self.assertIn(b"error=connection_terminated", told)
                self.assertEqual(len(proxy.gateway.streams), 1)

    def test_truncated(self) -> None:
        """
        A response that breaks off never looks whole: the client is cut off.
        """
        for version in b"1.1", b"1.0":
            for head in (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            ):
                for end in "loseWriteConnection", "loseConnection", "abortConnection":
                    proxy = self.response(head, version=version, end=end)
                    self.assertTrue(proxy.client.aborted)
            proxy = self.response(b"HTTP/1.1 200 OK\r\n\r\nabc", version=version, end="abortConnection")
            self.assertTrue(proxy.client.aborted)

    def test_brokenChunks(self) -> None:
        """
        Nor does one that turns to rubbish.
        """
        proxy = self.response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX")
        self.assertTrue(proxy.client.aborted)
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)


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


class FuzzTests(SynchronousTestCase):
    """
    Whatever the target sends.
    """

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"HTTP/1.1 200 OK\r\n",
                    b"HTTP/1.1 100 Continue\r\n\r\n",
                    b"HTTP/1.0 404 No\r\n",
                    b"HTTP/1.1 304 Same\r\n",
                    b"Content-Length: 4\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Connection: close\r\n",
                    b"\r\n",
                    b"2\r\nab\r\n",
                    b"0\r\n\r\n",
                    b"abcd",
                ]
            )
            | st.binary(max_size=3),
            max_size=12,
        ).map(b"".join),
        st.lists(st.integers(0, 150), max_size=5),
        st.sampled_from([b"1.1", b"1.0"]),
        st.sampled_from([b"GET", b"HEAD", b"POST"]),
    )
    def test_splits(self, data: bytes, cuts: list[int], version: bytes, method: bytes) -> None:
        """
        The client gets the same content and the same end however it is cut, and
        never anything that it could not read.
        """
        ends = sorted(min(cut, len(data)) for cut in cuts)
        found = []
        for chunks in [data], [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]:
            proxy = Proxy()
            proxy.ask(b"%b http://a/ HTTP/%b\r\nHost: a\r\n\r\n" % (method, version))
            for chunk in chunks:
                proxy.respond(chunk)
            proxy.last.transport.loseConnection()
            proxy.turn()
            assert proxy.last.lost is not None
            told = proxy.told()
            if proxy.client.aborted:
                found.append((b"aborted", told.partition(b"\r\n\r\n")[0][:12]))
            else:
                closed = proxy.client.disconnecting
                self.assertEqual(closed, version == b"1.0")
                [(status, body)] = readResponses(told, [method], closed)
                found.append((b"%d" % status, b"" if status == 502 else body))
        self.assertEqual(found[0], found[1])


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
