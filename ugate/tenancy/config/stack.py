# -*- test-case-name: ugate.test.test_config_stores -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Several stores as one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from ugate.errors import StringError, UgateError, suggestion
from ugate.interfaces import IConfigStore, IStoreModule, IWatching, IWritableStore
from ugate.tenancy.config.commandline import DEFAULT_LISTEN, CommandLineStore
from ugate.tenancy.config.lazystore import LazyStore
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import (
    KINDS,
    ROOT,
    IDiagnosed,
    ILayered,
    Kind,
    Order,
    Section,
    asSection,
    isName,
    parentPath,
)
from ugate.tenancy.config.tree import Place


@implementer(IWritableStore, IWatching, IDiagnosed, ILayered)
class Stack:
    """
    Stores on top of each other; the later ones win.

    A section of a later store takes the place of the one with the same kind and name; where a kind has but
    one section, and in those of C{tenants}, its keys do so one by one.  Of what is in a list, that of the
    later stores comes first.

    @since: ugate NEXT
    """

    def __init__(
        self,
        stores: Sequence[IConfigStore],
        kinds: Mapping[str, Kind] = KINDS,
        default: IConfigStore | None = None,
    ) -> None:
        """
        @param stores: the lowest first.
        @param default: has listeners for the root while no other store has any, nor any tenants.
        """
        self._stores = tuple(stores)
        self._kinds = kinds
        self._default = default

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind in all stores, each once.
        """
        if len(self._stores) == 1:
            names = self._stores[0].names(tenant, kind)
        else:
            listed = kind in self._kinds and self._kinds[kind].order is Order.LISTED
            stores = reversed(self._stores) if listed else iter(self._stores)
            names = list(dict.fromkeys(name for store in stores for name in store.names(tenant, kind)))
        return names or self._defaultNames(tenant, kind)

    def _defaultNames(self, tenant: str, kind: str) -> list[str]:
        if self._default is None or (tenant, kind) != (ROOT, "listen"):
            return []
        isWhole = self.isWhole(ROOT, "listen") and self.isWhole(ROOT, "tenants")
        isAlone = isWhole and not self.names(ROOT, "tenants")
        return self._default.names(tenant, kind) if isAlone else []

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: no store has one of that name.
        """
        found: Section | None = None
        isMerged = kind in self._kinds and self._kinds[kind].isMerged
        for store in reversed(self._stores):
            try:
                section = asSection(store.section(tenant, kind, name), kind, name)
            except KeyError:
                continue
            if not isMerged:
                return section
            found = section if found is None else found.over(section)
        if found is not None:
            return found
        if self._default is not None and name in self.names(tenant, kind):
            return asSection(self._default.section(tenant, kind, name), kind, name)
        raise KeyError(name)

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        Put a section into the topmost store that can be written.

        @raise KeyError: there is no such tenant or kind.
        @raise UgateError: no store can be written, that one does not take it, or it would be below another.
        """
        if not self._isTenant(tenant):
            raise KeyError(f"there is no tenant {tenant!r}")
        writable = self._writable()
        for store in reversed(self._stores):
            if store is writable:
                break
            if name in store.names(tenant, kind):
                held = store.section(tenant, kind, name)
                isMerged = kind in self._kinds and self._kinds[kind].isMerged
                if not isMerged or any(key in held for key in section):
                    place = asSection(held, kind, name).place
                    raise UgateError(f"{kind} {name} is at {place}, which wins; change it there")
        writable.put(tenant, kind, name, section)

    def delete(self, tenant: str, kind: str, name: str) -> None:
        """
        Take a section out of the topmost store that can be written.

        @raise KeyError: there is none.
        @raise UgateError: no store can be written, or it is in another one.
        """
        writable = self._writable()
        for store in reversed(self._stores):
            if store is not writable and name in store.names(tenant, kind):
                place = asSection(store.section(tenant, kind, name), kind, name).place
                raise UgateError(f"{kind} {name} is at {place}; take it out there")
        writable.delete(tenant, kind, name)

    def rest(self, tenant: str, kind: str, name: str) -> Section | None:
        """
        What a section is without what L{put} writes: what all other stores have of it.
        """
        writable = self._writable()
        found: Section | None = None
        for store in reversed(self._stores):
            part: Section | None = None
            if store is not writable:
                if name in store.names(tenant, kind):
                    part = asSection(store.section(tenant, kind, name), kind, name)
            elif ILayered.providedBy(store):
                part = ILayered(store).rest(tenant, kind, name)
            if part is not None:
                found = part if found is None else found.over(part)
        return found

    def _writable(self) -> IWritableStore:
        for store in reversed(self._stores):
            if IWritableStore.providedBy(store) and getattr(store, "isWritable", True):
                return IWritableStore(store)
        raise UgateError("no store can be written; wanted a directory or sqlite:PATH at --config")

    def _isTenant(self, path: str) -> bool:
        parent = parentPath(path)
        if parent is None:
            return True
        return self._isTenant(parent) and path.rpartition("/")[2] in self.names(parent, "tenants")

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back after a change of any store.
        """
        stops = [store.changed(callback) for store in self._stores]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def start(self, reactor: Any) -> None:
        """
        Let every store notice changes.
        """
        for store in self._stores:
            if IWatching.providedBy(store):
                IWatching(store).start(reactor)

    def stop(self) -> None:
        """
        Notice nothing more.
        """
        for store in self._stores:
            if IWatching.providedBy(store):
                IWatching(store).stop()

    def reload(self) -> None:
        """
        Let every store look at once for what changed, and call back.
        """
        for store in self._stores:
            if IWatching.providedBy(store):
                IWatching(store).reload()

    def mistakes(self) -> list[Mistake]:
        """
        What is wrong with the stores, the lowest first.
        """
        diagnosed = [IDiagnosed(store) for store in self._stores if IDiagnosed.providedBy(store)]
        return [mistake for store in diagnosed for mistake in store.mistakes()]

    def tenants(self) -> Mapping[str, Place]:
        """
        Tenants of whom a store has sections without naming them.
        """
        diagnosed = [IDiagnosed(store) for store in self._stores if IDiagnosed.providedBy(store)]
        return {tenant: place for store in diagnosed for tenant, place in store.tenants().items()}

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether every store could read all names of a kind.
        """
        diagnosed = [IDiagnosed(store) for store in self._stores if IDiagnosed.providedBy(store)]
        return all(store.isWhole(tenant, kind) for store in diagnosed)


_FILES: Final = LazyStore("path", "ugate.tenancy.config.files:FileStore")
"""What a path is that names no store."""


def openStores(
    config: Sequence[str] = (),
    listen: Sequence[str] = (),
    routes: Sequence[str] = (),
    kinds: Mapping[str, Kind] = KINDS,
    modules: Iterable[IStoreModule] = (),
    state: str = "",
) -> Stack:
    """
    The stores that a command line asks for.  If none has a listener or a tenant, there is L{DEFAULT_LISTEN}.

    What a store needs is imported only when it is asked for.

    @param config: the values of C{--config}: the path of a file or a directory, or the name of a
        store, a colon and what that wants, as in C{sqlite:PATH}.
    @param listen: the values of C{--listen}.
    @param routes: the values of C{--route}.
    @param kinds: the kinds that there are.
    @param modules: the stores that there are, beside files: what Twisted finds of L{IStoreModule}.
    @param state: the value of C{--state}.
    @raise StringError: no store has that name.
    @raise UgateError: a store cannot be opened, and why.
    @since: ugate NEXT
    """
    named = {module.name: module for module in modules}
    stores = [_opened(each, kinds, named) for each in config]
    stores.append(CommandLineStore(listen, routes, state))
    return Stack(stores, kinds, CommandLineStore([DEFAULT_LISTEN]))


def _opened(text: str, kinds: Mapping[str, Kind], named: Mapping[str, IStoreModule]) -> IConfigStore:
    name, colon, rest = text.partition(":")
    if colon and name in named:
        return named[name].open(rest, kinds)
    if colon and isName(name) and not os.path.exists(text):
        known = ", ".join(f"{each}:" for each in sorted(named))
        raise StringError(
            f"--config {text}: there is no such file, and no store is named {name!r}; wanted the path of a"
            f" file or a folder, or one of {known}{suggestion(name, named)}"
        )
    return _FILES.open(text, kinds)
