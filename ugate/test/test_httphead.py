# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httphead}.
"""

from __future__ import annotations

import h11
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.httphead import (
    authority,
    checkFraming,
    checkHops,
    destination,
    forwardRequest,
    problem,
    route,
    why,
)
from ugate.protocols.httpreply import Unserved
from ugate.stream import Target
from ugate.test.httpfakes import HTTP

_target = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1).map(str.encode)


def request(
    target: bytes = b"http://a.example/",
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: bytes = b"1.1",
) -> h11.Request:
    """
    A request with a Host.
    """
    headers = [(b"Host", b"other"), *fields]
    return h11.Request(method=method, target=target, headers=headers, http_version=version)


def forwarded(
    *fields: tuple[bytes, bytes], close: bool = False, version: bytes = b"1.1"
) -> list[tuple[bytes, bytes]]:
    """
    The fields of a request as it goes on.
    """
    asked = request(b"http://a.example:81/x?y", *fields, version=version)
    return forwardRequest(asked, destination(asked), close).headers.raw_items()


class DestinationTests(SynchronousTestCase):
    """
    Where a URI leads.
    """

    def test_good(self) -> None:
        """
        The host as it is written is the Host; the port is 80 unless it is given.
        """
        for uri, target, host, path in (
            (b"http://a.example/x/y?z", Target("a.example", 80), b"a.example", b"/x/y?z"),
            (b"HTTP://A.example:8080/", Target("A.example", 8080), b"A.example:8080", b"/"),
            (b"http://a.example", Target("a.example", 80), b"a.example", b"/"),
            (b"http://a.example:/", Target("a.example", 80), b"a.example", b"/"),
            (b"http://a.example?q=/@", Target("a.example", 80), b"a.example", b"/?q=/@"),
            (b"http://[::1]/", Target("::1", 80), b"[::1]", b"/"),
            (b"http://[::1]:81", Target("::1", 81), b"[::1]:81", b"/"),
            (b"http://127.0.0.1/http://b/", Target("127.0.0.1", 80), b"127.0.0.1", b"/http://b/"),
        ):
            place = destination(request(uri))
            self.assertEqual((place.target, place.authority, place.path), (target, host, path))

    def test_options(self) -> None:
        """
        RFC 9112, 3.2.4: OPTIONS without a path is for the server as a whole.
        """
        self.assertEqual(destination(request(b"http://a", method=b"OPTIONS")).path, b"*")
        self.assertEqual(destination(request(b"http://a/", method=b"OPTIONS")).path, b"/")

    def test_bad(self) -> None:
        """
        What names no host is a bad request, and what is not http is not served.
        """
        for uri, status, hint in (
            (b"/", 400, "GET http://"),
            (b"*", 400, "GET http://"),
            (b"a.example:80", 400, "GET http://"),
            (b"http:/a/", 400, "GET http://"),
            (b"http:///", 400, "host"),
            (b"http://:80/", 400, "host"),
            (b"http://user@a/", 400, "Authorization"),
            (b"http://user:pw@a/", 400, "Authorization"),
            (b"http://a/#x", 400, "fragment"),
            (b"http://a#@b/", 400, "fragment"),
            (b"http://a:0/", 400, "port"),
            (b"http://a:65536/", 400, "port"),
            (b"http://a:x/", 400, "PORT"),
            (b"http://a:" + b"9" * 5000, 400, "PORT"),
            (b"http://a:1:2/", 400, "brackets"),
            (b"http://::1/", 400, "brackets"),
            (b"http://a%2eb/", 400, "not a host"),
            (b"http://a\\@b/", 400, "Authorization"),
            (b"http://a\\b/", 400, "not a host"),
            (b"https://a/", 501, "CONNECT"),
            (b"ftp://a/", 501, "CONNECT"),
            (b"file:///etc/passwd", 501, "CONNECT"),
        ):
            error = self.assertRaises(Unserved, destination, request(uri))
            self.assertEqual(error.reply.status, status, uri)
            self.assertIn(hint, error.reply.text)

    def test_secret(self) -> None:
        """
        A password in a URI is not repeated.
        """
        error = self.assertRaises(Unserved, destination, request(b"http://u:hush@a/"))
        self.assertNotIn("hush", error.reply.text)

    @given(_target)
    def test_anything(self, uri: bytes) -> None:
        """
        Whatever a URI is, it is a place or an answer.
        """
        for target in (uri, b"http://" + uri):
            try:
                place = destination(request(target))
            except Unserved:
                continue
            self.assertTrue(place.path)
            self.assertNotIn(b"@", place.authority)
            self.assertIn(place.target.host.encode(), place.authority)


class AuthorityTests(SynchronousTestCase):
    """
    Where a CONNECT leads.
    """

    def test_good(self) -> None:
        """
        A host and a port.
        """
        self.assertEqual(authority(b"a.example:443"), Target("a.example", 443))
        self.assertEqual(authority(b"[2001:db8::1]:22"), Target("2001:db8::1", 22))

    def test_bad(self) -> None:
        """
        Anything else is a bad request.
        """
        for target in (
            b"a",
            b"a:",
            b":1",
            b"::1:443",
            b"http://a:1/",
            b"u@a:1",
            b"a:99999",
            b"/",
            b"[::1]",
            b"a:" + b"1" * 5000,
        ):
            error = self.assertRaises(Unserved, authority, target)
            self.assertEqual(error.reply.status, 400)
            self.assertIn("HOST:PORT", error.reply.text)

    @given(_target)
    def test_anything(self, target: bytes) -> None:
        """
        Whatever it is, it is a target or an answer.
        """
        try:
            self.assertIsInstance(authority(target), Target)
        except Unserved:
            pass


class CheckTests(SynchronousTestCase):
    """
    What goes no further.
    """

    def test_good(self) -> None:
        """
        One framing is fine.
        """
        checkFraming(request(b"http://a/", (b"Content-Length", b"3")))
        checkFraming(request(b"http://a/", (b"Transfer-Encoding", b"chunked")))
        checkFraming(request(b"a:1", (b"Content-Length", b"0"), method=b"CONNECT"))
        checkFraming(request(version=b"1.0"))

    def test_bad(self) -> None:
        """
        Two framings, or one where there is none, are not.
        """
        length, chunked = (b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")
        for asked, status in (
            (request(b"http://a/", length, chunked), 400),
            (request(b"http://a/", chunked, version=b"1.0"), 400),
            (request(b"a:1", length, method=b"CONNECT"), 400),
            (request(b"a:1", chunked, method=b"CONNECT"), 400),
            (request(version=b"2.0"), 505),
        ):
            self.assertEqual(self.assertRaises(Unserved, checkFraming, asked).reply.status, status)

    def test_hops(self) -> None:
        """
        RFC 9110, 7.6.2: at zero we are the last recipient of TRACE and OPTIONS.
        """
        zero = (b"Max-Forwards", b"0")
        error = self.assertRaises(Unserved, checkHops, request(b"http://a/", zero, method=b"OPTIONS"))
        self.assertEqual(error.reply.status, 200)
        self.assertIn(b"CONNECT", dict(error.reply.fields)[b"Allow"])
        error = self.assertRaises(Unserved, checkHops, request(b"http://a/", zero, method=b"TRACE"))
        self.assertEqual(error.reply.status, 405)
        checkHops(request(b"http://a/", zero))
        checkHops(request(b"http://a/", (b"Max-Forwards", b"1"), method=b"TRACE"))

    def test_problem(self) -> None:
        """
        What h11 says is passed on without the text that it is about.
        """
        conn = h11.Connection(h11.SERVER)
        conn.receive_data(b"GET / HTTP/1.1\r\nProxy-Authorization : hush\r\n\r\n")
        error = self.assertRaises(h11.RemoteProtocolError, conn.next_event)
        self.assertEqual(why(error), "illegal header line")
        self.assertEqual(problem(error).reply.status, 400)
        self.assertNotIn("hush", problem(error).reply.text)
        self.assertEqual(problem(h11.RemoteProtocolError("x", 431)).reply.status, 431)
        self.assertEqual(problem(h11.RemoteProtocolError("x", 501)).reply.status, 501)


class RequestTests(SynchronousTestCase):
    """
    A request as it goes on.
    """

    def test_line(self) -> None:
        """
        It is for a path, with the host of the URI, and says who passed it on.
        """
        asked = request(b"http://a.example:81/x?y", (b"Accept", b"*/*"), method=b"PUT")
        conn = h11.Connection(h11.CLIENT)
        self.assertEqual(
            conn.send(forwardRequest(asked, destination(asked), False)),
            b"PUT /x?y HTTP/1.1\r\nHost: a.example:81\r\nAccept: */*\r\nVia: 1.1 ugate\r\n\r\n",
        )

    def test_private(self) -> None:
        """
        Nothing of the client's address or its login for this proxy goes on.
        """
        fields = forwarded(
            (b"Proxy-Authorization", b"Basic x"),
            (b"Proxy-Connection", b"keep-alive"),
            (b"Connection", b"keep-alive, X-Hop"),
            (b"Keep-Alive", b"timeout=5"),
            (b"X-Hop", b"1"),
            (b"X-End", b"2"),
        )
        self.assertEqual(fields, [(b"Host", b"a.example:81"), (b"X-End", b"2"), (b"Via", b"1.1 ugate")])

    def test_via(self) -> None:
        """
        We come after those before us, with the version that we got.
        """
        fields = forwarded((b"Via", b"1.1 other"), version=b"1.0")
        self.assertEqual(fields[1:], [(b"Via", b"1.1 other"), (b"Via", b"1.0 ugate")])

    def test_framing(self) -> None:
        """
        Chunks stay chunks, and a length a length.
        """
        self.assertIn((b"Transfer-Encoding", b"chunked"), forwarded((b"transfer-encoding", b"Chunked")))
        self.assertIn((b"Content-Length", b"7"), forwarded((b"Content-Length", b"7")))

    def test_trailers(self) -> None:
        """
        That the client takes trailers is all that TE says.
        """
        fields = forwarded((b"TE", b"gzip, trailers"), (b"Connection", b"TE"))
        self.assertIn((b"TE", b"trailers"), fields)
        self.assertIn((b"Connection", b"TE"), fields)
        self.assertNotIn(b"TE", dict(forwarded((b"TE", b"gzip"))))

    def test_upgrade(self) -> None:
        """
        An upgrade goes on if Connection says so; HTTP/1.0 knows none.
        """
        upgrade = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))
        fields = forwarded(*upgrade, close=True)
        self.assertIn((b"Upgrade", b"websocket"), fields)
        self.assertIn((b"Connection", b"Upgrade"), fields)
        self.assertNotIn(b"Upgrade", dict(forwarded(upgrade[0])))
        self.assertNotIn(b"Upgrade", dict(forwarded(*upgrade, version=b"1.0")))

    def test_expect(self) -> None:
        """
        Expect is for the target, but HTTP/1.0 knows none.
        """
        expect = (b"Expect", b"100-continue")
        self.assertIn(expect, forwarded(expect))
        self.assertNotIn(expect, forwarded(expect, version=b"1.0"))

    def test_maxForwards(self) -> None:
        """
        RFC 9110, 7.6.2: one less for each proxy, for TRACE and OPTIONS.
        """
        for method, value, wanted in (
            (b"TRACE", b"10", b"9"),
            (b"OPTIONS", b"1", b"0"),
            (b"GET", b"5", b"5"),
            (b"TRACE", b"x", b"x"),
            (b"TRACE", b"9" * 30, b"9" * 30),
        ):
            asked = request(b"http://a/", (b"Max-Forwards", value), method=method)
            fields = forwardRequest(asked, destination(asked), False).headers
            self.assertIn((b"max-forwards", wanted), list(fields))

    def test_route(self) -> None:
        """
        The stream leads to the target, and is the last one if the client says so.
        """
        info, asked = route(request(), HTTP)
        self.assertEqual(info, HTTP.but(target=Target("a.example", 80)))
        assert asked is not None
        self.assertNotIn(b"Connection", dict(asked.headers.raw_items()))
        for last in request(b"http://a/", (b"Connection", b"Close")), request(version=b"1.0"):
            _, asked = route(last, HTTP)
            assert asked is not None
            self.assertIn((b"Connection", b"close"), asked.headers.raw_items())

    def test_tunnel(self) -> None:
        """
        A CONNECT is nothing but a stream.
        """
        info, asked = route(request(b"a.example:443", method=b"CONNECT"), HTTP)
        wanted = HTTP.but(target=Target("a.example", 443), protocol="connect", layers=("http", "connect"))
        self.assertEqual((info, asked), (wanted, None))
