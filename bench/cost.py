# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a process costs, as the kernel tells it: memory and processor time, of the process and all it started.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SPENT = slice(11, 15)
"""In user mode and in the kernel, and both of the children that have ended."""


def family(pid: int) -> Iterator[int]:
    """
    Walk a process and its descendants.

    @param pid: the process.
    @return: an iterator of process ids.
    """
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that ended since it was listed: its children now belong to another
        for child in found:
            yield from family(int(child))


def rss(pids: Iterable[int]) -> int:
    """
    Resident memory.

    @param pids: processes, each with its descendants.
    @return: the sum, in KiB; a page shared by two of them counts in both.
    @raise OSError: if a process is gone.
    """
    total = 0
    for pid in pids:
        for member in family(pid):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1])
    return total


def cpu(pids: Iterable[int]) -> float:
    """
    Processor time used so far, in user mode and in the kernel.

    @param pids: processes, each with its descendants, those that have ended too.
    @return: seconds.
    @raise OSError: if a process is gone.
    """
    ticks = 0
    for pid in pids:
        for member in family(pid):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[_SPENT]))
    return ticks / _TICKS


def descriptors(pids: Iterable[int]) -> int:
    """
    Open files.

    @param pids: processes, each with its descendants.
    @return: how many.
    @raise OSError: if a process is gone.
    """
    return sum(len(os.listdir(f"/proc/{member}/fd")) for pid in pids for member in family(pid))
