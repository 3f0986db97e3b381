# -*- test-case-name: ugate.test.test_tenants,ugate.test.test_tenants_ports -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The tenants of a node, as the configuration has them.

They are changed by difference: what did not change stays the same object.  The parts
of a tenant (its policy, its dialers, who checks its passwords) are made to see
whether they can be, and kept only where they are in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from ugate.endpoints.chain import parseChain
from ugate.errors import UgateError
from ugate.hoppools import drainGone, poolsOf
from ugate.journal import Journal
from ugate.poll import Poll
from ugate.tenancy.config.mesh import nodesFrom, publishersFrom
from ugate.tenancy.config.schema import Delegation, Node
from ugate.tenancy.config.sections import ROOT, childPath, parentPath
from ugate.tenancy.config.whole import MESH, Config
from ugate.tenancy.egress import OwnListeners
from ugate.tenancy.portal import hasCredentials
from ugate.tenancy.tenant import Around, Tenant
from ugate.tenancy.usage import Usage
from ugate.tenantparts import TenantParts, delegated

_ROUTING: Final = ("dials", "hops", "dialer")
_MESH: Final = ("nodes", "mesh", "learnedReactor", "learnedEgress")
_PARTS: Final = ("policy", "portal", "reactor", "hopReactor", "egress", "hopEgress", *_ROUTING, *_MESH)
_CREDENTIALS: Final = ("users", "tokens", "issuers", "keys", "revoked", "certificates")


