# -*- test-case-name: ugate.test.test_tenants,ugate.test.test_node_tenant -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a tenant consists of, from its configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.cred.portal import Portal

from ugate.endpoints.dialers import Deny, Retry
from ugate.endpoints.dialing import dialerFromText, dialersFromTexts
from ugate.endpoints.direct import Direct, Unrouted
from ugate.endpoints.mesh import Mesh
from ugate.endpoints.services import Services
from ugate.errors import StringError
from ugate.interfaces import IDialer, IIdentity, ILimits, IPolicy, ITrust
from ugate.meshroutes import MeshRoutes
from ugate.resolverway import ResolverWay
from ugate.tenancy.config.mesh import nodesFrom, publishersFrom
from ugate.tenancy.config.schema import Delegation, Node
from ugate.tenancy.config.sections import ROOT, parentPath
from ugate.tenancy.config.whole import DENY, DIRECT, DNS, MESH, Config
from ugate.tenancy.limits import TenantLimits
from ugate.tenancy.match import parseMatch
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.ownnames import OneNamePolicy, OwnNames
from ugate.tenancy.passwords import inThreadsOf
from ugate.tenancy.policy import RulesPolicy
from ugate.tenancy.policyrules import rulesFrom
from ugate.tenancy.portal import portalFrom
from ugate.tenancy.routes import Routes, Rule
from ugate.tenancy.tenant import Around, Tenant
from ugate.tenancy.turns import Turns
from ugate.tenancy.usage import Usage

if TYPE_CHECKING:
    from ugate.tenancy.identityfiles import Files
    from ugate.tenancy.identityown import Own
    from ugate.tenancy.servercertificates import ServerCertificates

_WHOLE: Final = Delegation()
_ANY: Final = parseMatch("*")


