# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpchannel}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Denied
from ugate.interfaces import Auth
from ugate.protocols.httpforward import HEAD_TIMEOUT, IDLE_TIMEOUT, HttpForwardFactory
from ugate.protocols.httphead import MAX_HEAD
from ugate.protocols.httplogin import MAX_TRIES
from ugate.stream import Principal, Target
from ugate.test.httpfakes import ALICE, BAD, GOOD, HTTP, FakeGateway, Proxy, aliceOnly, readResponses, splits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOCAL = Principal("local", "local")


def get(host: bytes = b"a.example", fields: bytes = b"", version: bytes = b"1.1") -> bytes:
    """
    A request.
    """
    return b"GET http://%b/ HTTP/%b\r\nHost: x\r\n%b\r\n" % (host, version, fields)


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


class DeadlineTests(SynchronousTestCase):
    """
    How long things may take.
    """

    def test_idle(self) -> None:
        """
        A client may rest for a while, before and between requests.
        """
        for before in False, True:
            proxy = Proxy()
            if before:
                proxy.clock.advance(IDLE_TIMEOUT - 1)
                proxy.get()
                proxy.clock.advance(IDLE_TIMEOUT * 2)
                proxy.respond(OK)
                proxy.told()
            proxy.clock.advance(IDLE_TIMEOUT - 0.1)
            self.assertFalse(proxy.client.disconnecting)
            proxy.ask(b"\r\n")
            proxy.clock.advance(0.1)
            self.assertTrue(proxy.client.disconnecting)
            self.assertEqual(proxy.told(), b"")
            proxy.turn()
            self.assertEqual([s.lost is not None for s in proxy.gateway.streams], [True] * before)

    def test_head(self) -> None:
        """
        A head that comes in drops has one deadline from its first byte on.
        """
        proxy = Proxy()
        proxy.clock.advance(IDLE_TIMEOUT - 1)
        for byte in get()[: int(HEAD_TIMEOUT) - 1]:
            proxy.ask(bytes([byte]))
            proxy.clock.advance(1)
        self.assertFalse(proxy.client.writeEnded)
        proxy.clock.advance(1)
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 408 "))
        self.assertTrue(proxy.client.writeEnded)

    def test_secondHead(self) -> None:
        """
        So has a head of which a part came with the request before.
        """
        proxy = Proxy()
        proxy.ask(get() + get()[:10])
        proxy.clock.advance(HEAD_TIMEOUT * 3)
        proxy.respond(OK)
        proxy.told()
        proxy.clock.advance(HEAD_TIMEOUT - 0.1)
        self.assertEqual(proxy.told(), b"")
        proxy.clock.advance(0.1)
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 408 "))

    def test_none(self) -> None:
        """
        Nothing is left of a connection that is gone.
        """
        proxy = Proxy()
        proxy.get()
        proxy.respond(OK)
        proxy.protocol.connectionLost()
        proxy.turn()
        self.assertEqual(proxy.clock.getDelayedCalls(), [])


