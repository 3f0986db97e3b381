# -*- test-case-name: ugate.test.test_dnsflows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The way that is called C{dns}: to the resolver that a tenant has at that moment.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDialer
from ugate.stream import TCP, UDP, StreamInfo


@implementer(IDialer)
class ResolverWay:
    """
    The dialer of a tenant that leads to its resolver.

    @since: ugate NEXT
    """

    networks = TCP, UDP

    def __init__(self, tenant: Any) -> None:
        self._tenant = tenant

    def _way(self, info: StreamInfo) -> IDialer:
        resolvers = self._tenant.resolvers
        if not resolvers:
            detail = f"the tenant {self._tenant.name} has no resolver"
            step = "add a section dns, or lead these streams elsewhere"
            raise Refused(Cause.UNSUPPORTED, Phase.RESOLVE, str(info.target), detail, step)
        way: IDialer = resolvers[-1].asked
        return way

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}.

        @raise Refused: there is none.
        """
        return self._way(info).endpointFor(info)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        try:
            return self._way(info).explain(info)
        except Refused as refused:
            return [str(refused)]
