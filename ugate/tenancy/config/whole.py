# -*- test-case-name: ugate.test.test_config_whole -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The whole configuration: one frozen value, read from a store, or all that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct, inspect

from ugate.errors import StringError
from ugate.interfaces import IConfigStore
from ugate.stream import Target
from ugate.tenancy.config.check import BAD, Checks, Reading
from ugate.tenancy.config.mistakes import ConfigError, Mistake, suggestion
from ugate.tenancy.config.schema import TYPES, Delegation, Dial, Listener, Node, Policy, sectionTypes
from ugate.tenancy.config.sections import (
    KINDS,
    NAME_SHAPE,
    ONLY,
    ROOT,
    IDiagnosed,
    Order,
    Section,
    asSection,
    isName,
)
from ugate.tenancy.config.tree import Scalar, Series, Table, Written

DIRECT: Final = "direct"
"""In C{via}: straight to the target."""

DENY: Final = "deny"
"""In C{via}: nowhere."""


@dataclass(frozen=True, slots=True)
class Route:
    """
    Which streams take which way; the first route that matches wins.

    @since: ugate NEXT
    """

    match: tuple[str, ...]
    """Patterns, of which any may fit."""

    via: tuple[str, ...]
    """Ways to be tried in order: the name of a dial section, hops or L{DIRECT}; or L{DENY} alone."""

    reason: str = ""
    """What whoever is refused is told."""


@dataclass(frozen=True, slots=True)
class Config:
    """
    All that a tenant is configured to do.  Two that mean the same are equal, wherever they come from.

    @since: ugate NEXT
    """

    listen: Mapping[str, Listener] = field(default_factory=lambda: MappingProxyType({}))
    """Where streams come in, by name."""

    dial: Mapping[str, Dial] = field(default_factory=lambda: MappingProxyType({}))
    """Ways out, by name."""

    routes: tuple[Route, ...] = ()
    """Which streams take which way, in order."""

    policy: Policy = field(default_factory=Policy)
    """Who may do what."""

    node: Node = field(default_factory=Node)
    """What holds for the whole process; that of a tenant is without meaning."""

    tenants: Mapping[str, Delegation] = field(default_factory=lambda: MappingProxyType({}))
    """What this tenant's own tenants have of it, by name."""

    modules: Mapping[tuple[str, str], Struct] = field(default_factory=lambda: MappingProxyType({}))
    """The sections of modules, by kind and name; each is of the type that its module says."""

    origins: Mapping[tuple[str, str], str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """
    Where each section is written, as C{FILE:LINE:COLUMN} or the option of the command line, by kind and name;
    routes by their index, C{("routes", "0")}.  For people: it takes no part in comparing.
    """


def readConfig(store: IConfigStore, checks: Checks | None = None, tenant: str = ROOT) -> Config:
    """
    Read all that a store holds for a tenant.

    @param checks: what knows whether a text is good, by C{endpoint}, C{hops}, C{match}, C{target} and
        C{users}; what is not given is not checked, but for C{target}.
    @raise ConfigError: with every mistake there is.
    """
    mistakes = list(IDiagnosed(store).mistakes()) if IDiagnosed.providedBy(store) else []
    reading = _Whole(store, checks or {}, tenant)
    config = reading.config()
    mistakes += reading.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return config


class _Whole(Reading):
    """
    One reading of a store.
    """

    def __init__(self, store: IConfigStore, checks: Checks, tenant: str) -> None:
        super().__init__({"target": Target.fromText, **checks, "via": self._checkWay})
        self._store = store
        self._tenant = tenant
        self._checkHops = checks.get("hops")
        self._dials = set(store.names(tenant, "dial"))
        self._dialsWhole = not IDiagnosed.providedBy(store) or IDiagnosed(store).isWhole(tenant, "dial")
        self._origins: dict[tuple[str, str], str] = {}

    def config(self) -> Config:
        """
        Read every kind; what is wrong is left out, and told in C{mistakes}.
        """
        sections = {kind: list(self._sections(kind, wanted)) for kind, wanted in sectionTypes().items()}
        policy = dict(sections["policy"])
        node = dict(sections["node"])
        return Config(
            MappingProxyType(dict(sections["listen"])),
            MappingProxyType(dict(sections["dial"])),
            tuple(route for _, route in sections["routes"]),
            policy.get(ONLY, Policy()),
            node.get(ONLY, Node()),
            MappingProxyType(dict(sections["tenants"])),
            origins=MappingProxyType(self._origins),
        )

    def _sections(self, kind: str, wanted: inspect.Type) -> Iterator[tuple[str, Any]]:
        order = KINDS[kind].order
        for index, name in enumerate(self._store.names(self._tenant, kind)):
            section = asSection(self._store.section(self._tenant, kind, name), kind, name)
            key = str(index) if order is Order.LISTED else name
            self._origins[kind, key] = str(section.place)
            if order is Order.NAMED:
                self._checkName(kind, name, section)
            path = f"{kind}.{name}" if order is Order.NAMED else kind
            value = self._section(section, kind, wanted, path)
            if value is not BAD:
                yield name, value

    def _section(self, section: Section, kind: str, wanted: inspect.Type, path: str) -> Any:
        value = self.read(section.written, wanted, path)
        if kind == "routes":
            alone = self._deniesAlone(section.written)
            isGood = alone and value is not BAD
            return Route(_many(value.match), _many(value.via), value.reason) if isGood else BAD
        # A text alone stands for the one key that has to be there.
        return TYPES[kind](**{KINDS[kind].short: value}) if isinstance(value, str) else value

    def _deniesAlone(self, written: Written) -> bool:
        via = written.get("via") if isinstance(written, Table) else None
        ways = via.items if isinstance(via, Series) else ()
        for way in ways:
            if len(ways) > 1 and isinstance(way, Scalar) and way.text == DENY:
                self.complain(way, f"routes.via has {DENY!r} beside other ways; wanted it alone")
                return False
        return True

    def _checkName(self, kind: str, name: str, section: Section) -> None:
        if not isName(name):
            message = f"{name!r} is no name for {kind}; wanted {NAME_SHAPE}"
            self.mistakes.append(Mistake(section.place, message))
        elif kind == "dial" and name in (DIRECT, DENY):
            message = f"dial.{name}: {name!r} has a meaning of its own in routes; wanted another name"
            self.mistakes.append(Mistake(section.place, message))

    def _checkWay(self, text: str) -> None:
        if text in (DIRECT, DENY):
            return
        if not isName(text):
            if self._checkHops is not None:
                self._checkHops(text)
        elif self._dialsWhole and text not in self._dials:
            known = {*self._dials, DIRECT, DENY}
            raise StringError(
                f"no dial section is named {text!r}; wanted a name in dial, hops such as socks:proxy:1080,"
                f" {DIRECT} or {DENY}{suggestion(text, known)}"
            )


def _many(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def readConfigs(
    store: Any, checks: Any = None, kinds: Any = None, previous: Any = None, changed: Any = None
) -> Any:
    return {ROOT: readConfig(store, checks)}
