# -*- test-case-name: ugate.test.test_config_stores -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What stores hold: sections of some kinds, which remember where they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from zope.interface import Interface

from ugate.tenancy.config.mistakes import Mistake
from ugate.tenancy.config.tree import Place, Scalar, Source, Table, Written, plainValue, writtenValue

ROOT: Final = "root"
"""The tenant that the node itself is."""

ONLY: Final = ""
"""The name of the section of a kind that has just one."""

DELEGATED: Final = ("hosts", "ranges", "limits")
"""What a tenant has of its parent: the keys of a section of C{tenants}; no kind has such a name."""

MAX_DEPTH: Final = 16
"""How deep tenants may be tenants of each other."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
NAME_SHAPE: Final = "a letter or _, then letters, digits, _ - or ., at most 64"
"""What a name is, in words."""


class Order(Enum):
    """
    How the sections of a kind stand to each other.
    """

    NAMED = "a mapping of names"
    """Each has a name; their order does not matter."""

    LISTED = "a list"
    """Their order matters: the first that fits wins."""

    SINGLE = "a mapping"
    """There is one, whose name is L{ONLY}."""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of sections.

    @since: ugate NEXT
    """

    order: Order
    """How its sections stand to each other."""

    short: str = ""
    """If a section may be written as one text: the key that the text is the value of."""

    isMerged: bool = False
    """Whether of two sections in two places of one name each gives the keys that the other lacks."""


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "listen": Kind(Order.NAMED, "endpoint"),
        "dial": Kind(Order.NAMED, "hops"),
        "routes": Kind(Order.LISTED),
        "policy": Kind(Order.SINGLE, isMerged=True),
        "identity": Kind(Order.SINGLE),
        "trust": Kind(Order.SINGLE, isMerged=True),
        "nodes": Kind(Order.NAMED, "keyid"),
        "serve": Kind(Order.NAMED, "to"),
        "node": Kind(Order.SINGLE, isMerged=True),
        "tenants": Kind(Order.NAMED, isMerged=True),
    }
)
"""The kinds that every node knows, in the order in which they are written."""


def childPath(path: str, name: str) -> str:
    """
    The path of a tenant of another one: C{alice}, C{alice/dev}.
    """
    return name if path == ROOT else f"{path}/{name}"


def parentPath(path: str) -> str | None:
    """
    The path of a tenant's parent; L{None} for the root.
    """
    if path == ROOT:
        return None
    parent, slash, _ = path.rpartition("/")
    return parent if slash else ROOT


def depth(path: str) -> int:
    """
    How many tenants there are from the root, which is 0, to this one.
    """
    return 0 if path == ROOT else path.count("/") + 1


def isWithin(path: str, ancestor: str) -> bool:
    """
    Whether a tenant is another one, or below it.
    """
    return ancestor in (ROOT, path) or path.startswith(f"{ancestor}/")


class Section(Mapping[str, object]):
    """
    A section as L{ugate.interfaces.IConfigStore} gives it, which knows where it is written.

    @ivar written: the tree.
    @ivar place: where its name, or else the section itself, is written.
    @since: ugate NEXT
    """

    __slots__ = ("_plain", "place", "written")

    def __init__(self, written: Written, short: str = "", place: Place | None = None) -> None:
        self.written = written
        self.place = place or written.place
        value = plainValue(written)
        if isinstance(written, Scalar) and short and value is not None:
            value = {short: value}
        self._plain: Mapping[str, object] = value if isinstance(value, dict) else {}

    def __getitem__(self, key: str) -> object:
        return self._plain[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)

    def __repr__(self) -> str:
        return f"<Section at {self.place}: {self._plain!r}>"

    def over(self, other: Section) -> Section:
        """
        This section with the keys added that only the other one has.
        """
        if isinstance(self.written, Table) and not self.written.entries:
            return other
        if not (isinstance(self.written, Table) and isinstance(other.written, Table)):
            return self
        mine = {key.text for key, _ in self.written.entries}
        rest = (entry for entry in other.written.entries if entry[0].text not in mine)
        return Section(Table(self.written.place, (*self.written.entries, *rest)), place=self.place)


class IDiagnosed(Interface):
    """
    A store that can tell what is wrong with it beside its sections: what cannot be read at all.
    """

    def mistakes() -> list[Mistake]:
        """
        What was found when the store was read: syntax, unknown kinds, names given twice.
        """

    def isWhole(tenant: str, kind: str) -> bool:
        """
        Whether all names of a kind could be read, so that one which is not there does not exist.
        """

    def tenants() -> Mapping[str, Place]:
        """
        Tenants of whom there are sections although another store may have to say that there are such
        tenants; each with the place of one.
        """


class ILayered(Interface):
    """
    A store that can be written in one part, and has others that it leaves alone.
    """

    def rest(tenant: str, kind: str, name: str) -> Section | None:
        """
        What the other parts have of a section, which so stays whatever is put or taken out; L{None} if
        they have nothing.
        """


def asSection(section: Mapping[str, object], kind: str, name: str) -> Section:
    """
    A section from any store, with a place: its kind and name, if the store knows no better.
    """
    if isinstance(section, Section):
        return section
    place = Place(Source(f"{kind} {name}".rstrip(), numbered=False))
    return Section(writtenValue(section, place))


def isName(text: str) -> bool:
    """
    Whether this may name a section: see L{NAME_SHAPE}.
    """
    return _NAME.fullmatch(text) is not None


def isTenantName(parent: str, name: str) -> bool:
    """
    Whether a tenant may have a tenant of this name; the root has none of its own name.
    """
    return isName(name) and not (parent == ROOT and name == ROOT)
