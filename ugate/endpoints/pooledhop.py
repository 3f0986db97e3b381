# -*- test-case-name: ugate.test.test_sshhop,ugate.test.test_h2connect -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What hops have in common to which the streams of a tenant share links.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.hops import Hop
from ugate.endpoints.pool import PoolLimits, SessionKey, SessionPool
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo


class PooledHop(ABC):
    """
    Most of an L{IDialer}: who provides that says for whom a link is, makes one, and explains it.

    @ivar pool: its links.
    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        hop: Hop,
        via: IDialer | IStreamClientEndpoint,
        pool: SessionPool | None = None,
    ) -> None:
        """
        @param reactor: that of a tenant, whose identity we have.
        @param hop: the server, who we are there, and who it has to be.
        @param via: what carries the connection there.
        @param pool: whose links it uses; L{None} for some of its own.
        """
        self._reactor = reactor
        self._hop = hop
        self._via = via
        self._timeout = DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout
        self.pool = SessionPool(reactor, PoolLimits(open=self._timeout)) if pool is None else pool
        self._dialer = self.pool.dialer(self._keyOf, self.link, hop.place)

    @abstractmethod
    def _keyOf(self, info: StreamInfo) -> SessionKey:
        """
        Whoever we are, to whom, for which tenant: no others share a link.
        """

    @abstractmethod
    def link(self, info: StreamInfo) -> Deferred[Any]:
        """
        A connection of its own.

        @return: the L{ugate.interfaces.ILink}; fails with L{Refused}.
        """

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the target, behind the server.

        @raise Refused: there is no target.
        """
        return self._dialer.endpointFor(info)

    def _explainVia(self, info: StreamInfo) -> list[str]:
        """
        The way to the server.
        """
        hop = self._hop
        if IDialer.providedBy(self._via):
            return self._via.explain(info.but(target=hop.target))
        return [f"connect to {hop.place} by {hop.via}"]
