# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is left of a run: the tables on the terminal, a JSON file and a chart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.chart import chart
from bench.contestants import FORWARD, Contestant
from bench.options import Plan
from bench.report import Result, goals, medians, ratios
from bench.rows import OURS, SING_BOX, Metric

_NOTE = (
    "* no SOCKS listener: it forwards a port to the target, so its clients are spared the SOCKS5 handshake."
)


@dataclass(frozen=True, slots=True)
class Record:
    """
    A run that has ended, or was interrupted.
    """

    when: str
    """When it began, in UTC."""

    plan: Plan
    """What was asked for."""

    present: tuple[Contestant, ...]
    """Who could be measured."""

    machine: Mapping[str, object]
    """Where."""

    versions: Mapping[str, str]
    """Each contestant's version by its name."""

    result: Result
    """What was measured."""

    @property
    def metrics(self) -> list[Metric]:
        """The lines of the tables: what was sampled at least once."""
        sampled = {sample.metric for sample in self.result.samples}
        return [metric for row in self.plan.rows for metric in row.metrics if metric.key in sampled]

    @property
    def columns(self) -> dict[str, str]:
        """Each contestant's heading by its name."""
        return {c.name: c.name + ("*" if c.speaks == FORWARD else "") for c in self.present}


def tables(record: Record) -> str:
    """
    @param record: a run.
    @return: what to print.
    """
    result, metrics, columns = record.result, record.metrics, record.columns
    parts = [medians(result, metrics, columns)]
    if SING_BOX in columns and len(columns) > 1:
        parts.append(ratios(result, metrics, columns))
    if not columns.keys().isdisjoint(OURS):
        parts.append(goals(result, metrics))
    if any(contestant.speaks == FORWARD for contestant in record.present):
        parts.append([_NOTE])
    parts.append([f"{name}: {version}" for name, version in record.versions.items()])
    parts.append(_errors(result))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _errors(result: Result) -> list[str]:
    """
    @return: why samples failed, once for all metrics of a row.
    """
    errors: dict[tuple[int, str, str], list[str]] = {}
    for sample in result.samples:
        if sample.value is None:
            errors.setdefault((sample.round, sample.contestant, sample.error), []).append(sample.metric)
    return [
        f"failed in round {number}: {contestant}, {', '.join(metrics)}: {error}"
        for (number, contestant, error), metrics in errors.items()
    ]


def document(record: Record) -> dict[str, object]:
    """
    @param record: a run.
    @return: all of it, as JSON has it.
    """
    result, names = record.result, list(record.columns)
    pace = record.plan.pace
    return {
        "when": record.when,
        "machine": record.machine,
        "versions": record.versions,
        "rounds": record.plan.rounds,
        "pace": asdict(pace),
        "metrics": [
            {**asdict(metric), "results": _figures(result, metric, names)} for metric in record.metrics
        ],
        "samples": [asdict(sample) for sample in result.samples],
    }


def _figures(result: Result, metric: Metric, names: Sequence[str]) -> dict[str, object]:
    """
    @return: the median, failures and ratios of each contestant.
    """
    figures: dict[str, object] = {}
    for name in names:
        beside = {peer: result.ratio(metric.key, name, peer) for peer in names if peer != name}
        figures[name] = {
            "median": result.median(metric.key, name),
            "failed": result.failures(metric.key, name),
            "ratios": {peer: asdict(ratio) for peer, ratio in beside.items() if ratio},
        }
    return figures


def write(record: Record) -> list[Path]:
    """
    Leave the files.

    @param record: a run.
    @return: their paths.
    @raise OSError: if they cannot be written.
    """
    out = record.plan.out
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{record.when}.json"]
    paths[0].write_text(json.dumps(document(record), indent=1) + "\n")
    if SING_BOX in record.columns:
        kernel, cores = record.machine["kernel"], record.machine["cores"]
        who = ", ".join(f"{name} {version}" for name, version in record.versions.items() if version != "-")
        caption = f"{record.when}, {cores} cores, Linux {kernel}: {who}"
        paths.append(out / f"{record.when}.svg")
        paths[1].write_text(chart(record.result, record.metrics, record.columns, caption))
    return paths
