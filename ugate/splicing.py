# -*- test-case-name: ugate.test.test_splicing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A few threads that move bulk data inside the kernel.

A thread with one direction blocks in C{splice(2)} both ways, which is two calls
a chunk and never waits for the interpreter lock in between; a thread with
several takes turns by epoll.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from socket import socket
from threading import Thread
from typing import Final

from ugate.pace import Pace
from ugate.splice import PIPE_SIZE, SLICE, Direction

_PIECE: Final = 1 << 16
"""Bytes for a slow sink at once.  The time limit of a socket is one for each sixteen
pages: with more, a call goes on for as long as each of them finds a little room."""

_IDLE: Final = 0.5
"""Seconds without a byte after which a direction is given back."""
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_NOBODY: Final = (None, None)
_NONBLOCK: Final = getattr(os, "SPLICE_F_NONBLOCK", 0)

_ALLOWANCE: Final = 0.005
"""Seconds after which a direction that may take no more looks whether it may again."""


class Splicer:
    """
    One thread and the directions that it moves.
    """

    def __init__(self, seconds: Callable[[], float], returned: Callable[[Direction], object]) -> None:
        """
        @param seconds: the clock; called in the thread.
        @param returned: called in the thread with each direction that ended,
            broke, went quiet or was recalled.
        @raise OSError: no descriptors or no threads are left.
        """
        self._seconds = seconds
        self._returned = returned
        self._all: set[Direction] = set()
        self._inbox: list[Direction] = []
        self._epoll = select.epoll()
        try:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            self._epoll.close()
            raise
        self._epoll.register(self._wake, _IN)
        self._waiting: dict[int, list[Direction | None]] = {}
        self._spent: set[Direction] = set()
        self._stopping = False
        self._swept = 0.0
        self.load = 0
        """How many directions are lent to this thread; kept by the lender."""
        self._thread = Thread(target=self._run, name="ugate splicer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._close()
            raise OSError(errno.EAGAIN, str(error)) from error

    def lend(self, direction: Direction) -> None:
        """
        Take one more direction; called by the lender's thread.
        """
        self._inbox.append(direction)
        os.eventfd_write(self._wake, 1)

    def recall(self) -> None:
        """
        Look which directions are recalled; called by the lender's thread.
        """
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """
        End the thread; directions that it still has are dropped.
        """
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._close()

    def _close(self) -> None:
        self._epoll.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping:
            self._collect()
            if len(self._all) == 1 and not self._spent:
                (only,) = self._all
                self._alone(only)
            else:
                self._share()
        for direction in (*self._all, *self._inbox):
            direction.closePipe()

    def _collect(self) -> None:
        while self._inbox:
            direction = self._inbox.pop()
            direction.note(self._seconds())
            if direction.recalled:
                self._giveBack(direction)
                continue
            self._all.add(direction)
            self._await(direction)

    def _alone(self, direction: Direction) -> None:
        over = direction.recalled
        limit = _PIECE
        before = self._seconds()
        pace = Pace(direction.source, before, direction.count)
        try:
            direction.setBlocking(True)
            # eventfd says nothing here; the slice bounds how late new work starts.
            while not (over or self._inbox or self._stopping or direction.isSpent):
                try:
                    if pace.patient and not direction.queued:
                        pace.wait()
                    direction.move(0, limit)
                    now = self._seconds()
                    direction.note(now)
                    pace.note(now, direction.count)
                    if now - before < SLICE:
                        limit = min(limit * 2, PIPE_SIZE)
                    else:
                        limit = _PIECE
                    before = now
                    over = direction.eof or direction.recalled
                except BlockingIOError:
                    direction.renew()
                    over = direction.recalled or self._quiet(direction)
                    # Unless the thread that moves the other way has undone it.
                    direction.setBlocking(True)
                    before = self._seconds()
            pace.hurry()
        except OSError as error:
            direction.error = error
            over = True
        direction.setBlocking(False)
        if over:
            # The lender may close the sockets as soon as it has them back.
            self._giveBack(direction)
        else:
            # What it waits for may be another thing than when it came.
            self._forget(direction)
            self._await(direction)

    def _share(self) -> None:
        timeout = _ALLOWANCE if self._spent else _IDLE if self._all else -1
        for direction in tuple(self._spent):
            direction.renew()
            if not direction.isSpent:
                self._spent.discard(direction)
                self._await(direction)
        for descriptor, event in self._epoll.poll(timeout):
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
                self._giveRecalled()
                continue
            source, sink = self._waiting.get(descriptor, _NOBODY)
            if source is not None and event & ~_OUT:
                self._turn(source)
            if sink is not None and event & ~_IN:
                self._turn(sink)
        now = self._seconds()
        if now - self._swept > _IDLE:
            self._swept = now
            for direction in tuple(self._all):
                if self._quiet(direction):
                    self._giveBack(direction)

    def _giveRecalled(self) -> None:
        for direction in tuple(self._all):
            if direction.recalled:
                self._giveBack(direction)

    def _turn(self, direction: Direction) -> None:
        queued = direction.queued
        direction.renew()
        if direction.isSpent:
            self._forget(direction)
            self._await(direction)
            return
        try:
            # The thread that moves the other way may let the sockets block.
            direction.setBlocking(False)
            direction.move(_NONBLOCK)
            direction.note(self._seconds())
        except BlockingIOError:
            pass
        except OSError as error:
            direction.error = error
            return self._giveBack(direction)
        if direction.eof:
            return self._giveBack(direction)
        if bool(queued) != bool(direction.queued):
            self._forget(direction)
            self._await(direction)

    def _quiet(self, direction: Direction) -> bool:
        if direction.queued or direction in self._spent:
            return False
        return self._seconds() - direction.active > _IDLE

    def _giveBack(self, direction: Direction) -> None:
        self._forget(direction)
        self._all.discard(direction)
        self._spent.discard(direction)
        direction.closePipe()
        self._returned(direction)

    def _await(self, direction: Direction) -> None:
        """
        Wait for the sink if something is queued, else for the source.  A socket
        may be the source of one direction and the sink of another.  What may take nothing
        waits for its allowance.
        """
        if direction.isSpent:
            self._spent.add(direction)
            return
        slot = 1 if direction.queued else 0
        descriptor = (direction.sink if slot else direction.source).fileno()
        waiting = self._waiting.get(descriptor)
        if waiting is None:
            waiting = self._waiting[descriptor] = [None, None]
            waiting[slot] = direction
            self._epoll.register(descriptor, _OUT if slot else _IN)
        else:
            waiting[slot] = direction
            self._epoll.modify(descriptor, _IN | _OUT)

    def _forget(self, direction: Direction) -> None:
        for slot, end in enumerate((direction.source, direction.sink)):
            descriptor = end.fileno()
            waiting = self._waiting.get(descriptor)
            if waiting is None or waiting[slot] is not direction:
                continue
            waiting[slot] = None
            other = waiting[1 - slot]
            if other is None:
                del self._waiting[descriptor]
                self._epoll.unregister(descriptor)
            else:
                self._epoll.modify(descriptor, _IN if slot else _OUT)


class Splicers:
    """
    A bounded set of threads, started when they are first needed.

    @since: ugate NEXT
    """

    def __init__(
        self, threads: int, seconds: Callable[[], float], returned: Callable[[Direction], object]
    ) -> None:
        """
        @param threads: how many at most.
        @param seconds: the clock; called in the threads.
        @param returned: called in a thread with each direction that ended,
            broke or went quiet; L{settle} it then in the lender's own.
        """
        self._limit = threads
        self._seconds = seconds
        self._returned = returned
        self._splicers: list[Splicer] = []
        self._lent: dict[Direction, Splicer] = {}

    def direction(self, source: socket, sink: socket) -> Direction:
        """
        One to be lent.

        @raise OSError: no descriptors are left for a pipe.
        """
        return Direction(source, sink)

    def lend(self, direction: Direction) -> None:
        """
        Let the thread with the least to do move it.

        @raise OSError: there is no thread, and there can be none.
        """
        splicer = min(self._splicers, key=lambda s: s.load, default=None)
        if splicer is None or (splicer.load and len(self._splicers) < self._limit):
            try:
                splicer = Splicer(self._seconds, self._returned)
                self._splicers.append(splicer)
            except OSError:
                if splicer is None:
                    raise
        splicer.load += 1
        self._lent[direction] = splicer
        splicer.lend(direction)

    def recall(self, direction: Direction) -> None:
        """
        Ask for a direction back, whatever its sockets do.  It comes as those do that ended.
        """
        direction.recalled = True
        self._lent[direction].recall()

    def settle(self, direction: Direction) -> None:
        """
        Note that a direction came back.
        """
        self._lent.pop(direction).load -= 1

    def stop(self) -> None:
        """
        End all threads; what was lent to them is for the lender to L{settle}.
        """
        for splicer in self._splicers:
            splicer.stop()
        self._splicers.clear()

    def close(self) -> None:
        """
        Nothing is left after L{stop}.
        """
