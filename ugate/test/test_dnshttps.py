# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnshttps}.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.errors import Cause, Refused
from ugate.modules.dnshttps import HttpsServer
from ugate.modules.dnsstreams import IDLE
from ugate.test.dnsfakes import DnsCase, FakeServer, addressesIn, askedFor, said

GOOD = "db.example 60 A 192.0.2.1"
URL = "https://dns.example:8443/dns-query"


class Wire(StringTransport):
    """
    A connection, with a server of HTTP/2 at its end.

    @ivar paths: what was asked for, by stream.
    """

    protocol: Any

    def __init__(self, negotiated: bytes = b"h2", streams: int = 100) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.negotiatedProtocol = negotiated
        self.server = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        limit = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams}
        self.server.local_settings = h2.settings.Settings(client=False, initial_values=limit)
        self.server.initiate_connection()
        self.asked: dict[int, dict[str, str]] = {}
        self.resets: list[int] = []

    def turn(self) -> None:
        """
        Let what was sent arrive, both ways.
        """
        data = self.value()
        self.clear()
        for event in self.server.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.asked[event.stream_id or 0] = {str(k): str(v) for k, v in event.headers or ()}
            elif isinstance(event, h2.events.StreamReset):
                self.resets.append(event.stream_id)
        back = self.server.data_to_send()
        if back:
            self.protocol.dataReceived(back)

    def question(self, number: int) -> bytes:
        """
        What was asked on a stream.
        """
        _, _, question = self.asked[number][":path"].partition("?dns=")
        return urlsafe_b64decode(question + "==")

    def say(
        self, number: int, body: bytes, status: str = "200", kind: str = "application/dns-message"
    ) -> None:
        """
        Answer.
        """
        self.server.send_headers(number, [(":status", status), ("content-type", kind)])
        for at in range(0, len(body), 16384):
            self.server.send_data(number, body[at : at + 16384])
            self.turn()
            if number in self.resets:
                return
        self.server.end_stream(number)
        self.turn()

    def lose(self) -> None:
        """
        It is over.
        """
        self.protocol.connectionLost(Failure(ConnectionDone()))


