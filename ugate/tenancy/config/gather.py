# -*- test-case-name: ugate.test.test_config_files -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections out of what is written in files.
"""

from __future__ import annotations

from collections.abc import Mapping

from ugate.tenancy.config.check import Reading
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import ONLY, Kind, Order, Section
from ugate.tenancy.config.tree import Place, Scalar, Series, Table, Unread, Written, found, isEmpty

_SHAPES = {
    Order.NAMED: "a mapping of names",
    Order.LISTED: "a list, each item after '- '",
    Order.SINGLE: "a mapping",
}


class Gathered:
    """
    The sections of some files together.

    @ivar sections: by kind and name, in the order in which they are written.
    @ivar mistakes: what is wrong with the files beside what is in the sections.
    @ivar partial: the kinds of which names may be missing because something could not be read.
    @since: ugate NEXT
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.sections: dict[str, dict[str, Section]] = {kind: {} for kind in kinds}
        self.mistakes: list[Mistake] = []
        self.partial: set[str] = set()
        self._kinds = kinds

    def add(self, written: Written | None) -> None:
        """
        Take what one file has.

        @param written: a table of kinds, or nothing.
        """
        if written is None or isEmpty(written):
            return
        if not isinstance(written, Table):
            self.partial.update(self._kinds)
            if not isinstance(written, Unread):
                shape = f"wanted KIND: ... with {', '.join(self._kinds)}"
                self.mistakes.append(Mistake(written.place, f"the file is {found(written)}; {shape}"))
            return
        reading = Reading({})
        for _, item, kind in reading.keys(written, self._kinds, ""):
            self._take(kind, item)
        self.mistakes += reading.mistakes

    def _take(self, kind: str, written: Written) -> None:
        order = self._kinds[kind].order
        if isEmpty(written):
            return
        if isinstance(written, Series) and order is Order.LISTED:
            for item in written.items:
                self.sections[kind][str(item.place)] = Section(item)
        elif isinstance(written, Table) and order is Order.NAMED:
            self._named(kind, written)
        elif isinstance(written, Table) and order is Order.SINGLE:
            self._single(kind, written)
        else:
            self.partial.add(kind)
            if not isinstance(written, Unread):
                self.mistakes.append(
                    Mistake(written.place, f"{kind} is {found(written)}; wanted {_SHAPES[order]}")
                )

    def _named(self, kind: str, written: Table) -> None:
        sections = self.sections[kind]
        for key, item in written.entries:
            if key.text in sections:
                self._twice(key, f"{kind}.{key.text}", sections[key.text].place)
            else:
                sections[key.text] = Section(item, self._kinds[kind].short, key.place)

    def _single(self, kind: str, written: Table) -> None:
        before = self.sections[kind].get(ONLY)
        if before is None:
            self.sections[kind][ONLY] = Section(written)
            return
        assert isinstance(before.written, Table)
        places = {key.text: key.place for key, _ in before.written.entries}
        for key, _ in written.entries:
            if key.text in places:
                self._twice(key, f"{kind}.{key.text}", places[key.text])
        self.sections[kind][ONLY] = before.over(Section(written))

    def _twice(self, key: Scalar, path: str, first: Place) -> None:
        self.mistakes.append(Mistake(key.place, f"{path} is at {first} too; wanted each name once"))
