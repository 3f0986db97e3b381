# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Time and space that a negotiation has at a listener.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv6Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from ugate.endpoints import negotiated
from ugate.endpoints.negotiated import NegotiatedServerEndpoint, ServerNegotiation
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth, ISilence, Step
from ugate.protocols.auto import Fixed
from ugate.protocols.socks5 import Socks5
from ugate.stream import StreamInfo, Target
from ugate.test.listenfakes import (
    HELLO,
    PEER,
    REQUEST,
    ListenerCase,
)


@implementer(ISilence)
class Polite(Fixed):
    """
    A negotiation for a client that waits to be spoken to; others break its protocol.
    """

    def receive(self, data: bytes) -> Step:
        raise Refused(Cause.PEER_MISBEHAVED, Phase.NEGOTIATE, "listener", "it spoke first")

    def silent(self) -> Step:
        return Fixed.receive(self, b"")


def polite(info: StreamInfo, auth: Auth) -> Polite:
    """
    For where a mail server may be.
    """
    return Polite(info, auth, Target("mail", 25), "silent")


class LimitTests(ListenerCase):
    """
    Time and space that a negotiation has.
    """

    def test_deadline(self) -> None:
        """
        Whoever does not come to an end is cut, and there is one line of it.
        """
        server, line = self.connect(self.socks(self.tenant(), deadline=3))
        self.real.advance(2.9)
        server.dataReceived(HELLO)
        self.assertFalse(line.disconnected)
        with capturedLogs() as events:
            self.real.advance(0.1)
            server.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(line.disconnected)
        (said,) = [formatEvent(event) for event in events]
        self.assertIn("192.0.2.7:40000: ", said)
        self.assertIn("timed out", said)
        self.assertEqual(self.real.getDelayedCalls(), [])

    def test_inTime(self) -> None:
        """
        The deadline is for the negotiation alone.
        """
        server, line = self.connect(self.socks(self.tenant(), deadline=3))
        server.dataReceived(HELLO + REQUEST)
        self.real.advance(100)
        self.assertFalse(line.disconnected)
        self.assertEqual(self.stream().lost, [])

    def test_cap(self) -> None:
        """
        Whoever says too much before the end is cut, and that is said.
        """
        factory = self.socks(self.tenant(), cap=8)
        server, line = self.connect(factory)
        with capturedLogs() as events:
            server.dataReceived(HELLO + REQUEST[:5])
            self.assertFalse(line.disconnected)
            server.dataReceived(REQUEST[5:6])
            self.assertTrue(line.disconnected)
        self.assertIn("more than 8 bytes", formatEvent(events[-1]))
        server, line = self.connect(factory)
        server.dataReceived(HELLO + REQUEST + bytes(1000))
        self.assertEqual(self.stream().got, bytes(1000))

    def test_wordsOfARefusal(self) -> None:
        """
        A broken protocol is one line in the log, with who did it; who just goes away is
        none.
        """
        factory = self.socks(self.tenant())
        for peer, name in (
            (PEER, "192.0.2.7:40000"),
            (IPv6Address("TCP", "2001:db8::1", 5), "2001:db8::1"),
        ):
            server, _ = self.connect(factory, peer)
            with capturedLogs() as events:
                server.dataReceived(b"GET / HTTP/1.0\r\n\r\n")
            (said,) = [formatEvent(event) for event in events]
            self.assertIn(name, said)
            self.assertIn("SOCKS5", said)
        for reason in (ConnectionDone(), ConnectionLost()):
            server, _ = self.connect(factory)
            server.dataReceived(HELLO)
            with capturedLogs() as events:
                server.connectionLost(Failure(reason))
            self.assertEqual(events, [])

    def patient(self, negotiation: ServerNegotiation) -> Any:
        """
        Listen for clients that may say nothing for two seconds.
        """
        inner = TCP4ServerEndpoint(self.real, 25)
        return self.listen(NegotiatedServerEndpoint(self.real, inner, negotiation, patience=2))

    def test_silence(self) -> None:
        """
        Who has said nothing for the time of a listener is taken for the client of a server
        that speaks first.
        """
        factory = self.patient(polite)
        _, line = self.connect(factory)
        self.real.advance(1.9)
        self.assertEqual(self.streams.made, [])
        self.real.advance(0.1)
        stream = self.stream()
        self.assertEqual(str(stream.info.target), "mail:25")
        stream.transport.write(b"220 hello")
        self.assertEqual(line.take(), b"220 hello")
        self.real.advance(100)
        self.assertFalse(line.disconnected)

    def test_notSilent(self) -> None:
        """
        Who has said anything is not silent, nor who is gone.
        """
        factory = self.patient(Socks5)
        server, _ = self.connect(factory)
        server.dataReceived(HELLO[:1])
        self.real.advance(2)
        gone, _ = self.connect(self.patient(polite))
        gone.connectionLost(Failure(ConnectionDone()))
        self.real.advance(2)
        self.assertEqual(self.streams.made, [])

    def test_eager(self) -> None:
        """
        Where nothing has to be said, the stream is there with the connection.
        """
        inner = TCP4ServerEndpoint(self.real, 25)
        endpoint = NegotiatedServerEndpoint(
            self.real, inner, lambda info, auth: Fixed(info, auth, Target("mail", 25), "forward"), eager=True
        )
        factory = self.listen(endpoint)
        self.connect(factory)
        self.assertEqual(str(self.stream().info.target), "mail:25")

    def test_crowded(self) -> None:
        """
        When too many are in the middle, whoever has been for longest is cut, and there is one
        line of it until there are fewer.
        """
        self.patch(negotiated, "PENDING", 4)
        self.patch(negotiated, "_CALM", 2)
        factory = self.socks(self.tenant(), deadline=3)
        clients = []
        with capturedLogs() as events:
            for _ in range(7):
                clients.append(self.connect(factory))
                clients[-1][0].dataReceived(HELLO[:1])
        cut = [line.disconnected for _, line in clients]
        self.assertEqual(cut, [True] * 3 + [False] * 4)
        (said,) = [formatEvent(event) for event in events]
        self.assertIn("4 clients are in the middle of their handshakes", said)
        self.assertIn("192.0.2.7:40000", said)
        for server, line in clients:
            if not line.disconnected:
                server.dataReceived(HELLO[1:])
                server.dataReceived(REQUEST)
        self.assertEqual(len(self.streams.made), 4)
        with capturedLogs() as events:
            for _ in range(5):
                self.connect(factory)
        self.assertEqual(len(events), 1)
        self.real.advance(3)

    def test_manyAtOnce(self) -> None:
        """
        Each connection has a deadline of its own, by one timer.
        """
        factory = self.socks(self.tenant(), deadline=3)
        lines = []
        for _ in range(5):
            lines.append(self.connect(factory)[1])
            self.real.advance(1)
        self.assertEqual([line.disconnected for line in lines], [True, True, True, False, False])
        self.assertEqual(len(self.real.getDelayedCalls()), 1)
        self.real.advance(3)
        self.assertTrue(all(line.disconnected for line in lines))
