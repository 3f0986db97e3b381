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
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench import secure
from bench.datagrams import exchange
from bench.dial import HOST, DialFailed, Way, exactly
from bench.dns.load import NAMES, ask
from bench.loop import CHUNK, Loop, bulkFile, countForever, sendForever
from bench.meter import Meter

MESSAGE = b"a message of sixty-four bytes that goes out and comes back again"
"""What round trips carry: 64 bytes."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    What one load process does.
    """

    kind: str
    """C{bulk}, C{connect}, C{rtt}, C{hold}, or C{tls-bulk}, C{tls-new}, C{tls-resumed},
    C{ssh-login}, C{dns}, C{dns-spelled}."""

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

    front: str = ""
    """What the streams go in by: see L{bench.contestants}."""

    command: Sequence[str] = ()
    """What has a stream to the echo target on its standard input and output, for C{ssh-login}."""

    host: str = HOST
    """Where the ports are."""

    def json(self) -> str:
        """
        @return: the argument for the process.
        """
        return json.dumps(asdict(self))

    def way(self, target: str) -> Way:
        """
        @param target: the target's name.
        @return: the way to it.
        """
        return Way(self.ports[target], self.socks, self.host)

    def open(self, target: str) -> socket.socket:
        """
        Open a stream.

        @param target: the target's name.
        @return: a connected socket.
        """
        return self.way(target).open()


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
        sock = load.open("source")
        sock.sendall(secure.greeting(load.front, "source"))
        countForever(loop, sock, counts, load.slot, _ended)
    for _ in range(load.up):
        sock = load.open("sink")
        sock.sendall(secure.greeting(load.front, "sink"))
        sendForever(loop, sock, file, _ended)
    _ready()
    loop.run()


def tlsBulk(load: Load, counts: memoryview) -> None:
    """
    One stream in TLS as fast as it goes.  What is sent is encrypted here; what comes is counted as it is
    on the wire, and not decrypted: so the client costs next to nothing, and a record of 16 KiB counts 22
    bytes more.

    @param load: the work.
    @param counts: the shared counters.
    """
    context = secure.believing()
    if load.down:
        stream = secure.opener(context, Way(load.ports["source"]))(None)
        loop = Loop()
        countForever(loop, secure.raw(stream), counts, load.slot, _ended)
        _ready()
        loop.run()
    stream = secure.opener(context, Way(load.ports["sink"]))(None)
    piece, send = os.urandom(CHUNK), stream.send
    _ready()
    while True:
        send(piece)


def shake(load: Load, counts: memoryview) -> None:
    """
    Open a stream in TLS, exchange one message, close, again and again.

    @param load: the work; with C{resume}, each goes on with the session of the one before it.
    @param counts: the shared counters.
    """
    opened, slot, size = secure.opener(secure.believing(), Way(load.ports["echo"])), load.slot, len(MESSAGE)
    resuming, session = load.kind == "tls-resumed", None
    _ready()
    while True:
        stream = opened(session)
        stream.send(MESSAGE)
        exactly(stream, size)
        if resuming:
            if session is not None and not stream.session_reused:
                raise DialFailed("the server did not go on with the session")
            session = stream.session
        secure.leave(stream)
        counts[slot] += 1


def connect(load: Load, counts: memoryview) -> None:
    """
    Open a stream, exchange one message, close, again and again.

    @param load: the work.
    @param counts: the shared counters.
    """
    _ready()
    way, slot, size = load.way("echo"), load.slot, len(MESSAGE)
    while True:
        sock = way.open()
        sock.send(MESSAGE)
        exactly(sock, size)
        sock.close()
        counts[slot] += 1


def login(load: Load, counts: memoryview) -> None:
    """
    Start a client, exchange one message, end it, again and again.

    @param load: the work.
    @param counts: the shared counters.
    """
    _ready()
    while True:
        with subprocess.Popen(load.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
            assert running.stdin is not None and running.stdout is not None
            running.stdin.write(MESSAGE)
            running.stdin.flush()
            if running.stdout.read(len(MESSAGE)) != MESSAGE:
                raise DialFailed("the client did not bring the message back")
            counts[load.slot] += 1
            running.kill()


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


def datagrams(load: Load, counts: memoryview) -> None:
    """
    Send datagrams there and back.

    @param load: the work.
    @param counts: the shared counters.
    """
    exchange(load.socks, load.streams, counts, load.slot, _ready)


def questions(load: Load, counts: memoryview) -> None:
    """
    Ask for names that are known.

    @param load: the work.
    @param counts: the shared counters.
    """
    ask(load.ports["names"], NAMES, load.kind == "dns-spelled", counts, load.slot, _ready)


_KINDS = {
    "dns": questions,
    "dns-spelled": questions,
    "datagrams": datagrams,
    "bulk": bulk,
    "connect": connect,
    "rtt": rtt,
    "hold": hold,
    "tls-bulk": tlsBulk,
    "tls-new": shake,
    "tls-resumed": shake,
    "ssh-login": login,
}


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
