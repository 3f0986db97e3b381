# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A bare epoll loop and the two ends of a bulk stream: what targets and load processes are made of.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

CHUNK = 256 * 1024
"""Bytes a bulk sender hands to the kernel at once: they stay in the cache, and one call costs little."""

_ROOM = 4 * 1024 * 1024
_GONE = (ConnectionResetError, BrokenPipeError)


class Loop:
    """
    Calls one function for each socket that is ready.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._actions: dict[int, Callable[[], None]] = {}
        self._sockets: dict[int, socket.socket] = {}

    def add(self, sock: socket.socket, action: Callable[[], None], writing: bool = False) -> None:
        """
        Watch a socket, which the loop owns from now on.

        @param sock: the socket.
        @param action: called whenever it is ready.
        @param writing: wait for room to write instead of for bytes to read.
        """
        fd = sock.fileno()
        self._actions[fd] = action
        self._sockets[fd] = sock
        self._poll.register(fd, select.EPOLLOUT if writing else select.EPOLLIN)

    def drop(self, sock: socket.socket) -> None:
        """
        Close a socket and forget it.

        @param sock: a socket that was added.
        """
        fd = sock.fileno()
        del self._actions[fd], self._sockets[fd]
        sock.close()

    def run(self) -> None:
        """
        Serve until the process is killed.
        """
        poll, actions = self._poll.poll, self._actions
        while True:
            for fd, _ in poll():
                action = actions.get(fd)
                if action is not None:
                    action()


def listen(loop: Loop, host: str, accepted: Callable[[socket.socket], None]) -> int:
    """
    Listen on a free port.

    @param loop: the loop that accepts.
    @param host: the address.
    @param accepted: given each new socket.
    @return: the port.
    """
    listener = socket.create_server((host, 0), backlog=4096)
    loop.add(listener, lambda: accepted(listener.accept()[0]))
    port: int = listener.getsockname()[1]
    return port


def bulkFile() -> int:
    """
    Make the file in memory that bulk senders send.

    @return: its descriptor; it holds L{CHUNK} bytes that do not compress.
    """
    fd = os.memfd_create("bench-bulk")
    os.write(fd, os.urandom(CHUNK))
    return fd


def sendForever(loop: Loop, sock: socket.socket, file: int, ended: Callable[[], None]) -> None:
    """
    Send as fast as the stream takes it, without a copy.

    @param loop: the loop.
    @param sock: a connected socket.
    @param file: what L{bulkFile} made.
    @param ended: called when the stream has ended.
    """
    sock.setblocking(False)
    out = sock.fileno()

    def push() -> None:
        try:
            os.sendfile(out, file, 0, CHUNK)
        except BlockingIOError:
            return
        except _GONE:
            loop.drop(sock)
            ended()

    loop.add(sock, push, writing=True)


def countForever(
    loop: Loop, sock: socket.socket, counts: memoryview, slot: int, ended: Callable[[], None]
) -> None:
    """
    Count what a stream brings; the kernel discards it (C{MSG_TRUNC}) without a copy, and wakes us only once
    there is much of it (C{SO_RCVLOWAT}).

    @param loop: the loop.
    @param sock: a connected socket.
    @param counts: the shared counters.
    @param slot: the counter to add to.
    @param ended: called when the stream has ended.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, CHUNK)
    room = bytearray(_ROOM)

    def pull() -> None:
        try:
            count = sock.recv_into(room, _ROOM, socket.MSG_TRUNC | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except _GONE:
            count = 0
        if count:
            counts[slot] += count
        else:
            loop.drop(sock)
            ended()

    loop.add(sock, pull)
