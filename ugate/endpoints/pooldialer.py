# -*- test-case-name: ugate.test.test_pool,ugate.test.test_pool_ends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How streams are dialed on links that they share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure

from ugate.endpoints.refusals import noTarget
from ugate.endpoints.session import Session
from ugate.errors import Refused
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo

if TYPE_CHECKING:
    from ugate.endpoints.pool import LinkDialer, SessionKey, SessionPool


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, slots=True)
class PoolEndpoint:
    """
    A target behind one of the links of a key.
    """

    pool: SessionPool
    """Whose links these are."""

    key: SessionKey
    """Which of them."""

    hop: str
    """What refusals name."""

    make: LinkDialer
    """Makes another."""

    info: StreamInfo
    """The stream."""

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open the stream: at once, if a link is there.
        """
        session = self.pool.readyFor(self.key)
        if session is None:
            return self._connect(factory)
        return session.open(self.info, factory, partial(self._again, session, factory))

    def _connect(self, factory: IProtocolFactory, tried: int = 0) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(
            self.pool.connect(self.key, self.hop, self.make, self.info, factory, tried)
        )

    def _again(
        self, session: Session, factory: IProtocolFactory, failure: Failure
    ) -> Failure | Deferred[IProtocol]:
        refused = failure.value
        if not isinstance(refused, Refused) or not self.pool.tries(session, refused):
            return failure
        return self._connect(factory, 1)


@implementer(IDialer)
class PoolDialer:
    """
    The dialer whose streams share links; L{SessionPool.dialer} makes it.

    @since: ugate NEXT
    """

    def __init__(
        self, pool: SessionPool, keyOf: Callable[[StreamInfo], SessionKey], make: LinkDialer, hop: str
    ) -> None:
        self._pool = pool
        self._keyOf = keyOf
        self._make = make
        self._hop = hop

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}.
        """
        if info.target is None:
            raise noTarget(info)
        key = self._keyOf(info)
        return PoolEndpoint(self._pool, key, self._hop or key.place, self._make, info)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        key = self._keyOf(info)
        there = self._pool.count(key)
        state = f"{there} of which are up" if there else "none of which is up"
        return [f"open a stream to {info.target} on one of the links to {self._hop or key.place}, {state}"]
