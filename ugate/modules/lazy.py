# -*- test-case-name: ugate.test.test_modules_lazy -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Modules that are imported when a section asks for them, and not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zope.interface import alsoProvides, implementer

from ugate.interfaces import IModule, INeedsAsyncio, ITenant

if TYPE_CHECKING:
    from msgspec import Struct

    from twisted.application.service import IService


@implementer(IModule)
class LazyModule:
    """
    A module that costs nothing until it is used: what a file in C{twisted/plugins} has.

    @ivar name: the kind of its sections.
    @ivar summary: what it does, in one line.
    @since: ugate NEXT
    """

    def __init__(
        self, name: str, where: str, summary: str = "", schema: str = "", asyncio: bool = False
    ) -> None:
        """
        @param name: the kind of its sections.
        @param where: the class, as C{package.module:Class}; it is called without arguments, once, when
            C{makeService} is first wanted, and what comes out provides L{IModule} too.
        @param summary: what it does, in one line.
        @param schema: the type of its sections, as C{package.module:Type}, in a module that is quickly
            imported: every start wants it.  Unless given it is asked of what is at C{where}.
        @param asyncio: whether it is an L{INeedsAsyncio}.
        """
        self.name = name
        self.summary = summary
        self._where = where
        self._schema = schema
        self._made: Any = None
        if asyncio:
            alsoProvides(self, INeedsAsyncio)

    def __repr__(self) -> str:
        return f"LazyModule({self.name!r}, {self._where!r})"

    def _module(self) -> Any:
        if self._made is None:
            self._made = _imported(self._where)()
        return self._made

    @property
    def schema(self) -> type[Struct]:
        """
        See L{IModule}.
        """
        schema: type[Struct] = _imported(self._schema) if self._schema else self._module().schema
        return schema

    def makeService(self, tenant: ITenant, name: str, section: Struct) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = self._module().makeService(tenant, name, section)
        return service


def _imported(where: str) -> Any:
    place, _, name = where.partition(":")
    return getattr(import_module(place), name)
