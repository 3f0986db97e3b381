# -*- test-case-name: ugate.test.test_tenant -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose rules and routes hold: a tenant, of which the node itself is the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from zope.interface import implementer

from twisted.cred.portal import Portal

from ugate.errors import Denied
from ugate.interfaces import IDialer, IIdentity, ILimits, INode, IPolicy, ITenant, ITrust
from ugate.poll import Poll
from ugate.stream import UNIX, Principal, StreamInfo
from ugate.tenancy.addressnames import AddressNames
from ugate.tenancy.config.sections import ROOT, childPath
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.tenancy.listening import Sockets
from ugate.tenancy.match import normalHost
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.parts import Given, Parts
from ugate.tenancy.reactor import TenantReactor
from ugate.tenancy.tenantlinks import TenantLinks

__all__ = ["ROOT", "Around", "Parts", "Tenant"]

_UNPROVEN: Final = ("local", "open")
"""The methods of principals that have not logged in."""

_ASK: Final = "ask whoever runs this gateway for a range of addresses, or reach it by a proxy"


@dataclass(frozen=True, slots=True)
class Around:
    """
    What all tenants of a node have around them.

    @since: ugate NEXT
    """

    reactor: Any
    """The real reactor."""

    own: OwnListeners = field(default_factory=OwnListeners)
    """Where this process listens."""

    poll: Callable[[], Poll | None] = lambda: None
    """See L{TenantReactor}."""

    sockets: Sockets | None = None
    """See L{TenantReactor}."""

    node: Any = None
    """What C{INode(tenant)} gives."""


