# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Directions between real sockets, and threads that move them.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

from ugate import splice, splicing
from ugate.splice import Direction
from ugate.splicing import Splicers
from ugate.test.socketfakes import Peer, SocketTestCase, tcpPair

QUIET = 0.05
"""Seconds after which a direction is quiet, in tests."""


def noise(size: int, seed: int = 1) -> bytes:
    """
    Bytes of which no part is like another.
    """
    return random.Random(seed).randbytes(size)


class SpliceTestCase(SocketTestCase):
    """
    Has threads, and streams to lend them.

    @ivar returned: the directions that came back, in order.
    """

    threads = 2
    skip = None if splice.available else "this system has no splice(2)"

    def setUp(self) -> None:
        super().setUp()
        self.patch(splicing, "_IDLE", QUIET)
        self.returned: list[Direction] = []
        self._sockets: list[socket.socket] = []
        self.restart()

    def restart(self) -> None:
        """
        Have new threads, with the reactor's clock as it is now.
        """
        self.splicers = Splicers(
            self.threads,
            self.reactor.seconds,
            lambda direction: self.reactor.callFromThread(self.back, direction),
        )

    def back(self, direction: Direction) -> None:
        """
        A direction has come back.
        """
        self.splicers.settle(direction)
        self.returned.append(direction)

    def stop(self) -> None:
        self.splicers.stop()
        for each in self._sockets:
            each.close()

    def stream(
        self,
        buffers: int = 0,
        sinkBuffers: int = 0,
        pair: Callable[[int], tuple[socket.socket, socket.socket]] = tcpPair,
    ) -> tuple[Peer, Peer, Direction, Direction]:
        """
        A stream: the peers at its ends, and its two directions, not lent.

        @param buffers: bytes that the kernel should keep at either end; 0 for many.
        @param sinkBuffers: the same for the second end, if it is another number.
        """
        one, a = self.detached(pair, buffers)
        two, b = self.detached(pair, sinkBuffers or buffers)
        self._sockets += (a.socket, b.socket)
        forth, back = Direction(a.socket, b.socket), Direction(b.socket, a.socket)
        return one, two, forth, back

    def drop(self, *directions: Direction) -> None:
        """
        These are not wanted.
        """
        for direction in directions:
            direction.closePipe()

    def oneWay(self, buffers: int = 0) -> tuple[Peer, Peer, Direction]:
        """
        A stream that is lent in one direction only.
        """
        source, sink, forth, back = self.stream(buffers)
        self.drop(back)
        self.splicers.lend(forth)
        return source, sink, forth

    def arrive(self, sink: Peer, data: bytes) -> None:
        """
        Wait until all of this has arrived.
        """
        self.until(lambda: len(sink.got) >= len(data), f"{len(data)} bytes")
        self.assertTrue(sink.got == data, "other bytes arrived than were sent")
