# -*- test-case-name: ugate.test.test_testing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A configuration from Python values, read as one from a file is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from ugate.interfaces import IWritableStore
from ugate.tenancy.config.callbacks import Callbacks
from ugate.tenancy.config.sections import (
    DELEGATED,
    KINDS,
    ONLY,
    ROOT,
    Kind,
    Order,
    childPath,
    isWithin,
    parentPath,
)

_MODULE = Kind(Order.NAMED)


@implementer(IWritableStore)
class ValueStore:
    """
    Sections of the shapes that a file would have, which can be changed.

    @since: ugate NEXT
    """

    def __init__(
        self,
        listen: Mapping[str, object] = {},
        dial: Mapping[str, object] = {},
        routes: Sequence[Mapping[str, object]] = (),
        policy: Mapping[str, object] = {},
        node: Mapping[str, object] = {},
        tenants: Mapping[str, Mapping[str, object]] = {},
        modules: Mapping[str, Mapping[str, object]] = {},
        identity: Mapping[str, object] = {},
        trust: Mapping[str, object] = {},
        nodes: Mapping[str, object] = {},
        serve: Mapping[str, object] = {},
    ) -> None:
        """
        See C{ugate.tenancy.config.schema} for what each may hold.

        @param tenants: what stands in each other, as in a file.
        @param modules: sections by kind and name.
        """
        self._sections: dict[str, dict[str, dict[str, Mapping[str, object]]]] = {}
        self._callbacks = Callbacks()
        own = {"listen": listen, "dial": dial, "routes": routes, "policy": policy, "node": node}
        own |= {"identity": identity, "trust": trust, "nodes": nodes, "serve": serve}
        self._fill(ROOT, {**own, "tenants": tenants, **modules})

    def _fill(self, tenant: str, document: Mapping[str, object]) -> None:
        own = self._sections.setdefault(tenant, {})
        for kind, value in document.items():
            order = KINDS.get(kind, _MODULE).order
            sections = own.setdefault(kind, {})
            if order is Order.LISTED and isinstance(value, Sequence):
                sections.update({str(number): route for number, route in enumerate(value, 1)})
            elif order is Order.SINGLE and isinstance(value, Mapping) and value:
                sections[ONLY] = value
            elif order is Order.NAMED and isinstance(value, Mapping):
                for name, each in value.items():
                    sections[name] = each if isinstance(each, Mapping) else {KINDS[kind].short: each}
        for name, each in own.get("tenants", {}).items():
            own["tenants"][name] = {key: each[key] for key in each if key in DELEGATED}
            self._fill(childPath(tenant, name), {key: each[key] for key in each if key not in DELEGATED})

    def names(self, tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind, in order.
        """
        return list(self._sections.get(tenant, {}).get(kind, ()))

    def section(self, tenant: str, kind: str, name: str) -> Mapping[str, object]:
        """
        One section.

        @raise KeyError: there is none of that name.
        """
        return self._sections[tenant][kind][name]

    def put(self, tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        See L{IWritableStore.put}.
        """
        parent = parentPath(tenant)
        if parent is not None and tenant.rpartition("/")[2] not in self.names(parent, "tenants"):
            raise KeyError(tenant)
        sections = self._sections.setdefault(tenant, {}).setdefault(kind, {})
        if not name and KINDS.get(kind, _MODULE).order is Order.LISTED:
            name = str(1 + max(map(int, sections), default=0))
        sections[name] = section
        self._callbacks.call(frozenset({tenant}))

    def delete(self, tenant: str, kind: str, name: str) -> None:
        """
        See L{IWritableStore.delete}.
        """
        del self._sections[tenant][kind][name]
        gone = set()
        if kind == "tenants":
            gone = {path for path in self._sections if isWithin(path, childPath(tenant, name))}
            for path in gone:
                del self._sections[path]
        self._callbacks.call(frozenset({tenant, *gone}))

    def changed(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back after each C{put} and C{delete}.
        """
        return self._callbacks.add(callback)
