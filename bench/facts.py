# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which machine and which versions a result belongs to.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.contestants import Contestant


def machine() -> dict[str, object]:
    """
    @return: what is known of this machine, and of the Python that makes the load.
    """
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "load before": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "twisted": _installed("twisted"),
    }


def versions(contestants: Iterable[Contestant]) -> dict[str, str]:
    """
    @param contestants: whom to ask.
    @return: each version by name.
    """
    return {contestant.name: contestant.version() for contestant in contestants}


def _field(path: str, name: str) -> str:
    """
    @param path: a file of C{name: value} lines.
    @param name: which.
    @return: its first value.
    """
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _installed(name: str) -> str:
    """
    @param name: a distribution.
    @return: its version.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