class LoginTests(SynchronousTestCase):
    """
    Requests with a login.
    """

    def test_required(self) -> None:
        """
        Each request needs one, and the gateway hears who it is.
        """
        proxy = Proxy(auth=Auth.REQUIRED, login=aliceOnly)
        proxy.get()
        told = proxy.told()
        self.assertTrue(told.startswith(b"HTTP/1.1 407 "))
        self.assertIn(b'\r\nProxy-Authenticate: Basic realm="ugate", charset="UTF-8"\r\n', told)
        self.assertNotIn(b"Connection: close", told)
        proxy.get(more=GOOD)
        self.assertEqual(proxy.last.info.principal, ALICE)
        self.assertNotIn(b"Proxy-Authorization", proxy.asked())
        proxy.respond(OK)
        proxy.told()
        proxy.get()
        self.assertTrue(proxy.told().startswith(b"HTTP/1.1 407 "))

    def test_optional(self) -> None:
        """
        Streams are not shared between those who ask.
        """
        proxy = Proxy(auth=Auth.OPTIONAL, login=aliceOnly, info=HTTP.but(principal=LOCAL))
        for more in b"", b"", GOOD, GOOD, b"":
            proxy.get(more=more)
            proxy.respond(OK)
        self.assertEqual([s.info.principal for s in proxy.gateway.streams], [LOCAL, ALICE, LOCAL])

    def test_post(self) -> None:
        """
        The content of a request that is not let through is read.
        """
        request = b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        for chunks in splits(request):
            proxy = Proxy(auth=Auth.REQUIRED, login=aliceOnly)
            proxy.ask(*chunks)
            proxy.get(more=GOOD)
            proxy.respond(OK)
            self.assertEqual([s for s, _ in readResponses(proxy.told(), [b"POST", b"GET"])], [407, 200])

    def test_tries(self) -> None:
        """
        Nobody may try for ever.
        """
        proxy = Proxy(auth=Auth.REQUIRED, login=aliceOnly)
        proxy.ask(get(fields=BAD) * (MAX_TRIES + 2))
        told = proxy.told()
        self.assertEqual(told.count(b"HTTP/1.1 407 "), MAX_TRIES)
        self.assertEqual(told.count(b"Connection: close\r\n"), 1)
        self.assertTrue(proxy.client.disconnecting)

    def later(self) -> tuple[Proxy, Deferred[Principal]]:
        """
        A request whose login is being checked.
        """
        asked: Deferred[Principal] = Deferred()

        def login(credentials: ICredentials) -> Deferred[Principal]:
            return asked

        proxy = Proxy(auth=Auth.REQUIRED, login=login)
        proxy.ask(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + GOOD + b"\r\nhe")
        self.assertEqual(proxy.client.producerState, "paused")
        self.assertEqual((proxy.told(), proxy.gateway.streams), (b"", []))
        return proxy, asked

    def test_later(self) -> None:
        """
        The request waits for its login.
        """
        proxy, asked = self.later()
        asked.callback(ALICE)
        proxy.turn()
        self.assertEqual(proxy.client.producerState, "producing")
        proxy.ask(b"llo")
        self.assertTrue(proxy.asked().endswith(b"hello"))
        proxy.respond(OK)
        self.assertEqual(readResponses(proxy.told(), [b"POST"]), [(200, b"ok")])

    def test_notLater(self) -> None:
        """
        And is turned away if it is bad, or if it cannot be checked.
        """
        for error, status in ((UnauthorizedLogin(), 407), (ZeroDivisionError(), 500)):
            proxy, asked = self.later()
            asked.errback(error)
            proxy.turn()
            proxy.ask(b"llo")
            self.assertEqual(readResponses(proxy.told(), [b"POST"])[0][0], status)
            self.assertEqual((proxy.gateway.streams, proxy.client.producerState), ([], "producing"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_tooLate(self) -> None:
        """
        Nothing happens when the client is gone.
        """
        for result in ALICE, None:
            proxy, asked = self.later()
            proxy.protocol.connectionLost()
            if result is None:
                asked.errback(UnauthorizedLogin())
            else:
                asked.callback(result)
            proxy.turn()
            self.assertEqual((proxy.told(), proxy.gateway.streams), (b"", []))

    def test_leadsNowhere(self) -> None:
        """
        A good login does not make a bad request good.
        """
        asked: Deferred[Principal] = Deferred()
        proxy = Proxy(auth=Auth.REQUIRED, login=lambda credentials: asked)
        proxy.ask(get(b"u@a", GOOD))
        asked.callback(ALICE)
        proxy.turn()
        self.assertEqual(readResponses(proxy.told(), [b"GET"])[0][0], 400)

    def test_broken(self) -> None:
        """
        An error of the gateway is logged, and cuts the client off.
        """
        proxy, asked = self.later()
        proxy.gateway.answer = BrokenAnswer()  # type: ignore[assignment]
        asked.callback(ALICE)
        proxy.turn()
        self.assertTrue(proxy.client.aborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        proxy.turn()
        assert proxy.last.lost is not None
        proxy.last.lost.trap(ConnectionAborted)


class BrokenAnswer:
    """
    Neither yes nor no.
    """

    def __bool__(self) -> bool:
        raise ZeroDivisionError("broken")


class FuzzTests(SynchronousTestCase):
    """
    Whatever the client sends.
    """

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"GET http://a/ HTTP/1.1\r\n",
                    b"POST http://b/ HTTP/1.1\r\n",
                    b"GET http://a/ HTTP/1.0\r\n",
                    b"CONNECT c:1 HTTP/1.1\r\n",
                    b"GET / HTTP/1.1\r\n",
                    b"Host: a\r\n",
                    b"Content-Length: 4\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Expect: 100-continue\r\n",
                    b"Upgrade: x\r\nConnection: upgrade\r\n",
                    b"Connection: close\r\n",
                    GOOD,
                    BAD,
                    b"\r\n",
                    b"2\r\nab\r\n",
                    b"0\r\n\r\n",
                    b"abcd",
                ]
            )
            | st.binary(max_size=3),
            max_size=16,
        ).map(b"".join),
        st.lists(st.integers(0, 250), max_size=5),
        st.sampled_from([Auth.NONE, Auth.OPTIONAL]),
        st.booleans(),
    )
    def test_splits(self, data: bytes, cuts: list[int], auth: Auth, ended: bool) -> None:
        """
        The targets are asked the same, and the client is told the same, however it
        is cut.
        """
        ends = sorted(min(cut, len(data)) for cut in cuts)
        found = []
        for chunks in [data], [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]:
            proxy = Proxy(auth=auth, login=aliceOnly)
            for chunk in chunks:
                if chunk:
                    proxy.ask(chunk)
            if ended:
                proxy.protocol.readConnectionLost()
                proxy.turn()
            for stream in proxy.gateway.streams:
                if not stream.transport.disconnecting and stream.info.protocol == "http":
                    stream.transport.write(OK)
                    proxy.turn()
            client = proxy.client
            streams = [
                (s.info, s.received.replace(b"\r\n", b"\n").partition(b"\n\n")[0])
                for s in proxy.gateway.streams
            ]
            found.append((streams, proxy.told(), client.disconnecting, client.aborted, client.writeEnded))
            proxy.protocol.connectionLost()
            proxy.turn()
            self.assertEqual(proxy.clock.getDelayedCalls(), [])
            for stream in proxy.gateway.streams:
                self.assertIsNotNone(stream.lost)
        self.assertEqual(found[0], found[1])
