# -*- test-case-name: ugate.test.test_config_folder -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The sections of all tenants out of many files, kept up as single files change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from ugate.tenancy.config.gather import Gathered, Parts
from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.sections import Kind, Section


class Index:
    """
    What every tenant has.

    @since: ugate NEXT
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        """
        @param kinds: the kinds that there are.
        """
        self._kinds = kinds
        self._parts: dict[str, Parts] = {}
        self._implied: Mapping[str, Mapping[str, Section]] = {}
        self._gathered: dict[str, Gathered] = {}
        self._nothing = Gathered(kinds)

    def __getitem__(self, tenant: str) -> Gathered:
        return self._gathered.get(tenant, self._nothing)

    def parts(self) -> Iterator[tuple[str, Parts]]:
        """
        All files with what they have.
        """
        return iter(self._parts.items())

    def mistakes(self) -> Iterator[Mistake]:
        """
        What is wrong with the files and with how they go together.
        """
        yield from chain.from_iterable([parts.mistakes for parts in self._parts.values()])
        yield from chain.from_iterable([gathered.mistakes for gathered in self._gathered.values()])

    def replace(
        self, parts: Mapping[str, Parts], implied: Mapping[str, Mapping[str, Section]]
    ) -> frozenset[str]:
        """
        Take what there is now.  A file that did not change has the same L{Parts} as before.

        @param parts: by the path of the file, in the order in which they are read.
        @param implied: by the path of the parent: tenants that there are because they have files.
        @return: the tenants that have anything in a file that changed.
        """
        touched: set[str] = set()
        for old, new in ((self._parts, parts), (parts, self._parts)):
            for path, each in old.items():
                if new.get(path) is not each:
                    touched |= each.tenants
        for parent in self._implied.keys() | implied.keys():
            if self._implied.get(parent) != implied.get(parent):
                touched.add(parent)
        self._parts = dict(parts)
        self._implied = implied
        return self._gather(touched)

    def change(self, parts: Mapping[str, Parts]) -> frozenset[str]:
        """
        Take what some of the files have now.

        @return: as of L{replace}.
        """
        touched: set[str] = set()
        for path, each in parts.items():
            if self._parts[path] is not each:
                touched |= self._parts[path].tenants | each.tenants
                self._parts[path] = each
        return self._gather(touched)

    def _gather(self, touched: set[str]) -> frozenset[str]:
        if not touched:
            return frozenset()
        fresh = {tenant: Gathered(self._kinds) for tenant in touched}
        for each in self._parts.values():
            if not (touched.isdisjoint(each.sections) and touched.isdisjoint(each.partial)):
                for tenant in each.tenants & touched:
                    fresh[tenant].add(each, tenant)
        for tenant, gathered in fresh.items():
            for name, section in self._implied.get(tenant, {}).items():
                gathered.imply(name, section)
            if gathered.sections or gathered.partial:
                self._gathered[tenant] = gathered
            else:
                self._gathered.pop(tenant, None)
        return frozenset(touched)
