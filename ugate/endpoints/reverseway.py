# -*- test-case-name: ugate.test.test_linked,ugate.test.test_remoteforward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners that dial out to the end of a chain of hops, as who the tenant is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger

from ugate.endpoints.chain import Chain
from ugate.endpoints.dialing import carrierFromChain
from ugate.endpoints.reverse import ReverseServerEndpoint
from ugate.errors import Cause, ListenRefused, Phase, Refused, UgateError
from ugate.interfaces import IDialer, ITenant


class ReverseWayEndpoint(ReverseServerEndpoint, ABC):
    """
    Keeps links to the last hop of a chain.

    @cvar kind: what it is called in strings.
    @ivar asks: that streams say where they want to go.
    @ivar certifies: that the peer proves who it is.
    @ivar hop: the peer.
    @since: ugate NEXT
    """

    log = Logger()
    asks = certifies = True
    kind: ClassVar[str]

    def __init__(self, reactor: Any, way: Chain, **more: Any) -> None:
        """
        @param reactor: that of a tenant, which has an identity.
        @param way: to the peer.
        @param more: see L{ReverseServerEndpoint}.
        """
        super().__init__(reactor, self._link, **more)
        self._way = way
        self.hop = way.hops[-1]
        self.place = f"{self.kind}:{self.hop.target}"

    @abstractmethod
    def _link(self) -> Deferred[Any]:
        """
        Make one.
        """

    def _carrier(self) -> IDialer | IStreamClientEndpoint:
        """
        What leads to the peer; the hops of the config may be others than they were.
        """
        tenant: Any = ITenant(self.clock)
        try:
            return carrierFromChain(getattr(tenant, "hopReactor", self.clock), self._way, tenant.hops)
        except ValueError as error:
            step = "see the section dial of the config"
            raise Refused(Cause.UNSUPPORTED, Phase.CONNECT, self.place, str(error), step) from error

    def _check(self, tenant: ITenant) -> None:
        """
        See whether the files of the tenant are good: what is wrong with them is told when it listens.

        @raise UgateError: they are not.
        """
        tenant.identity.keyid  # noqa: B018

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: fires at once with what listens, whether the peer is there or not; fails with
            L{ListenRefused} if there is no good identity.
        """
        tenant = ITenant(self.clock, None)
        if tenant is None:
            why = f"{self.kind}: has no identity here: put it into the config of a gateway"
            return fail(ListenRefused(why))
        try:
            self._check(tenant)
            self._carrier()
        except UgateError as error:
            return fail(ListenRefused(f"{self.kind}: {error}"))
        return super().listen(factory)
