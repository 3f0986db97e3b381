# -*- test-case-name: ugate.test.test_config_tree -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is wrong in a configuration: every mistake, each with its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ugate.errors import UgateError
from ugate.tenancy.config.tree import Place

_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Mistake:
    """
    One thing that is wrong.

    @since: ugate NEXT
    """

    place: Place
    """Where."""

    message: str
    """What is wrong, in which key, and what is wanted there; one line."""

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.message.split())}"


class ConfigError(UgateError):
    """
    A configuration that cannot be used: correct each place that it names, then try again.

    Its text has a line C{FILE:LINE:COLUMN: what is wrong} for each mistake, and under it the line of
    the source with carets.

    @ivar mistakes: all of them, in the order of their sources and lines.
    @since: ugate NEXT
    """

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = inOrder(mistakes)
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        lines = []
        for mistake in self.mistakes[:_SHOWN]:
            lines += [str(mistake), *filter(None, [mistake.place.excerpt()])]
        more = len(self.mistakes) - _SHOWN
        if more > 0:
            lines.append(f"... and {more} more")
        return "\n".join(lines)


def inOrder(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """
    Sort mistakes by line and column, and keep the sources in the order in which they first come.
    """
    listed = list(mistakes)
    rank: dict[str, int] = {}
    for mistake in listed:
        rank.setdefault(mistake.place.source.name, len(rank))
    listed.sort(key=lambda m: (rank[m.place.source.name], m.place.line, m.place.column))
    return tuple(listed)


def oneOf(words: Iterable[str]) -> str:
    """
    Some words for a sentence: C{a, b or c}.
    """
    listed = list(words)
    return " or ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))
