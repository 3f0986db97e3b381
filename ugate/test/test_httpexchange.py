# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpexchange}, as clients of a forward proxy meet it: responses.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.error import ConnectionAborted
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Phase, Refused
from ugate.test.exchangefakes import OK
from ugate.test.httpfakes import Proxy, readResponses, splits


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
