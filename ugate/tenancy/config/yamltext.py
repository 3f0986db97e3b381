# -*- test-case-name: ugate.test.test_config_yamltext -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
YAML as a tree of what is written, made from the parser's events.

Events and not nodes, because nodes are made by recursion and expand aliases: here the depth and the number
of values are known before anything is built on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.tree import Place, Scalar, Series, Source, Table, Unread, Written

MAX_DEPTH: Final = 64
"""How deep tables and series may stand in each other."""

MAX_VALUES: Final = 250_000
"""How many values one text may have, tables and series among them."""

_TOO_DEEP: Final = f"more than {MAX_DEPTH} mappings and lists in each other"
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooMuch(Exception):
    """
    A limit is reached: reading ends here.

    @ivar mistake: which one, and where.
    """

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


@dataclass(slots=True)
class _Open:
    """
    A table or a series whose end has not come yet.
    """

    place: Place
    isTable: bool
    isFlow: bool
    items: list[Written] = field(default_factory=list)


class YAMLTree:
    """
    Some lines of a source, read as one YAML document.

    @ivar root: what is written, or L{None} if there is nothing.
    @ivar mistakes: what is wrong although it is YAML.
    @ivar fault: why it is not YAML, or L{None}; then C{root} is L{Unread}.
    @ivar isTooMuch: whether the fault is that a limit is reached.
    @since: ugate NEXT
    """

    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        """
        @param numbers: the lines to read, from 1.
        """
        self.root: Written | None = None
        self.mistakes: list[Mistake] = []
        self.fault: Mistake | None = None
        self.isTooMuch = False
        self._source = source
        self._numbers = numbers
        self._open: list[_Open] = []
        self._values = 0
        text = "\n".join(source.lines[number - 1] for number in numbers)
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            self.isTooMuch = "nesting depth" in str(error.problem)
            self.fault = self._explained(error)
        except yaml.YAMLError as error:
            self.fault = Mistake(self._placeAt(0, 0), f"this is not YAML: {error}")
        except TooMuch as stop:
            self.fault = stop.mistake
            self.isTooMuch = True
        if self.fault is not None:
            self.root = Unread(self._placeAt(0, 0))

    def _placeAt(self, line: int, column: int, width: int = 1) -> Place:
        if line < len(self._numbers):
            return Place(self._source, self._numbers[line], column + 1, width)
        last = self._numbers[-1] if self._numbers else 1
        return Place(self._source, last, len(self._source.lines[last - 1]) + 1)

    def _place(self, event: Any) -> Place:
        start, end = event.start_mark, event.end_mark
        width = end.column - start.column if end.line == start.line else 1
        return self._placeAt(start.line, start.column, width)

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._tagged(event)
            text = event.value.rstrip("\n") if event.style in ("|", ">") else event.value
            self._add(Scalar(self._place(event), text, bool(event.style)))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._tagged(event)
            place = self._place(event)
            if len(self._open) == MAX_DEPTH:
                raise TooMuch(Mistake(place, _TOO_DEEP))
            self._open.append(_Open(place, isinstance(event, yaml.MappingStartEvent), bool(event.flow_style)))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self._open.pop()
            if closed.isTable:
                pairs = zip(closed.items[::2], closed.items[1::2], strict=True)
                self._add(Table(closed.place, distinct(pairs, self.mistakes)))
            else:
                self._add(Series(closed.place, tuple(closed.items)))
        elif isinstance(event, yaml.AliasEvent):
            place = self._place(event)
            self.mistakes.append(
                Mistake(place, f"*{event.anchor} stands for another value here; write it out, or in quotes")
            )
            self._add(Unread(place))
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise TooMuch(Mistake(self._place(event), "a second document begins; wanted one in a file"))

    def _tagged(self, event: Any) -> None:
        if event.tag is not None:
            self.mistakes.append(
                Mistake(self._place(event), f"the tag {event.tag!r} means nothing here; wanted a value alone")
            )

    def _add(self, written: Written) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise TooMuch(Mistake(written.place, f"more than {MAX_VALUES} values; wanted several files"))
        if self._open:
            self._open[-1].items.append(written)
        else:
            self.root = written

    def _isEnd(self, place: Place) -> bool:
        """
        Whether nothing comes at a place or after it.
        """
        rest = [self._source.lines[number - 1] for number in self._numbers if number > place.line]
        return not any(
            [self._source.lines[place.line - 1][place.column - 1 :].strip(), *map(str.strip, rest)]
        )

    def _explained(self, error: yaml.MarkedYAMLError) -> Mistake:
        """
        What the parser found, in words that say what to change.
        """
        problem = error.problem or "it cannot be read"
        mark = error.problem_mark or error.context_mark
        if error.context_mark is not None and "end of stream" in problem:
            mark = error.context_mark
        place = self._placeAt(mark.line, mark.column) if mark is not None else self._placeAt(0, 0)
        if self.isTooMuch:
            return Mistake(place, _TOO_DEEP)
        flows = [opened.place for opened in self._open if opened.isFlow]
        if flows and self._isEnd(place):
            return Mistake(flows[-1], "a [ or { without its end; wanted ] or } after what is in it")
        line = self._source.lines[place.line - 1]
        character = line[place.column - 1 : place.column]
        margin = line[: len(line) - len(line.lstrip())]
        if "\t" in margin:
            place = Place(self._source, place.line, margin.index("\t") + 1)
            return Mistake(place, "a tab in the indentation; wanted spaces")
        if "alias" in (error.context or ""):
            place = Place(self._source, place.line, max(1, line.rfind("*", 0, place.column) + 1))
            return Mistake(place, "a value cannot begin with * without quotes; wanted it as in '*.corp'")
        if "cannot start any token" in problem:
            return Mistake(place, f"a value cannot begin with {character!r}; wanted it in quotes")
        if "mapping values are not allowed" in problem:
            hint = "wanted a value in quotes if ': ' is in it, and keys of one mapping indented alike"
            return Mistake(place, f"a ':' where no key can be; {hint}")
        return Mistake(place, f"this is not YAML: {error.context or 'here'}: {problem}")


def distinct(
    pairs: Iterable[tuple[Written, Written]], mistakes: list[Mistake]
) -> tuple[tuple[Scalar, Written], ...]:
    """
    The entries of a table; those whose key is there already, or is no text, are mistakes and left out.
    """
    entries: dict[str, tuple[Scalar, Written]] = {}
    for key, value in pairs:
        if not isinstance(key, Scalar):
            if not isinstance(key, Unread):
                mistakes.append(Mistake(key.place, "a key that is not a text; wanted KEY: VALUE"))
        elif key.text in entries:
            first = entries[key.text][0].place
            mistakes.append(
                Mistake(key.place, f"the key {key.text!r} is on line {first.line} too; wanted each key once")
            )
        else:
            entries[key.text] = (key, value)
    return tuple(entries.values())
