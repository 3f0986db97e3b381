# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whether limits hold, for small streams and for those that the kernel moves; and what a tenant at its
limits does to another.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.child import Child, SampleFailed, pythonArguments
from bench.contestants import freePort
from bench.dial import HOST
from bench.load import Load
from bench.meter import TARGET_SLOT, Meter
from bench.soak.figures import Figure
from bench.soak.node import Node, running

RATE = 10_000_000
"""Bytes a second that the limited tenant may have, each way."""

_WARM = 2.0
_READY = 20.0
_ROUNDS = 5


def sections(free: int, limited: int) -> dict[str, dict[str, Any]]:
    """
    Two tenants with a port each: one may all, the other has limits.
    """
    rules = {"policy": {"rules": [{"action": "allow"}], "private": "allow"}}
    return {
        "main.yaml": {
            "tenants": {
                "free": {"ranges": ["127.0.0.0/8"]},
                "limited": {"ranges": ["127.0.0.0/8"], "limits": {"up": RATE, "down": RATE}},
            },
        },
        "tenants/free.yaml": {"listen": {"main": f"socks:tcp:{free}:interface={HOST}"}, **rules},
        "tenants/limited.yaml": {"listen": {"main": f"socks:tcp:{limited}:interface={HOST}"}, **rules},
    }


class Loads:
    """
    Targets, and load on a node.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._meter = Meter()
        self._children: list[Child] = []
        self._slot = TARGET_SLOT
        self.ports: dict[str, int] = {}
        for kind in ("bulk", "echo"):
            argv = pythonArguments("bench.target", kind, str(self._meter.fd))
            child = Child(argv, directory / f"target-{kind}.log", fds=[self._meter.fd], spoken=True)
            self._children.append(child)
            self.ports |= json.loads(child.line(time.monotonic() + _READY))

    @contextmanager
    def load(self, kind: str, socks: int, **how: int) -> Iterator[int]:
        """
        Load, for a while.

        @return: its counter.
        """
        self._slot += 1
        load = replace(Load(kind, self._meter.fd, self._slot, socks, self.ports, 600), **how)  # type: ignore[arg-type]
        log = self._directory / f"load-{kind}-{self._slot}.log"
        child = Child(pythonArguments("bench.load", load.json()), log, fds=[self._meter.fd], spoken=True)
        self._children.append(child)
        child.line(time.monotonic() + _READY)
        try:
            yield self._slot
            child.check()
        finally:
            child.kill()
            self._children.remove(child)

    def rate(self, slot: int, seconds: float) -> float:
        """
        What a counter counts in a second.
        """
        counts = self._meter.counts
        began, before = time.monotonic(), counts[slot]
        time.sleep(seconds)
        return (counts[slot] - before) / (time.monotonic() - began)

    def end(self) -> None:
        """
        End all processes.
        """
        for child in self._children:
            child.kill()


def limits(directory: Path, seconds: float) -> list[Figure]:
    """
    @param directory: an empty one.
    @param seconds: how long to look at each.
    """
    free, limited = freePort(), freePort()
    with running(directory, sections(free, limited)) as node:
        loads = Loads(directory)
        try:
            return [*_rates(loads, limited, seconds), _neighbour(node, loads, free, limited)]
        finally:
            loads.end()


def _rates(loads: Loads, limited: int, seconds: float) -> list[Figure]:
    figures = []
    for title, how in (
        ("one stream down", {"down": 1}),
        ("one stream up", {"up": 1}),
        ("20 streams down", {"down": 20}),
    ):
        with loads.load("bulk", limited, **how) as slot:
            time.sleep(_WARM)
            rate = loads.rate(TARGET_SLOT if "up" in how else slot, seconds)
        percent = 100 * rate / RATE
        figures.append(Figure(f"{title}, limited", percent, "% of the limit", least=95, most=105))
    return figures


def _neighbour(node: Node, loads: Loads, free: int, limited: int) -> Figure:
    """
    Round trips of the free tenant beside the limited one at its limits, to those when it is alone.
    """
    ratios = []
    with loads.load("rtt", free, streams=8) as slot:
        time.sleep(_WARM)
        for _ in range(_ROUNDS):
            alone = loads.rate(slot, 2.0)
            with loads.load("bulk", limited, down=10, up=10):
                time.sleep(_WARM)
                beside = loads.rate(slot, 2.0)
            if not alone:
                raise SampleFailed(f"no round trips{node.child.tail()}")
            ratios.append(beside / alone)
    title = "round trips beside a tenant at its limits"
    return Figure(title, 100 * statistics.median(ratios), "% of those alone", least=80)
