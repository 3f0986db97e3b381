# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The processes that make the load, one kind of work each.

Run by the bench as C{python -m bench.load JSON}; prints C{ready} once its streams are open, then
works and counts in its slot of the shared counters until it is killed.  An alarm ends it should nobody do so.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from dataclasses import asdict, dataclass

from bench.dial import DialFailed, Way, exactly
from bench.loop import Loop, bulkFile, countForever, sendForever
from bench.meter import Meter

MESSAGE = b"a message of sixty-four bytes that goes out and comes back again"
"""What round trips carry: 64 bytes."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    What one load process does.
    """

    kind: str
    """C{bulk}, C{connect}, C{rtt} or C{hold}."""

    fd: int
    """The descriptor of the shared counters."""

    slot: int
    """Its own counter."""

    socks: int
    """The SOCKS5 port, or 0."""

    ports: dict[str, int]
    """The port for each target, by name."""

    seconds: int
    """When the alarm rings."""

    up: int = 0
    """Bulk streams to the target."""

    down: int = 0
    """Bulk streams from the target."""

    streams: int = 1
    """Streams held open, for C{rtt} and C{hold}."""

    def json(self) -> str:
        """
        @return: the argument for the process.
        """
        return json.dumps(asdict(self))

    def open(self, target: str) -> socket.socket:
        """
        Open a stream.

        @param target: the target's name.
        @return: a connected socket.
        """
        return Way(self.ports[target], self.socks).open()


def _ready() -> None:
    """Tell the bench that the streams are open."""
    print("ready", flush=True)


def _ended() -> None:
    """A stream that the proxy ends makes the sample fail."""
    raise DialFailed("a stream ended in the middle of the measurement")


def bulk(load: Load, counts: memoryview) -> None:
    """
    Send and receive as fast as the streams take it.  What is received counts here, what is sent there.

    @param load: the work.
    @param counts: the shared counters.
    """
    loop, file = Loop(), bulkFile()
    for _ in range(load.down):
        countForever(loop, load.open("source"), counts, load.slot, _ended)
    for _ in range(load.up):
        sendForever(loop, load.open("sink"), file, _ended)
    _ready()
    loop.run()


def connect(load: Load, counts: memoryview) -> None:
    """
    Open a stream, exchange one message, close, again and again.

    @param load: the work.
    @param counts: the shared counters.
    """
    _ready()
    way, slot, size = Way(load.ports["echo"], load.socks), load.slot, len(MESSAGE)
    while True:
        sock = way.open()
        sock.send(MESSAGE)
        exactly(sock, size)
        sock.close()
        counts[slot] += 1


def rtt(load: Load, counts: memoryview) -> None:
    """
    Exchange one message after another on every open stream.

    @param load: the work.
    @param counts: the shared counters.
    """
    loop, slot, size = Loop(), load.slot, len(MESSAGE)

    def add(sock: socket.socket) -> None:
        recv, send = sock.recv, sock.send

        def again() -> None:
            data = recv(size)
            if len(data) < size:
                data += exactly(sock, size - len(data)) if data else b""
            if data != MESSAGE:
                raise DialFailed(
                    f"the echo came back as {data!r}" if data else "a stream ended between two round trips"
                )
            counts[slot] += 1
            send(MESSAGE)

        loop.add(sock, again)
        send(MESSAGE)

    for sock in [load.open("echo") for _ in range(load.streams)]:
        add(sock)
    _ready()
    loop.run()


def hold(load: Load, counts: memoryview) -> None:
    """
    Open many streams, exchange one message on each, and keep them.

    @param load: the work.
    @param counts: the shared counters: how many are open.
    """
    held = []
    for _ in range(load.streams):
        sock = load.open("echo")
        sock.send(MESSAGE)
        if exactly(sock, len(MESSAGE)) != MESSAGE:
            raise DialFailed("the echo came back changed")
        held.append(sock)
        counts[load.slot] += 1
    _ready()
    signal.pause()


_KINDS = {"bulk": bulk, "connect": connect, "rtt": rtt, "hold": hold}


def main(text: str) -> None:
    """
    Do one kind of work until killed.

    @param text: a L{Load} as JSON.
    """
    load = Load(**json.loads(text))
    signal.alarm(load.seconds)
    try:
        _KINDS[load.kind](load, Meter(load.fd).counts)
    except (DialFailed, OSError) as e:
        sys.exit(f"{load.kind}: {e}")


if __name__ == "__main__":
    main(sys.argv[1])
