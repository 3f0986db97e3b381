# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From samples to medians, ratios, verdicts and tables.  Nothing here touches the system.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.rounds import Sample
from bench.rows import HAPROXY, SING_BOX, US, Goal, Metric

SHOWN = 2
"""Digits of a ratio: what is printed is what is judged."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """
    One contestant beside another.
    """

    median: float
    """The median of the ratios in each round that has both: what changes from round to round cancels."""

    lowest: float
    """The lowest of any round."""

    highest: float
    """The highest of any round."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Whether ugate reached one goal.
    """

    goal: Goal
    """The goal."""

    reached: float | None
    """What it reached; C{None} if it or the peer was not measured."""

    met: bool
    """Whether that is enough."""

    lessIsBetter: bool
    """Whether the goal is a most, not a least."""


class Result:
    """
    All samples of a run, looked at in different ways.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        """
        @param samples: in any order.
        """
        self.samples = list(samples)
        self._values: dict[tuple[str, str], dict[int, float]] = {}
        self._failed: dict[tuple[str, str], int] = {}
        for sample in self.samples:
            key = (sample.metric, sample.contestant)
            if sample.value is None:
                self._failed[key] = self._failed.get(key, 0) + 1
            else:
                self._values.setdefault(key, {})[sample.round] = sample.value

    def median(self, metric: str, contestant: str) -> float | None:
        """
        @param metric: a metric's key.
        @param contestant: whose.
        @return: the median, or C{None} if there is no figure.
        """
        values = self._values.get((metric, contestant))
        return statistics.median(values.values()) if values else None

    def failures(self, metric: str, contestant: str) -> int:
        """
        @param metric: a metric's key.
        @param contestant: whose.
        @return: how many samples failed.
        """
        return self._failed.get((metric, contestant), 0)

    def ratio(self, metric: str, contestant: str, peer: str) -> Ratio | None:
        """
        @param metric: a metric's key.
        @param contestant: who.
        @param peer: beside whom.
        @return: the ratio, or C{None} if no round has both.
        """
        ours = self._values.get((metric, contestant), {})
        theirs = self._values.get((metric, peer), {})
        ratios = [value / theirs[number] for number, value in ours.items() if theirs.get(number)]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def verdicts(self, metric: Metric) -> list[Verdict]:
        """
        @param metric: a metric.
        @return: one for each of its goals.
        """
        verdicts = []
        for goal in metric.goals:
            ratio = self.ratio(metric.key, goal.who, goal.peer)
            value = self.median(metric.key, goal.who) if not goal.peer else ratio.median if ratio else None
            reached = None if value is None else round(value, SHOWN)
            enough = reached is not None and (
                reached <= goal.factor if metric.lessIsBetter else reached >= goal.factor
            )
            verdicts.append(Verdict(goal, reached, enough, metric.lessIsBetter))
        return verdicts


def spaced(lines: Sequence[Sequence[str]]) -> list[str]:
    """
    Line up the columns of a table: the first to the left, the others to the right.

    @param lines: the cells.
    @return: the lines.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    spread = []
    for first, *others in lines:
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        spread.append("  ".join(cells).rstrip())
    return spread


def _cell(result: Result, metric: Metric, contestant: str) -> str:
    """
    @return: a median, with a mark for each sample that failed.
    """
    median, failed = result.median(metric.key, contestant), result.failures(metric.key, contestant)
    if median is None:
        return "failed" if failed else "-"
    return f"{median:.{metric.digits}f}" + "!" * failed


def medians(result: Result, metrics: Sequence[Metric], columns: Mapping[str, str]) -> list[str]:
    """
    The table of what was measured.

    @param result: the samples.
    @param metrics: the lines.
    @param columns: each contestant's heading by its name.
    @return: the lines of the table.
    """
    table = [["median", "", *columns.values()]]
    for metric in metrics:
        table.append([metric.title, metric.unit, *(_cell(result, metric, name) for name in columns)])
    return spaced(table)


def ratios(result: Result, metrics: Sequence[Metric], columns: Mapping[str, str]) -> list[str]:
    """
    The table of every contestant beside sing-box.

    @param result: the samples.
    @param metrics: the lines.
    @param columns: each contestant's heading by its name.
    @return: the lines of the table.
    """
    table = [["beside sing-box", *columns.values()]]
    for metric in metrics:
        found = [result.ratio(metric.key, name, SING_BOX) for name in columns]
        table.append(
            [
                metric.title + (" (less is better)" if metric.lessIsBetter else ""),
                *(f"{r.median:.2f}" if r else "-" for r in found),
            ]
        )
    return spaced(table)


def _goal(verdict: Verdict) -> str:
    """
    @return: a goal in words.
    """
    bound = "at most" if verdict.lessIsBetter else "at least"
    return f"{bound} {verdict.goal.factor:g}" + (f" x {verdict.goal.peer}" if verdict.goal.peer else "")


def _range(result: Result, metric: Metric, peer: str) -> str:
    """
    @return: a ratio with its extremes.
    """
    ratio = result.ratio(metric.key, US, peer)
    return f"{ratio.median:.2f} ({ratio.lowest:.2f}-{ratio.highest:.2f})" if ratio else "-"


def goals(result: Result, metrics: Sequence[Metric]) -> list[str]:
    """
    The table of ugate beside its peers, and of what it must reach.

    @param result: the samples.
    @param metrics: the lines.
    @return: the lines of the table.
    """
    table = [["ugate", "x sing-box", "x haproxy", "goal", "reached", ""]]
    for metric in metrics:
        beside = [metric.title, _range(result, metric, SING_BOX), _range(result, metric, HAPROXY)]
        for verdict in result.verdicts(metric):
            reached = "-" if verdict.reached is None else f"{verdict.reached:.{SHOWN}f}"
            word = "-" if verdict.reached is None else "met" if verdict.met else "MISSED"
            table.append([*beside, _goal(verdict), reached, word])
            beside = ["", "", ""]
        if not metric.goals:
            table.append([*beside, "-", "-", "-"])
    return spaced(table)
