# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How each kind of work is measured on a contestant that is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import cost
from bench.child import Child, SampleFailed, pythonArguments
from bench.dial import HOST
from bench.load import Load
from bench.meter import TARGET_SLOT
from bench.ssh import client
from bench.stand import Stand

_READY = 20.0
_GRACE = 30
_STEP = 0.05
_SETTLE = 0.4
_CONNECT_PROCESSES = 4
_RTT_PROCESSES = 2
_RTT_STREAMS = 16
_ASSOCIATIONS = 2
_MIXED_STREAMS = 8
_SOCKETS = 1.9


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How long and how much to measure.
    """

    seconds: float
    """The window of one sample; rows with two directions share it."""

    warm: float
    """The time before it, in which streams get up to speed."""

    idleStreams: int
    """How many idle streams to open."""


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What one row yielded.
    """

    values: tuple[float, ...]
    """One for each metric of the row."""

    extra: dict[str, float]
    """What else was seen: C{cpu}, the cores it kept busy; C{descriptors} for each idle stream."""


@dataclass(frozen=True, slots=True)
class _Worker:
    """A load process and the counter it shares."""

    child: Child
    slots: tuple[int, ...]


class _Loads:
    """
    The load processes of one sample.
    """

    def __init__(self, stand: Stand, pace: Pace) -> None:
        self._stand = stand
        self._pace = pace
        self._next = TARGET_SLOT + 1
        self.workers: list[_Worker] = []

    def add(
        self, kind: str, up: int = 0, down: int = 0, streams: int = 1, command: tuple[str, ...] = ()
    ) -> int:
        """
        Start one.

        @param kind: the kind of L{Load}.
        @param up: bulk streams to the target.
        @param down: bulk streams from it.
        @param streams: open streams.
        @param command: what has the streams, if that is a program.
        @return: its counter.
        """
        stand, slot = self._stand, self._next
        self._next += 1
        stand.meter.clear(slot)
        seconds = int(_READY + self._pace.warm + self._pace.seconds) + _GRACE
        load = Load(
            kind,
            stand.meter.fd,
            slot,
            stand.socks,
            dict(stand.ports),
            seconds,
            up,
            down,
            streams,
            stand.front,
            command,
            stand.host,
        )
        log = stand.directory / f"load-{kind}-{slot}.log"
        child = Child(pythonArguments("bench.load", load.json()), log, fds=[stand.meter.fd], spoken=True)
        counters = ((TARGET_SLOT,) if up else ()) + ((slot,) if down or not up else ())
        self.workers.append(_Worker(child, counters))
        return slot

    def ready(self) -> None:
        """
        Wait until all have opened their streams.

        @raise SampleFailed: if one has not in time.
        """
        deadline = time.monotonic() + _READY
        for worker in self.workers:
            worker.child.line(deadline)

    def check(self) -> None:
        """
        @raise SampleFailed: if a process that should run has ended.
        """
        self._stand.check()
        for worker in self.workers:
            worker.child.check()


@contextmanager
def _loads(stand: Stand, pace: Pace) -> Iterator[_Loads]:
    """
    @param stand: what is measured.
    @param pace: how long.
    @return: a context manager for load processes, which kills them, and blames the contestant if they fail.
    """
    loads = _Loads(stand, pace)
    try:
        yield loads
    except SampleFailed as e:
        said, blame = str(e), stand.blame()
        raise SampleFailed(said if blame in said else said + blame) from e
    finally:
        for worker in loads.workers:
            worker.child.kill()


