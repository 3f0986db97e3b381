# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.serving}.
"""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis.strategies import binary, integers

from twisted.web.server import NOT_DONE_YET

from ugate.modules.serving import DEADLINE, LINGER, MAX_BODY, MAX_CONNECTIONS
from ugate.test.adminfakes import AdminCase, Client, parse

HEAD = b"POST /api/v1/check HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
STATUS = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


class LimitsTests(AdminCase):
    """
    Each limit is hit.
    """

    def test_largest(self) -> None:
        """
        A body of exactly what is allowed is read.
        """
        body = b'{"hops":"' + b"x" * (MAX_BODY - 11) + b'"}'
        self.assertEqual(MAX_BODY, len(body))
        self.assertEqual(201, self.ask("PUT", "config/dial/x", body).status)

    def test_announced(self) -> None:
        """
        A body that says that it is too large is refused at once, and not waited for.
        """
        client = Client(self.site)
        answer = parse(client.say(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1)))
        self.assertIn(str(MAX_BODY), self.trouble(413, answer))
        self.assertEqual("close", answer.fields["connection"])
        self.assertEqual(b"", client.say(b"x" * MAX_BODY))
        self.assertEqual(b"", client.say(b"xy" + STATUS))
        self.assertFalse(client.transport.disconnected)
        self.reactor.advance(LINGER)
        self.assertTrue(client.transport.disconnected)
        client.leave()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_chunks(self) -> None:
        """
        One that does not say so is refused when it is.
        """
        client = Client(self.site)
        self.assertEqual(b"", client.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(16):
            self.assertEqual(b"", client.say(chunk))
        self.trouble(413, parse(client.say(chunk)))
        self.assertEqual(b"", client.say(chunk + b"0\r\n\r\n" + STATUS))
        self.reactor.advance(LINGER)
        self.assertTrue(client.transport.disconnected)

    def test_slowBody(self) -> None:
        """
        A body that trickles in has no more time than any other.
        """
        client = Client(self.site)
        client.say(HEAD + b"Content-Length: 1000\r\n\r\n")
        for _ in range(int(DEADLINE) - 1):
            self.reactor.advance(1)
            client.say(b" ")
            self.assertFalse(client.transport.disconnected)
        self.reactor.advance(1)
        self.assertTrue(client.transport.disconnected)

    def test_slowHead(self) -> None:
        """
        Nor has a head.
        """
        client = Client(self.site)
        for byte in STATUS[: int(DEADLINE) - 1]:
            self.reactor.advance(1)
            client.say(bytes([byte]))
        self.reactor.advance(1)
        self.assertTrue(client.transport.disconnected)

    def test_silence(self) -> None:
        """
        Who says nothing more is waited for as long; after each answer anew.
        """
        client = Client(self.site)
        for _ in range(3):
            self.reactor.advance(DEADLINE - 1)
            self.assertEqual(200, parse(client.say(STATUS)).status)
        self.reactor.advance(DEADLINE)
        self.assertTrue(client.transport.disconnected)

    def test_ourTime(self) -> None:
        """
        Whatever time the answer takes is not the client's.
        """
        client = Client(self.site)
        self.site.resource.getChildWithDefault = lambda path, request: self
        self.assertEqual(b"", client.say(STATUS))
        self.reactor.advance(10 * DEADLINE)
        self.assertFalse(client.transport.disconnected or client.transport.disconnecting)

    isLeaf = True

    def render(self, request: object) -> int:
        """
        An answer that takes its time.
        """
        return NOT_DONE_YET

    def test_connections(self) -> None:
        """
        There are no more connections than allowed; one that ends makes place for another.
        """
        clients = [Client(self.site) for _ in range(MAX_CONNECTIONS)]
        self.assertIsNone(Client(self.site).protocol)
        clients[0].leave()
        self.assertIsNotNone(Client(self.site).protocol)

    def test_fields(self) -> None:
        """
        A head has no more than a hundred fields.
        """
        answer = Client(self.site).say(STATUS[:-2] + b"X: y\r\n" * 100 + b"\r\n")
        self.assertIn(b" 400 ", answer[:20])

    def test_stop(self) -> None:
        """
        When the port is closed, idle connections end.
        """
        idle = Client(self.site)
        self.site.stopFactory()
        self.assertTrue(idle.transport.disconnecting)

    @given(binary(max_size=40), integers(0, 400), integers(0, 30))
    @settings(max_examples=200, deadline=None)
    def test_any(self, data: bytes, place: int, left: int) -> None:
        """
        Whatever comes in the place of a part of a request, it is answered or not, and nothing breaks.
        """
        body = b'{"hops": "socks:a:1"}'
        request = (
            b"PUT /api/v1/config/dial/x?tenant=alice HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            b"Authorization: Basic YW5uOnNlY3JldA==\r\nIf-None-Match: *\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        client = Client(self.site)
        client.say(request[:place] + data + request[place + left :])
        client.leave()
        self.assertEqual([], self.flushLoggedErrors())
        self.node.store.sections.pop(("alice", "dial", "x"), None)

    def test_split(self) -> None:
        """
        Requests may come in any pieces.
        """
        body = msgspec.json.encode({"text": "listen: {}"})
        request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for cut in range(1, len(request)):
            client = Client(self.site)
            answer = client.say(request[:cut]) + client.say(request[cut:])
            self.assertEqual(200, parse(answer).status, cut)
