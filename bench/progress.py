# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The line that moves while the bench runs.
"""

from __future__ import annotations

import time
from typing import TextIO

from bench.contestants import Contestant
from bench.rounds import Sample
from bench.rows import Row


class Progress:
    """
    On a terminal one line that is written over; else one line for each row of each round.
    """

    def __init__(self, out: TextIO, total: int) -> None:
        """
        @param out: where to write.
        @param total: how many measurements there will be.
        """
        self._out = out
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._terminal = out.isatty()
        self._seen: list[str] = []
        self._row: tuple[int, str] = (0, "")

    def began(self, round: int, row: Row, contestant: Contestant) -> None:
        """
        Say what is measured now.

        @param round: which round.
        @param row: which row.
        @param contestant: whom.
        """
        if (round, row.key) != self._row:
            self._close()
            self._row = (round, row.key)
        self._done += 1
        if self._terminal:
            self._write(f"{contestant.name} ...")

    def sampled(self, sample: Sample, digits: int) -> None:
        """
        Note a figure.

        @param sample: the sample.
        @param digits: digits after the point.
        """
        figure = "failed" if sample.value is None else f"{sample.value:.{digits}f}"
        name = f"{sample.contestant} "
        if self._seen and self._seen[-1].startswith(name):
            self._seen[-1] += f"/{figure}"
        else:
            self._seen.append(name + figure)
        if self._terminal:
            self._write("")

    def end(self) -> None:
        """
        Finish the line.
        """
        self._close()

    def _write(self, more: str) -> None:
        """Write the line anew, without going to the next."""
        self._out.write("\r\x1b[2K" + self._text(more)[:150])
        self._out.flush()

    def _text(self, more: str) -> str:
        """Put the line together."""
        spent = time.monotonic() - self._begun
        number, key = self._row
        figures = ", ".join([*self._seen, more] if more else self._seen)
        return f"[{self._done}/{self._total} {spent:.0f} s] round {number} {key}: {figures}"

    def _close(self) -> None:
        """End the line of the row that is over."""
        if self._seen:
            self._out.write(("\r\x1b[2K" if self._terminal else "") + self._text("") + "\n")
            self._out.flush()
        self._seen = []
