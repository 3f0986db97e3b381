# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A reactor that a test turns by hand, real sockets on it, and peers that talk to them.

Its clock stands still until the test moves it; only waiting for sockets takes time,
and never more than L{PATIENCE}.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReactorThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import Detached

PATIENCE: Final = 60.0
"""Seconds in which anything that a test waits for must happen."""

_TURN: Final = 0.02
_NOTHING: Final[Mapping[int, int]] = {}


@implementer(IReactorFDSet, IReactorThreads)
class SocketReactor(Clock):
    """
    Waits for descriptors when it is told to.
    """

    def __init__(self) -> None:
        super().__init__()
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}
        self._queue: deque[Callable[[], object]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def addReader(self, reader: Any) -> None:
        self._readers[reader] = None

    def addWriter(self, writer: Any) -> None:
        self._writers[writer] = None

    def removeReader(self, reader: Any) -> None:
        self._readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        self._writers.pop(writer, None)

    def removeAll(self) -> list[Any]:
        both = [*self._readers, *self._writers]
        self._readers.clear()
        self._writers.clear()
        return both

    def getReaders(self) -> list[Any]:
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        return list(self._writers)

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        self._queue.append(lambda: callable(*args, **kwargs))
        os.eventfd_write(self._wake, 1)

    def callInThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        raise AssertionError("no test needs this")

    def getThreadPool(self) -> Any:
        raise AssertionError("no test needs this")

    def suggestThreadPoolSize(self, size: int) -> None:
        raise AssertionError("no test needs this")

    def turn(self, timeout: float = 0.0, others: Mapping[int, int] = _NOTHING) -> dict[int, int]:
        """
        Wait, and serve what is ready once.

        @param others: descriptors to wait for too, and what for.
        @return: what is ready.
        """
        poll = select.poll()
        masks = {self._wake: select.POLLIN, **others}
        for reader in self._readers:
            masks[reader.fileno()] = select.POLLIN
        for writer in self._writers:
            masks[writer.fileno()] = masks.get(writer.fileno(), 0) | select.POLLOUT
        for descriptor, mask in masks.items():
            poll.register(descriptor, mask)
        ready = dict(poll.poll(timeout * 1000))
        if ready.pop(self._wake, None):
            os.eventfd_read(self._wake)
        while self._queue:
            self._queue.popleft()()
        for reader in self.getReaders():
            if reader in self._readers and ready.get(reader.fileno()):
                self._done(reader, reader.doRead(), True)
        for writer in self.getWriters():
            if writer in self._writers and ready.get(writer.fileno(), 0) & ~select.POLLIN:
                self._done(writer, writer.doWrite(), False)
        self.advance(0)
        return ready

    def _done(self, descriptor: Any, why: Exception | None, reading: bool) -> None:
        """
        Tell a descriptor that it has ended, as Twisted's reactors do.
        """
        if why is None:
            return
        self.removeReader(descriptor)
        if reading and isinstance(why, ConnectionDone):
            descriptor.readConnectionLost(Failure(why))
        else:
            self.removeWriter(descriptor)
            descriptor.connectionLost(Failure(why))

    def close(self) -> None:
        """
        Give the descriptor back.
        """
        os.close(self._wake)


class Peer:
    """
    A program at the far end of a socket.

    @ivar got: what it has received.
    @ivar ended: whether it has received the end.
    @ivar broken: the error that its socket gave, if any.
    @ivar limit: how much it reads in all; L{None} for everything.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.got = bytearray()
        self.ended = False
        self.broken: OSError | None = None
        self.limit: int | None = None
        self.sent = 0
        self._outgoing = memoryview(b"")
        self._ending = False

    def give(self, data: bytes, end: bool = False) -> None:
        """
        Send this as the other side takes it, and then perhaps end the direction.
        """
        self._outgoing = memoryview(bytes(self._outgoing) + data)
        self._ending = end
        self._send()

    @property
    def unsent(self) -> int:
        """
        How many bytes it could not send yet.
        """
        return len(self._outgoing)

    @property
    def mask(self) -> int:
        """
        What it waits for.
        """
        if self.socket.fileno() < 0 or self.broken is not None:
            return 0
        mask = select.POLLOUT if self._outgoing else 0
        if not self.ended and (self.limit is None or len(self.got) < self.limit):
            mask |= select.POLLIN
        return mask

    def act(self, event: int) -> None:
        """
        Its socket is ready.
        """
        if event & select.POLLOUT and self._outgoing:
            self._send()
        if event & ~select.POLLOUT and self.mask & select.POLLIN:
            self._receive()

    def _send(self) -> None:
        try:
            while self._outgoing:
                taken = self.socket.send(self._outgoing[: 1 << 20])
                self.sent += taken
                self._outgoing = self._outgoing[taken:]
        except BlockingIOError:
            return
        except OSError as error:
            # The kernel says so once: to read now would look like a clean end.
            self._outgoing = memoryview(b"")
            self.broken = error
            return
        if self._ending:
            self._ending = False
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise
                # It was reset, which is told to who reads.

    def _receive(self) -> None:
        room = 1 << 20 if self.limit is None else self.limit - len(self.got)
        try:
            data = self.socket.recv(min(room, 1 << 20))
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = error
            return
        self.got += data
        self.ended = not data

    def reset(self) -> None:
        """
        Go away as a crashed program does.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """
        Go away.
        """
        self.socket.close()


def tcpPair(buffers: int = 0) -> tuple[socket.socket, socket.socket]:
    """
    Two ends of a TCP connection.

    @param buffers: bytes that the kernel should keep at each of them; 0 for many.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if buffers:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        one = socket.socket()
        if buffers:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        one.connect(listener.getsockname())
        other, _ = listener.accept()
    return one, other


def unixPair(buffers: int = 0) -> tuple[socket.socket, socket.socket]:
    """
    Two ends of a UNIX stream connection.
    """
    pair = socket.socketpair()
    for end in pair:
        if buffers:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    return pair


def congestion(connected: socket.socket) -> bytes:
    """
    How the kernel decides how fast a socket sends.
    """
    name: bytes = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return name.rstrip(b"\0")


def descriptors() -> set[tuple[str, str]]:
    """
    Those that are open, and what they are.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:
            # The one of the list itself.
            continue
    return found


class SocketTestCase(SynchronousTestCase):
    """
    Has a reactor and peers; when a test is over, no descriptor and no thread is left
    of it.

    @ivar peers: all that act while the test waits.
    """

    def setUp(self) -> None:
        self._descriptors = descriptors()
        self._threads = set(threading.enumerate())
        self.reactor = SocketReactor()
        self.peers: list[Peer] = []

    def stop(self) -> None:
        """
        End what the test is about; its sockets are to be closed by that.
        """

    def tearDown(self) -> None:
        self.stop()
        for peer in self.peers:
            peer.close()
        self.reactor.close()
        # Not the other way round: what other tests have left may go at any time.
        self.assertEqual(self.threadsSince(), 0, "a thread is left")
        self.assertEqual(descriptors() - self._descriptors, set(), "a descriptor is left")

    def threadsSince(self) -> int:
        """
        How many threads there are that were not there before the test.
        """
        return len(set(threading.enumerate()) - self._threads)

    def detached(
        self, pair: Callable[[int], tuple[socket.socket, socket.socket]] = tcpPair, buffers: int = 0
    ) -> tuple[Peer, Detached]:
        """
        A connection: a peer, and our end of it.
        """
        far, near = pair(buffers)
        near.setblocking(False)
        self.peers.append(Peer(far))
        return self.peers[-1], Detached(near)

    def turn(self, timeout: float = _TURN) -> bool:
        """
        Let the reactor and all peers do what they can, once.

        @return: whether there was anything to do.
        """
        waiting = {peer.socket.fileno(): peer for peer in self.peers if peer.mask}
        ready = self.reactor.turn(timeout, {fd: peer.mask for fd, peer in waiting.items()})
        for descriptor, event in ready.items():
            if descriptor in waiting:
                waiting[descriptor].act(event)
        return bool(ready)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """
        Turn until something is so.

        @param what: what is waited for, in words.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"waited {PATIENCE:g} s for {what}")
            self.turn()

    def rest(self) -> None:
        """
        Turn until nothing has happened for a while.
        """
        deadline = time.monotonic() + PATIENCE
        still = 0
        while still < 3:
            if time.monotonic() > deadline:
                self.fail(f"not at rest after {PATIENCE:g} s")
            still = 0 if self.turn() else still + 1
