# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnsdatagrams}.
"""

from __future__ import annotations

import socket
from typing import Any

import dns.flags

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from ugate.errors import Cause, Denied, Refused
from ugate.interfaces import IEgress
from ugate.modules import dnsdatagrams
from ugate.modules.dnsdatagrams import MAX_GUESSES, DatagramServer
from ugate.stream import Target
from ugate.tenancy.egress import Outgoing
from ugate.test.dnsfakes import DnsCase, FakeServer, addressesIn, askedFor, said

GOOD = "db.example 60 A 192.0.2.1"


class FakeSocket:
    """
    A socket with one place.
    """

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.came: list[Any] = []
        self.isClosed = False
        self.error: OSError | None = None

    def send(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(data)

    def recv(self, size: int) -> Any:
        if not self.came:
            raise BlockingIOError
        data = self.came.pop(0)
        if isinstance(data, OSError):
            raise data
        return data[:size]

    def fileno(self) -> int:
        return -1 if self.isClosed else 7

    def close(self) -> None:
        self.isClosed = True


class Readers:
    """
    A reactor that waits for these.
    """

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.denied: tuple[str, ...] = ()
        self.mark = 0
        self.outgoing: Any = None

    def unmarked(self, error: OSError) -> None:
        raise error

    def __conform__(self, interface: object) -> object | None:
        return self if interface is IEgress else None

    def check(self, host: str, port: int, network: str = "tcp") -> None:
        if network in self.denied:
            raise Denied(host, "a listener of this gateway")

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)


class DatagramTests(DnsCase):
    """
    L{DatagramServer}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reactor: Any = Readers()
        self.sockets: list[FakeSocket] = []
        self.onStream = FakeServer()
        self.server = DatagramServer(self.reactor, Target("192.0.2.53", 53), self.onStream, self.open)

    def open(self, target: Target, egress: Any) -> Any:
        """
        One more socket.
        """
        made = FakeSocket()
        self.sockets.append(made)
        return made

    def come(self, *datagrams: Any, at: int = -1) -> None:
        """
        Something comes.
        """
        self.sockets[at].came.extend(datagrams)
        for reader in [*self.reactor.readers]:
            if reader._socket is self.sockets[at]:
                reader.doRead()

    def test_answered(self) -> None:
        """
        Each question has a socket, which is closed when it is answered.
        """
        first, second = self.server.ask(askedFor()), self.server.ask(askedFor())
        self.come(said(self.sockets[0].sent[0], GOOD), at=0)
        self.assertEqual(["192.0.2.1"], addressesIn(self.successResultOf(first)))
        self.assertNoResult(second)
        self.assertEqual([True, False], [each.isClosed for each in self.sockets])
        self.assertEqual((1, 1), (len(self.reactor.readers), len(self.server.ports)))

    def test_numbers(self) -> None:
        """
        Nobody knows the number of the next question.
        """
        for _ in range(20):
            self.server.ask(askedFor())
        self.assertGreater(len({each.sent[0][:2] for each in self.sockets}), 15)

    def test_guesses(self) -> None:
        """
        Other numbers, other questions, what is no answer or nothing at all: the right one may still come.
        """
        asking = self.server.ask(askedFor())
        sent = self.sockets[0].sent[0]
        good = said(sent, GOOD)
        other = said(sent[:2] + askedFor("other.example").wire(0)[2:], "other.example 60 A 192.0.2.66")
        self.come(bytes([good[0] ^ 1]) + good[1:], other, sent, b"", good[:15])
        self.assertNoResult(asking)
        self.come(good)
        self.assertEqual(["192.0.2.1"], addressesIn(self.successResultOf(asking)))

    def test_flood(self) -> None:
        """
        Whoever guesses again and again is not heard any more, and does not keep others from their turn: the
        question is asked on a stream.
        """
        asking = self.server.ask(askedFor())
        self.come(*[b"x"] * (MAX_GUESSES - 1))
        self.assertEqual([], self.onStream.asked)
        self.come(*[b"x"] * 1000, said(self.sockets[0].sent[0], GOOD))
        self.assertEqual((1000, True), (len(self.sockets[0].came), self.sockets[0].isClosed))
        self.assertNoResult(asking)
        self.onStream.say("db.example 60 A 192.0.2.2")
        self.assertEqual(["192.0.2.2"], addressesIn(self.successResultOf(asking)))

    def test_truncated(self) -> None:
        """
        What is too large is asked for on a stream.
        """
        asking = self.server.ask(askedFor())
        self.come(said(self.sockets[0].sent[0], flags=dns.flags.TC))
        self.assertTrue(self.sockets[0].isClosed)
        self.onStream.say(GOOD)
        self.assertEqual(["192.0.2.1"], addressesIn(self.successResultOf(asking)))

    def test_cancel(self) -> None:
        """
        Nothing is left of what nobody waits for.
        """
        asking, second = self.server.ask(askedFor()), self.server.ask(askedFor())
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(self.sockets[0].isClosed)
        self.come(said(self.sockets[1].sent[0], flags=dns.flags.TC))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(1, self.onStream.cancelled)
        self.assertEqual((set(), set()), (self.reactor.readers, self.server.ports))

    def test_refused(self) -> None:
        """
        Nobody listens there.
        """
        asking = self.server.ask(askedFor())
        self.come(ConnectionRefusedError(111, "Connection refused"))
        self.assertIs(Cause.CONNECTION_REFUSED, self.failureResultOf(asking, Refused).value.cause)
        self.assertTrue(self.sockets[0].isClosed)
        asking = self.server.ask(askedFor())
        for reader in [*self.reactor.readers]:
            reader.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(asking, Refused)

    def test_noWay(self) -> None:
        """
        There is no socket, or nothing can be sent.
        """

        def none(target: Target, egress: Any) -> Any:
            raise OSError(101, "Network is unreachable")

        server = DatagramServer(self.reactor, Target("192.0.2.53", 53), self.onStream, none)
        failure = self.failureResultOf(server.ask(askedFor()), Refused)
        self.assertIn("Network is unreachable", str(failure.value))

        def mute(target: Target, egress: Any) -> Any:
            made = self.open(target, egress)
            made.error = OSError(1, "Operation not permitted")
            return made

        server = DatagramServer(self.reactor, Target("192.0.2.53", 53), self.onStream, mute)
        self.failureResultOf(server.ask(askedFor()), Refused)
        self.assertTrue(self.sockets[-1].isClosed)
        self.assertEqual((set(), set()), (self.reactor.readers, server.ports))

    def test_egress(self) -> None:
        """
        What the rules of the tenant forbid is not sent.
        """
        for network in ("udp", "tcp"):
            self.reactor.denied = (network,)
            self.failureResultOf(self.server.ask(askedFor()), Denied)
        self.assertEqual([], self.sockets)

    def test_own(self) -> None:
        """
        A question that the kernel leads back here is known as one of ours.
        """
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.bind(("127.0.0.1", 0))
        self.addCleanup(there.close)
        target = Target(*there.getsockname())
        self.reactor.outgoing = Outgoing()
        asking = DatagramServer(self.reactor, target, self.onStream).ask(askedFor())
        self.assertTrue(self.reactor.outgoing.holds((*there.recvfrom(512)[1], target.host, target.port)))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)

    def test_most(self) -> None:
        """
        No more than so many wait.
        """
        self.patch(dnsdatagrams, "MAX_PORTS", 2)
        self.server.ask(askedFor())
        self.server.ask(askedFor())
        asking = self.server.ask(askedFor())
        self.assertIs(Cause.OVERLOADED, self.failureResultOf(asking, Refused).value.cause)

    def test_stop(self) -> None:
        """
        When it is stopped all is closed.
        """
        self.server.ask(askedFor())
        self.server.stop()
        self.assertTrue(self.sockets[0].isClosed)
        self.assertEqual(1, self.onStream.stopped)
