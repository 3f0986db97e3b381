# -*- test-case-name: ugate.test.test_config_environment -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections from environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from zope.interface import implementer

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.gather import Gathered, Parts
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import KINDS, ROOT, IDiagnosed, Kind, Section
from ugate.tenancy.config.tree import Place, Scalar, Series, Source, Table, Unread, Written

SEPARATOR: Final = "__"
"""What is between the keys in the name of a variable."""

_ENDS: Final = {"{": "}", "[": "]"}


@dataclass(slots=True)
class _Node:
    """
    What the variables with one beginning say.
    """

    place: Place | None = None
    written: Written | None = None
    below: dict[str, _Node] = field(default_factory=dict)


@implementer(IConfigStore, IDiagnosed)
class EnvironmentStore:
    """
    The sections that the variables C{PREFIX__KEY__KEY...} are.

    The keys are those that lead to a value in a file: C{UGATE__tenants__alice__limits__up=10M}.  A variable
    all in capitals is read as if in small letters.  Items of a list are numbers, in their order.  A value
    that begins with C{{} or C{[}, and ends so, is YAML for all that would be there.

    @since: ugate NEXT
    """

    def __init__(
        self,
        prefix: str = "UGATE",
        environment: Mapping[str, str] | None = None,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        """
        @param prefix: what the names begin with, without the two underscores.
        @param environment: the variables; by default those of this process.
        @param kinds: the kinds that there are.
        """
        self._mistakes: list[Mistake] = []
        root = _Node()
        start = prefix + SEPARATOR
        variables = os.environ if environment is None else environment
        for variable in sorted(each for each in variables if each.startswith(start)):
            self._add(root, variable, variable[len(start) :], variables[variable])
        place = Place(Source(f"{start}...", numbered=False))
        parts = Parts(_tree(root, place), ROOT, kinds)
        self._mistakes += parts.mistakes
        self._tenants: dict[str, Gathered] = {}
        for tenant in parts.tenants:
            self._tenants[tenant] = gathered = Gathered(kinds)
            gathered.add(parts, tenant)
        self._nothing = Gathered(kinds)

    def _add(self, root: _Node, variable: str, rest: str, value: str) -> None:
        lines = value.split("\n")
        place = Place(Source(variable, lines, numbered=False), 1, 1, len(lines[0]))
        keys = (rest.lower() if rest.isupper() else rest).split(SEPARATOR)
        node = root
        for key in keys:
            if not key:
                self._mistakes.append(Mistake(place, "a key is empty; wanted PREFIX__KEY__KEY"))
                return
            if node.written is not None:
                self._twice(place, node)
                return
            node = node.below.setdefault(key, _Node())
            node.place = node.place or place
        if node.written is not None or node.below:
            self._twice(place, node)
            return
        node.place = place
        node.written = self._value(place, value)

    def _twice(self, place: Place, node: _Node) -> None:
        self._mistakes.append(Mistake(place, f"it is given by {node.place} too; wanted each value once"))

    def _value(self, place: Place, value: str) -> Written:
        text = value.strip()
        if not text or _ENDS.get(text[0]) != text[-1]:
            # Where a text is wanted it is one, also if it looks like a number.
            return Scalar(place, value)
        from ugate.tenancy.config.recovery import readYAML

        written, mistakes = readYAML(place.source)
        self._mistakes += mistakes
        return Unread(place) if mistakes or written is None else written

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind; those of routes are made up.
        """
        return list(self._tenants.get(tenant, self._nothing).sections.get(kind, ()))

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        return self._tenants.get(tenant, self._nothing).sections[kind][name]

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        The variables of a process stay what they were at its start.
        """
        return lambda: None

    def mistakes(self) -> list[Mistake]:
        """
        What is wrong with the variables, beside what is in the sections.
        """
        return [*self._mistakes, *(each for own in self._tenants.values() for each in own.mistakes)]

    def tenants(self) -> Mapping[str, Place]:
        """
        All tenants that have anything here are named here.
        """
        return {}

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether all names of a kind could be read.
        """
        return not self._mistakes and kind not in self._tenants.get(tenant, self._nothing).partial


def _tree(node: _Node, place: Place) -> Written:
    """
    What some variables say together.
    """
    if node.written is not None:
        return node.written
    place = node.place or place
    below: Iterable[tuple[str, _Node]] = node.below.items()
    if node.below and all(key.isascii() and key.isdigit() for key in node.below):
        ordered = sorted(below, key=lambda pair: int(pair[0]))
        return Series(place, tuple(_tree(each, place) for _, each in ordered))
    pairs = ((Scalar(each.place or place, key, True), _tree(each, place)) for key, each in below)
    return Table(place, tuple(pairs))
