# -*- test-case-name: ugate.test.test_tenant -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What makes the parts of a tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from twisted.cred.portal import Portal

from ugate.errors import Denied
from ugate.interfaces import IDialer, IIdentity, ILimits, IPolicy, ITrust
from ugate.tenancy.nodes import Nodes
from ugate.tenancy.policy import RulesPolicy

if TYPE_CHECKING:
    from ugate.tenancy.tenant import Tenant


class Parts(Protocol):
    """
    What makes the parts of a tenant when they are first wanted.
    """

    def policyFor(self, tenant: Tenant) -> IPolicy:
        """
        Who may do what.
        """

    def portalFor(self, tenant: Tenant) -> Portal | None:
        """
        Who checks credentials.
        """

    def dialsFor(self, tenant: Tenant) -> Mapping[str, IDialer]:
        """
        The hops that C{dial:} names, each for one attempt.
        """

    def hopsFor(self, tenant: Tenant) -> Mapping[str, IDialer]:
        """
        The same with all attempts, and C{mesh}.
        """

    def dialerFor(self, tenant: Tenant) -> IDialer:
        """
        The routes.
        """

    def limitsFor(self, tenant: Tenant) -> ILimits | None:
        """
        How much it may have.
        """

    def identityFor(self, tenant: Tenant) -> IIdentity:
        """
        Who it is.
        """

    def trustFor(self, tenant: Tenant) -> ITrust:
        """
        Whom it believes.
        """

    def nodesFor(self, tenant: Tenant) -> Nodes:
        """
        The nodes of the mesh that it knows.
        """

    def meshFor(self, tenant: Tenant) -> IDialer:
        """
        What leads to these.
        """


class Given:
    """
    For a tenant that is told all of its parts.

    @since: ugate NEXT
    """

    def policyFor(self, tenant: Tenant) -> IPolicy:
        return RulesPolicy()

    def portalFor(self, tenant: Tenant) -> Portal | None:
        return None

    def dialsFor(self, tenant: Tenant) -> Mapping[str, IDialer]:
        return {}

    def hopsFor(self, tenant: Tenant) -> Mapping[str, IDialer]:
        return {}

    def dialerFor(self, tenant: Tenant) -> IDialer:
        raise Denied(tenant.name, "it has no routes")

    def limitsFor(self, tenant: Tenant) -> ILimits | None:
        return None

    def identityFor(self, tenant: Tenant) -> IIdentity:
        raise Denied(tenant.name, "it has no identity")

    def trustFor(self, tenant: Tenant) -> ITrust:
        raise Denied(tenant.name, "it trusts nobody")

    def nodesFor(self, tenant: Tenant) -> Nodes:
        return Nodes(tenant.reactor)

    def meshFor(self, tenant: Tenant) -> IDialer:
        raise Denied(tenant.name, "it knows no nodes")
