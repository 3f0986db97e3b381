# -*- test-case-name: ugate.test.test_config_kinds -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
All kinds of sections that a node knows: its own, and one for each module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from msgspec import Struct, inspect

from ugate.errors import StringError, suggestion
from ugate.tenancy.config.schema import FORMS, TYPES
from ugate.tenancy.config.sections import DELEGATED, KINDS, NAME_SHAPE, Kind, Order, isName


class HasSchema(Protocol):
    """
    What is wanted of a module here: see C{ugate.interfaces.IModule}.
    """

    @property
    def name(self) -> str:
        """
        The kind of its sections.
        """

    @property
    def schema(self) -> type[Struct]:
        """
        The type of a section.
        """


class Kinds(Mapping[str, Kind]):
    """
    The kinds by their names, in the order in which they are written.

    @ivar forms: what a section of each may be written as: a type, for L{msgspec}.
    @ivar wanted: the same as L{msgspec.inspect} sees it.
    @ivar types: the type of a section that was read.
    @ivar modules: the names of those that are of modules.
    @since: ugate NEXT
    """

    __slots__ = ("_kinds", "forms", "modules", "order", "types", "wanted")

    def __init__(self, kinds: Mapping[str, Kind], forms: Mapping[str, Any], types: Mapping[str, Any]) -> None:
        """
        @param kinds: those of modules among them.
        """
        self._kinds = dict(kinds)
        self.forms: Mapping[str, Any] = MappingProxyType(dict(forms))
        self.types: Mapping[str, type[Struct]] = MappingProxyType(dict(types))
        self.wanted = MappingProxyType({kind: inspect.type_info(form) for kind, form in forms.items()})
        self.order = MappingProxyType({name: kind.order for name, kind in kinds.items()})
        self.modules = frozenset(self._kinds) - frozenset(KINDS)

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def __repr__(self) -> str:
        return f"<Kinds {', '.join(self._kinds)}>"


def kindsOf(modules: Iterable[HasSchema]) -> Kinds:
    """
    The kinds of a node that has these modules.

    @raise StringError: the name of a module cannot be that of a kind.
    @since: ugate NEXT
    """
    kinds, forms, types = dict(KINDS), dict(FORMS), dict(TYPES)
    tenants = kinds.pop("tenants")
    for module in sorted(modules, key=lambda module: module.name):
        name = module.name
        if not isName(name):
            raise StringError(f"{name!r} cannot name a kind of sections; wanted {NAME_SHAPE}")
        if name in types or name in DELEGATED:
            raise StringError(f"two kinds of sections are named {name!r}; wanted each name once")
        kinds[name] = Kind(Order.NAMED)
        forms[name] = types[name] = module.schema
    # Last, because it has all the others in it.
    kinds["tenants"] = tenants
    return Kinds(kinds, forms, types)


BUILTIN: Final = kindsOf(())
"""What is known without any module."""


def unknownKind(kind: str, known: Mapping[str, Kind]) -> KeyError:
    """
    What to raise for a kind that there is not.
    """
    return KeyError(f"there is no kind {kind!r}{suggestion(kind, known)}")