def _rates(stand: Stand, loads: _Loads, warm: float, seconds: float) -> tuple[list[float], float]:
    """
    Watch the counters for one window.

    @param stand: what is measured.
    @param loads: who makes the load.
    @param warm: seconds before the window.
    @param seconds: the window.
    @return: each counter's rate a second, and the cores that the contestant kept busy.
    @raise SampleFailed: if a process ended, or a counter stood still.
    """
    loads.ready()
    _wait(loads, warm)
    counts = stand.meter.counts
    begun, before, busy = time.monotonic(), list(counts), cost.cpu(stand.pids)
    _wait(loads, seconds)
    ended, after, spent = time.monotonic(), list(counts), cost.cpu(stand.pids) - busy
    span = ended - begun
    for worker in loads.workers:
        for slot in worker.slots:
            if after[slot] == before[slot]:
                raise SampleFailed(f"nothing moved for {span:.1f} s")
    return [(b - a) / span for a, b in zip(before, after, strict=True)], spent / span


def _wait(loads: _Loads, seconds: float) -> None:
    """
    Sleep, but not beside a dead process.

    @param loads: who makes the load.
    @param seconds: how long.
    @raise SampleFailed: if a process ended.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _STEP))
        loads.check()


def _gbit(rate: float) -> float:
    """
    @param rate: bytes a second.
    @return: Gbit/s.
    """
    return rate * 8 / 1e9


def _bulk(stand: Stand, pace: Pace) -> Reading:
    """One stream to the target, then one from it, each for half of the time."""
    return _eachWay(stand, pace, "bulk")


def _tlsBulk(stand: Stand, pace: Pace) -> Reading:
    """The same in TLS."""
    return _eachWay(stand, pace, "tls-bulk")


def _eachWay(stand: Stand, pace: Pace, kind: str) -> Reading:
    """
    @param kind: the kind of L{Load}.
    """
    values, busy = [], 0.0
    for up, down in ((1, 0), (0, 1)):
        with _loads(stand, pace) as loads:
            slot = loads.add(kind, up, down)
            rates, cpu = _rates(stand, loads, pace.warm, pace.seconds / 2)
            values.append(_gbit(rates[TARGET_SLOT if up else slot]))
            busy += cpu / 2
    return Reading(tuple(values), {"cpu": busy})


def _bulk8(stand: Stand, pace: Pace) -> Reading:
    """Four streams to the target and four from it."""
    with _loads(stand, pace) as loads:
        slot = loads.add("bulk", 4, 4)
        rates, cpu = _rates(stand, loads, pace.warm, pace.seconds)
        return Reading((_gbit(rates[TARGET_SLOT] + rates[slot]),), {"cpu": cpu})


def _connect(stand: Stand, pace: Pace) -> Reading:
    """Short streams, from a few processes with one at a time each."""
    return _again(stand, pace, "connect")


def _shake(stand: Stand, pace: Pace) -> Reading:
    """Short streams in TLS, each with a whole handshake."""
    return _again(stand, pace, "tls-new")


def _resume(stand: Stand, pace: Pace) -> Reading:
    """Short streams in TLS, each with the session of the one before it."""
    return _again(stand, pace, "tls-resumed")


def _again(stand: Stand, pace: Pace, kind: str) -> Reading:
    """
    @param kind: the kind of L{Load}.
    """
    with _loads(stand, pace) as loads:
        slots = [loads.add(kind) for _ in range(_CONNECT_PROCESSES)]
        rates, cpu = _rates(stand, loads, pace.warm, pace.seconds)
        return Reading((sum(rates[slot] for slot in slots),), {"cpu": cpu})


def _rtt(stand: Stand, pace: Pace) -> Reading:
    """Round trips on open streams."""
    with _loads(stand, pace) as loads:
        slots = [loads.add("rtt", streams=_RTT_STREAMS) for _ in range(_RTT_PROCESSES)]
        rates, cpu = _rates(stand, loads, pace.warm, pace.seconds)
        return Reading((sum(rates[slot] for slot in slots),), {"cpu": cpu})


def _datagrams(stand: Stand, pace: Pace) -> Reading:
    """Datagrams there and back on a few associations."""
    with _loads(stand, pace) as loads:
        slots = [loads.add("datagrams", streams=_ASSOCIATIONS) for _ in range(_RTT_PROCESSES)]
        rates, cpu = _rates(stand, loads, pace.warm, pace.seconds)
        return Reading((sum(rates[slot] for slot in slots),), {"cpu": cpu})


def _questions(stand: Stand, pace: Pace) -> Reading:
    """Questions whose answers are known: as they were asked before, and in a new spelling each time."""
    values, busy = [], 0.0
    for kind in ("dns", "dns-spelled"):
        with _loads(stand, pace) as loads:
            slot = loads.add(kind)
            rates, cpu = _rates(stand, loads, pace.warm, pace.seconds / 2)
            values.append(rates[slot])
            busy += cpu / 2
    return Reading(tuple(values), {"cpu": busy})


def _mixed(stand: Stand, pace: Pace) -> Reading:
    """Round trips while a bulk stream runs."""
    with _loads(stand, pace) as loads:
        bulk = loads.add("bulk", down=1)
        small = loads.add("rtt", streams=_MIXED_STREAMS)
        rates, cpu = _rates(stand, loads, pace.warm, pace.seconds)
        return Reading((_gbit(rates[bulk]), rates[small]), {"cpu": cpu})


def _login(stand: Stand, pace: Pace) -> Reading:
    """Clients of SSH, one after another: each from its start until a message has come back on its stream."""
    server, echo = stand.lastPorts["echo"], stand.targetPorts["echo"]
    with _loads(stand, pace) as loads:
        command = (*client(stand.directory.parent, server), "-W", f"{HOST}:{echo}", HOST)
        slot = loads.add("ssh-login", command=command)
        rates, cpu = _rates(stand, loads, pace.warm, pace.seconds)
        return Reading((1000 / rates[slot],), {"cpu": cpu, "cpu-ms": 1000 * cpu / rates[slot]})


def _idle(stand: Stand, pace: Pace) -> Reading:
    """Memory before and after many streams have been opened, on an instance that has done nothing else."""
    time.sleep(_SETTLE)
    before, files = cost.rss(stand.pids), cost.descriptors(stand.pids)
    with _loads(stand, pace) as loads:
        loads.add("hold", streams=pace.idleStreams)
        loads.ready()
        _wait(loads, _SETTLE)
        grown = (cost.rss(stand.pids) - before) / pace.idleStreams
        opened = (cost.descriptors(stand.pids) - files) / pace.idleStreams
        if opened < _SOCKETS:
            raise SampleFailed(f"only {opened:.2f} descriptors for each of {pace.idleStreams} open streams")
    return Reading((grown,), {"descriptors": opened})


def _start(stand: Stand, pace: Pace) -> Reading:
    """Memory once it has settled, and how long it took to accept."""
    time.sleep(_SETTLE)
    return Reading((cost.rss(stand.pids) / 1024, stand.startSeconds), {})


_WORKS: dict[str, Callable[[Stand, Pace], Reading]] = {
    "bulk": _bulk,
    "bulk8": _bulk8,
    "connect": _connect,
    "rtt": _rtt,
    "mixed": _mixed,
    "ssh-login": _login,
    "datagrams": _datagrams,
    "dns": _questions,
    "idle": _idle,
    "start": _start,
    "tls-bulk": _tlsBulk,
    "tls-new": _shake,
    "tls-resumed": _resume,
}

FRESH: Sequence[str] = ("idle", "start")
"""The works that need an instance that has done nothing yet; C{direct} has no part in them."""


def measure(work: str, stand: Stand, pace: Pace) -> Reading:
    """
    Do one work on one contestant.

    @param work: which.
    @param stand: the contestant.
    @param pace: how long.
    @return: what it yielded.
    @raise SampleFailed: if a process died, was refused, or made no progress.
    """
    try:
        stand.check()
        return _WORKS[work](stand, pace)
    except OSError as e:
        raise SampleFailed(f"{work}: {e}{stand.blame()}") from e
