# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpupstream}: requests and responses.
"""

from __future__ import annotations

import h11
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport

from ugate.errors import Cause
from ugate.protocols.httphead import MAX_HEAD
from ugate.test.httpfakes import splits
from ugate.test.upstreamfakes import END, GET, POST, Asker, Case


class RequestTests(Case):
    """
    Requests and responses.
    """

    def test_exchange(self) -> None:
        """
        However the response comes, it is the same.
        """
        response = (
            b"HTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
        )
        for chunks in splits(response):
            self.make()
            self.ask(GET, END)
            self.assertTrue(self.stream.received.startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\n"))
            self.assertTrue(self.upstream.isSilent)
            for chunk in chunks:
                self.stream.transport.write(chunk)
            self.assertEqual((self.told(), self.asker.body), ([100, 200, "end"], b"abcde"))
            self.assertFalse(self.upstream.isSilent)
            self.assertFalse(self.upstream.isReusable)
            self.upstream.done()
            self.assertTrue(self.upstream.isReusable and self.upstream.isReused and self.upstream.isSilent)

    def test_reuse(self) -> None:
        """
        A next request goes to who makes it.
        """
        self.ask(GET, END)
        self.stream.transport.write(b"HTTP/1.1 204 No\r\n\r\n")
        self.upstream.done()
        other = Asker()
        self.upstream.reuse(other)
        self.assertFalse(self.upstream.isReusable)
        self.ask(GET, END)
        self.stream.transport.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((other.told, self.told()), ([404, "end"], []))

    def test_notReused(self) -> None:
        """
        A stream that cannot take a next request is closed.
        """
        for response in (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n",
        ):
            self.make()
            self.ask(GET, END)
            self.stream.transport.write(response)
            self.assertEqual(self.told()[1:], ["end"])
            self.upstream.done()
            self.assertFalse(self.upstream.isReusable)
            self.assertEqual(self.lost(), ConnectionDone)

    def test_notDone(self) -> None:
        """
        Nor is one on which the request was not sent as a whole, or the target ended.
        """
        self.ask(POST)
        self.stream.transport.write(b"HTTP/1.1 413 Big\r\nContent-Length: 0\r\n\r\n")
        self.upstream.done()
        self.assertFalse(self.upstream.isReusable)
        self.make()
        self.ask(GET, END)
        self.stream.transport.write(b"HTTP/1.1 204 No\r\n\r\n")
        self.stream.transport.loseWriteConnection()
        self.upstream.done()
        self.assertFalse(self.upstream.isReusable)
        self.assertEqual(self.lost(), ConnectionDone)

    def test_doneTwice(self) -> None:
        """
        A stream that rests is left alone.
        """
        self.ask(GET, END)
        self.stream.transport.write(b"HTTP/1.1 204 No\r\n\r\n")
        self.upstream.done()
        self.upstream.done()
        self.assertTrue(self.upstream.isReusable)

    def test_earlyResponse(self) -> None:
        """
        The rest of a request still goes to a target that has answered.
        """
        self.ask(POST, h11.Data(data=b"ab"))
        self.stream.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.ask(h11.Data(data=b"cd"), END)
        self.assertTrue(self.stream.received.endswith(b"abcd"))
        self.assertFalse(self.upstream.send(h11.Data(data=b"x")))
        self.upstream.done()
        self.assertTrue(self.upstream.isReusable)

    def test_untilEnd(self) -> None:
        """
        A response that only the end of the stream delimits is whole if that was clean.
        """
        head = b"HTTP/1.1 200 OK\r\n\r\nabc"
        for name, wanted in (
            ("loseWriteConnection", [200, "end"]),
            ("loseConnection", [200, "end"]),
            ("abortConnection", [200, Cause.PEER_CLOSED]),
        ):
            self.make()
            self.asker.finish = self.upstream.done
            self.ask(GET, END)
            self.stream.transport.write(head)
            getattr(self.stream.transport, name)()
            self.assertEqual((self.told(), self.asker.body), (wanted, b"abc"))
            self.assertFalse(self.upstream.isReusable)

    def test_lostInRequest(self) -> None:
        """
        A target that has answered and goes away takes no more of the request.
        """
        self.ask(POST)
        self.stream.transport.write(b"HTTP/1.1 413 Big\r\nContent-Length: 0\r\n\r\n")
        self.stream.transport.loseConnection()
        self.assertEqual(self.told(), [413, "end", Cause.PEER_CLOSED])
        self.assertFalse(self.upstream.send(END))

    def test_truncated(self) -> None:
        """
        Any other response is not whole then.
        """
        for head in (
            b"",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ):
            for name in "loseWriteConnection", "loseConnection", "abortConnection":
                self.make()
                self.ask(GET, END)
                self.stream.transport.write(head)
                getattr(self.stream.transport, name)()
                self.assertEqual(self.told()[-1], Cause.PEER_CLOSED)
                self.assertEqual(self.upstream.isSilent, not head)
                self.assertFalse(self.upstream.send(GET))

    def test_rubbish(self) -> None:
        """
        What is no response, or none to this request, is a failure, and an end.
        """
        for data in (
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: ".ljust(MAX_HEAD + 1, b"x"),
        ):
            self.make()
            self.ask(GET, END)
            self.stream.transport.write(data)
            self.assertEqual(self.told(), [Cause.PEER_MISBEHAVED])
            self.assertEqual(self.lost(), ConnectionAborted)

    def test_longHead(self) -> None:
        """
        A head within the limit is fine.
        """
        self.ask(GET, END)
        self.stream.transport.write(b"HTTP/1.1 200 OK\r\nX: ".ljust(MAX_HEAD, b"x"))
        self.assertEqual(self.told(), [])

    def test_notAsked(self) -> None:
        """
        A target that speaks before it is asked speaks no HTTP.
        """
        self.told()
        self.stream.transport.write(b"220 mail ready\r\n")
        self.assertEqual(self.told(), [Cause.PEER_MISBEHAVED])

    def test_unsolicited(self) -> None:
        """
        What it says between requests is not taken for the next response.
        """
        self.ask(GET, END)
        self.stream.transport.write(b"HTTP/1.1 204 No\r\n\r\n")
        self.upstream.done()
        self.told()
        self.stream.transport.write(b"HTTP/1.1 408 Idle\r\n\r\n")
        self.assertFalse(self.upstream.isReusable)
        self.assertEqual((self.told(), self.lost()), ([], ConnectionDone))

    def test_idleEnd(self) -> None:
        """
        A stream that ends between requests is just not reusable.
        """
        for name in "loseWriteConnection", "loseConnection", "abortConnection":
            self.make()
            self.ask(GET, END)
            self.stream.transport.write(b"HTTP/1.1 204 No\r\n\r\n")
            self.upstream.done()
            self.told()
            getattr(self.stream.transport, name)()
            self.assertEqual((self.told(), self.upstream.isReusable), ([], False))
            self.assertIsNotNone(self.lost())

    def test_full(self) -> None:
        """
        The target's pace is known.
        """
        self.told()
        self.stream.transport.pauseProducing()
        self.assertTrue(self.upstream.full)
        self.stream.transport.resumeProducing()
        self.assertFalse(self.upstream.full)
        self.assertEqual(self.told(), [("full", True), ("full", False)])

    def test_hold(self) -> None:
        """
        The client's pace is known to the target.
        """
        producer = StringTransport()
        self.stream.transport.registerProducer(producer, True)
        self.upstream.hold(True)
        self.assertEqual(producer.producerState, "paused")

    @given(st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=6), st.booleans())
    def test_splits(self, data: bytes, cuts: list[int], begun: bool) -> None:
        """
        Any bytes have an outcome, and how they are cut does not change it.
        """
        data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" * begun + data
        ends = sorted(min(cut, len(data)) for cut in cuts)
        found = []
        for chunks in [data], [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]:
            self.make()
            self.ask(GET, END)
            for chunk in chunks:
                self.stream.transport.write(chunk)
            self.stream.transport.loseConnection()
            told = self.told()
            # Cut in the middle of rubbish, it is only short.
            failed = told and isinstance(told[-1], Cause)
            found.append((told[:-1] if failed else told, failed, self.asker.body))
        self.assertEqual(found[0], found[1])
