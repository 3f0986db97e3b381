# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnshttp1}.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.modules import dnshttp1
from ugate.modules.dnshttp1 import Http1Server
from ugate.test.dnsfakes import DnsCase, addressesIn, askedFor, said

GOOD = "db.example 60 A 192.0.2.1"
URL = "https://dns.example/dns-query"


class Wire(StringTransport):
    """
    A connection to the server.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.protocol = protocol
        protocol.makeConnection(self)

    def loseConnection(self) -> None:
        self._lose(ConnectionDone())

    def abortConnection(self) -> None:
        self._lose(ConnectionLost())

    def _lose(self, reason: Exception) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason))


class Http1Tests(DnsCase):
    """
    L{Http1Server}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.wires: list[Any] = []
        self.refusal: Refused | None = None
        self.server = Http1Server(self.clock, URL, self.endpoint)

    def endpoint(self) -> Any:
        """
        What connects there.
        """
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint}.
        """
        if self.refusal is not None:
            return fail(self.refusal)
        wire = Wire(factory.buildProtocol(None))
        self.wires.append(wire)
        return succeed(wire.protocol)

    def asked(self, wire: Any) -> bytes:
        """
        The question in what was sent.
        """
        match = re.match(rb"GET /dns-query\?dns=([A-Za-z0-9_-]+) HTTP/1.1\r\n", wire.value())
        assert match is not None, wire.value()
        self.assertIn(b"\r\nHost: dns.example\r\n", wire.value())
        self.assertIn(b"\r\nAccept: application/dns-message\r\n", wire.value())
        wire.clear()
        return urlsafe_b64decode(match[1] + b"==")

    def say(
        self, wire: Any, body: bytes, status: str = "200 OK", kind: str = "application/dns-message"
    ) -> None:
        """
        Answer.
        """
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        wire.protocol.dataReceived(head.encode() + body)

    def test_ask(self) -> None:
        """
        A question is a request, padded and always with the same number; the connection is used again.
        """
        asking = self.server.ask(askedFor())
        (wire,) = self.wires
        sent = self.asked(wire)
        self.assertEqual((b"\0\0", 128), (sent[:2], len(sent)))
        self.say(wire, said(sent, GOOD))
        self.assertEqual(["192.0.2.1"], addressesIn(self.successResultOf(asking)))
        again = self.server.ask(askedFor("b.example"))
        self.assertEqual(1, len(self.wires))
        self.say(wire, said(self.asked(wire), "b.example 60 A 192.0.2.2"))
        self.assertEqual(["192.0.2.2"], addressesIn(self.successResultOf(again)))

    def test_failures(self) -> None:
        """
        Whatever else is answered, it is said what.
        """
        good = said(askedFor().wire(0), GOOD)
        for body, options, words in (
            (good, {"status": "503 Not Now"}, "it answers 503"),
            (b"<html>", {"kind": "text/html"}, "'text/html', and no message of the DNS"),
            (said(askedFor("x.example").wire(0)), {}, "what was not asked"),
            (b"", {}, "what was not asked"),
            (bytes(65536), {}, "more than 65535 bytes"),
        ):
            asking = self.server.ask(askedFor())
            self.say(self.wires[-1], body, **options)
            refused = self.failureResultOf(asking, Refused).value
            self.assertIs(Cause.PEER_MISBEHAVED, refused.cause)
            self.assertIn(words, str(refused))
            self.assertIn(URL, str(refused))
            self.wires[-1].clear()

    def test_cut(self) -> None:
        """
        So is an answer that ends too early.
        """
        asking = self.server.ask(askedFor())
        wire = self.wires[0]
        wire.protocol.dataReceived(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\nContent-Length: 99\r\n\r\nxx"
        )
        wire.loseConnection()
        self.assertIn("in the middle", str(self.failureResultOf(asking, Refused).value))

    def test_noWay(self) -> None:
        """
        What the way there says is passed on.
        """
        self.refusal = Refused(Cause.AUTHENTICATION, Phase.TLS, "x", "its certificate is for another name")
        self.assertIs(self.refusal, self.failureResultOf(self.server.ask(askedFor()), Refused).value)

    def test_most(self) -> None:
        """
        No more than so many wait, and none when it is stopped.
        """
        self.patch(dnshttp1, "MAX_UNANSWERED", 2)
        waiting = [self.server.ask(askedFor()) for _ in range(2)]
        refused = self.failureResultOf(self.server.ask(askedFor()), Refused).value
        self.assertIs(Cause.OVERLOADED, refused.cause)
        gone = waiting.pop()
        gone.cancel()
        self.failureResultOf(gone, Refused)
        waiting.append(self.server.ask(askedFor()))
        self.assertNoResult(waiting[-1])
        self.server.stop()
        for each in waiting:
            self.failureResultOf(each, Refused)
