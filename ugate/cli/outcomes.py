# -*- test-case-name: ugate.test.test_cli,ugate.test.test_cli_options -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a command of C{ucli} can come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ugate.errors import UgateError

GOOD: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
FORBIDDEN: Final = 4

EXITS: Final[Mapping[int, str]] = {
    GOOD: "it went well",
    REFUSED: "refused, or there are mistakes",
    USAGE: "the command line is wrong",
    UNREACHABLE: "the node cannot be reached",
    FORBIDDEN: "not allowed",
}
"""What the exit statuses mean."""


class Wrong(UgateError):
    """
    A command line that cannot be: the message says what is wrong with it.

    @since: ugate NEXT
    """


class Unreachable(UgateError):
    """
    There is no node there: look whether it runs, and at C{--url}.

    @since: ugate NEXT
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a node said.
    """

    status: int
    """The HTTP status."""

    value: Any
    """The body, read."""

    tag: str = ""
    """The ETag, or empty."""

    @property
    def isGood(self) -> bool:
        """Whether it went well."""
        return 200 <= self.status < 300
