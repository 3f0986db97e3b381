# -*- test-case-name: ugate.test.test_config_jsontext -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
JSON (RFC 8259) as a tree of what is written.

The parsers of YAML cannot do this: they refuse tabs, and characters written as a pair of surrogates.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from json import JSONDecodeError, JSONDecoder
from typing import Final

from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.tree import Place, Scalar, Series, Source, Table, Unread, Written
from ugate.tenancy.config.yamltext import MAX_DEPTH, MAX_VALUES, TooMuch, distinct

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_LITERAL: Final = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![\w.])|(?:true|false|null)\b"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HINTS: Final = {
    "'": "a string stands in double quotes",
    "/": "JSON has no comments",
    "#": "JSON has no comments",
    "}": "a comma before it, or a value missing",
    "]": "a comma before it, or a value missing",
}


def readJSON(source: Source) -> tuple[Written | None, list[Mistake]]:
    """
    Read JSON up to its first mistake of syntax.

    @return: what is written, L{None} if nothing is, L{Unread} if it is no JSON; and the mistakes.
    @since: ugate NEXT
    """
    reader = _Reader(source)
    try:
        return reader.document(), reader.mistakes
    except TooMuch as fault:
        return Unread(Place(source)), [*reader.mistakes, fault.mistake]


class _Reader:
    """
    A place in the text, which moves on.
    """

    def __init__(self, source: Source) -> None:
        self.mistakes: list[Mistake] = []
        self._source = source
        self._text = "\n".join(source.lines)
        self._starts = list(accumulate((len(line) + 1 for line in source.lines), initial=0))
        self._decoder = JSONDecoder()
        self._at = 0
        self._values = 0

    def document(self) -> Written | None:
        """
        Read the one value that the text is.
        """
        if not self._text.strip():
            return None
        value = self._value(0)
        if self._next():
            raise self._fault("there is more after the end; wanted one value")
        return value

    def _place(self, at: int, width: int = 1) -> Place:
        line = min(bisect_right(self._starts, at), len(self._source.lines))
        return Place(self._source, line, at - self._starts[line - 1] + 1, width)

    def _fault(self, message: str, at: int | None = None) -> TooMuch:
        return TooMuch(Mistake(self._place(self._at if at is None else at), f"this is not JSON: {message}"))

    def _next(self) -> str:
        """
        Pass white space.

        @return: the character after it, or nothing at the end.
        """
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _wanted(self, wanted: str) -> TooMuch:
        found = self._text[self._at : self._at + 1]
        hint = f" ({_HINTS[found]})" if found in _HINTS else ""
        return self._fault(f"{repr(found) if found else 'the end'}{hint}; wanted {wanted}")

    def _value(self, depth: int) -> Written:
        character = self._next()
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._fault(f"more than {MAX_VALUES} values; wanted several files")
        if character in ("{", "["):
            if depth == MAX_DEPTH:
                raise self._fault(f"more than {MAX_DEPTH} objects and arrays in each other")
            return self._table(depth + 1) if character == "{" else self._series(depth + 1)
        if character == '"':
            return self._string()
        match = _LITERAL.match(self._text, self._at)
        if match is None:
            raise self._wanted("a value")
        place = self._place(self._at, len(match[0]))
        self._at = match.end()
        return Scalar(place, match[0])

    def _string(self) -> Scalar:
        at = self._at
        try:
            text, end = self._decoder.raw_decode(self._text, at)
        except JSONDecodeError as error:
            raise self._fault(f"{error.msg}; wanted a string in double quotes", error.pos) from error
        if _SURROGATE.search(text):
            raise self._fault("half of a surrogate pair; wanted both as in \\ud83d\\ude00")
        self._at = end
        return Scalar(self._place(at, end - at), text, True)

    def _series(self, depth: int) -> Series:
        place = self._place(self._at)
        items: list[Written] = []
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return Series(place)
        while True:
            items.append(self._value(depth))
            if not self._goesOn("]"):
                return Series(place, tuple(items))

    def _table(self, depth: int) -> Table:
        place = self._place(self._at)
        pairs: list[tuple[Written, Written]] = []
        self._at += 1
        if self._next() == "}":
            self._at += 1
            return Table(place)
        while True:
            if self._next() != '"':
                raise self._wanted("a key in double quotes")
            key = self._string()
            if self._next() != ":":
                raise self._wanted("':' after the key")
            self._at += 1
            pairs.append((key, self._value(depth)))
            if not self._goesOn("}"):
                return Table(place, distinct(pairs, self.mistakes))

    def _goesOn(self, end: str) -> bool:
        """
        Pass a comma, or the end of what is being read.
        """
        character = self._next()
        if character not in (",", end) or not character:
            raise self._wanted(f"',' or {end!r}")
        self._at += 1
        return character == ","
