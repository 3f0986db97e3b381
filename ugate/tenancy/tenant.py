# -*- test-case-name: ugate.test.test_tenant -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose rules and routes hold: a tenant, of which the node itself is the root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from zope.interface import implementer

from twisted.cred.portal import Portal

from ugate.interfaces import IDialer, ILimits, IPolicy, ITenant
from ugate.stream import StreamInfo
from ugate.poll import Poll
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.tenancy.reactor import TenantReactor

ROOT: Final = "root"


@implementer(ITenant)
class Tenant:
    """
    One tenant.

    @ivar reactor: for what its clients ask for: all egress rules hold.
    @ivar hopReactor: for the hops of its own config, which may be in private ranges.
    @since: ugate NEXT
    """

    dialer: IDialer
    hops: Mapping[str, IDialer]

    def __init__(
        self,
        reactor: Any,
        policy: IPolicy,
        *,
        name: str = ROOT,
        portal: Portal | None = None,
        private: bool = True,
        own: OwnListeners | None = None,
        handshake: float = 10.0,
        poll: Callable[[], Poll | None] = lambda: None,
    ) -> None:
        """
        @param reactor: the real reactor.
        @param policy: asked about each stream.
        @param name: unique in the node.
        @param portal: checks credentials; L{None} when nobody can log in.
        @param private: whether clients may reach private ranges.
        @param own: where this process listens.
        @param handshake: seconds that a client has to say what it wants.
        @param poll: see L{TenantReactor}.
        """
        own = OwnListeners() if own is None else own
        self.name = name
        self.policy = policy
        self.portal = portal
        self.handshake = handshake
        self.reactor = TenantReactor(reactor, self, Egress(own, private), poll)
        self.hopReactor = TenantReactor(reactor, self, Egress(own, private=True), poll)
        self.hops = {}
        self.parent: ITenant | None = None
        self.children: dict[str, ITenant] = {}
        self.limits: ILimits | None = None

    def tenantFor(self, info: StreamInfo) -> ITenant:
        """
        See L{ITenant.tenantFor}.
        """
        return self