class Tenants(TenantParts):
    """
    All tenants of a node; they ask it for their parts.

    @ivar configs: what each is configured to do, by path; parents before children.
    @ivar tenants: the same of the tenants themselves.
    @ivar logins: the paths of those that somebody could log in to, be it for one below.
    @ivar usage: what each has used in this month.
    @since: ugate NEXT
    """

    @property
    def root(self) -> Tenant:
        """
        The node itself.
        """
        return self.tenants[ROOT]

    def touched(self, configs: Mapping[str, Config]) -> list[str]:
        """
        The tenants of which another configuration has something different: parents
        before children, and in the end those that it does not have.
        """
        before = self.configs
        touched = list(_touched(before, configs))
        gone = [path for path in before if path not in configs]
        flipped = {
            path
            for path in (*touched, *gone)
            if _hasLogins(before.get(path)) != _hasLogins(configs.get(path))
        }
        above = {each for path in flipped for each in _above(path)} & configs.keys()
        if not above.issubset(touched):
            wanted = above.union(touched)
            touched = [path for path in configs if path in wanted]
        return [*touched, *gone]

    def change(
        self, configs: Mapping[str, Config], touched: Iterable[str], journal: Journal
    ) -> Iterator[tuple[str, UgateError]]:
        """
        Let the tenants be as another configuration has them.  Those that go are left to
        L{gone}, since streams of theirs may go on.

        @param touched: see there.
        @param journal: what takes it all back.
        @return: what is wrong with it, each with the tenant that it is wrong with.
        """
        before, logins = self.configs, self.logins
        touched = list(touched)
        journal.set(self, "configs", configs)
        if any(_hasLogins(before.get(path)) != _hasLogins(configs.get(path)) for path in touched):
            having = {path for path, config in configs.items() if _hasLogins(config)}
            journal.set(self, "logins", frozenset(having.union(*map(_above, having))))
        for path in touched:
            if path not in configs:
                continue
            config, old = configs[path], before.get(path)
            try:
                tenant = self.tenants.get(path)
                if tenant is None or old is None:
                    self._added(path, config, journal)
                else:
                    self._changed(tenant, old, config, delegated(before, path), before[ROOT].node, journal)
                    if (path in logins) != (path in self.logins):
                        self._anew(tenant, ("portal",), journal)
            except UgateError as error:
                yield path, error

    def gone(self, configs: Mapping[str, Config]) -> list[Tenant]:
        """
        Those that a configuration does not have.
        """
        return [tenant for path, tenant in self.tenants.items() if path not in configs]

    def remove(self, tenant: Tenant) -> None:
        """
        That one is no more.
        """
        del self.tenants[tenant.name]
        mesh: Any = vars(tenant).get("mesh")
        if mesh is not None:
            mesh.drain()
        tenant.links.drain()
        identity: Any = vars(tenant).get("identity")
        if identity is not None:
            identity.stop()
        if tenant.parent is not None:
            tenant.parent.remove(tenant)

    def stop(self) -> None:
        """
        Forget all timers, and links.
        """
        for tenant in self.tenants.values():
            tenant.links.stop("this gateway is being stopped")
            for name in ("mesh", "limits", "identity"):
                part: Any = vars(tenant).get(name)
                if part is not None:
                    part.stop()

    def _added(self, path: str, config: Config, journal: Journal) -> None:
        above = parentPath(path)
        parent = None if above is None else self.tenants[above]
        handshake = self.settings.handshake
        tenant = Tenant(
            self.around.reactor, name=path, parent=parent, handshake=handshake, around=self.around, parts=self
        )
        journal.put(self.tenants, path, tenant)
        if parent is not None:
            parent.add(tenant)
            journal.did(lambda: parent.remove(tenant))
            self._answer(tenant, self.delegation(path).hosts, journal)
        tenant.bound(config.policy.private == "allow", _networks(self.delegation(path).ranges))
        self._probe(tenant, config, path != ROOT)

    def _probe(self, tenant: Tenant, config: Config, forget: bool) -> None:
        """
        See whether its parts can be made.

        @param forget: whether to make them again when they are needed.
        """
        if config.policy.rules or not forget:
            assert tenant.policy is not None
        if config.dial or config.routes or not forget:
            assert tenant.dialer is not None and tenant.hops is not None
        if config.identity.isGiven:
            self.sourceFor(tenant.name).load()
        if hasCredentials(config.policy):
            assert tenant.portal is not None
        if forget:
            for name in _PARTS:
                vars(tenant).pop(name, None)

    def _answer(self, tenant: Tenant, hosts: Sequence[str], journal: Journal) -> None:
        before = tenant.hosts
        parent = tenant.parent
        assert parent is not None
        others = {host: parent.ownerOf(host) for host in hosts}
        tenant.answerTo(hosts)

        def undo() -> None:
            tenant.answerTo(before)
            for host, owner in others.items():
                if owner is not None and owner is not tenant:
                    owner.answerTo({*owner.hosts, host})

        journal.did(undo)

    def _changed(
        self, tenant: Tenant, old: Config, config: Config, had: Delegation, node: Node, journal: Journal
    ) -> None:
        has, settings = self.delegation(tenant.name), self.settings
        if had.hosts != has.hosts:
            self._answer(tenant, has.hosts, journal)
        bounds = config.policy.private == "allow", _networks(has.ranges)
        if tenant.bounds() != bounds:
            before = tenant.bounds()
            tenant.bound(*bounds)
            journal.did(lambda: tenant.bound(*before))
            self._retire(tenant)
        if settings.handshake != tenant.handshake:
            journal.set(tenant, "handshake", settings.handshake)
        if (old.policy.rules, bool(old.serve)) != (config.policy.rules, bool(config.serve)):
            self._anew(tenant, ("policy",), journal)
        if any(getattr(old.policy, each) != getattr(config.policy, each) for each in _CREDENTIALS):
            self._anew(tenant, ("portal",), journal)
        if old.nodes != config.nodes and "nodes" in vars(tenant):
            journal.did(tenant.nodes.change(nodesFrom(config.nodes), publishersFrom(config.nodes)))
            journal.later(lambda: self._redial(tenant))
        routing = config.dial, config.routes, config.serve, settings.connect
        if (old.dial, old.routes, old.serve, node.connect) != routing:
            self._reroute(tenant, old, config, journal)
        if (old.identity, old.trust) != (config.identity, config.trust):
            self._identify(tenant, old, config, journal)
        if had.limits != has.limits:
            self._limit(tenant, has, journal)

    def _anew(self, tenant: Tenant, names: Sequence[str], journal: Journal) -> None:
        """
        Make parts of a tenant again, and keep those that are in use.
        """
        made = vars(tenant)
        before = set(made)
        unused = [name for name in names if name not in made]
        for name in names:
            journal.clear(tenant, name)
            journal.did(partial(made.pop, name, None))
        for name in names:
            getattr(tenant, name)
        for name in unused if len(unused) < len(names) else set(made) - before:
            # With nothing in use, nor are the reactors that were made for it.
            made.pop(name, None)

    def _reroute(self, tenant: Tenant, old: Config, config: Config, journal: Journal) -> None:
        """
        Other hops and routes; hops that are as they were stay, with what is open there.
        """
        dials, hops = (vars(tenant).get(name) for name in ("dials", "hops"))
        had = poolsOf(tenant)
        journal.later(lambda: drainGone(had, tenant))
        if dials is None or hops is None:
            self._anew(tenant, _ROUTING, journal)
            return
        if old.dial != config.dial:
            same = _untouched(old, config)
            keptHops = {
                name: hops[name] for name in same if name in hops and old.dial[name] == config.dial[name]
            }
            keptDials = {name: dials[name] for name in same if name in dials}
            journal.set(tenant, "dials", self.dialsFor(tenant, keptDials))
            journal.set(tenant, "hops", self.hopsFor(tenant, keptHops))
        self._anew(tenant, ("dialer",), journal)

    def _identify(self, tenant: Tenant, old: Config, config: Config, journal: Journal) -> None:
        """
        Another key, or others to believe; whoever has these goes on with the same objects.
        """
        made: Mapping[str, Any] = vars(tenant)
        identity, trust = made.get("identity"), made.get("trust")
        if old.identity != config.identity:
            if identity is not None:
                journal.did(identity.change(self.sourceFor(tenant.name)))
                journal.did(identity.serve(self.serversFor(tenant.name, identity.servers)))
            elif config.identity.isGiven:
                self.sourceFor(tenant.name).load()
        if trust is not None:
            journal.did(trust.change(config.trust, self.rootsFor(tenant), self.crlFor(tenant)))
        self._retire(tenant)

    def _redial(self, tenant: Tenant) -> None:
        """
        Nodes that have dialed in have to ask anew for what they want; of what users publish, that which they
        may not any more is gone.
        """
        mesh: Any = vars(tenant).get("mesh")
        if mesh is not None:
            mesh.registry.retire()
            mesh.forwards.look()

    def _retire(self, tenant: Tenant) -> None:
        """
        Whoever is at the other end of a link has to be believed anew, before another stream goes there.
        """
        mesh: Any = vars(tenant).get("mesh")
        if mesh is not None:
            mesh.retire(tenant.name)
        tenant.links.drain()

    def _limit(self, tenant: Tenant, has: Delegation, journal: Journal) -> None:
        """
        Other limits; what is counted stays so.
        """
        limits: Any = vars(tenant).get("limits")
        if limits is not None:
            journal.later(lambda: limits.change(has.limits))


