# -*- test-case-name: ugate.test.test_config_files,ugate.test.test_config_tenants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections out of what is written in files: first each file by itself, then those of a tenant together.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from ugate.tenancy.config.check import Reading
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import (
    DELEGATED,
    MAX_DEPTH,
    ONLY,
    ROOT,
    Kind,
    Order,
    Section,
    childPath,
    depth,
    isTenantName,
)
from ugate.tenancy.config.tree import Place, Scalar, Series, Table, Unread, Written, found, isEmpty

_SHAPES: Final = {
    Order.NAMED: "a mapping of names",
    Order.LISTED: "a list, each item after '- '",
    Order.SINGLE: "a mapping",
}


class Parts:
    """
    What one file has for each tenant.

    @ivar tenant: whose file it is.
    @ivar sections: by the path of the tenant: kind, name and section of each, in the order in which they
        are written.
    @ivar partial: by the path: the kinds of which names may be missing because something is not readable.
    @ivar mistakes: what is wrong with the file beside what is in the sections.
    @since: ugate NEXT
    """

    __slots__ = ("_kinds", "mistakes", "partial", "sections", "tenant")

    def __init__(self, written: Written | None, tenant: str, kinds: Mapping[str, Kind]) -> None:
        """
        @param written: a table of kinds, or nothing.
        @param tenant: whose file it is.
        """
        self.sections: dict[str, list[tuple[str, str, Section]]] = {}
        self.partial: dict[str, set[str]] = {}
        self.mistakes: list[Mistake] = []
        self.tenant = tenant
        self._kinds = kinds
        if written is None or isEmpty(written):
            return
        if isinstance(written, Table):
            self._own(written, tenant, "")
            return
        self.partial[tenant] = set(kinds)
        if not isinstance(written, Unread):
            shape = f"wanted KIND: ... with {', '.join(kinds)}"
            self.mistakes.append(Mistake(written.place, f"the file is {found(written)}; {shape}"))

    @property
    def tenants(self) -> Set[str]:
        """
        The paths of the tenants who have anything here.
        """
        return self.sections.keys() | self.partial.keys() | {self.tenant}

    def failed(self, mistakes: list[Mistake]) -> Parts:
        """
        What the file had, now that it cannot be read.
        """
        parts = Parts(None, self.tenant, self._kinds)
        parts.sections, parts.partial = self.sections, self.partial
        parts.mistakes = mistakes
        return parts

    def _own(self, written: Table, tenant: str, where: str) -> Table:
        """
        Take the sections of a tenant.

        @param where: the keys that lead there, and a dot; empty at the top of a file.
        @return: what is its parent's word and not its own.
        """
        reading = Reading({})
        known = list(self._kinds)
        rest = written.entries
        if tenant != ROOT:
            known.remove("node")
            known = [*DELEGATED, *known] if where else known
            rest = tuple(entry for entry in rest if not self._isAbove(entry[0], tenant, where))
        given: list[tuple[Scalar, Written]] = []
        for key, item, name in reading.keys(Table(written.place, rest), known, where.removesuffix(".")):
            if where and name in DELEGATED:
                given.append((Scalar(key.place, name, key.quoted), item))
            elif name == "tenants" and isinstance(item, Table):
                self._named(tenant, name, self._split(item, tenant, f"{where}tenants."))
            else:
                self._take(tenant, name, item)
        self.mistakes += reading.mistakes
        return Table(written.place, tuple(given))

    def _isAbove(self, key: Scalar, tenant: str, where: str) -> bool:
        """
        Tell of a key that is not for a tenant to say.
        """
        if key.text == "node":
            message = f"{where}node holds for the whole process; wanted it at the top of a file of the root"
        elif key.text in DELEGATED and not where:
            own = tenant.rpartition("/")[2]
            message = (
                f"{key.text} is not for a tenant to say itself; wanted tenants.{own}.{key.text} of its parent"
            )
        else:
            return False
        self.mistakes.append(Mistake(key.place, message))
        return True

    def _split(self, written: Table, parent: str, where: str) -> Table:
        """
        Take what tenants have themselves.

        @return: what they have of their parent.
        """
        pairs = []
        for key, item in written.entries:
            if isEmpty(item):
                item = Table(item.place)
            if isinstance(item, Table):
                # If there is no such tenant, what it has is nobody's; that is told when its name is read.
                isGood = isTenantName(parent, key.text) and depth(parent) < MAX_DEPTH
                path = f"{where}{key.text}."
                item = self._own(item, childPath(parent, key.text), path) if isGood else Table(item.place)
            pairs.append((key, item))
        return Table(written.place, tuple(pairs))

    def _take(self, tenant: str, kind: str, written: Written) -> None:
        order = self._kinds[kind].order
        if isEmpty(written):
            return
        if isinstance(written, Series) and order is Order.LISTED:
            self._of(tenant).extend(
                (kind, _placeName(item.place, number), Section(item))
                for number, item in enumerate(written.items, 1)
            )
        elif isinstance(written, Table) and order is Order.NAMED:
            self._named(tenant, kind, written)
        elif isinstance(written, Table) and order is Order.SINGLE:
            self._of(tenant).append((kind, ONLY, Section(written)))
        else:
            self.partial.setdefault(tenant, set()).add(kind)
            if not isinstance(written, Unread):
                self.mistakes.append(
                    Mistake(written.place, f"{kind} is {found(written)}; wanted {_SHAPES[order]}")
                )

    def _named(self, tenant: str, kind: str, written: Table) -> None:
        short = self._kinds[kind].short
        pairs = written.entries
        self._of(tenant).extend((kind, key.text, Section(item, short, key.place)) for key, item in pairs)

    def _of(self, tenant: str) -> list[tuple[str, str, Section]]:
        return self.sections.setdefault(tenant, [])


