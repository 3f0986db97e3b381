# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsserving}.
"""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ugate.modules import dnsserving
from ugate.modules.dnsserving import IDLE, Clients, Datagrams, Streams, openDatagrams
from ugate.protocols.dnsframes import Frames, framed
from ugate.stream import Target
from ugate.test.dnsfakes import DnsCase, message, read, said
from ugate.test.httpfakes import splits

HERE = ("127.0.0.1", 40000)
THERE = ("203.0.113.9", 40000)
QUESTION = message()
KNOWN = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


class Answers:
    """
    What answers: at once, or when it is told to.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bool]] = []
        self.waiting: list[tuple[bytes, Deferred[bytes]]] = []
        self.sources: list[str | None] = []
        self.isSlow = False

    def __call__(self, data: bytes, isStream: bool, source: str | None) -> Any:
        self.asked.append((data, isStream))
        self.sources.append(source)
        if not self.isSlow:
            return said(data) if len(data) >= 12 else b""
        answer: Deferred[bytes] = Deferred()
        self.waiting.append((data, answer))
        return answer

    def say(self, at: int = 0) -> None:
        """
        Answer one.
        """
        data, answer = self.waiting.pop(at)
        answer.callback(said(data))


class Port:
    """
    A socket for datagrams.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []
        self.error: OSError | None = None

    def write(self, data: bytes, addr: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((data, addr))


class ClientsTests(DnsCase):
    """
    L{Clients}.
    """

    def test_networks(self) -> None:
        """
        This machine, and who is listed.
        """
        clients = Clients(KNOWN)
        for host in ("127.0.0.1", "127.8.8.8", "::1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7", ""):
            self.assertTrue(clients.mayAsk(host), host)
        for host in ("11.0.0.1", "192.168.1.1", "2001:db9::1", "fe80::1%eth0", "::ffff:11.0.0.1"):
            self.assertFalse(clients.mayAsk(host), host)

    def test_remembered(self) -> None:
        """
        Not more than so many are remembered.
        """
        self.patch(dnsserving, "_REMEMBERED", 3)
        clients = Clients([])
        for last in range(20):
            clients.mayAsk(f"192.0.2.{last}")
        self.assertLessEqual(len(clients._known), 3)


class DatagramsTests(DnsCase):
    """
    L{Datagrams}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.answers, self.port = Answers(), Port()
        self.datagrams = Datagrams(self.answers, Clients(KNOWN))
        self.datagrams.transport = self.port  # type: ignore[assignment]

    def test_answered(self) -> None:
        """
        An answer goes back where the question came from, at once or later.
        """
        self.datagrams.datagramReceived(QUESTION, HERE)
        self.assertEqual([(said(QUESTION), HERE)], self.port.sent)
        self.assertEqual([(QUESTION, False)], self.answers.asked)
        self.answers.isSlow = True
        self.datagrams.datagramReceived(QUESTION, HERE)
        self.assertEqual(1, len(self.port.sent))
        self.answers.say()
        self.assertEqual(2, len(self.port.sent))

    def test_silence(self) -> None:
        """
        Nothing is nothing.
        """
        self.datagrams.datagramReceived(b"x", HERE)
        self.datagrams.datagramReceived(b"x", THERE)
        self.datagrams.datagramReceived(said(QUESTION), THERE)
        self.assertEqual([], self.port.sent)

    def test_others(self) -> None:
        """
        Others are refused, in no more bytes than they sent, and nobody is asked.
        """
        self.datagrams.datagramReceived(QUESTION, THERE)
        ((answer, to),) = self.port.sent
        self.assertEqual((5, THERE), (read(answer).rcode(), to))
        self.assertLessEqual(len(answer), len(QUESTION))
        self.assertEqual([], self.answers.asked)

    def test_most(self) -> None:
        """
        If too many wait, others are dropped.
        """
        self.patch(dnsserving, "MAX_WAITING", 2)
        self.answers.isSlow = True
        for _ in range(3):
            self.datagrams.datagramReceived(QUESTION, HERE)
        self.assertEqual(2, len(self.answers.waiting))
        self.answers.say()
        self.datagrams.datagramReceived(QUESTION, HERE)
        self.assertEqual(2, len(self.answers.waiting))

    def test_fair(self) -> None:
        """
        One client alone does not take all places.
        """
        self.patch(dnsserving, "MAX_WAITING", 4)
        self.answers.isSlow = True
        for host in (*["10.0.0.1"] * 5, *["2001:db8::1", "2001:db8::2"] * 5, "::ffff:10.0.0.1"):
            self.datagrams.datagramReceived(QUESTION, (host, 40000))
        self.assertEqual([*["10.0.0.1"] * 2, "2001:db8::/64"], self.answers.sources)

    def test_unsent(self) -> None:
        """
        What cannot be sent is lost, and so is what comes after the end.
        """
        self.port.error = OSError(90, "Message too long")
        self.datagrams.datagramReceived(QUESTION, HERE)
        self.datagrams.transport = None
        self.datagrams.datagramReceived(QUESTION, HERE)

    def test_open(self) -> None:
        """
        A socket is opened also beside one that is there.
        """
        opened: list[tuple[Any, ...]] = []

        class Adopting:
            def adoptDatagramPort(self, number: int, family: Any, protocol: Any, size: int) -> str:
                made = socket.socket(fileno=socket.dup(number))
                opened.append((family, protocol, size, made))
                return "port"

        for host in ("127.0.0.1", "127.0.0.1"):
            number = opened[0][3].getsockname()[1] if opened else 0
            self.assertEqual("port", openDatagrams(Adopting(), Target(host, number), self.datagrams))
        self.assertEqual(opened[0][3].getsockname(), opened[1][3].getsockname())
        for *_, made in opened:
            made.close()


