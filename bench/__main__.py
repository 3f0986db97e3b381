# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{python -m bench}: measure, print, and leave a JSON file and a chart.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import closing
from datetime import datetime, timezone
from types import FrameType

from bench import facts
from bench.contestants import Contestant
from bench.options import Plan, plan
from bench.progress import Progress
from bench.record import Record, tables, write
from bench.report import Result
from bench.rounds import Sample, samples, takesPart
from bench.rows import ROWS, Row

_BUSY = 0.5


def _listing(asked: Plan) -> str:
    """
    @return: the rows and contestants there are.
    """
    lines = ["rows:"]
    for row in ROWS:
        lines.append(f"  {row.key:10} {'; '.join(metric.title for metric in row.metrics)}")
    lines.append("contestants:")
    for contestant in asked.contestants:
        lines.append(f"  {contestant.name:10} {contestant.missing() or contestant.version()}")
    return "\n".join(lines)


def _terminated(number: int, frame: FrameType | None) -> None:
    """Leave in such a way that all children are ended, also where the shell has us ignore Ctrl-C."""
    raise KeyboardInterrupt


def _measured(asked: Plan, present: tuple[Contestant, ...]) -> tuple[list[Sample], bool]:
    """
    Measure, and show the progress.

    @return: the samples, and whether the run was interrupted.
    """
    total = asked.rounds * sum(takesPart(contestant, row) for contestant in present for row in asked.rows)
    digits = {metric.key: metric.digits for row in asked.rows for metric in row.metrics}
    progress, taken = Progress(sys.stdout, total), list[Sample]()

    def began(number: int, row: Row, contestant: Contestant) -> None:
        progress.began(number, row, contestant)

    with closing(samples(asked.rows, present, asked.rounds, asked.pace, began)) as running:
        try:
            for sample in running:
                taken.append(sample)
                progress.sampled(sample, digits[sample.metric])
        except KeyboardInterrupt:
            return taken, True
        finally:
            progress.end()
    return taken, False


def main() -> int:
    """
    Do what the command line asks for.

    @return: the exit status: 0, or 1 if a measurement failed, or 130 if the run was interrupted.
    """
    asked = plan()
    if asked.listing:
        print(_listing(asked))
        return 0
    for contestant in asked.contestants:
        if reason := contestant.missing():
            print(f"without {contestant.name}: {reason}")
    present = tuple(contestant for contestant in asked.contestants if not contestant.missing())
    if (busy := os.getloadavg()[0]) > _BUSY:
        print(f"this machine is busy (load {busy:.1f}): compare ratios with care, and figures not at all")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminated)
    when, machine, versions = (
        f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}",
        facts.machine(),
        facts.versions(present),
    )
    taken, interrupted = _measured(asked, present)
    if not taken:
        return 130 if interrupted else 1
    record = Record(when, asked, present, machine, versions, Result(taken))
    print(f"\n{tables(record)}\n")
    for path in write(record):
        print(f"wrote {path}")
    if interrupted:
        return 130
    return 1 if any(sample.value is None for sample in taken) else 0


if __name__ == "__main__":
    sys.exit(main())
