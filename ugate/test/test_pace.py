# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pace}: for which sources it waits, and that nothing is left waiting.
"""

from __future__ import annotations

import socket
import time

from ugate import pace
from ugate.pace import FAST, LOT, WHILE, Pace
from ugate.test.socketfakes import SocketTestCase, tcpPair
from ugate.test.splicefakes import SpliceTestCase, noise


def lowest(connected: socket.socket) -> int:
    """
    How many bytes have to be there before this socket is readable.
    """
    return connected.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


class PaceTests(SocketTestCase):
    """
    One source, and a clock that stands still until it is moved.
    """

    def setUp(self) -> None:
        super().setUp()
        self.far, self.near = tcpPair()
        self.pace = Pace(self.near, 10.0, 0)

    def stop(self) -> None:
        self.far.close()
        self.near.close()

    def fast(self) -> None:
        """
        It has been fast for a while.
        """
        self.pace.note(10.0 + WHILE * 2, int(FAST * WHILE * 3))

    def test_fast(self) -> None:
        """
        A source is waited for once it has been fast for a while.
        """
        self.pace.note(10.0 + WHILE / 2, int(FAST * WHILE * 10))
        self.assertEqual((self.pace.patient, lowest(self.near)), (False, 1))
        self.pace.note(10.0 + WHILE * 2, int(FAST * WHILE * 10))
        self.assertEqual((self.pace.patient, lowest(self.near)), (True, LOT))
        self.pace.note(10.0 + WHILE * 4, int(FAST * WHILE * 20))
        self.assertTrue(self.pace.patient)

    def test_slow(self) -> None:
        """
        One that is slow is not, and no longer if it becomes so.
        """
        self.pace.note(10.0 + WHILE * 2, int(FAST * WHILE))
        self.assertFalse(self.pace.patient)
        self.pace.note(10.0 + WHILE * 4, int(FAST * WHILE * 4))
        self.assertTrue(self.pace.patient)
        self.pace.note(10.0 + WHILE * 6, int(FAST * WHILE * 4))
        self.assertEqual((self.pace.patient, lowest(self.near)), (False, 1))

    def test_lot(self) -> None:
        """
        When a lot is there, it goes on being patient.
        """
        self.fast()
        # The limits of the buffers grow with what is read, so a lot fits in parts only.
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1000)
        self.far.send(bytes(1000))
        self.pace.wait()
        self.assertTrue(self.pace.patient)

    def test_vain(self) -> None:
        """
        When less is there, that is taken, and the next is not waited for.
        """
        self.fast()
        self.far.send(b"few")
        self.pace.wait()
        self.assertEqual((self.pace.patient, lowest(self.near)), (False, 1))
        self.assertEqual(self.near.recv(10), b"few")

    def test_ended(self) -> None:
        """
        An end is not waited with.
        """
        self.fast()
        self.far.shutdown(socket.SHUT_WR)
        self.pace.wait()
        self.assertTrue(self.pace.patient)
        self.assertEqual(self.near.recv(10), b"")

    def test_hurry(self) -> None:
        """
        Whoever is done with the source leaves it as it was.
        """
        self.pace.hurry()
        self.fast()
        self.pace.hurry()
        self.assertEqual((self.pace.patient, lowest(self.near)), (False, 1))


class ThreadTests(SpliceTestCase):
    """
    A thread with a source that counts as fast whatever it does.
    """

    threads = 1

    def setUp(self) -> None:
        super().setUp()
        self.patch(pace, "FAST", 0)
        self.patch(pace, "WHILE", 0.0)
        self.reactor.seconds = time.monotonic  # type: ignore[method-assign]
        self.restart()

    def test_few(self) -> None:
        """
        Messages arrive, however small, and so does the end; the socket comes back as it was.
        """
        source, sink, direction = self.oneWay()
        data = noise(3 * LOT + 1)
        for size in (LOT, 1, 17, 2 * LOT):
            before = len(sink.got)
            source.give(data[:size])
            self.until(lambda: len(sink.got) == before + size, "a message")  # noqa: B023
        source.give(b"last", end=True)
        self.until(lambda: direction in self.returned, "the end")
        self.assertTrue(sink.got.endswith(b"last"))
        self.assertEqual(lowest(direction.source), 1)

    def test_quiet(self) -> None:
        """
        So does the socket of one that goes quiet.
        """
        source, sink, direction = self.oneWay()
        source.give(noise(LOT))
        self.arrive(sink, noise(LOT))
        self.until(lambda: direction in self.returned, "the return")
        self.assertEqual(lowest(direction.source), 1)

    def test_recalled(self) -> None:
        """
        And of one that is wanted back.
        """
        source, sink, direction = self.oneWay()
        source.give(noise(LOT))
        self.arrive(sink, noise(LOT))
        self.splicers.recall(direction)
        self.until(lambda: direction in self.returned, "the return")
        self.assertEqual(lowest(direction.source), 1)
