# -*- test-case-name: ugate.test.test_reactor -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor that a tenant's code is handed.

Twisted passes the reactor through every nested endpoint string, so whatever is
made from one finds its tenant by C{ITenant(reactor)}, and every connection that
it makes passes the egress rules with its resolved address.
"""

from __future__ import annotations

from typing import Any, Final

from zope.interface import directlyProvides, providedBy

from twisted.internet.interfaces import IConnector

from ugate.interfaces import IEgress, ITenant
from ugate.tenancy.egress import Egress

_OFTEN: Final = ("seconds", "callLater", "addReader", "addWriter", "removeReader", "removeWriter")
"""What is called so often that looking it up twice would count."""


class TenantReactor:
    """
    A reactor with a tenant behind it; in all else the one it wraps.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, tenant: ITenant, egress: Egress) -> None:
        """
        @param reactor: the real one.
        @param tenant: what C{ITenant} of this reactor answers.
        @param egress: asked about each connection.
        """
        self._reactor = reactor
        self._tenant = tenant
        self._egress = egress
        self._connectTCP = reactor.connectTCP
        for name in _OFTEN:
            if hasattr(reactor, name):
                setattr(self, name, getattr(reactor, name))
        directlyProvides(self, providedBy(reactor))

    def __conform__(self, interface: object) -> object | None:
        if interface is IEgress:
            return self._egress
        return self._tenant if interface is ITenant else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> IConnector:
        """
        See L{twisted.internet.interfaces.IReactorTCP.connectTCP}.

        @raise ugate.errors.Denied: the egress rules forbid that address.
        """
        self._egress.check(host, port)
        connector: IConnector = self._connectTCP(host, port, factory, timeout, bindAddress)
        return connector
