# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The rounds: every contestant does each row in turn, so that whatever else the machine does falls on all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.apart import apart
from bench.child import SampleFailed
from bench.contestants import NONE, Contestant
from bench.measure import FRESH, Pace, Reading, measure
from bench.meter import Meter
from bench.rows import Row
from bench.stand import Stand, standing


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One figure, or the reason why there is none.
    """

    round: int
    """Which round, from 1."""

    metric: str
    """The key of the L{bench.rows.Metric}."""

    contestant: str
    """Whose."""

    value: float | None
    """The figure; C{None} if the measurement failed."""

    error: str = ""
    """Why it failed."""

    extra: dict[str, float] = field(default_factory=dict)
    """What else was seen, as in L{Reading}."""


Began = Callable[[int, Row, Contestant], None]
"""Told before each measurement: the round, the row and the contestant."""


def takesPart(contestant: Contestant, row: Row) -> bool:
    """
    @param contestant: who.
    @param row: in what.
    @return: whether that makes sense.
    """
    if contestant.speaks == NONE and row.work in FRESH:
        return False
    if row.work == "datagrams" and not contestant.datagrams:
        return False
    if row.front not in contestant.fronts if row.front else contestant.alone:
        return False
    return contestant.leastHops <= row.hops <= contestant.hops


def rotated(contestants: Sequence[Contestant], round: int) -> list[Contestant]:
    """
    Change the order from round to round: to be measured first or last may matter.

    @param contestants: in the order of the table.
    @param round: which round, from 1.
    @return: in the order of this round.
    """
    turn = (round - 1) % len(contestants)
    return [*contestants[turn:], *contestants[:turn]]


class _Round:
    """
    The stands that are up in one round.  Each is started when first needed, and used for all rows that do
    not ask for a fresh one.
    """

    def __init__(self, directory: Path, meter: Meter) -> None:
        self._directory = directory
        self._meter = meter
        self._up: dict[tuple[str, int, str], tuple[ExitStack, Stand]] = {}

    def read(self, contestant: Contestant, row: Row, pace: Pace) -> Reading:
        """
        Measure one row on one contestant.

        @param contestant: who.
        @param row: what.
        @param pace: how long.
        @return: what it yielded.
        @raise SampleFailed: if it came to nothing; what was up is then ended, as it may be broken.
        """
        if contestant.apart:
            try:
                return apart(lambda: self._fresh(contestant, row, pace))
            except OSError as e:
                raise SampleFailed(f"no network namespace: {e}") from e
        if row.work in FRESH:
            return self._fresh(contestant, row, pace)
        key = (contestant.name, row.hops, row.front)
        if key not in self._up:
            stack = ExitStack()
            self._up[key] = (stack, stack.enter_context(self._standing(contestant, row)))
        try:
            return measure(row.work, self._up[key][1], pace)
        except SampleFailed:
            self._up.pop(key)[0].close()
            raise

    def _fresh(self, contestant: Contestant, row: Row, pace: Pace) -> Reading:
        """Measure with instances that have done nothing else."""
        with self._standing(contestant, row) as stand:
            return measure(row.work, stand, pace)

    @contextmanager
    def _standing(self, contestant: Contestant, row: Row) -> Iterator[Stand]:
        """Start a contestant in a directory of its own."""
        place = Path(tempfile.mkdtemp(prefix=f"{contestant.name}-", dir=self._directory))
        with standing(contestant, row.hops, place, self._meter, row.front) as stand:
            yield stand

    def end(self) -> None:
        """
        End all that is up.
        """
        while self._up:
            self._up.popitem()[1][0].close()


def samples(
    rows: Sequence[Row],
    contestants: Sequence[Contestant],
    rounds: int,
    pace: Pace,
    began: Callable[[int, Row, Contestant], None],
) -> Generator[Sample]:
    """
    Measure everything.

    @param rows: what.
    @param contestants: whom.
    @param rounds: how often.
    @param pace: how long.
    @param began: told before each measurement.
    @return: a generator of samples; closing it ends all processes.
    """
    meter = Meter()
    with tempfile.TemporaryDirectory(prefix="ugate-bench-") as directory:
        for number in range(1, rounds + 1):
            this = _Round(Path(directory), meter)
            try:
                for row in rows:
                    for contestant in rotated(contestants, number):
                        if takesPart(contestant, row):
                            began(number, row, contestant)
                            yield from _sampled(this, number, row, contestant, pace)
            finally:
                this.end()


def _sampled(this: _Round, number: int, row: Row, contestant: Contestant, pace: Pace) -> list[Sample]:
    """
    @return: a sample for each metric of the row.
    """
    try:
        reading = this.read(contestant, row, pace)
    except SampleFailed as e:
        return [Sample(number, metric.key, contestant.name, None, str(e)) for metric in row.metrics]
    pairs = zip(row.metrics, reading.values, strict=True)
    return [
        Sample(number, metric.key, contestant.name, value, extra=reading.extra) for metric, value in pairs
    ]
