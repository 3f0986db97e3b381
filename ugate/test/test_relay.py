# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.relay}.
"""

from __future__ import annotations

import os
from typing import Any

from OpenSSL import SSL

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.buffers import Buffers
from ugate.copying import Copying
from ugate.joined import Joined
from ugate.leg import EARLY_LIMIT, Leg
from ugate.metering import Meter, Meters
from ugate.protocols.mux import MuxStream
from ugate.protocols.tlsalerts import lossFrom
from ugate.relay import Carried, Relay
from ugate.test.copyfakes import Half, Plain
from ugate.test.muxfakes import INFO, FakeChannel
from ugate.test.socketfakes import Peer, SocketTestCase, tcpPair, unixPair
from ugate.test.splicefakes import noise

IDLE = 80.0


class Ends:
    """
    Keeps the ends of streams.
    """

    def __init__(self) -> None:
        self.all: list[tuple[Carried, str]] = []

    def __call__(self, stream: Carried, reason: str) -> None:
        self.all.append((stream, reason))

    @property
    def reasons(self) -> list[str]:
        """
        Why they ended.
        """
        return [reason for _, reason in self.all]


class ChoiceTests(SocketTestCase):
    """
    Who moves the bytes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.relay = Relay(self.reactor, IDLE)
        self.ends = Ends()

    def stop(self) -> None:
        self.relay.stop()
        # What was aborted is lost in the next turn.
        self.reactor.advance(0)
        self.assertEqual(len(self.relay), 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def leg(self, pair: Any = tcpPair) -> tuple[Peer, Leg]:
        """
        A leg with one of Twisted's connections, and the peer at its other end.
        """
        peer, near = self.detached(pair)
        leg = Leg()
        connection: Any = tcp.Connection(near.socket, leg, self.reactor)
        connection.connected = 1
        connection.startReading()
        leg.makeConnection(connection)
        return peer, leg

    def test_meters(self) -> None:
        """
        What they are joined with holds for sockets, too.
        """
        meters = Meters(Meter(self.reactor, None), Meter(self.reactor, None), Buffers())
        (a, one), (b, two) = self.leg(), self.leg()
        self.relay.join(one, two, self.ends, meters)
        self.talk(a, b)
        assert meters.up is not None and meters.down is not None
        self.assertEqual((meters.up.total, meters.down.total), (8, 6))

    def talk(self, a: Peer, b: Peer) -> None:
        """
        They can talk, and end; then all is over.
        """
        a.give(b"question", end=True)
        self.until(lambda: b.ended, "the end")
        b.give(b"answer", end=True)
        self.until(lambda: a.ended, "the end")
        self.assertEqual((bytes(b.got), bytes(a.got)), (b"question", b"answer"))
        self.until(lambda: self.ends.all, "the end")
        self.assertEqual(self.ends.reasons, ["done"])
        self.assertEqual(len(self.relay), 0)

    def test_pump(self) -> None:
        """
        Two sockets leave their transports and are joined.
        """
        (a, one), (b, two) = self.leg(), self.leg()
        stream = self.relay.join(one, two, self.ends)
        self.assertIsInstance(stream, Joined)
        self.assertEqual((len(self.relay), list(self.relay)), (1, [stream]))
        self.assertEqual(len(self.reactor.getReaders()), 1)
        self.talk(a, b)
        self.assertIs(self.ends.all[0][0], stream)
        assert stream is not None
        self.assertEqual((stream.sent, stream.received), (8, 6))

    def test_unix(self) -> None:
        """
        Also if one is a UNIX socket.
        """
        (a, one), (b, two) = self.leg(), self.leg(unixPair)
        self.assertIsInstance(self.relay.join(one, two, self.ends), Joined)
        self.talk(a, b)

    def test_onePump(self) -> None:
        """
        All streams share one epoll.
        """
        for _ in range(3):
            self.relay.join(self.leg()[1], self.leg()[1], self.ends)
        self.assertEqual((len(self.relay), len(self.reactor.getReaders())), (3, 1))

    def test_early(self) -> None:
        """
        What the legs have kept goes first, and is let go of.
        """
        (a, one), (b, two) = self.leg(), self.leg()
        a.give(b"early ")
        b.give(b"banner ")
        self.until(lambda: one.early and two.early, "early bytes")
        one.transport.write(b"accepted ")  # type: ignore[union-attr]
        self.relay.join(one, two, self.ends)
        a.give(b"more")
        b.give(b"more")
        self.until(lambda: len(a.got) == 20 and len(b.got) == 10, "everything")
        self.assertEqual((bytes(a.got), bytes(b.got)), (b"accepted banner more", b"early more"))
        self.assertEqual((one.early, two.early), (b"", b""))

    def test_paused(self) -> None:
        """
        A leg that was paused since nobody took its bytes goes on.
        """
        (a, one), (b, two) = self.leg(), self.leg()
        data = noise(8 * EARLY_LIMIT)
        a.give(data)
        self.until(lambda: one.paused, "the pause")
        self.rest()
        self.relay.join(one, two, self.ends)
        self.until(lambda: len(b.got) == len(data), "everything")
        self.assertTrue(b.got == data)

    def test_copyWithoutSocket(self) -> None:
        """
        If one of them has no socket to give, the other keeps its own.
        """
        for swap in (False, True):
            peer, bare = self.leg()
            other = Half(Leg())
            legs = (other.leg, bare) if swap else (bare, other.leg)
            stream = self.relay.join(*legs, self.ends)
            self.assertIsInstance(stream, Copying)
            peer.give(b"word")
            self.until(lambda: other.calls, "a word")  # noqa: B023
            self.assertEqual(other.calls, [b"word"])

    def test_copyHalfClosed(self) -> None:
        """
        One that has ended already is copied: nobody would tell the pump.
        """
        (a, one), (b, two) = self.leg(), self.leg()
        a.give(b"question", end=True)
        self.until(lambda: one.eof, "the end")
        self.assertIsInstance(self.relay.join(one, two, self.ends), Copying)
        self.until(lambda: b.ended, "the end")
        b.give(b"answer", end=True)
        self.until(lambda: a.ended and self.ends.all, "the other end")
        self.assertEqual((bytes(b.got), bytes(a.got), self.ends.reasons), (b"question", b"answer", ["done"]))

    def test_gone(self) -> None:
        """
        One that is gone is told of at once, and there is no stream.
        """
        (a, one), (b, two) = self.leg(), self.leg()
        a.give(b"last words")
        self.until(lambda: one.early, "the words")
        a.reset()
        self.until(lambda: one.gone, "the reset")
        self.assertIs(self.relay.join(one, two, self.ends), None)
        self.assertEqual(len(self.ends.all), 1)
        self.assertEqual(self.ends.all[0][0].sent, 10)
        self.until(lambda: b.broken, "the reset")
        self.assertEqual(len(self.relay), 0)

    def test_goneBehindThePump(self) -> None:
        """
        So it is if the pump finds out.
        """
        (a, one), (_, two) = self.leg(), self.leg()
        one.transport.write(b"accepted")  # type: ignore[union-attr]
        a.reset()
        self.assertIs(self.relay.join(one, two, self.ends), None)
        self.assertEqual(self.ends.reasons, ["client: reset"])

    def test_threads(self) -> None:
        """
        As many threads as there are cores may splice, or as many as were said.
        """
        self.assertEqual(self.relay._threads, max(2, os.cpu_count() or 2))
        self.assertEqual(Relay(self.reactor, threads=0)._threads, 0)

    def test_idle(self) -> None:
        """
        A stream without a byte either way for so long is cut; one that has some is not.
        """
        streams = [(self.leg(), self.leg()) for _ in range(2)]
        for (_, one), (_, two) in streams:
            self.relay.join(one, two, self.ends)
        (a, _), (b, _) = streams[0]
        (c, _), (d, _) = streams[1]
        for count in range(1, 20):
            self.reactor.advance(IDLE / 10)
            d.give(b"x")
            self.until(lambda: len(c.got) == count, "a byte")  # noqa: B023
        self.assertEqual(self.ends.reasons, ["idle"])
        self.until(lambda: a.broken and b.broken, "the reset")
        self.assertEqual((c.broken, len(self.relay)), (None, 1))
        for _ in range(12):
            self.reactor.advance(IDLE / 10)
        self.assertEqual(self.ends.reasons, ["idle", "idle"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """
        To stop cuts all streams; it can be used again.
        """
        (a, one), (b, two) = self.leg(), self.leg()
        other = Half(Leg())
        c, three = self.leg()
        self.relay.join(one, two, self.ends)
        self.relay.join(three, other.leg, self.ends)
        self.relay.stop()
        self.assertEqual((self.ends.reasons, len(self.relay)), (["shutdown"] * 2, 0))
        self.reactor.advance(0)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))
        self.until(lambda: a.broken and b.broken and c.broken, "the resets")
        self.assertEqual(other.calls[0], "abort")
        self.relay.stop()
        (e, five), (f, six) = self.leg(), self.leg()
        self.relay.join(five, six, self.ends)
        e.give(b"word")
        self.until(lambda: f.got == b"word", "a word")


class CopyTests(SynchronousTestCase):
    """
    Where nothing has a socket: a reactor that waits for no descriptors.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.relay = Relay(self.clock, IDLE)
        self.ends = Ends()
        self.a, self.b = Half(Leg()), Plain(Leg())

    def test_copy(self) -> None:
        """
        All is copied.
        """
        stream = self.relay.join(self.a.leg, self.b.leg, self.ends)
        self.assertIsInstance(stream, Copying)
        self.a.leg.dataReceived(b"question")
        self.b.leg.dataReceived(b"answer")
        self.assertEqual((self.b.calls, self.a.calls), ([b"question"], [b"answer"]))

    def test_meters(self) -> None:
        """
        What it is joined with holds for it.
        """
        up, down = Meter(self.clock, 1000), Meter(self.clock, None)
        self.relay.join(self.a.leg, self.b.leg, self.ends, Meters(up, down))
        self.a.leg.dataReceived(bytes(500))
        self.b.leg.dataReceived(bytes(700))
        self.assertEqual((up.total, down.total), (500, 700))
        self.assertEqual((self.a.paused, self.b.paused), (True, False))
        up.stop()

    def test_idle(self) -> None:
        """
        A stream without a byte for so long is cut, not much later.
        """
        self.relay.join(self.a.leg, self.b.leg, self.ends)
        self.clock.pump([IDLE / 4] * 3)
        self.b.leg.dataReceived(b"word")
        self.clock.pump([IDLE / 100] * 100)
        self.assertEqual(self.ends.reasons, [])
        self.clock.pump([IDLE / 100] * 13)
        self.assertEqual(self.ends.reasons, ["idle"])
        self.assertEqual((self.a.calls[-1], self.b.calls[-1]), ("abort", "abort"))

    def test_timer(self) -> None:
        """
        There is one timer while there are streams, and none without.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.relay.join(self.a.leg, self.b.leg, self.ends)
        self.relay.join(Half(Leg()).leg, Half(Leg()).leg, self.ends)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for stream in self.relay:
            stream.close("enough", abort=True)
        self.assertEqual((len(self.relay), self.ends.reasons), (0, ["enough"] * 2))
        for transport in (self.a, self.b):
            transport.lose(ConnectionLost())
        self.clock.pump([IDLE / 4] * 8)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def finish(self) -> None:
        """
        A stream that is over, with bytes that its peers have not read.
        """
        self.relay.join(self.a.leg, self.b.leg, self.ends)
        self.a.leg.readConnectionLost()
        self.b.leg.readConnectionLost()
        self.assertEqual(self.ends.reasons, ["done"])
        self.assertEqual((self.a.calls, self.b.calls[-1]), (["close"], "close"))

    def test_closing(self) -> None:
        """
        A transport that does not come to its end after that is cut when an idle stream
        would be; one that does is forgotten.
        """
        self.finish()
        self.a.lose(ConnectionDone())
        self.clock.pump([IDLE / 100] * 99)
        self.assertEqual(self.b.calls[-1], "close")
        self.clock.pump([IDLE / 100] * 2)
        self.assertEqual((self.a.calls[-1], self.b.calls[-1]), ("close", "abort"))
        self.b.lose(ConnectionLost())
        self.assertEqual((self.ends.reasons, self.clock.getDelayedCalls()), (["done"], []))

    def test_unsentBeforeACut(self) -> None:
        """
        So is a stream of a link that is to send what came before TLS was cut, and cannot.
        """
        channel = FakeChannel()
        channel.isFull = True
        stream = MuxStream(channel, INFO)
        stream.begin(leg := Leg())
        self.relay.join(self.a.leg, leg, self.ends)
        self.a.leg.dataReceived(b"waits")
        self.a.lose(lossFrom(SSL.SysCallError(-1, "Unexpected EOF")))
        self.clock.pump([IDLE / 100] * 99)
        self.assertEqual(([b"waits"], 1), (channel.calls, self.relay.closing))
        self.clock.pump([IDLE / 100] * 2)
        self.assertEqual(([b"waits", "reset"], 0), (channel.calls, self.relay.closing))

    def test_stop(self) -> None:
        """
        To stop cuts those too.
        """
        self.finish()
        self.b.lose(ConnectionDone())
        other = Half(Leg())
        self.relay.join(Half(Leg()).leg, other.leg, self.ends)
        self.relay.stop()
        self.assertEqual((self.a.calls[-1], self.b.calls[-1], other.calls[-1]), ("abort", "close", "abort"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.ends.reasons, ["done", "shutdown"])
