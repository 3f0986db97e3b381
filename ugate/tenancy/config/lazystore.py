# -*- test-case-name: ugate.test.test_config_stores -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Kinds of stores that are imported when a command line asks for them, and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from zope.interface import implementer

from ugate.interfaces import IConfigStore, IStoreModule
from ugate.tenancy.config.sections import Kind


@implementer(IStoreModule)
class LazyStore:
    """
    A kind of stores that costs nothing until it is used: what a file in C{twisted/plugins} has.

    @ivar name: what C{--config} has before the first colon.
    @ivar summary: what it reads, in one line.
    @since: ugate NEXT
    """

    def __init__(self, name: str, where: str, summary: str = "") -> None:
        """
        @param name: what C{--config} has before the first colon.
        @param where: what makes a store, as C{package.module:Class}: called with what is behind that colon,
            and C{kinds=}.
        @param summary: what it reads, in one line.
        """
        self.name = name
        self.summary = summary
        self._where = where

    def __repr__(self) -> str:
        return f"LazyStore({self.name!r}, {self._where!r})"

    def open(self, rest: str, kinds: Mapping[str, Kind]) -> IConfigStore:
        """
        See L{IStoreModule.open}.
        """
        place, _, name = self._where.partition(":")
        store: IConfigStore = getattr(import_module(place), name)(rest, kinds=kinds)
        return store
