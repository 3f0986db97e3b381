# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpchannel}: requests with a login.
"""

from __future__ import annotations

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import Auth
from ugate.protocols.httplogin import MAX_TRIES
from ugate.stream import Principal
from ugate.test.channelfakes import OK, get
from ugate.test.httpfakes import ALICE, BAD, GOOD, HTTP, Proxy, aliceOnly, readResponses, splits

LOCAL = Principal("local", "local")


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
