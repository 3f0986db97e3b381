# -*- test-case-name: ugate.test.test_splicingchild -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The process that bulk directions are lent to: the program that L{ugate.splicingprocess}
starts.  It has threads of its own, and so an interpreter lock of its own: whoever passes
on small data does not wait for theirs.

It lives for as long as its lender holds the other end of its channel.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from threading import Lock

from ugate import splice, splicing
from ugate.slots import LEND, ORDER, REPORT, SIZE, Slots


class SharedDirection(splice.Direction):
    """
    A direction whose numbers the lender sees while it is moved.
    """

    __slots__ = ("_slots", "place")

    def __init__(self, source: socket.socket, sink: socket.socket, slots: Slots, place: int) -> None:
        super().__init__(source, sink)
        self._slots = slots
        self.place = place
        self.renew()

    def note(self, now: float) -> None:
        """
        See L{splice.Direction.note}.
        """
        self.active = now
        self.allowed = self._slots.exchange(self.place, self.count, now)

    def renew(self) -> None:
        """
        See L{splice.Direction.renew}.
        """
        self.allowed = self._slots.allowed(self.place)


class Child:
    """
    Does what the lender orders, until that is gone.
    """

    def __init__(self, channel: socket.socket, slots: Slots, threads: int) -> None:
        """
        @param channel: where orders come from, and where reports go; blocking.
        @param slots: the shared numbers.
        @param threads: how many may splice.
        """
        self._channel = channel
        self._slots = slots
        self._here: dict[int, SharedDirection] = {}
        self._lock = Lock()
        self._splicers = splicing.Splicers(threads, time.monotonic, self._returned)

    def run(self) -> None:
        """
        Obey.
        """
        while True:
            try:
                order, descriptors, _, _ = socket.recv_fds(self._channel, ORDER.size, 2)
            except ConnectionResetError:
                # It is gone, and has not read all that was reported.
                break
            if not order:
                break
            kind, place = ORDER.unpack(order)
            if kind == LEND:
                self._lend(place, descriptors)
            else:
                self._recall(place)

    def _lend(self, place: int, descriptors: Sequence[int]) -> None:
        try:
            if len(descriptors) != len(("source", "sink")):
                # The kernel drops what this process has no room for.
                raise OSError(splice.NO_ROOM, os.strerror(splice.NO_ROOM))
            source, sink = (socket.socket(fileno=each) for each in descriptors)
            direction = SharedDirection(source, sink, self._slots, place)
        except OSError as error:
            for each in descriptors:
                os.close(each)
            self._report(place, 0, error.errno or splice.NO_ROOM, False)
            return
        with self._lock:
            self._here[place] = direction
            try:
                self._splicers.lend(direction)
            except OSError as error:
                direction.closePipe()
                direction.error = error
                self._giveBack(direction)

    def _recall(self, place: int) -> None:
        with self._lock:
            direction = self._here.get(place)
            # Else the two messages have crossed.
            if direction is not None:
                self._splicers.recall(direction)

    def _returned(self, direction: splice.Direction) -> None:
        """
        A thread is done with a direction.
        """
        assert isinstance(direction, SharedDirection)
        with self._lock:
            self._splicers.settle(direction)
            self._giveBack(direction)

    def _giveBack(self, direction: SharedDirection) -> None:
        del self._here[direction.place]
        # First of all: the lender takes it that nobody else has these when it hears of it.
        direction.source.close()
        direction.sink.close()
        error = direction.error
        number = 0 if error is None else error.errno or splice.NO_ROOM
        self._report(direction.place, direction.queued, number, direction.eof)

    def _report(self, place: int, queued: int, error: int, eof: bool) -> None:
        try:
            self._channel.send(REPORT.pack(place, queued, error, eof))
        except OSError:
            # The lender is gone, and run() will know it.
            return


def main(arguments: Sequence[str]) -> None:
    """
    @param arguments: the descriptors of the channel and of the shared memory, and how many threads.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Meant for the lender, which has streams to end; a signal to its group comes here too.
        signal.signal(number, signal.SIG_IGN)
    channel, memory, threads = map(int, arguments)
    slots = Slots(mmap.mmap(memory, SIZE))
    Child(socket.socket(fileno=channel), slots, threads).run()
    # Threads in the middle of a call are nobody's any more.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
