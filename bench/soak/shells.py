# -*- test-case-name: bench.test_ssh -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Many clients of SSH at once, and streams whose readers have stopped: what that takes of memory, and whether
others notice.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.child import Child, SampleFailed
from bench.contestants import freePort
from bench.dial import HOST, Way, exactly
from bench.load import MESSAGE
from bench.soak.figures import Figure
from bench.soak.limits import Loads
from bench.soak.node import PATIENCE, Node, running
from bench.ssh import client, key, policy

STALLED = 8
"""Streams each way whose readers have stopped."""

_AT_ONCE = 8
"""Clients that are started before the first of them has to be up: more do not make it quicker."""

_KIB, _MIB = 1024.0, 1.0
_SETTLE = 3.0


def sections(port: int, keys: Path) -> dict[str, Any]:
    """
    Who has the key may come in, and go to this machine.
    """
    return {"listen": {"main": f"ssh:tcp:{port}:interface={HOST}"}, "policy": policy(keys)}


def shells(directory: Path, connections: int, seconds: float) -> list[Figure]:
    """
    @param directory: an empty one.
    @param connections: how many clients at once.
    @param seconds: how long readers stop.
    @raise SampleFailed: there is no client, or it did not come in.
    """
    try:
        mine = key(directory.parent, "client").with_suffix(".pub")
    except OSError as e:
        raise SampleFailed("no ssh program: apt install openssh-client") from e
    port = freePort()
    with running(directory, {"main.yaml": sections(port, mine)}) as node:
        loads = Loads(directory)
        argv = client(directory.parent, port)
        try:
            return [
                *_many(node, argv, loads.ports["echo"], connections),
                *_stopped(node, argv, loads.ports, directory, seconds),
            ]
        finally:
            loads.end()


def _many(node: Node, argv: Sequence[str], echo: int, count: int) -> list[Figure]:
    """
    Clients with a stream each.
    """
    before, began = node.rss, time.monotonic()
    with ExitStack() as stack:
        waiting: list[subprocess.Popen[bytes]] = []
        for number in range(count + _AT_ONCE):
            if number < count:
                waiting.append(_started(stack, [*argv, "-W", f"{HOST}:{echo}", HOST]))
            if number >= _AT_ONCE:
                up = waiting.pop(0)
                assert up.stdout is not None
                if up.stdout.read(len(MESSAGE)) != MESSAGE:
                    raise SampleFailed(f"client {number - _AT_ONCE} did not come in{node.child.tail()}")
        seconds = time.monotonic() - began
        time.sleep(_SETTLE)
        found = int(node.status()["streams"])
        grown = node.rss - before
    return [
        Figure(f"clients of SSH of {count} that have a stream", found, "", least=count),
        Figure("the same, a second", count / seconds, "1/s"),
        Figure("memory for each of them", grown / count * _KIB, "KiB", most=128),
    ]


def _started(stack: ExitStack, argv: Sequence[str]) -> subprocess.Popen[bytes]:
    running = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    stack.callback(running.wait)
    stack.callback(running.kill)
    for end in (running.stdin, running.stdout):
        assert end is not None
        stack.callback(end.close)
    assert running.stdin is not None
    running.stdin.write(MESSAGE)
    return running


def _stopped(
    node: Node, argv: Sequence[str], ports: dict[str, int], directory: Path, seconds: float
) -> list[Figure]:
    """
    Streams on one connection that are written to as far as they go, and read by nobody.
    """
    figures = []
    with ExitStack() as stack:
        # What is never accepted is never read.
        deaf = stack.enter_context(socket.create_server((HOST, 0), backlog=2 * STALLED))
        targets = {"up": deaf.getsockname()[1], "down": ports["source"], "echo": ports["echo"]}
        local = {name: freePort() for name in targets}
        forwards = [
            each for name, port in local.items() for each in ("-L", f"{HOST}:{port}:{HOST}:{targets[name]}")
        ]
        child = Child([*argv, *forwards, "-N", HOST], directory / "client.log")
        stack.callback(child.kill)
        beside = stack.enter_context(_opened(child, local["echo"]))
        _trip(beside)
        for way in ("up", "down"):
            before = node.rss
            streams = [stack.enter_context(Way(local[way]).open()) for _ in range(STALLED)]
            _fill(streams if way == "up" else [], seconds / 2)
            first = node.rss
            time.sleep(seconds / 2)
            last = node.rss
            figures += [
                Figure(f"memory for a stopped stream {way}", (last - before) / STALLED, "MiB", most=8),
                Figure(f"what it grew by in {seconds / 2:g} s", (last - first) / STALLED, "MiB", most=0.1),
            ]
        figures.append(Figure("a round trip beside them", _trip(beside) * 1000, "ms", most=1000))
    return figures


def _opened(child: Child, port: int) -> socket.socket:
    """
    @return: a stream, as soon as the client forwards.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        child.check()
        try:
            return Way(port).open()
        except OSError as e:
            if time.monotonic() > deadline:
                raise SampleFailed(f"the client does not forward{child.tail()}") from e
            time.sleep(0.02)


def _fill(streams: Sequence[socket.socket], seconds: float) -> None:
    """
    Write as much as is taken, for a while.
    """
    data, until = bytes(1 << 16), time.monotonic() + seconds
    for stream in streams:
        stream.setblocking(False)
    while (left := until - time.monotonic()) > 0:
        for stream in streams:
            try:
                while True:
                    stream.send(data)
            except BlockingIOError:
                continue
        time.sleep(min(left, 0.1))


def _trip(stream: socket.socket) -> float:
    """
    @return: the seconds of a round trip.
    """
    began = time.monotonic()
    stream.settimeout(PATIENCE)
    stream.sendall(MESSAGE)
    if exactly(stream, len(MESSAGE)) != MESSAGE:
        raise SampleFailed("the echo came back changed")
    return time.monotonic() - began