class Wire(StringTransport):
    """
    A connection of a client.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.frames = Frames()
        self.protocol = protocol
        protocol.makeConnection(self)

    def answers(self) -> list[bytes]:
        """
        What came back since the last time.
        """
        data = self.value()
        self.clear()
        return [*self.frames.receive(data)]

    def lose(self) -> None:
        """
        The client is gone.
        """
        self.protocol.connectionLost(Failure(ConnectionDone()))


class StreamsTests(DnsCase):
    """
    L{Streams}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.answers = Answers()
        self.streams = Streams(self.clock, self.answers, Clients([]))

    def client(self, host: str = "127.0.0.1") -> Any:
        """
        Somebody connects.
        """
        return Wire(self.streams.buildProtocol(IPv4Address("TCP", host, 40000)))

    def test_splits(self) -> None:
        """
        However the bytes of questions come, each is answered.
        """
        data = framed(QUESTION) + framed(message("b.example"))
        for parts in splits(data):
            wire = self.client()
            for part in parts:
                wire.protocol.dataReceived(part)
            self.assertEqual(2, len(wire.answers()))
            wire.lose()
        self.assertEqual({True}, {isStream for _, isStream in self.answers.asked})

    def test_order(self) -> None:
        """
        Answers go back when they are known.
        """
        self.answers.isSlow = True
        wire = self.client()
        wire.protocol.dataReceived(framed(message("a.example")) + framed(message("b.example")))
        self.answers.say(1)
        (answer,) = wire.answers()
        self.assertEqual("b.example.", str(read(answer).question[0].name))
        self.answers.say()
        self.assertEqual(1, len(wire.answers()))

    def test_idle(self) -> None:
        """
        Who asks nothing for a while is left; bytes that trickle in are no question.
        """
        wire = self.client()
        self.clock.advance(IDLE - 1)
        wire.protocol.dataReceived(framed(QUESTION))
        for byte in framed(QUESTION)[:10]:
            self.clock.advance(IDLE / 10 - 0.01)
            wire.protocol.dataReceived(bytes([byte]))
        self.assertFalse(wire.disconnected)
        self.clock.advance(1)
        self.assertTrue(wire.disconnected or wire.disconnecting)

    def test_bad(self) -> None:
        """
        So is who sends what can be no message.
        """
        wire = self.client()
        wire.protocol.dataReceived(framed(QUESTION) + b"\0\0")
        self.assertTrue(wire.disconnected or wire.disconnecting)
        self.assertEqual(1, len(wire.answers()))

    def test_gone(self) -> None:
        """
        An answer to who is gone is no trouble.
        """
        self.answers.isSlow = True
        wire = self.client()
        wire.protocol.dataReceived(framed(QUESTION))
        wire.lose()
        self.answers.say()
        self.assertEqual([], wire.answers())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_unanswered(self) -> None:
        """
        From who waits for too many answers no more is read until some are there.
        """
        self.patch(dnsserving, "MAX_UNANSWERED", 2)
        self.answers.isSlow = True
        wire = self.client()
        wire.protocol.dataReceived(framed(QUESTION))
        self.assertEqual("producing", wire.producerState)
        wire.protocol.dataReceived(framed(QUESTION) * 2)
        self.assertEqual("paused", wire.producerState)
        self.answers.say()
        self.assertEqual("paused", wire.producerState)
        self.answers.say()
        self.assertEqual("producing", wire.producerState)

    def test_unread(self) -> None:
        """
        Nor from who does not read them.
        """
        wire = self.client()
        self.assertIs(wire.producer, wire.protocol)
        wire.producer.pauseProducing()
        self.assertEqual("paused", wire.producerState)
        wire.producer.resumeProducing()
        self.assertEqual("producing", wire.producerState)

    def test_others(self) -> None:
        """
        Others are refused.
        """
        wire = self.client("203.0.113.9")
        wire.protocol.dataReceived(framed(QUESTION) + framed(said(QUESTION)))
        (answer,) = wire.answers()
        self.assertEqual(5, read(answer).rcode())
        self.assertEqual([], self.answers.asked)
        local = Wire(self.streams.buildProtocol(UNIXAddress("/run/x")))
        local.protocol.dataReceived(framed(QUESTION))
        self.assertEqual(0, read(local.answers()[0]).rcode())

    def test_most(self) -> None:
        """
        No more than so many are here at once; all are left at the end.
        """
        self.patch(dnsserving, "MAX_CONNECTIONS", 2)
        wires = [self.client(), self.client()]
        self.assertIsNone(self.streams.buildProtocol(None))
        wires.pop().lose()
        wires.append(self.client())
        wires.pop().lose()
        wires.append(self.client("10.0.0.1"))
        self.assertIsNone(self.streams.buildProtocol(IPv4Address("TCP", "10.0.0.1", 40001)))
        self.streams.stopFactory()
        self.assertTrue(all(wire.disconnected or wire.disconnecting for wire in wires))
