# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Many streams whose every byte is looked at: both ends of each are in this process.

Run by the soak as C{python -m bench.soak.checked SOCKS-PORT STREAMS}; prints C{ready} when all streams are
open.  When its standard input ends it sends no more, ends each stream by half-closes, and prints as JSON what
came of it: bytes, and what was wrong.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from dataclasses import dataclass, field

from bench.dial import HOST, Way

SIZE = 1 << 20
"""After how many bytes the pattern begins anew."""

CHUNK = 1 << 16
_PATIENCE = 20.0
_READ = select.EPOLLIN
_WRITE = select.EPOLLOUT


def pattern() -> memoryview:
    """
    @return: the pattern, twice over, so that each chunk of it is in one piece.
    """
    data = random.Random(2).randbytes(SIZE)
    return memoryview(data + data[:CHUNK])


@dataclass(slots=True, eq=False)
class End:
    """
    One end of a stream: it sends the pattern, and looks whether that is what it receives.
    """

    sock: socket.socket
    """The socket, which does not block."""

    sent: int = 0
    """Bytes that the kernel took."""

    got: int = 0
    """Bytes that were as they should be."""

    ending: bool = False
    """It has said that no more comes."""

    ended: bool = False
    """The other end has."""

    wrong: str = ""
    """What was wrong with what it received."""

    other: End | None = field(default=None, repr=False)
    """The other end."""

    def send(self, data: memoryview) -> None:
        """
        Send a chunk.
        """
        at = self.sent % SIZE
        try:
            self.sent += self.sock.send(data[at : at + CHUNK])
        except BlockingIOError:
            return
        except OSError as e:
            self.wrong = f"cannot send: {e}"

    def receive(self, data: memoryview) -> int:
        """
        Receive, and compare.

        @return: how many bytes.
        """
        try:
            got = self.sock.recv(CHUNK)
        except BlockingIOError:
            return 0
        except OSError as e:
            self.wrong = f"cannot receive: {e}"
            return 0
        if not got:
            self.ended = True
            return 0
        at = self.got % SIZE
        if data[at : at + len(got)] != got:
            self.wrong = f"other bytes than were sent, after {self.got}"
        self.got += len(got)
        return len(got)


class Streams:
    """
    All streams.
    """

    def __init__(self, port: int, count: int) -> None:
        """
        Open them.

        @param port: of the SOCKS5 proxy that is tried.
        @param count: how many.
        """
        self._data = pattern()
        self._poll = select.epoll()
        self.ends: dict[int, End] = {}
        listener = socket.create_server((HOST, 0), backlog=count)
        way = Way(listener.getsockname()[1], port)
        for _ in range(count):
            near = End(way.open())
            far = End(listener.accept()[0], other=near)
            near.other = far
            for end in (near, far):
                end.sock.setblocking(False)
                self.ends[end.sock.fileno()] = end
                self._poll.register(end.sock, _READ | _WRITE)
        listener.close()

    def turn(self, timeout: float) -> None:
        """
        Serve what is ready.
        """
        for fd, event in self._poll.poll(timeout):
            end = self.ends[fd]
            if event & ~_WRITE and not end.ended:
                end.receive(self._data)
            if event & _WRITE and not end.ending:
                end.send(self._data)
            if end.wrong:
                self._poll.unregister(fd)
                end.ended = end.ending = True
                # So the other end does not wait.
                end.sock.close()
            elif end.ended:
                self._poll.modify(fd, 0 if end.ending else _WRITE)

    def end(self) -> None:
        """
        End them all cleanly, and wait for what is under way.
        """
        for end in self.ends.values():
            if not end.wrong:
                end.ending = True
                end.sock.shutdown(socket.SHUT_WR)
                self._poll.modify(end.sock, 0 if end.ended else _READ)
        deadline = time.monotonic() + _PATIENCE
        while not all(end.ended for end in self.ends.values()) and time.monotonic() < deadline:
            self.turn(0.1)

    def result(self) -> dict[str, object]:
        """
        @return: what came of it.
        """
        wrong = []
        for end in list(self.ends.values())[::2]:
            other = end.other
            assert other is not None
            if end.wrong or other.wrong:
                wrong.append(end.wrong or other.wrong)
            elif not (end.ended and other.ended):
                wrong.append(f"no end after {end.got} and {other.got} bytes")
            elif (end.got, other.got) != (other.sent, end.sent):
                lost = other.sent - end.got + end.sent - other.got
                wrong.append(f"{lost} bytes did not arrive")
        total = sum(end.got for end in self.ends.values())
        return {"streams": len(self.ends) // 2, "bytes": total, "wrong": wrong}


def main(port: int, count: int) -> None:
    """
    Carry on until standard input ends.
    """
    streams = Streams(port, count)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        streams.turn(0.05)
    streams.end()
    print(json.dumps(streams.result()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
