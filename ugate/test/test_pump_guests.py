# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump}: sockets that wait in it before they are joined, and afterwards.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import tcp

from ugate.interfaces import Detached, IDetachable
from ugate.test.dialfakes import Recorder
from ugate.test.pollfakes import Guest
from ugate.test.pumpfakes import MEGABYTE, PumpTestCase, Stream
from ugate.test.socketfakes import Peer, tcpPair


class Counting:
    """
    The epoll of a pump, and how often it is changed.
    """

    def __init__(self, real: select.epoll) -> None:
        self._real = real
        self.changes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("register", "modify", "unregister"):
            self.changes.append(name)
        return getattr(self._real, name)


class GuestsTestCase(PumpTestCase):
    """
    Has connections of Twisted's that wait in the pump.
    """

    threads = 0

    def connection(self) -> tuple[Peer, Any]:
        """
        A connection, and the peer at its other end.
        """
        far, near = tcpPair()
        self.peers.append(Peer(far))
        connection: Any = tcp.Connection(near, Recorder(), self.pump)  # type: ignore[arg-type]
        connection.connected = 1
        connection.startReading()
        return self.peers[-1], connection

    def joined(self, one: Peer, a: Detached, two: Peer, b: Detached) -> Stream:
        """
        Two of them, joined.
        """
        stream = Stream(one, two)
        self.streams.append(stream)
        stream.joined = self.pump.join(a, b, b"", b"", stream.reasons.append)
        return stream

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """
        What is changed in the epoll meanwhile.
        """
        real = self.pump._epoll
        counting: Any = Counting(real)
        self.pump._epoll = counting
        yield counting.changes
        self.pump._epoll = real


class JoinTests(GuestsTestCase):
    """
    From a guest to half of a stream.
    """

    def test_stays(self) -> None:
        """
        A socket that waits already stays where it is, and is served as joined.
        """
        one, first = self.connection()
        two, second = self.connection()
        with self.counted() as changes:
            a, b = IDetachable(first).detach(), IDetachable(second).detach()
            stream = self.joined(one, a, two, b)
        self.assertEqual((a.waiting, b.waiting, changes), (self.pump, self.pump, []))
        one.give(b"question")
        self.arrive(two, b"question")
        two.give(b"answer", end=True)
        self.arrive(one, b"answer")
        one.give(b"", end=True)
        self.over(stream, "done")

    def test_newcomer(self) -> None:
        """
        One that has not waited yet comes in.
        """
        one, first = self.connection()
        first.stopReading()
        two, b = self.detached()
        a = IDetachable(first).detach()
        self.assertIs(a.waiting, None)
        self.joined(one, a, two, b)
        one.give(b"question")
        self.arrive(two, b"question")
        two.give(b"answer")
        self.arrive(one, b"answer")

    def test_writer(self) -> None:
        """
        One that waits to write too is not taken for one that only reads.
        """
        one, first = self.connection()
        two, b = self.detached()
        first.write(b"unsent ")
        a = IDetachable(first).detach()
        self.assertEqual((a.waiting, a.unsent), (None, b"unsent "))
        self.joined(one, a, two, b)
        two.give(b"answer")
        self.arrive(one, b"unsent answer")

    def test_early(self) -> None:
        """
        What came before goes first, though the epoll waits already.
        """
        one, first = self.connection()
        two, b = self.detached()
        a = IDetachable(first).detach()
        early = bytes(4 * MEGABYTE)
        two.limit = 0
        stream = Stream(one, two)
        self.streams.append(stream)
        stream.joined = self.pump.join(a, b, early, b"", stream.reasons.append)
        one.give(b"later")
        self.rest()
        two.limit = None
        self.arrive(two, early + b"later")

    def test_atTheSameTime(self) -> None:
        """
        What is ready when a guest is joined is served as joined, not as a guest.
        """
        one, first = self.connection()
        two, second = self.connection()
        for peer in (one, two):
            peer.socket.send(b"word")

        def join(data: bytes) -> None:
            one_, two_ = IDetachable(first).detach(), IDetachable(second).detach()
            self.joined(one, one_, two, two_)

        recorders = first.protocol, second.protocol
        for recorder in recorders:
            recorder.dataReceived = join
        self.until(lambda: one.got or two.got, "what was not a guest's")
        self.assertEqual(len(self.streams), 1)
        self.assertEqual({bytes(one.got), bytes(two.got)}, {b"", b"word"})


class CloseTests(GuestsTestCase):
    """
    What is left in the epoll at the end.
    """

    def test_few(self) -> None:
        """
        A stream of few bytes leaves the epoll by closing: only the first end is told
        to it.
        """
        stream = self.join()
        stream.a.give(b"question", end=True)
        with self.counted() as changes:
            self.until(lambda: stream.b.ended, "the end")
            stream.b.give(b"answer", end=True)
            self.over(stream, "done")
        self.assertEqual(changes, ["unregister"])

    def test_many(self) -> None:
        """
        One of many bytes may have been lent, and is taken out before: as long as
        somebody else has the socket, the epoll would go on to report it.
        """
        stream = self.join()
        data = bytes(2 * MEGABYTE)
        stream.a.give(data, end=True)
        with self.counted() as changes:
            self.until(lambda: stream.b.ended, "the end")
            self.assertEqual(len(stream.b.got), len(data))
            del changes[:]
            stream.b.give(b"", end=True)
            self.over(stream, "done")
        self.assertEqual(changes, ["unregister"])


class TogetherTests(GuestsTestCase):
    """
    Guests beside streams.
    """

    def test_failingGuest(self) -> None:
        """
        An error in a guest is no matter of the streams.
        """
        stream = self.join()
        guest = Guest()
        self.pump.addReader(guest)
        guest.reading = lambda: 1 // 0  # type: ignore[assignment, return-value]
        guest.far.send(b"word")
        stream.a.give(b"question")
        self.arrive(stream.b, b"question")
        self.until(lambda: guest.asked, "the error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        guest.close()
        stream.b.give(b"answer")
        self.arrive(stream.a, b"answer")

    def test_busyGuests(self) -> None:
        """
        Guests that are always ready do not hold up a stream, nor a stream them.
        """
        guests = [Guest() for _ in range(200)]
        for guest in guests:
            guest.reading = lambda: None
            guest.far.send(b"word")
            self.pump.addReader(guest)
        stream = self.join()
        stream.a.give(b"question")
        self.arrive(stream.b, b"question")
        self.assertTrue(all(guest.asked for guest in guests))
        for guest in guests:
            self.pump.removeReader(guest)
            guest.close()

    def test_stop(self) -> None:
        """
        When the streams are cut, guests go on in the reactor.
        """
        stream = self.join()
        guest = Guest()
        self.pump.addReader(guest)
        self.pump.stop()
        self.assertEqual((stream.reasons, self.reactor.getReaders()), (["shutdown"], [guest]))
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["read"])
        self.pump.removeReader(guest)
        self.assertEqual(self.reactor.getReaders(), [])
        guest.close()
        self.stopped = True

    def test_notRegistered(self) -> None:
        """
        A stream whose sockets could not be registered is cut, waiting or not.
        """
        one, first = self.connection()
        two, b = self.detached()
        real = self.pump._epoll

        class Full(Counting):
            def register(self, descriptor: int, mask: int) -> None:
                raise OSError(errno.ENOSPC, "no room")

        self.pump._epoll = Full(real)  # type: ignore[assignment]
        stream = self.joined(one, IDetachable(first).detach(), two, b)
        self.pump._epoll = real
        self.assertEqual(len(stream.reasons), 1)
        self.until(lambda: one.broken and two.broken, "the resets")
