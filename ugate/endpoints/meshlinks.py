# -*- test-case-name: ugate.test.test_meshlinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The links to nodes of the mesh that the streams of one tenant share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from ugate.endpoints.pool import LinkState, PoolLimits, SessionPool
from ugate.errors import UgateError
from ugate.interfaces import ITenant


class MeshLinks:
    """
    A pool for each reactor that dials them: a link to where only some streams may go is for these alone.

    @since: ugate NEXT
    """

    __slots__ = ("_isClosing", "_patience", "_pools", "_stops")

    def __init__(self, patience: float) -> None:
        """
        @param patience: seconds until a stream is answered.
        """
        self._patience = patience
        self._pools: dict[Any, SessionPool] = {}
        self._stops: list[Callable[[], None]] = []
        self._isClosing = False

    def poolFor(self, reactor: Any) -> SessionPool:
        """
        The one for what is dialed by a reactor.  When the identity of its tenant changes, new streams use
        new links.
        """
        pool = self._pools.get(reactor)
        if pool is not None:
            return pool
        pool = SessionPool(reactor, PoolLimits(open=self._patience))
        if self._isClosing:
            pool.stop()
            return pool
        tenant = ITenant(reactor, None)
        if tenant is not None:
            try:
                self._stops.append(pool.follow(tenant.name, tenant.identity))
            except UgateError:
                # The endpoint for a link says what is wrong with it; no link is made.
                return pool
        self._pools[reactor] = pool
        return pool

    def retire(self, tenant: str) -> None:
        """
        Let new streams use new links.

        @param tenant: whose these are.
        """
        for pool in self._pools.values():
            pool.retire(tenant)

    def links(self) -> list[LinkState]:
        """
        All that are up.
        """
        return [link for pool in self._pools.values() for link in pool.links()]

    def drain(self) -> Deferred[Any]:
        """
        Open no more streams.

        @return: fires when the last has ended.
        """
        self._isClosing = True
        stops, self._stops = self._stops, []
        for stop in stops:
            stop()
        return gatherResults([pool.drain() for pool in self._pools.values()])

    def stop(self) -> None:
        """
        Cut all that is left.
        """
        self.drain().addErrback(lambda _: None)
        for pool in self._pools.values():
            pool.stop()
