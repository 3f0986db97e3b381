# -*- test-case-name: ugate.test.test_config_tree -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What was written, and where: a tree of scalars, tables and series, as every source of configuration gives it.

Nothing is converted here: a scalar is its text, and what that means is decided by whoever knows the type
that is wanted.  So C{22:22} and C{0777} stay what they are where a text is wanted, whatever YAML 1.1 says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_WINDOW: Final = 100
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})
_NULL: Final = frozenset({"", "~", "null"})
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})?(?:\.[0-9]{0,40})?(?:[eE][-+]?[0-9]{1,4})?")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """
    A text that configuration was read from.

    @since: ugate NEXT
    """

    name: str
    """A path, or an option of the command line with its value."""

    lines: Sequence[str] = ()
    """Its lines without their ends; none if it has no text to show."""

    numbered: bool = True
    """Whether a person looks for a line and a column in it."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where in a source something is written.

    @since: ugate NEXT
    """

    source: Source
    """The text it is in."""

    line: int = 1
    """The line, from 1."""

    column: int = 1
    """The column in characters, from 1."""

    width: int = 1
    """How many characters of the line it takes."""

    def __str__(self) -> str:
        if not self.source.numbered:
            return self.source.name
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """
        The line, and a second one with carets under what is meant.

        @return: two lines, cut to some 100 characters; empty if the source has no such line.
        """
        if not 0 < self.line <= len(self.source.lines):
            return ""
        line = self.source.lines[self.line - 1]
        at = min(self.column - 1, len(line))
        start = max(0, at - _WINDOW // 2) if len(line) > _WINDOW else 0
        shown = "".join(c if c.isprintable() or c == "\t" else "?" for c in line[start : start + _WINDOW])
        # A tab stays a tab, so that the carets stand where the terminal puts the text.
        margin = "".join("\t" if c == "\t" else " " for c in shown[: at - start])
        carets = "^" * max(1, min(self.width, len(shown) - (at - start)))
        return f"  {shown}\n  {margin}{carets}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """
    One text.
    """

    place: Place
    """Where it is written."""

    text: str
    """As it is written, without its quotes."""

    quoted: bool = False
    """Whether it can be nothing but a text."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    Keys and what they stand for.
    """

    place: Place
    """Where it begins."""

    entries: tuple[tuple[Scalar, Written], ...] = ()
    """In the order in which they are written; no key twice."""

    def get(self, key: str) -> Written | None:
        """
        What a key stands for, or L{None}.
        """
        for name, value in self.entries:
            if name.text == key:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Series:
    """
    One thing after the other.
    """

    place: Place
    """Where it begins."""

    items: tuple[Written, ...] = ()
    """In order."""


@dataclass(frozen=True, slots=True)
class Unread:
    """
    Something that could not be read; the mistake is already told.
    """

    place: Place
    """Where it begins."""


Written: TypeAlias = Scalar | Table | Series | Unread
"""Whatever may be written at a place."""


def isEmpty(written: Written) -> bool:
    """
    Whether nothing is written there: C{key:} with no value, C{~} or C{null}.
    """
    return isinstance(written, Scalar) and not written.quoted and written.text.lower() in _NULL


def plainValue(written: Written) -> object:
    """
    What it is without a schema: a number if it can only be one, C{true} and C{false} (also as C{yes},
    C{no}, C{on}, C{off}), nothing, or text.  There are no octal or sexagesimal numbers and no dates.
    """
    if isinstance(written, Table):
        return {key.text: plainValue(value) for key, value in written.entries}
    if isinstance(written, Series):
        return [plainValue(item) for item in written.items]
    if isinstance(written, Unread) or isEmpty(written):
        return None
    text = written.text
    word = text.lower()
    if written.quoted:
        return text
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and any(c.isdigit() for c in text.lower().partition("e")[0]):
        return float(text)
    return text


def writtenValue(value: object, place: Place) -> Written:
    """
    The tree of a value that some store holds as an object.

    @param place: what all of it is said to be at.
    """
    if isinstance(value, Mapping):
        pairs = ((Scalar(place, str(key), True), writtenValue(item, place)) for key, item in value.items())
        return Table(place, tuple(pairs))
    if isinstance(value, (list, tuple)):
        return Series(place, tuple(writtenValue(item, place) for item in value))
    if value is None:
        return Scalar(place, "null")
    if isinstance(value, bool):
        return Scalar(place, "true" if value else "false")
    return Scalar(place, str(value), isinstance(value, str))


def found(written: Written) -> str:
    """
    What is written there, in a few words for a person.
    """
    if isinstance(written, Table):
        return "a mapping"
    if isinstance(written, Series):
        return "a list"
    if isinstance(written, Unread) or isEmpty(written):
        return "empty"
    text = written.text if len(written.text) <= _WINDOW // 2 else written.text[: _WINDOW // 2] + "..."
    if written.quoted:
        return f"the text {text!r}"
    return repr(text) if isinstance(plainValue(written), str) else text
