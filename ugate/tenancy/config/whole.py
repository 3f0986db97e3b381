# -*- test-case-name: ugate.test.test_config_whole,ugate.test.test_config_incremental -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The whole configuration: one frozen value, read from a store, or all that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from ugate.errors import StringError, suggestion
from ugate.interfaces import IConfigStore
from ugate.tenancy.config.check import BAD, Checks, Reading
from ugate.tenancy.config.delegated import delegationMistakes
from ugate.tenancy.config.identityschema import Identity, Trust
from ugate.tenancy.config.kinds import BUILTIN, Kinds
from ugate.tenancy.config.mesh import meshMistakes
from ugate.tenancy.config.meshschema import Peer, Service
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.ownchecks import OWN_CHECKS
from ugate.tenancy.config.schema import (
    Delegation,
    Dial,
    Listener,
    Node,
    Policy,
)
from ugate.tenancy.config.sections import (
    MAX_DEPTH,
    NAME_SHAPE,
    ONLY,
    ROOT,
    IDiagnosed,
    Order,
    Section,
    asSection,
    childPath,
    depth,
    isName,
    isTenantName,
    parentPath,
)
from ugate.tenancy.config.tree import Place, Scalar, Series, Table, Written

DIRECT: Final = "direct"
"""In C{via}: straight to the target."""

DENY: Final = "deny"
"""In C{via}: nowhere."""

MESH: Final = "mesh"
"""In C{via}: to the node whose name the target has."""

DNS: Final = "dns"
"""In C{via}: to the tenant's own resolver, whatever the target."""

_OWN: Final = (DIRECT, DENY, MESH, DNS)

