# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A contestant that is up: its instances, the targets behind it, and the way to them.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.apart import Place, linked
from bench.child import Child, SampleFailed, pythonArguments
from bench.contestants import (
    CAPTURED,
    DNS,
    FORWARD,
    NONE,
    RELAY,
    SOCKS5,
    TUN,
    TUN_LONG,
    Contestant,
    Hop,
    freePort,
)
from bench.dial import HOST, DialFailed, Way
from bench.meter import Meter
from bench.secure import echoed

_PATIENCE = 20.0
_POLL = 0.002
_STEP = 0.2
_TIMEOUT = 5.0
_PROBE = b"is anybody there"
_BEYOND = (TUN, TUN_LONG)
"""The fronts of targets that are on another host."""

_LATE = (RELAY, *_BEYOND)
"""Those that are there only a little after their process is."""

_ONE = {SOCKS5: "socks", CAPTURED: "captured"}
"""What the port is called of those who have one alone."""


@dataclass(frozen=True, slots=True)
class Stand:
    """
    What a row measures.
    """

    contestant: Contestant
    """Whose instances these are."""

    instances: tuple[Child, ...]
    """Its processes, the one that clients talk to first."""

    targets: tuple[Child, ...]
    """The processes behind it."""

    socks: int
    """The SOCKS5 port to ask, or 0."""

    ports: Mapping[str, int]
    """The port for each target by name."""

    directory: Path
    """Where logs go."""

    meter: Meter
    """The shared counters."""

    startSeconds: float
    """How long the first instance took from its start until it accepted."""

    front: str
    """What the streams go in by: see L{bench.contestants}."""

    targetPorts: Mapping[str, int]
    """The targets' own ports by name."""

    lastPorts: Mapping[str, int]
    """The ports of the last instance."""

    host: str = HOST
    """The address of the targets."""

    @property
    def pids(self) -> list[int]:
        """The process ids of the instances, but for the clients that all contestants have."""
        return [child.pid for child in self.instances[self.contestant.peers :]]

    def check(self) -> None:
        """
        @raise SampleFailed: if an instance or a target has died.
        """
        for child in (*self.instances, *self.targets):
            child.check()

    def blame(self) -> str:
        """
        @return: the ends of the instances' logs, to be put after a message.
        """
        return "".join(child.tail() for child in self.instances)


@contextmanager
def standing(
    contestant: Contestant, hops: int, directory: Path, meter: Meter, front: str = ""
) -> Iterator[Stand]:
    """
    Start a contestant with fresh targets behind it, and end all of them afterwards.

    @param contestant: whom.
    @param hops: how many instances in a chain.
    @param directory: an empty directory for configs and logs.
    @param meter: the shared counters.
    @param front: what the streams go in by.
    @return: a context manager for the L{Stand}.
    @raise SampleFailed: if a process does not start, or the way to a target does not work.
    """
    children: list[Child] = []
    with ExitStack() as stack:
        stack.callback(_killAll, children)
        place = stack.enter_context(linked()) if front in _BEYOND else Place()
        ports: dict[str, int] = {}
        for kind in ("names",) if front == DNS else ("bulk", "echo"):
            argv = pythonArguments("bench.target", kind, str(meter.fd), place.host)
            with place.entered():
                target = Child(argv, directory / f"target-{kind}.log", fds=[meter.fd], spoken=True)
            children.append(target)
            ports |= json.loads(target.line(time.monotonic() + _PATIENCE))
        targets = tuple(children)
        way, last, seconds = {}, dict[str, int](), 0.0
        if front or contestant.speaks in (FORWARD, CAPTURED):
            way = dict(ports)
        for number in range(hops if contestant.speaks != NONE else 0):
            way, seconds = _instance(
                contestant, way, ports, directory / f"hop{number}", children, front, number == hops - 1
            )
            last = last or way
        instances = tuple(reversed(children[len(targets) :]))
        socks = way.get("socks", 0)
        isAsked = contestant.speaks != CAPTURED and (front or contestant.speaks == FORWARD)
        reached = way if isAsked else ports
        stand = Stand(
            contestant,
            instances,
            targets,
            socks,
            reached,
            directory,
            meter,
            seconds,
            front,
            ports,
            last,
            place.host,
        )
        if front != DNS:
            _probe(stand)
        yield stand


def _killAll(children: list[Child]) -> None:
    for child in reversed(children):
        child.kill()


def _instance(
    contestant: Contestant,
    onward: Mapping[str, int],
    targets: Mapping[str, int],
    directory: Path,
    children: list[Child],
    front: str,
    isFirst: bool,
) -> tuple[dict[str, int], float]:
    """
    Start one instance, and wait until it accepts.

    @param contestant: of whom.
    @param onward: where it sends streams.
    @param targets: the targets' ports by name.
    @param directory: its directory, to be made.
    @param children: where the process is noted, so that it is killed in any case.
    @param front: what the streams go in by.
    @param isFirst: whether clients talk to it.
    @return: its ports, and the seconds it took.
    @raise SampleFailed: if it ends or does not accept in time.
    """
    directory.mkdir()
    names = [_ONE[contestant.speaks]] if contestant.speaks in _ONE and not front else list(targets)
    hop = Hop(directory, {name: freePort() for name in names}, onward, front, isFirst, targets)
    command = contestant.command(hop)
    try:
        child = Child(command.argv, directory / "output.log", env=command.env)
    except OSError as e:
        raise SampleFailed(f"{contestant.name} cannot be started: {e}") from e
    children.append(child)
    if command.isUp is not None:
        _until(child, command.isUp, "it was not up")
    for port in hop.listen.values() if command.accepts else ():
        _until(child, partial(_accepts, port), f"nothing accepted on port {port}")
    return dict(hop.listen), time.monotonic() - child.started


def _accepts(port: int) -> bool:
    """
    @return: whether a port accepts.
    """
    try:
        socket.create_connection((HOST, port), timeout=_TIMEOUT).close()
    except OSError:
        return False
    return True


def _until(child: Child, isUp: Callable[[], bool], words: str) -> None:
    """
    Wait until a process is up.

    @param child: the process.
    @param isUp: whether it is.
    @param words: what is wrong if it is not.
    @raise SampleFailed: if the process ends, or is not up in time.
    """
    deadline = child.started + _PATIENCE
    while time.monotonic() < deadline:
        child.check()
        if isUp():
            return
        time.sleep(_POLL)
    raise SampleFailed(f"{words} in {_PATIENCE:.0f} s{child.tail()}")


def _probe(stand: Stand) -> None:
    """
    See that the way to a target works and brings back what was sent, before anything is measured.

    @param stand: what was started.
    @raise SampleFailed: if it does not.
    """
    deadline = time.monotonic() + (_PATIENCE if stand.front in _LATE else 0)
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        while True:
            try:
                back = echoed(stand.front, Way(stand.ports["echo"], stand.socks, stand.host), _PROBE)
                break
            except (OSError, DialFailed) as e:
                if time.monotonic() > deadline:
                    raise SampleFailed(
                        f"no stream through {stand.contestant.name}: {e}{stand.blame()}"
                    ) from e
                time.sleep(_STEP)
    finally:
        socket.setdefaulttimeout(None)
    if back != _PROBE:
        raise SampleFailed(f"{stand.contestant.name} changed what it carried: {back!r}{stand.blame()}")