def _touched(before: Mapping[str, Config], after: Mapping[str, Config]) -> Iterator[str]:
    """
    The tenants that need a look: parents before children.
    """
    old, new = before.get(ROOT), after[ROOT]
    if old is None or (old.node.connect, old.node.handshake) != (new.node.connect, new.node.handshake):
        yield from after
        return
    delegated: set[str] = set()
    for path, config in after.items():
        was = before.get(path)
        if was is not None and path not in delegated and (was is config or was == config):
            continue
        yield path
        if was is not None and was.tenants is not config.tenants:
            delegated.update(
                childPath(path, name)
                for name, has in config.tenants.items()
                if was.tenants.get(name) is not has and was.tenants.get(name) != has
            )


def _untouched(old: Config, config: Config) -> set[str]:
    """
    The hops that are written as they were, and so are all that they are made of.
    """
    same = {
        name for name, dial in config.dial.items() if name in old.dial and old.dial[name].hops == dial.hops
    }
    bases = {name: parseChain(config.dial[name].hops).base for name in same}
    while True:
        broken = {name for name in same if bases[name] and bases[name] not in {*same, MESH}}
        if not broken:
            return same
        same -= broken


def _hasLogins(config: Config | None) -> bool:
    return config is not None and hasCredentials(config.policy)


def _above(path: str) -> list[str]:
    """
    All tenants that one is within.
    """
    found = []
    above = parentPath(path)
    while above is not None:
        found.append(above)
        above = parentPath(above)
    return found


def _networks(texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, texts))


def tenantsFrom(
    around: Around,
    configs: Mapping[str, Config],
    usage: Usage | None = None,
    usedUp: Callable[[str], object] = lambda path: None,
) -> Tenants:
    """
    The tenants of a configuration.

    @raise UgateError: one of them cannot be made; the message says why, and where it is.
    """
    tenants = Tenants(around, usage, usedUp, configs[ROOT].node.state)
    for path, error in tenants.change(configs, list(configs), Journal()):
        if path == ROOT:
            raise error
        raise type(error)(f"tenant {path}: {error}") from error
    return tenants


def tenantFrom(
    reactor: Any, config: Config, own: OwnListeners, poll: Callable[[], Poll | None] = lambda: None
) -> Tenant:
    """
    The root tenant of a config.

    @param reactor: the real one.
    @param own: where this process listens.
    @param poll: see L{Around}.
    @raise UgateError: a hop or a route cannot be made; the message says which, and where it is.
    """
    return tenantsFrom(Around(reactor, own, poll), {ROOT: config}).root