# Those of most tenants.
_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})
_POLICY: Final = Policy()
_NODE: Final = Node()
_IDENTITY: Final = Identity()
_TRUST: Final = Trust()


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

    alpn: tuple[str, ...] = ()
    """The protocols inside of TLS that it is for; empty for any and none."""


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

    given: Mapping[str, Section] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """
    The sections that C{tenants} was read from: so that one which is still the same need not be read again.
    """

    origins: Mapping[tuple[str, str], str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """
    Where each section is written, as C{FILE:LINE:COLUMN} or the option of the command line, by kind and name;
    routes by their index, C{("routes", "0")}.  For people: it takes no part in comparing.
    """

    identity: Identity = _IDENTITY
    """Who it is."""

    trust: Trust = _TRUST
    """Whom it believes."""

    nodes: Mapping[str, Peer] = field(default_factory=lambda: _EMPTY)
    """The nodes of the mesh that it knows, by name."""

    serve: Mapping[str, Service] = field(default_factory=lambda: _EMPTY)
    """What it is on ports of its own name."""


def readConfig(
    store: IConfigStore, checks: Checks | None = None, tenant: str = ROOT, kinds: Kinds = BUILTIN
) -> Config:
    """
    Read all that a store holds for one tenant, without what its own tenants are.

    @param checks: what knows whether a text is good, by C{endpoint}, C{hops}, C{match}, C{target},
        C{users} and so on; what is not given is not checked, but for what L{OWN_CHECKS} has.
    @raise ConfigError: with every mistake there is.
    """
    mistakes = list(IDiagnosed(store).mistakes()) if IDiagnosed.providedBy(store) else []
    reading = _Whole(store, checks or {}, tenant, kinds)
    config = reading.config()
    mistakes += reading.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return config


def readConfigs(
    store: IConfigStore,
    checks: Checks | None = None,
    kinds: Kinds = BUILTIN,
    previous: Mapping[str, Config] | None = None,
    changed: Collection[str] | None = None,
) -> dict[str, Config]:
    """
    Read all that a store holds for the root and for every tenant below it.

    With both of C{previous} and C{changed}, only the tenants in C{changed} are read, and those that are
    new; the others are those of before.  So C{changed} has to have all that changed since C{previous} was
    read, also if there was an attempt between that failed.

    @param checks: as of L{readConfig}.
    @param previous: what was read before.
    @param changed: the tenants whose sections changed, as L{IConfigStore.changed} tells; L{None} if
        that is not known.
    @return: by path: the root first, and parents before their children.
    @raise ConfigError: with every mistake there is.
    @since: ugate NEXT
    """
    mistakes = list(IDiagnosed(store).mistakes()) if IDiagnosed.providedBy(store) else []
    before = previous or {}
    found: dict[str, Config] = {}
    pending = [ROOT]
    while pending:
        path = pending.pop()
        old = before.get(path)
        if old is not None and changed is not None and path not in changed:
            found[path], children = old, list(old.tenants) if old.tenants else []
        else:
            reading = _Whole(store, checks or {}, path, kinds, old)
            found[path], children = reading.config(), reading.children
            mistakes += reading.mistakes
        if children:
            pending += [childPath(path, name) for name in reversed(children)]
    mistakes += _betweenTenants(found, before)
    if IDiagnosed.providedBy(store):
        mistakes += _nobodys(IDiagnosed(store).tenants(), found)
    if mistakes:
        raise ConfigError(mistakes)
    return found


def _betweenTenants(found: Mapping[str, Config], before: Mapping[str, Config]) -> Iterator[Mistake]:
    for path, config in found.items():
        if config.tenants:
            own = delegationOf(found, path)
            old = before.get(path)
            isSame = old is not None and (old is config or old.tenants == config.tenants)
            if not (isSame and own == delegationOf(before, path)):
                yield from delegationMistakes(path, own, config.tenants, config.given)


def _nobodys(tenants: Mapping[str, Place], found: Mapping[str, Config]) -> Iterator[Mistake]:
    """
    Sections of tenants that there are not.
    """
    for path in tenants.keys() - found.keys():
        parent = parentPath(path)
        wanted = f"wanted a section {path.rpartition('/')[2]} in the tenants of {parent or ROOT}"
        yield Mistake(tenants[path], f"there is no tenant {path!r}; {wanted}{suggestion(path, found)}")


def delegationOf(configs: Mapping[str, Config], path: str) -> Delegation:
    """
    What a tenant has of its parent; nothing in particular for the root, which has all.
    """
    parent = parentPath(path)
    if parent is None or parent not in configs:
        return Delegation()
    return configs[parent].tenants.get(path.rpartition("/")[2], Delegation())


class _Whole(Reading):
    """
    One reading of what a store has for a tenant.

    @ivar children: the names of its tenants, also of those of which something is wrong.
    """

    def __init__(
        self, store: IConfigStore, checks: Checks, tenant: str, kinds: Kinds, old: Config | None = None
    ) -> None:
        super().__init__({**OWN_CHECKS, **checks, "via": self._checkWay})
        self.children: list[str] = []
        self._store = store
        self._tenant = tenant
        self._kinds = kinds
        self._old = old
        self._checkHops = checks.get("hops")
        self._dials = set(store.names(tenant, "dial"))
        self._dialsWhole = not IDiagnosed.providedBy(store) or IDiagnosed(store).isWhole(tenant, "dial")
        self._origins: dict[tuple[str, str], str] = {}
        self._given: dict[str, Section] = {}
        self._mesh: dict[tuple[str, str], Section] = {}

    def config(self) -> Config:
        """
        Read every kind; what is wrong is left out, and told in C{mistakes}.
        """
        sections = {kind: dict(self._sections(kind)) for kind in self._kinds}
        modules = {
            (kind, name): section
            for kind in sections.keys() & self._kinds.modules
            for name, section in sections[kind].items()
        }
        self.mistakes += meshMistakes(sections["nodes"], sections["serve"], self._mesh)
        return Config(
            _frozen(sections["listen"]),
            _frozen(sections["dial"]),
            tuple(sections["routes"].values()),
            sections["policy"].get(ONLY, _POLICY),
            sections["node"].get(ONLY, _NODE),
            _frozen(sections["tenants"]),
            _frozen(modules),
            _frozen(self._given),
            _frozen(self._origins),
            sections["identity"].get(ONLY, _IDENTITY),
            sections["trust"].get(ONLY, _TRUST),
            _frozen(sections["nodes"]),
            _frozen(sections["serve"]),
        )

    def _sections(self, kind: str) -> Iterator[tuple[str, Any]]:
        order = self._kinds[kind].order
        names = self._store.names(self._tenant, kind)
        if kind == "tenants" and self._old is not None:
            names = yield from self._same(names, self._old)
        for index, name in enumerate(names):
            section = asSection(self._store.section(self._tenant, kind, name), kind, name)
            key = str(index) if order is Order.LISTED else name
            self._origins[kind, key] = str(section.place)
            isGood = order is not Order.NAMED or self._checkName(kind, name, section)
            if isGood and kind == "tenants":
                self.children.append(name)
                self._given[name] = section
            if kind in ("nodes", "serve"):
                self._mesh[kind, name] = section
            path = f"{kind}.{name}" if order is Order.NAMED else kind
            value = self._section(section, kind, path)
            if kind == "node" and self._tenant != ROOT:
                message = (
                    f"node is of {self._tenant}, but holds for the whole process; wanted it of {ROOT} only"
                )
                self.mistakes.append(Mistake(section.place, message))
            if value is not BAD:
                yield name, value

    def _same(self, names: list[str], old: Config) -> Generator[tuple[str, Any], None, list[str]]:
        """
        Take what tenants had of this one, where that is written as it was.

        @return: the names of the others.
        """
        others = []
        for name in names:
            section = old.given.get(name)
            if section is None or self._store.section(self._tenant, "tenants", name) is not section:
                others.append(name)
            else:
                self.children.append(name)
                self._given[name] = section
                self._origins["tenants", name] = old.origins["tenants", name]
                yield name, old.tenants[name]
        return others

    def _section(self, section: Section, kind: str, path: str) -> Any:
        value = self.read(section.written, self._kinds.wanted[kind], path)
        if kind == "routes":
            alone = self._deniesAlone(section.written)
            isGood = alone and value is not BAD
            if not isGood:
                return BAD
            return Route(_many(value.match), _many(value.via), value.reason, value.alpn)
        # A text alone stands for the one key that has to be there.
        return (
            self._kinds.types[kind](**{self._kinds[kind].short: value}) if isinstance(value, str) else value
        )

    def _deniesAlone(self, written: Written) -> bool:
        via = written.get("via") if isinstance(written, Table) else None
        ways = via.items if isinstance(via, Series) else ()
        for way in ways:
            if len(ways) > 1 and isinstance(way, Scalar) and way.text == DENY:
                self.complain(way, f"routes.via has {DENY!r} beside other ways; wanted it alone")
                return False
        return True

    def _checkName(self, kind: str, name: str, section: Section) -> bool:
        """
        Tell if a section cannot have its name.
        """
        path = f"{kind}.{name}"
        if not isName(name):
            message = f"{name!r} is no name for {kind}; wanted {NAME_SHAPE}"
        elif kind == "dial" and name in _OWN:
            message = f"{path}: {name!r} has a meaning of its own in routes; wanted another name"
        elif kind == "tenants" and not isTenantName(self._tenant, name):
            message = f"{path}: {name!r} is the node itself; wanted another name"
        elif kind == "tenants" and depth(self._tenant) >= MAX_DEPTH:
            message = f"{path}: more than {MAX_DEPTH} tenants in each other"
        else:
            return True
        self.mistakes.append(Mistake(section.place, message))
        return False

    def _checkWay(self, text: str) -> None:
        if text in _OWN:
            return
        if not isName(text):
            if self._checkHops is not None:
                self._checkHops(text)
        elif self._dialsWhole and text not in self._dials:
            known = {*self._dials, *_OWN}
            raise StringError(
                f"no dial section is named {text!r}; wanted a name in dial, hops such as socks:proxy:1080,"
                f" {DIRECT}, {MESH}, {DNS} or {DENY}{suggestion(text, known)}"
            )


def _frozen(section: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(section) if section else _EMPTY


def _many(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
