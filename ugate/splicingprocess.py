# -*- test-case-name: ugate.test.test_splicingprocess -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Bulk directions in a process of their own.

Threads that splice take the interpreter lock twice for each chunk, and whoever passes on
small data meanwhile waits for it, then for a core.  L{ugate.splicingchild} has a lock of
its own.  It is started when the first direction is lent; where it cannot be, or if it
dies, threads of this process do its work.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure

from ugate.slots import LEND, ORDER, PLACES, RECALL, REPORT, SIZE, Slots

_PATIENCE: Final = 1.0
"""Seconds that the process has to end."""

_AT_ONCE: Final = 64
"""Reports that are read before the reactor has its turn."""

_PROGRAM: Final = """
import sys
sys.path[:] = sys.argv[4:]
from ugate.splicingchild import main
main(sys.argv[1:4])
"""

available: Final = hasattr(os, "memfd_create") and hasattr(socket, "send_fds") and bool(sys.executable)
"""Whether this system can have such a process at all."""


class Lent:
    """
    One way of a stream while the other process moves it.

    @since: ugate NEXT
    """

    __slots__ = ("_seconds", "_slots", "eof", "error", "place", "queued", "recalled", "sink", "source")

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        slots: Slots,
        place: int,
        seconds: Callable[[], float],
    ) -> None:
        self.source = source
        self.sink = sink
        self.place = place
        self._slots = slots
        self._seconds = seconds
        slots.begin(place)
        self.queued = 0
        """Bytes that were lost in the pipe, once it is back."""
        self.eof = False
        """The source has ended, and the sink has everything."""
        self.error: OSError | None = None
        """What broke it, if anything did."""
        self.recalled = False

    @property
    def count(self) -> int:
        """Bytes that the sink has taken."""
        return self._slots.count(self.place)

    @property
    def active(self) -> float:
        """When bytes last moved, by the reactor's clock."""
        now = self._seconds()
        when = self._slots.active(self.place)
        return now - (time.monotonic() - when) if when else now

    @property
    def allowed(self) -> int:
        """Up to which C{count} it may move bytes; for the lender to set."""
        return self._slots.allowed(self.place)

    @allowed.setter
    def allowed(self, allowed: int) -> None:
        self._slots.setAllowed(self.place, allowed)

    def closePipe(self) -> None:
        """
        The pipe is the other process's.
        """


@implementer(IReadDescriptor)
class SplicingProcess:
    """
    Lends directions to another process.

    @since: ugate NEXT
    """

    def __init__(
        self,
        threads: int,
        seconds: Callable[[], float],
        returned: Callable[[Lent], object],
        died: Callable[[], object],
    ) -> None:
        """
        Start it.

        @param threads: how many may splice there.
        @param seconds: the clock of the reactor.
        @param returned: called with each direction that ended, broke, went quiet or was
            recalled; L{settle} it then.
        @param died: called once, after all directions came back as broken, when the
            process is gone and should not be.
        @raise OSError: it cannot be started.
        """
        self._seconds = seconds
        self._returned = returned
        self._died = died
        self._lent: dict[int, Lent] = {}
        self._free = list(range(PLACES - 1, -1, -1))
        memory = os.memfd_create("ugate", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, SIZE)
            self._memory = mmap.mmap(memory, SIZE)
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self._process = _start(theirs.fileno(), memory, threads)
            except OSError:
                self._channel.close()
                self._memory.close()
                raise
            finally:
                theirs.close()
        finally:
            os.close(memory)
        self._slots = Slots(self._memory)
        self._channel.setblocking(False)

    def fileno(self) -> int:
        """
        Readable when there are reports.
        """
        return self._channel.fileno()

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "relay"

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor is done with us.
        """

    def direction(self, source: socket.socket, sink: socket.socket) -> Lent:
        """
        One to be lent.

        @raise OSError: there are too many.
        """
        if not self._free:
            raise OSError(errno.EMFILE, f"{PLACES} directions are lent")
        return Lent(source, sink, self._slots, self._free.pop(), self._seconds)

    def lend(self, direction: Lent) -> None:
        """
        Let the process move it.

        @raise OSError: the process is gone, or does not listen.
        """
        descriptors = [direction.source.fileno(), direction.sink.fileno()]
        try:
            socket.send_fds(self._channel, [ORDER.pack(LEND, direction.place)], descriptors)
        except OSError:
            self._free.append(direction.place)
            raise
        self._lent[direction.place] = direction

    def recall(self, direction: Lent) -> None:
        """
        Ask for a direction back, whatever its sockets do.  It comes as those do that ended.
        """
        if not direction.recalled:
            direction.recalled = True
            try:
                self._channel.send(ORDER.pack(RECALL, direction.place))
            except OSError:
                # It has not listened for hundreds of orders; that it dies brings all back.
                self._process.kill()

    def settle(self, direction: Lent) -> None:
        """
        Note that a direction came back.
        """
        del self._lent[direction.place]
        self._free.append(direction.place)

    def doRead(self) -> None:
        """
        Reports have come, or the end of the process.
        """
        for _ in range(_AT_ONCE):
            try:
                report = self._channel.recv(REPORT.size)
            except BlockingIOError:
                return
            except OSError:
                report = b""
            if not report:
                self._ended()
                return
            place, queued, number, eof = REPORT.unpack(report)
            direction = self._lent[place]
            direction.queued = queued
            direction.eof = bool(eof)
            if number:
                direction.error = OSError(number, os.strerror(number))
            self._returned(direction)

    def _ended(self) -> None:
        """
        The process is gone, and what was in its pipes.
        """
        self._wait()
        died = self._died
        for direction in tuple(self._lent.values()):
            direction.error = OSError(errno.EOWNERDEAD, "the process that moved it died")
            self._returned(direction)
        died()

    def stop(self) -> None:
        """
        End the process; what was lent to it is for the lender to L{settle}.
        """
        self._channel.close()
        self._wait()

    def close(self) -> None:
        """
        Give back what is left, after L{stop} and once nothing is lent.
        """
        self._channel.close()
        self._slots.close()
        self._memory.close()

    def _wait(self) -> None:
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _start(channel: int, memory: int, threads: int) -> subprocess.Popen[bytes]:
    """
    @raise OSError: it cannot be started.
    """
    own = [str(channel), str(memory), str(threads)]
    # Isolated, so that nothing but the path which this process has decides what is imported.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, *own, *sys.path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(channel, memory),
        # What is typed at the terminal is not for it.
        start_new_session=True,
    )
