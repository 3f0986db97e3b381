# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.caclient}: asking a CA by HTTP.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate import caclient
from ugate.caclient import DEADLINE, AuthorityClient, Said
from ugate.errors import UgateError

URL = "http://127.0.0.1:8080/ca/"


def nobody(chain: Any) -> Any:
    """
    For what is not in TLS.
    """
    raise AssertionError


class Response:
    """
    An answer whose body comes.
    """

    code = 200

    def deliverBody(self, protocol: Any) -> None:
        self.body = protocol
        self.transport = StringTransport()
        protocol.makeConnection(self.transport)


class ClientTests(SynchronousTestCase):
    """
    What is sent, and what becomes of the answer.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.client = AuthorityClient(self.reactor, URL)

    def connected(self) -> Any:
        """
        The connection is up.
        """
        host, port, factory, *_ = self.reactor.tcpClients[-1]
        self.assertEqual(("127.0.0.1", 8080), (host, port))
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        return self.transport

    def test_get(self) -> None:
        """
        What is public.
        """
        asked = self.client.get("crl.pem")
        self.assertTrue(self.connected().value().startswith(b"GET /ca/crl.pem HTTP/1.1\r\n"))
        self.assertIn(b"Host: 127.0.0.1:8080\r\n", self.transport.value())
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        self.assertEqual(b"hello", self.successResultOf(asked))

    def test_post(self) -> None:
        """
        What is asked in JSON.
        """
        asked = self.client.post("sign", {"a": 1}, nobody)
        head, _, body = self.connected().value().partition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: application/json", head)
        self.assertIn(b"Content-Length: 7", head)
        self.assertEqual(b'{"a":1}', body)
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n")
        self.protocol.dataReceived(b"2\r\nlo\r\n0\r\n\r\n")
        self.assertEqual(b"hello", self.successResultOf(asked))

    def test_said(self) -> None:
        """
        A problem is told in the words of the CA; anything else as what it is.
        """
        for body, text in (
            (b'{"detail": "no\\u001b rule"}', "the CA says 403: no rule"),
            (b"<html>", "no ugate answers so"),
            (b"[]", "no ugate answers so"),
        ):
            asked = self.client.get("x")
            self.connected()
            self.protocol.dataReceived(b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            error = self.failureResultOf(asked, Said).value
            self.assertEqual(403, error.status)
            self.assertIn(text, str(error))

    def test_late(self) -> None:
        """
        It has some time, wherever it stops.
        """
        asked = self.client.get("x")
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        self.reactor.advance(DEADLINE)
        self.assertIn("not answered in 30 s", str(self.failureResultOf(asked, UgateError).value))
        self.assertTrue(self.transport.disconnecting)
        asked = self.client.get("x")
        self.reactor.advance(DEADLINE)
        self.failureResultOf(asked, UgateError)

    def test_large(self) -> None:
        """
        It may not say more than so much.
        """
        self.patch(caclient, "MAX_ANSWER", 10)
        asked = self.client.get("x")
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 11)
        self.assertIn("more than 10 bytes", str(self.failureResultOf(asked, UgateError).value))

    def test_largeSlowly(self) -> None:
        """
        That counts while it comes, also where its length is not told; and what comes then is not kept.
        """
        self.patch(caclient, "MAX_ANSWER", 10)
        response: Any = Response()
        asked = caclient._read(response)
        for _ in range(10):
            response.body.dataReceived(b"x")
        self.assertNoResult(asked)
        response.body.dataReceived(b"x")
        self.assertIn("more than 10 bytes", str(self.failureResultOf(asked, UgateError).value))
        self.assertTrue(response.transport.disconnecting)
        for _ in range(1000):
            response.body.dataReceived(bytes(1000))
        self.assertEqual(b"", bytes(response.body._data))
        response.body.connectionLost(Failure(ConnectionDone()))

    def test_endless(self) -> None:
        """
        One that ends with its connection may have been cut, and is none.
        """
        asked = self.client.get("x")
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel")
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIn("in the middle", str(self.failureResultOf(asked, UgateError).value))

    def test_cut(self) -> None:
        """
        Half an answer is none.
        """
        asked = self.client.get("x")
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 11)
        self.protocol.connectionLost(Failure(ConnectionResetError()))
        self.assertIn("in the middle", str(self.failureResultOf(asked, UgateError).value))