class HttpsTests(DnsCase):
    """
    L{HttpsServer}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.dials: list[tuple[Any, Deferred[Any]]] = []
        self.old: list[FakeServer] = []
        self.server = HttpsServer(self.clock, URL, self.endpoint, self.older)

    def endpoint(self) -> Any:
        """
        What connects there.
        """
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint}.
        """
        dial: Deferred[Any] = Deferred()
        self.dials.append((factory, dial))
        return dial

    def older(self) -> FakeServer:
        """
        By HTTP/1.1.
        """
        self.old.append(FakeServer())
        return self.old[-1]

    def up(self, **options: Any) -> Wire:
        """
        The last connection is up.
        """
        factory, dial = self.dials[-1]
        wire = Wire(**options)
        wire.protocol = factory.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        dial.callback(wire.protocol)
        if options.get("negotiated", b"h2") == b"h2":
            wire.turn()
        return wire

    def test_ask(self) -> None:
        """
        Questions are requests on one connection, padded and always with the same number; answers come in
        any order.
        """
        first, second = self.server.ask(askedFor()), self.server.ask(askedFor("b.example"))
        wire = self.up()
        self.assertEqual([1, 3], [*wire.asked])
        head = wire.asked[1]
        self.assertEqual(
            ("GET", "https", "dns.example:8443"), (head[":method"], head[":scheme"], head[":authority"])
        )
        self.assertEqual("application/dns-message", head["accept"])
        sent = wire.question(1)
        self.assertEqual((b"\0\0", 128), (sent[:2], len(sent)))
        wire.say(3, said(wire.question(3), "b.example 60 A 192.0.2.2"))
        self.assertEqual(["192.0.2.2"], addressesIn(self.successResultOf(second)))
        wire.say(1, said(sent, GOOD))
        self.assertEqual(["192.0.2.1"], addressesIn(self.successResultOf(first)))
        self.assertEqual((1, []), (len(self.dials), self.old))
        self.clock.advance(IDLE)
        self.assertTrue(wire.disconnected or wire.disconnecting)

    def test_path(self) -> None:
        """
        A question is added to what is asked for anyway.
        """
        self.server = HttpsServer(self.clock, "https://dns.example?x=1", self.endpoint, self.older)
        self.server.ask(askedFor())
        self.assertTrue(self.up().asked[1][":path"].startswith("/?x=1&dns="))

    def test_failures(self) -> None:
        """
        Whatever else is answered, it is said what; the connection stays.
        """
        good = said(askedFor().wire(0), GOOD)
        self.server.ask(askedFor()).addErrback(lambda _: None)
        wire = self.up()
        for number, (body, options, words) in enumerate(
            (
                (good, {"status": "503"}, "it answers 503"),
                (b"<html>", {"kind": "text/html"}, "'text/html', and no message of the DNS"),
                (said(askedFor("x.example").wire(0)), {}, "what was not asked"),
                (b"", {}, "what was not asked"),
                (bytes(70000), {}, "more than 65535 bytes"),
            )
        ):
            asking = self.server.ask(askedFor())
            wire.turn()
            wire.say(3 + 2 * number, body, **options)
            refused = self.failureResultOf(asking, Refused).value
            self.assertIs(Cause.PEER_MISBEHAVED, refused.cause)
            self.assertIn(words, str(refused))
        self.assertEqual([11], wire.resets)
        asking = self.server.ask(askedFor())
        wire.turn()
        wire.server.reset_stream(13)
        wire.turn()
        self.assertIn("breaks off", str(self.failureResultOf(asking, Refused).value))
        self.assertEqual(1, len(self.dials))

    def test_noHTTP(self) -> None:
        """
        A server that speaks something else is left.
        """
        asking = self.server.ask(askedFor())
        wire = self.up()
        wire.protocol.dataReceived(b"\0\0\0\x04\0\0\0\0\x01")
        self.assertTrue(wire.disconnected or wire.disconnecting)
        wire.lose()
        self.assertIs(Cause.PEER_CLOSED, self.failureResultOf(asking, Refused).value.cause)

    def test_older(self) -> None:
        """
        One that knows no HTTP/2 is asked in HTTP/1.1, now and later.
        """
        asking, second = self.server.ask(askedFor()), self.server.ask(askedFor("b.example"))
        wire = self.up(negotiated=b"http/1.1")
        self.assertTrue(wire.disconnected or wire.disconnecting)
        wire.lose()
        (old,) = self.old
        old.say(GOOD, at=0)
        old.say("b.example 60 A 192.0.2.2", at=1)
        self.successResultOf(asking)
        self.successResultOf(second)
        self.server.ask(askedFor())
        self.assertEqual((3, 1), (len(old.asked), len(self.dials)))
        self.server.stop()
        self.assertEqual(1, old.stopped)

    def test_goesAway(self) -> None:
        """
        A server that goes away answers what it was asked; what is asked then goes to a new connection.
        """
        self.server.ask(askedFor())
        wire = self.up()
        wire.server.close_connection(last_stream_id=1)
        wire.server.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
        wire.turn()
        self.server.ask(askedFor("b.example"))
        self.assertEqual(2, len(self.dials))

    def test_tooMany(self) -> None:
        """
        One that takes no more streams at once is asked on another connection next time.
        """
        first = self.server.ask(askedFor())
        wire = self.up(streams=1)
        refused = self.failureResultOf(self.server.ask(askedFor("b.example")), Refused).value
        self.assertIs(Cause.OVERLOADED, refused.cause)
        self.server.ask(askedFor("b.example"))
        self.assertEqual(2, len(self.dials))
        wire.say(1, said(wire.question(1), GOOD))
        self.successResultOf(first)
        self.assertTrue(wire.disconnected or wire.disconnecting)

    def test_cancel(self) -> None:
        """
        An answer that nobody waits for any more is no trouble.
        """
        asking = self.server.ask(askedFor())
        wire = self.up()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        wire.say(1, said(wire.question(1), GOOD))