@implementer(ITenant)
class Tenant:
    """
    One tenant.  It stays the same object as long as there is a tenant of that path; what
    it consists of is changed by a reload, and made when it is first needed.

    @ivar name: its path.
    @ivar hosts: the names that were delegated to it: hosts, and suffixes with C{*.}.
    @ivar names: see L{ITenant}; whoever resolves names for it makes one.
    @ivar resolvers: those that run for it, the last of which is asked.
    @since: ugate NEXT
    """

    names: AddressNames | None = None

    def __init__(
        self,
        reactor: Any,
        policy: IPolicy | None = None,
        *,
        name: str = ROOT,
        parent: Tenant | None = None,
        portal: Portal | None = None,
        private: bool = True,
        handshake: float = 10.0,
        own: OwnListeners | None = None,
        around: Around | None = None,
        parts: Parts | None = None,
    ) -> None:
        """
        @param reactor: the real reactor; that of C{around} if there is one.
        @param policy: asked about each stream.
        @param name: its path, unique in the node.
        @param parent: who delegated to it.
        @param portal: checks credentials; L{None} when nobody can log in, or when C{parts} knows.
        @param private: whether clients of the root may reach private ranges.
        @param handshake: seconds that a client has to say what it wants.
        @param own: where this process listens, if there is no C{around}.
        @param around: what it has in common with others.
        @param parts: makes what is not given here.
        """
        self.name = name
        self.parent = parent
        self.children: dict[str, Tenant] = {}
        self.handshake = handshake
        self.hosts: tuple[str, ...] = ()
        self.resolvers: list[Any] = []
        if around is None:
            around = Around(reactor, OwnListeners() if own is None else own)
        self._around = around
        self._parts: Parts = Given() if parts is None else parts
        self._private = private
        self._ranges: Sequence[IPv4Network | IPv6Network] = ()
        self._byHost: dict[str, Tenant] = {}
        if policy is not None:
            self.policy = policy
        if portal is not None:
            self.portal = portal

    def __repr__(self) -> str:
        return f"<Tenant {self.name}>"

    def __conform__(self, interface: object) -> object | None:
        node: object = self._around.node
        return node if interface is INode else None

    @cached_property
    def policy(self) -> IPolicy:
        """
        See L{ITenant}.
        """
        return self._parts.policyFor(self)

    @cached_property
    def portal(self) -> Portal | None:
        """
        See L{ITenant}.
        """
        return self._parts.portalFor(self)

    @cached_property
    def dials(self) -> Mapping[str, IDialer]:
        """
        What C{hops} are made of: each for one attempt.
        """
        return self._parts.dialsFor(self)

    @cached_property
    def hops(self) -> Mapping[str, IDialer]:
        """
        See L{ITenant}.
        """
        return self._parts.hopsFor(self)

    @cached_property
    def dialer(self) -> IDialer:
        """
        See L{ITenant}.
        """
        return self._parts.dialerFor(self)

    @cached_property
    def limits(self) -> ILimits | None:
        """
        See L{ITenant}.
        """
        return self._parts.limitsFor(self)

    @cached_property
    def identity(self) -> IIdentity:
        """
        See L{ITenant}.
        """
        return self._parts.identityFor(self)

    @cached_property
    def trust(self) -> ITrust:
        """
        See L{ITenant}.
        """
        return self._parts.trustFor(self)

    def certifying(self, name: str) -> str:
        """
        Which certificate answers for the name of a server, in words; empty if none is known to.  Nothing
        is made to see that.
        """
        return self._parts.certifying(self, name)

    @cached_property
    def nodes(self) -> Nodes:
        """
        See L{ITenant}.
        """
        return self._parts.nodesFor(self)

    @cached_property
    def links(self) -> TenantLinks:
        """
        Those that its streams share.
        """
        return TenantLinks()

    @cached_property
    def mesh(self) -> IDialer:
        """
        What leads to these nodes.
        """
        return self._parts.meshFor(self)

    @cached_property
    def egress(self) -> Egress:
        """
        Where its clients may be carried to.
        """
        if self.parent is None:
            return Egress(self._around.own, self._private, paths=True)
        return Egress(self._around.own, False, self._ranges if self._private else (), _ASK)

    @cached_property
    def hopEgress(self) -> Egress:
        """
        Where its own hops may be.
        """
        if self.parent is None:
            return Egress(self._around.own, True, paths=True)
        return Egress(self._around.own, False, self._ranges, _ASK)

    @cached_property
    def learnedEgress(self) -> Egress:
        """
        Where nodes may be by what the network says: as for hops, but not on this machine.
        """
        if self.parent is None:
            return Egress(self._around.own, True, loopback=False, zones=True)
        return Egress(self._around.own, False, self._ranges, _ASK, loopback=False)

    @cached_property
    def reactor(self) -> Any:
        """
        For what its clients ask for: all egress rules hold.
        """
        return self._reactor(self.egress, lambda: self.resolver)

    @cached_property
    def hopReactor(self) -> Any:
        """
        For the hops of its own config: those of the root may be in private ranges.
        """
        return self._reactor(self.hopEgress)

    @cached_property
    def learnedReactor(self) -> Any:
        """
        For nodes where the network says that they are.
        """
        return self._reactor(self.learnedEgress)

    @property
    def resolver(self) -> Any:
        """
        What looks up the targets of its streams, if not the system.
        """
        return next((each.lookups for each in reversed(self.resolvers) if each.lookups is not None), None)

    @property
    def systemResolver(self) -> Any:
        """
        What looks up names that no resolver of ours does.
        """
        return self._around.reactor.nameResolver

    def _reactor(self, egress: Egress, resolver: Callable[[], Any] = lambda: None) -> TenantReactor:
        around = self._around
        return TenantReactor(around.reactor, self, egress, around.poll, around.sockets, resolver)

    def bound(self, private: bool, ranges: Sequence[IPv4Network | IPv6Network]) -> None:
        """
        Let it reach other addresses than before, with whatever it has made already.

        @param private: whether its clients may reach private addresses at all.
        @param ranges: for a tenant that is not the root: those that it may.
        """
        self._private = private
        self._ranges = ranges
        for name in ("egress", "hopEgress", "learnedEgress"):
            made = self.__dict__.pop(name, None)
            if made is not None:
                now: Egress = getattr(self, name)
                made.private, made.ranges = now.private, now.ranges
                # Reactors hold on to the one that they have.
                self.__dict__[name] = made

    def bounds(self) -> tuple[bool, Sequence[IPv4Network | IPv6Network]]:
        """
        What L{bound} was called with last.
        """
        return self._private, self._ranges

    def answerTo(self, hosts: Iterable[str]) -> None:
        """
        Let it have other names than before.
        """
        parent = self.parent
        assert parent is not None
        for host in self.hosts:
            if parent._byHost.get(host) is self:
                del parent._byHost[host]
        self.hosts = tuple(map(normalHost, hosts))
        for host in self.hosts:
            parent._byHost[host] = self

    def ownerOf(self, host: str) -> Tenant | None:
        """
        Which child a name or a suffix was delegated to.
        """
        return self._byHost.get(normalHost(host))

    def tenantFor(self, info: StreamInfo) -> Tenant:
        """
        See L{ITenant.tenantFor}: by who has logged in, or else by the name that is asked for.

        @raise Denied: who has logged in belongs to a tenant that is gone.
        """
        principal = info.principal
        if principal is None:
            return self
        if principal.method not in _UNPROVEN:
            return self if principal.tenant == self.name else self._tenantOf(principal, info)
        if not self._byHost:
            return self
        target = info.target
        isHost = target is not None and target.network != UNIX
        host = info.hints.get("sni") or (target.host if isHost else "")  # type: ignore[union-attr]
        found: Tenant = self
        if host:
            host = normalHost(host)
            while found._byHost:
                below = found._named(host)
                if below is None:
                    break
                found = below
        return found

    def _tenantOf(self, principal: Principal, info: StreamInfo) -> Tenant:
        path = principal.tenant
        prefix = "" if self.name == ROOT else f"{self.name}/"
        if not path.startswith(prefix) or path == ROOT:
            return self
        found = self
        for name in path[len(prefix) :].split("/"):
            below = found.children.get(name)
            if below is None:
                # Nobody of one tenant becomes somebody of another because that is gone.
                raise Denied(str(info), f"there is no tenant {path}", "see the section tenants of the config")
            found = below
        return found

    def _named(self, host: str) -> Tenant | None:
        """
        Whose child a name was delegated to.
        """
        byHost = self._byHost
        found = byHost.get(host)
        dot = host.find(".")
        while found is None and dot >= 0:
            found = byHost.get(f"*{host[dot:]}")
            dot = host.find(".", dot + 1)
        return found

    def add(self, child: Tenant) -> None:
        """
        It has one more tenant.
        """
        self.children[child.name.rpartition("/")[2]] = child

    def remove(self, child: Tenant) -> None:
        """
        It has that tenant no more; what runs for it goes on.
        """
        name = child.name.rpartition("/")[2]
        if self.children.get(name) is child:
            del self.children[name]
        for host in child.hosts:
            if self._byHost.get(host) is child:
                del self._byHost[host]

    def pathOf(self, name: str) -> str:
        """
        The path of a child.
        """
        return childPath(self.name, name)