class TenantParts:
    """
    Makes the parts of tenants when they ask for them: see L{ugate.tenancy.tenant.Parts}.

    @ivar configs: what each is configured to do, by path; parents before children.
    @ivar tenants: the same of the tenants themselves.
    @ivar logins: the paths of those that somebody could log in to, be it for one below.
    @ivar usage: what each has used in this month.
    @since: ugate NEXT
    """

    def __init__(
        self,
        around: Around,
        usage: Usage | None = None,
        usedUp: Callable[[str], object] = lambda path: None,
        state: str = "",
    ) -> None:
        """
        @param around: what all of them have around them.
        @param usage: see there; forgotten at the end unless given.
        @param usedUp: called with the path of a tenant that has used up its month.
        @param state: C{node.state} of the start: keys do not go elsewhere while we run.
        """
        self.around = around
        self.usage = Usage() if usage is None else usage
        self.state = state
        self.logins: frozenset[str] = frozenset()
        self._usedUp = lambda limits: usedUp(limits.path)
        self._turns: Turns | None = None
        self.configs: Mapping[str, Config] = {}
        self.tenants: dict[str, Tenant] = {}

    @property
    def settings(self) -> Node:
        """
        What holds for the whole process.
        """
        return self.configs[ROOT].node

    def delegation(self, path: str) -> Delegation:
        """
        What a tenant has of its parent.
        """
        return delegated(self.configs, path)

    def policyFor(self, tenant: Tenant) -> IPolicy:
        """
        See L{ugate.tenancy.tenant.Parts}.
        """
        config = self.configs[tenant.name]
        policy = RulesPolicy(rulesFrom(config.policy.rules), tenant.name)
        return OneNamePolicy(policy, self._ownNames(tenant)) if config.serve else policy

    def portalFor(self, tenant: Tenant) -> Portal | None:
        """
        See L{ugate.tenancy.tenant.Parts}.

        @raise ConfigError: a file cannot be used, and why.
        """
        path = tenant.name
        if path not in self.logins:
            return None
        if self._turns is None:
            self._turns = Turns(inThreadsOf(self.around.reactor))
        policy = self.configs[path].policy
        return portalFrom(self.around.reactor, policy, path, self._portalOf, always=True, defer=self._turns)

    def _portalOf(self, path: str) -> Portal | None:
        tenant = self.tenants.get(path)
        return None if tenant is None else tenant.portal

    def dialsFor(self, tenant: Tenant, kept: Mapping[str, IDialer] | None = None) -> Mapping[str, IDialer]:
        """
        See L{ugate.tenancy.tenant.Parts}.

        @param kept: those that are there already.
        @raise StringError: a hop cannot be made; the message says which, and where it is.
        """
        config = self.configs[tenant.name]
        if not config.dial:
            return {}
        try:
            texts = {name: dial.hops for name, dial in config.dial.items()}
            return dialersFromTexts(tenant.hopReactor, texts, {**(kept or {}), MESH: tenant.mesh})
        except StringError as error:
            # It begins with the name.
            place = config.origins.get(("dial", str(error).partition(":")[0]))
            raise error if place is None else StringError(f"{place}: dial.{error}") from error

    def hopsFor(self, tenant: Tenant, kept: Mapping[str, IDialer] | None = None) -> Mapping[str, IDialer]:
        """
        See L{ugate.tenancy.tenant.Parts}.
        """
        reactor, kept = self.around.reactor, kept or {}
        config = self.configs[tenant.name].dial
        hops = {
            name: kept.get(name)
            or Retry(reactor, dialer, config[name].retries + 1, timeout=config[name].timeout)
            for name, dialer in tenant.dials.items()
        }
        return {MESH: tenant.mesh, DNS: ResolverWay(tenant), **hops}

    def dialerFor(self, tenant: Tenant) -> IDialer:
        """
        See L{ugate.tenancy.tenant.Parts}.

        @raise StringError: a route cannot be made; the message says where it is.
        """
        config = self.configs[tenant.name]
        direct = Direct(tenant.reactor, self.settings.connect)
        rules = []
        for number, route in enumerate(config.routes):
            try:
                dialer = _way(tenant, route.via, route.reason, direct)
            except StringError as error:
                place = config.origins.get(("routes", str(number)), f"route {number + 1}")
                raise StringError(f"{place}: routes.via: {error}") from error
            via, alpn = ", ".join(route.via), frozenset(route.alpn)
            rules += [Rule(parseMatch(match), dialer, via, alpn=alpn) for match in route.match]
        if not any(rule.match == _ANY and not rule.alpn for rule in rules):
            unrouted = Unrouted(tenant.reactor, self.settings.connect)
            rules.append(Rule(_ANY, unrouted, DIRECT, "since no route says otherwise", isImplied=True))
        return Routes(rules, self._unwritten(tenant, config, direct))

    def _unwritten(self, tenant: Tenant, config: Config, direct: Direct) -> MeshRoutes:
        # The operator wrote where services are: they may be on this machine.
        reach = Direct(tenant.hopReactor, self.settings.connect) if config.serve else direct
        served = {(each.target.network, each.at): (name, each.target) for name, each in config.serve.items()}
        services = Services(reach, served)
        return MeshRoutes(self._ownNames(tenant), services, tenant.nodes, tenant.mesh, direct)

    def _ownNames(self, tenant: Tenant) -> OwnNames:
        return OwnNames(tenant, bool(self.configs[tenant.name].serve))

    def nodesFor(self, tenant: Tenant) -> Nodes:
        """
        See L{ugate.tenancy.tenant.Parts}.
        """
        peers = self.configs[tenant.name].nodes
        return Nodes(self.around.reactor, nodesFrom(peers), publishersFrom(peers))

    def meshFor(self, tenant: Tenant) -> Mesh:
        """
        See L{ugate.tenancy.tenant.Parts}.
        """
        return Mesh(tenant)

    def limitsFor(self, tenant: Tenant) -> ILimits | None:
        """
        See L{ugate.tenancy.tenant.Parts}: the root has those of the node alone.
        """
        parent = tenant.parent
        if parent is None:
            return None
        above: Any = parent.limits
        section = self.delegation(tenant.name).limits
        limits: Any = TenantLimits(
            self.around.reactor, section, above, path=tenant.name, usage=self.usage, usedUp=self._usedUp
        )
        return limits  # type: ignore[no-any-return]

    def identityFor(self, tenant: Tenant) -> IIdentity:
        """
        See L{ugate.tenancy.tenant.Parts}.
        """
        from ugate.tenancy.identity import Identity

        path = tenant.name
        return Identity(self.sourceFor(path), self.around.reactor, path, servers=self.serversFor(path, None))

    def serversFor(self, path: str, kept: ServerCertificates | None) -> ServerCertificates | None:
        """
        The certificates that a tenant has for the names of servers.

        @param kept: those that it has now.
        """
        folder = self.configs[path].identity.servers
        if folder is None or (kept is not None and kept.folder == folder):
            return None if folder is None else kept
        from ugate.tenancy.servercertificates import ServerCertificates

        return ServerCertificates(folder, path)

    def sourceFor(self, path: str) -> Files | Own:
        """
        Where the identity of a tenant comes from.
        """
        section = self.configs[path].identity
        if section.isGiven:
            from ugate.tenancy.identityfiles import Files

            return Files(section)
        from ugate.tenancy.identityown import Own

        if section.ca is not None:
            from ugate.tenancy.identityenrolled import Enrolled

            return Enrolled(self.stateOf(path), section)
        return Own(self.stateOf(path), section)

    def stateOf(self, path: str) -> str:
        """
        The folder for what a tenant has that outlives the process.
        """
        from ugate.tenancy.statefolder import folderOf, stateFolder

        return folderOf(stateFolder(self.state), path)

    def rootsFor(self, tenant: Tenant) -> Callable[[], Any] | None:
        """
        The identity of a tenant, if it may come with roots; nothing is made just to see that it has none.
        """
        section = self.configs[tenant.name].identity
        comes = section.isGiven or section.roots is not None or section.ca is not None
        return (lambda: tenant.identity) if comes else None

    def crlFor(self, tenant: Tenant) -> str | None:
        """
        Where the list of revocations is that the CA of a tenant gives out, if it has one.
        """
        if self.configs[tenant.name].identity.ca is None:
            return None
        from ugate.tenancy.identityenrolled import crlIn

        return crlIn(self.stateOf(tenant.name))

    def certifying(self, tenant: Tenant, name: str) -> str:
        """
        See L{ugate.tenancy.tenant.Parts}.

        @raise UgateError: the identity cannot be used.
        """
        identity: Any = vars(tenant).get("identity")
        if identity is None and self.configs[tenant.name].identity.isGiven:
            identity = tenant.identity
        if identity is not None:
            words: str = identity.certifying(name)
            return words
        # A key of our own is not made just to see what its names would be.
        servers = self.serversFor(tenant.name, None)
        found = None if servers is None else servers.find(name)
        return "" if found is None else str(found)

    def trustFor(self, tenant: Tenant) -> ITrust:
        """
        See L{ugate.tenancy.tenant.Parts}.
        """
        from ugate.tenancy.trust import Trust

        section = self.configs[tenant.name].trust
        return Trust(section, tenant.name, self.rootsFor(tenant), crl=self.crlFor(tenant))


def _way(tenant: Tenant, via: Sequence[str], reason: str, direct: Direct) -> IDialer:
    if DENY in via:
        return Deny(reason) if reason else Deny()
    if via == (DIRECT,):
        return direct
    return dialerFromText(tenant.hopReactor, list(via), {**tenant.hops, DIRECT: direct})


def delegated(configs: Mapping[str, Config], path: str) -> Delegation:
    above = parentPath(path)
    if above is None:
        return _WHOLE
    return configs[above].tenants.get(path.rpartition("/")[2], _WHOLE)
