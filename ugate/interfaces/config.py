# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where the configuration comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import Attribute, Interface

from twisted.plugin import IPlugin


class IConfigStore(Interface):
    """
    Where config sections come from: files, the command line, a database.
    """

    def names(tenant: str, kind: str) -> list[str]:
        """
        The names of the sections of one kind, in order.
        """

    def section(tenant: str, kind: str, name: str) -> Mapping[str, object]:
        """
        One section.

        @raise KeyError: there is none of that name.
        """

    def changed(callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Call back after each change of this store, with the paths of the tenants whose
        sections changed, or L{None} if that cannot be told.

        @return: a callable that stops it.
        """


class IWritableStore(IConfigStore):
    """
    A store that can be changed through it.  When a call returns, the change is kept;
    when it raises, nothing is changed.  One that cannot now has a false C{isWritable}.
    """

    def put(tenant: str, kind: str, name: str, section: Mapping[str, object]) -> None:
        """
        Put a section in place of the one of that name, or beside the others.

        @raise KeyError: there is no such tenant or kind.
        @raise UgateError: it cannot be written; the message says why.
        """

    def delete(tenant: str, kind: str, name: str) -> None:
        """
        Take a section out; with one of C{tenants}, all that is below it too.

        @raise KeyError: there is none of that name.
        @raise UgateError: it cannot be written; the message says why.
        """


class IWatching(Interface):
    """
    What notices changes that others make, once it is started.
    """

    def start(reactor: Any) -> None:
        """
        Begin to watch.
        """

    def stop() -> None:
        """
        Watch no more; no callback comes after this.
        """

    def reload() -> object:
        """
        Look for changes now, and call back if there are any; also before it is started.
        """


class IStoreModule(IPlugin):
    """
    A kind of config stores, found as a Twisted plugin: a package that puts one into its
    C{twisted/plugins} adds what C{--config NAME:...} may name.
    """

    name = Attribute("L{str}: what C{--config} has before the first colon.")
    summary = Attribute("L{str}: what it reads, in one line.")

    def open(rest: str, kinds: Mapping[str, Any]) -> IConfigStore:
        """
        A store.  One that has to wait for what it reads is empty at first, and calls what
        C{changed()} was given when it is not: then all of it applies as a change.

        @param rest: what C{--config} has behind the first colon.
        @param kinds: the kinds of sections that there are: C{ugate.tenancy.config.sections.Kind} by name.
        @raise ugate.errors.UgateError: there can be none of that, and why.
        """
