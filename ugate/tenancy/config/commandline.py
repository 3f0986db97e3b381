# -*- test-case-name: ugate.test.test_config_commandline -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sections from the command line, which is one more store.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from zope.interface import implementer

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import KINDS, ONLY, ROOT, IDiagnosed, Section, isName
from ugate.tenancy.config.tree import Place, Scalar, Source, Table

DEFAULT_LISTEN: Final = "main=auto:tcp:1080:interface=127.0.0.1"
"""What is listened on when nothing says otherwise, as C{--listen} takes it."""


@implementer(IConfigStore, IDiagnosed)
class CommandLineStore:
    """
    The sections that options of the command line are.

    @since: ugate NEXT
    """

    def __init__(self, listen: Sequence[str] = (), routes: Sequence[str] = (), state: str = "") -> None:
        """
        @param listen: the values of C{--listen}, each C{NAME=STRING}.
        @param routes: the values of C{--route}, each C{PATTERN=HOPS}; the first that matches wins.
        @param state: the value of C{--state}: C{node.state}.
        """
        self._sections: dict[str, dict[str, Section]] = {kind: {} for kind in KINDS}
        self._mistakes: list[Mistake] = []
        for value in listen:
            self._listener(value)
        for number, value in enumerate(routes, 1):
            self._route(value, f"--route {number}")
        if state:
            place = Place(_source("--state", state), 1, 1, len(state))
            entries = ((Scalar(place, "state"), Scalar(place, state, True)),)
            self._sections["node"][ONLY] = Section(Table(place, entries))

    def _listener(self, value: str) -> None:
        source = _source("--listen", value)
        name, equals, string = value.partition("=")
        sections = self._sections["listen"]
        if not (equals and isName(name)):
            like = _source("--listen", f"main={value}").name
            self._complain(source, value, f"it has no name; wanted NAME=STRING, as in {like}")
        elif name in sections:
            first = sections[name].place
            self._complain(source, name, f"listen.{name} is at {first} too; wanted each name once")
        else:
            place = Place(source, 1, len(name) + 2, len(string))
            sections[name] = Section(Scalar(place, string, True), "endpoint", Place(source, 1, 1, len(name)))

    def _route(self, value: str, name: str) -> None:
        source = _source("--route", value)
        pattern, equals, hops = value.partition("=")
        if not equals:
            self._complain(source, value, "it has no '='; wanted PATTERN=HOPS, as in --route '*.corp=direct'")
            return
        first = Place(source, 1, 1, len(value))
        match = Scalar(Place(source, 1, 1, len(pattern)), pattern, True)
        via = Scalar(Place(source, 1, len(pattern) + 2, len(hops)), hops, True)
        entries = ((Scalar(match.place, "match"), match), (Scalar(via.place, "via"), via))
        self._sections["routes"][name] = Section(Table(first, entries))

    def _complain(self, source: Source, marked: str, message: str) -> None:
        self._mistakes.append(Mistake(Place(source, 1, 1, len(marked)), message))

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind; those of routes are made up.
        """
        return list(self._sections.get(kind, ())) if tenant == ROOT else []

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        if tenant != ROOT:
            raise KeyError(tenant)
        return self._sections[kind][name]

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        A command line never changes.
        """
        return lambda: None

    def mistakes(self) -> list[Mistake]:
        """
        The options that are not of their shape.
        """
        return list(self._mistakes)

    def tenants(self) -> Mapping[str, Place]:
        """
        All tenants that have anything here are named here.
        """
        return {}

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether all names of a kind could be read; nothing refers to what C{--listen} names.
        """
        return kind != "listen" or not self._mistakes


def _source(option: str, value: str) -> Source:
    quoted = shlex.quote(value)
    return Source(f"{option} {quoted if quoted != value else repr(value)}", [value], numbered=False)
