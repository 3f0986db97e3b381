# -*- test-case-name: bench.test_soak -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a soak yields: figures, each beside what must be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One figure.
    """

    title: str
    """What it says."""

    value: float
    """The figure."""

    unit: str
    """What it counts."""

    most: float | None = None
    """What it may be at most."""

    least: float | None = None
    """What it must be at least."""

    @property
    def reached(self) -> bool:
        """
        Whether it is as it must be.
        """
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    @property
    def goal(self) -> str:
        """
        What must be reached, in words.
        """
        parts = []
        if self.least is not None:
            parts.append(f"at least {self.least:g}")
        if self.most is not None:
            parts.append(f"at most {self.most:g}")
        return ", ".join(parts)


def table(figures: Sequence[Figure]) -> str:
    """
    All of them, for people.
    """
    rows = [("", "figure", "", "goal", "")]
    for each in figures:
        verdict = "" if not each.goal else "met" if each.reached else "MISSED"
        rows.append((each.title, f"{each.value:.6g}", each.unit, each.goal, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