class Gathered:
    """
    The sections of one tenant out of several files.

    @ivar sections: by kind and name, in the order in which they are written.
    @ivar mistakes: what is wrong with how the files go together.
    @ivar partial: the kinds of which names may be missing because something could not be read.
    @since: ugate NEXT
    """

    __slots__ = ("_kinds", "mistakes", "partial", "sections")

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.sections: dict[str, dict[str, Section]] = {}
        self.mistakes: list[Mistake] = []
        self.partial: set[str] = set()
        self._kinds = kinds

    def add(self, parts: Parts, tenant: str) -> None:
        """
        Take what one file has for this tenant.
        """
        self.partial |= parts.partial.get(tenant, set())
        for kind, name, section in parts.sections.get(tenant, ()):
            self._put(kind, name, section)

    def imply(self, name: str, section: Section) -> None:
        """
        There is a tenant of this one, whether or not something is written of it here.
        """
        self.sections.setdefault("tenants", {}).setdefault(name, section)

    def _put(self, kind: str, name: str, section: Section) -> None:
        sections = self.sections.setdefault(kind, {})
        before = sections.get(name)
        path = f"{kind}.{name}" if name else kind
        if before is None:
            sections[name] = section
        elif not self._kinds[kind].isMerged:
            self._twice(section.place, path, before.place)
        elif not isinstance(section.written, Table):
            # What is wrong with it is told when it is read.
            sections[name] = section
        else:
            places = {key.text: key.place for key, _ in _entries(before.written)}
            for key, _ in section.written.entries:
                if key.text in places:
                    self._twice(key.place, f"{path}.{key.text}", places[key.text])
            sections[name] = before.over(section)

    def _twice(self, place: Place, path: str, first: Place) -> None:
        self.mistakes.append(Mistake(place, f"{path} is at {first} too; wanted each name once"))


def _entries(written: Written) -> tuple[tuple[Scalar, Written], ...]:
    return written.entries if isinstance(written, Table) else ()


def _placeName(place: Place, number: int) -> str:
    return str(place) if place.source.numbered else f"{place} {number}"
