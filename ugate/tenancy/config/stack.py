# -*- test-case-name: ugate.test.test_config_stores -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Several stores as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from ugate.interfaces import IConfigStore
from ugate.tenancy.config.commandline import DEFAULT_LISTEN, CommandLineStore
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import KINDS, ROOT, IDiagnosed, Kind, Order, Section, asSection


@implementer(IConfigStore, IDiagnosed)
class Stack:
    """
    Stores on top of each other; the later ones win.

    A section of a later store takes the place of the one with the same kind and name; where a kind has but
    one section, its keys do so one by one.  Of what is in a list, that of the later stores comes first.

    @since: ugate NEXT
    """

    def __init__(self, stores: Sequence[IConfigStore], kinds: Mapping[str, Kind] = KINDS) -> None:
        """
        @param stores: the lowest first.
        """
        self._stores = tuple(stores)
        self._kinds = kinds

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind in all stores, each once.
        """
        listed = kind in self._kinds and self._kinds[kind].order is Order.LISTED
        stores = reversed(self._stores) if listed else iter(self._stores)
        return list(dict.fromkeys(name for store in stores for name in store.names(tenant, kind)))

    def section(self, tenant: str, kind: str, name: str) -> Section:
        """
        One section.

        @raise KeyError: no store has one of that name.
        """
        found: Section | None = None
        for store in reversed(self._stores):
            try:
                section = asSection(store.section(tenant, kind, name), kind, name)
            except KeyError:
                continue
            if kind not in self._kinds or self._kinds[kind].order is not Order.SINGLE:
                return section
            found = section if found is None else found.over(section)
        if found is None:
            raise KeyError(name)
        return found

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back after a change of any store.
        """
        stops = [store.changed(callback) for store in self._stores]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def mistakes(self) -> list[Mistake]:
        """
        What is wrong with the stores, the lowest first.
        """
        diagnosed = [IDiagnosed(store) for store in self._stores if IDiagnosed.providedBy(store)]
        return [mistake for store in diagnosed for mistake in store.mistakes()]

    def isWhole(self, tenant: str, kind: str) -> bool:
        """
        Whether every store could read all names of a kind.
        """
        diagnosed = [IDiagnosed(store) for store in self._stores if IDiagnosed.providedBy(store)]
        return all(store.isWhole(tenant, kind) for store in diagnosed)


def openStores(config: Sequence[str] = (), listen: Sequence[str] = (), routes: Sequence[str] = ()) -> Stack:
    """
    The stores that a command line asks for.  If none has a listener, there is L{DEFAULT_LISTEN}.

    Without a path nothing that reads files is imported.

    @param config: the paths of C{--config}, files or directories.
    @param listen: the values of C{--listen}.
    @param routes: the values of C{--route}.
    @since: ugate NEXT
    """
    stores: list[IConfigStore] = []
    if config:
        from ugate.tenancy.config.files import FileStore

        stores += [FileStore(path) for path in config]
    stores.append(CommandLineStore(listen, routes))
    stack = Stack(stores)
    if not stack.names(ROOT, "listen") and stack.isWhole(ROOT, "listen"):
        stack = Stack([CommandLineStore([DEFAULT_LISTEN]), *stores])
    return stack
