# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsstreams}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.modules import dnsstreams
from ugate.modules.dnsstreams import IDLE, StreamServer
from ugate.protocols.dnsframes import Frames, framed
from ugate.test.dnsfakes import DnsCase, askedFor, read, said
from ugate.test.httpfakes import splits


class Wire(StringTransport):
    """
    A connection to the server.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.frames = Frames()

    def asked(self) -> list[bytes]:
        """
        What was asked since the last time.
        """
        data = self.value()
        self.clear()
        return [*self.frames.receive(data)]


class StreamCase(DnsCase):
    """
    A server on a stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.dials: list[tuple[Any, Deferred[Any]]] = []
        self.server = StreamServer(self.clock, "tcp:x", self.endpoint)

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

    def up(self) -> Wire:
        """
        The last connection is up.
        """
        factory, dial = self.dials[-1]
        wire: Any = Wire()
        wire.protocol = factory.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        dial.callback(wire.protocol)
        return wire  # type: ignore[no-any-return]

    def lose(self, wire: Any) -> None:
        """
        It is over.
        """
        wire.protocol.connectionLost(Failure(ConnectionDone()))

    def say(self, wire: Any, asked: bytes, address: str = "192.0.2.1") -> None:
        """
        Answer.
        """
        name = str(read(asked).question[0].name).rstrip(".")
        wire.protocol.dataReceived(framed(said(asked, f"{name} 60 A {address}")))


class StreamTests(StreamCase):
    """
    L{StreamServer}.
    """

    def test_ask(self) -> None:
        """
        Questions go out when the connection is up, and answers come in any order.
        """
        first, second = self.server.ask(askedFor("a.example")), self.server.ask(askedFor("b.example"))
        self.assertEqual(1, len(self.dials))
        wire = self.up()
        one, two = wire.asked()
        self.say(wire, two)
        self.assertNoResult(first)
        self.assertIn("b.example", str(read(self.successResultOf(second)).question[0]))
        self.say(wire, one)
        self.assertIn("a.example", str(read(self.successResultOf(first)).question[0]))
        third = self.server.ask(askedFor("c.example"))
        self.say(wire, wire.asked()[0])
        self.successResultOf(third)
        self.assertEqual(1, len(self.dials))

    def test_splits(self) -> None:
        """
        However the bytes of an answer come.
        """
        self.server.ask(askedFor())
        wire: Any = self.up()
        wire.asked()
        length = len(framed(said(askedFor().wire(1), "db.example 60 A 192.0.2.1")))
        for cut in splits(bytes(length)):
            asking = self.server.ask(askedFor())
            data = framed(said(wire.asked()[0], "db.example 60 A 192.0.2.1"))
            for part in cut:
                wire.protocol.dataReceived(data[: len(part)])
                data = data[len(part) :]
            self.successResultOf(asking)

    def test_others(self) -> None:
        """
        What was not asked is no answer.
        """
        asking = self.server.ask(askedFor("a.example"))
        wire: Any = self.up()
        (asked,) = wire.asked()
        other = askedFor("b.example").wire(int.from_bytes(asked[:2], "big"))
        self.say(wire, other)
        wire.protocol.dataReceived(framed(bytes([asked[0] ^ 1]) + said(asked)[1:]))
        wire.protocol.dataReceived(framed(asked))
        self.assertNoResult(asking)
        self.say(wire, asked)
        self.successResultOf(asking)

    def test_broken(self) -> None:
        """
        A server that sends what can be no message is left.
        """
        asking = self.server.ask(askedFor())
        wire: Any = self.up()
        wire.protocol.dataReceived(b"\x00\x01x")
        self.assertTrue(wire.disconnecting or wire.disconnected)
        self.lose(wire)
        self.assertIs(Cause.PEER_CLOSED, self.failureResultOf(asking, Refused).value.cause)

    def test_noWay(self) -> None:
        """
        What waits for a connection fails with it; the next question tries again.
        """
        first = self.server.ask(askedFor())
        no = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "x")
        self.dials[-1][1].errback(no)
        self.assertIs(no, self.failureResultOf(first).value)
        self.server.ask(askedFor())
        self.assertEqual(2, len(self.dials))

    def test_noDialer(self) -> None:
        """
        The same where there is no way at all.
        """

        def none() -> Any:
            raise Refused(Cause.DENIED, Phase.POLICY, "x")

        asking = StreamServer(self.clock, "tcp:x", none).ask(askedFor())
        self.assertIs(Cause.DENIED, self.failureResultOf(asking, Refused).value.cause)

    def test_closed(self) -> None:
        """
        What crossed with the end of a connection that was good is asked anew; else it fails.
        """
        self.server.ask(askedFor("a.example"))
        wire = self.up()
        self.say(wire, wire.asked()[0])
        asking = self.server.ask(askedFor("b.example"))
        self.lose(wire)
        self.assertNoResult(asking)
        again = self.up()
        self.assertEqual(1, len(again.asked()))
        self.lose(again)
        self.assertIs(Cause.PEER_CLOSED, self.failureResultOf(asking, Refused).value.cause)

    def test_idle(self) -> None:
        """
        A connection on which nothing was answered for a while is closed.
        """
        self.server.ask(askedFor("a.example"))
        wire = self.up()
        self.clock.advance(IDLE - 1)
        self.server.ask(askedFor("b.example"))
        self.assertFalse(wire.disconnected)
        self.clock.advance(1)
        self.assertTrue(wire.disconnected or wire.disconnecting)

    def test_cancel(self) -> None:
        """
        An answer that nobody waits for any more is no trouble, and none to a later question.
        """
        asking = self.server.ask(askedFor("a.example"))
        early = self.server.ask(askedFor("b.example"))
        early.cancel()
        self.failureResultOf(early, CancelledError)
        wire = self.up()
        (asked,) = wire.asked()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.say(wire, asked)
        self.lose(wire)

    def test_limits(self) -> None:
        """
        No more than so many questions wait, for the connection and on it.
        """
        self.patch(dnsstreams, "MAX_WAITING", 2)
        self.patch(dnsstreams, "MAX_UNANSWERED", 3)
        for count in range(2):
            self.server.ask(askedFor(f"{count}.example"))
        asking = self.server.ask(askedFor())
        self.assertIs(Cause.OVERLOADED, self.failureResultOf(asking, Refused).value.cause)
        self.up()
        self.assertNoResult(self.server.ask(askedFor()))
        asking = self.server.ask(askedFor())
        self.assertIs(Cause.OVERLOADED, self.failureResultOf(asking, Refused).value.cause)

    def test_stop(self) -> None:
        """
        When it is stopped all is closed.
        """
        asking = self.server.ask(askedFor())
        self.server.stop()
        self.failureResultOf(asking, CancelledError)
        self.server.ask(askedFor())
        wire = self.up()
        self.server.stop()
        self.assertTrue(wire.disconnected or wire.disconnecting)

    def test_padded(self) -> None:
        """
        In TLS questions look alike.
        """
        self.server.isPadded = True
        self.server.ask(askedFor())
        (asked,) = self.up().asked()
        self.assertEqual(128, len(asked))
