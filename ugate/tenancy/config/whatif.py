# -*- test-case-name: ugate.test.test_config_stores -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a configuration would be, if a section were put or taken out: to be checked before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zope.interface import implementer

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import (
    KINDS,
    ONLY,
    IDiagnosed,
    ILayered,
    Kind,
    Order,
    Section,
    asSection,
    childPath,
    isWithin,
)
from ugate.tenancy.config.tree import Place, Source, writtenValue


@implementer(IConfigStore, IDiagnosed)
class WhatIf:
    """
    A store with some sections changed, in memory alone.

    What L{put} and L{delete} do to it is what they would do to the store itself, so
    C{readConfigs(whatIf, ..., changed=whatIf.touched)} tells beforehand what they would lead to.

    @ivar touched: the tenants whose sections are others than in the store.
    @since: ugate NEXT
    """

    def __init__(self, store: IConfigStore, kinds: Mapping[str, Kind] = KINDS) -> None:
        """
        @param store: what it is like, but for what is changed.
        @param kinds: the kinds that there are.
        """
        self.touched: set[str] = set()
        self._store = store
        self._kinds = kinds
        self._put: dict[tuple[str, str], dict[str, Section]] = {}
        self._gone: set[tuple[str, str, str]] = set()

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        Act as if a section were there; one in a list is at the end if it is new.
        """
        source = Source(f"{tenant} {kind} {name}".rstrip(), numbered=False)
        short = self._kinds[kind].short if kind in self._kinds else ""
        if name == ONLY and kind in self._kinds and self._kinds[kind].order is Order.LISTED:
            name = f"new {len(self._put.get((tenant, kind), ())) + 1}"
        mine = Section(writtenValue(section, Place(source)), short)
        rest = self._rest(tenant, kind, name)
        self._put.setdefault((tenant, kind), {})[name] = mine if rest is None else mine.over(rest)
        self._gone.discard((tenant, kind, name))
        self.touched.add(tenant)

    def delete(self, tenant: str, kind: str, name: str) -> None:
        """
        Act as if a section were not there; with one of C{tenants}, nothing that is below it.
        """
        self.touched.add(tenant)
        rest = self._rest(tenant, kind, name)
        if rest is not None:
            self._put.setdefault((tenant, kind), {})[name] = rest
            return
        self._put.get((tenant, kind), {}).pop(name, None)
        self._gone.add((tenant, kind, name))
        if kind == "tenants":
            child = childPath(tenant, name)
            for key in [key for key in self._put if isWithin(key[0], child)]:
                del self._put[key]

    def _rest(self, tenant: str, kind: str, name: str) -> Section | None:
        """
        What others have of a section whose parts go together.
        """
        isMerged = kind in self._kinds and self._kinds[kind].isMerged
        if not isMerged or not ILayered.providedBy(self._store):
            return None
        return ILayered(self._store).rest(tenant, kind, name)

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind.
        """
        there = [name for name in self._store.names(tenant, kind) if (tenant, kind, name) not in self._gone]
        return list(dict.fromkeys([*there, *self._put.get((tenant, kind), ())]))

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        if (tenant, kind, name) in self._gone:
            raise KeyError(name)
        mine = self._put.get((tenant, kind), {}).get(name)
        return mine if mine is not None else asSection(self._store.section(tenant, kind, name), kind, name)

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        It is for one look only.
        """
        return lambda: None

    def mistakes(self) -> list[Mistake]:
        """
        What is wrong with the store.
        """
        return list(IDiagnosed(self._store).mistakes()) if IDiagnosed.providedBy(self._store) else []

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether the store could read all names of a kind.
        """
        return not IDiagnosed.providedBy(self._store) or IDiagnosed(self._store).isWhole(tenant, kind)

    def tenants(self) -> Mapping[str, Place]:
        """
        Tenants of whom the store has sections without naming them, those that would go left out.
        """
        known = IDiagnosed(self._store).tenants() if IDiagnosed.providedBy(self._store) else {}
        gone = [childPath(tenant, name) for tenant, kind, name in self._gone if kind == "tenants"]
        return {
            path: place for path, place in known.items() if not any(isWithin(path, each) for each in gone)
        }
