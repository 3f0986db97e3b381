# -*- test-case-name: ugate.test.test_pool,ugate.test.test_pool_ends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Links that streams share, one or a few for each peer; never those of somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.pooldialer import PoolDialer
from ugate.endpoints.refusals import refusedAt, renamed
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IIdentity, ILink
from ugate.stream import Principal, StreamInfo

LinkDialer: TypeAlias = Callable[[StreamInfo], Deferred[Any]]
"""Makes another link; given the stream that wants it first."""

_AGAIN = frozenset((Cause.PEER_CLOSED, Cause.OVERLOADED, Cause.TIMED_OUT))
"""How a stream fails whose link goes away."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """
    What streams have in common that may share a link.

    @since: ugate NEXT
    """

    tenant: str
    """The path of the tenant whose streams these are."""

    identity: str
    """Who we prove to be there, empty for nobody."""

    peer: str
    """Who the other side has to prove to be, empty for anybody."""

    place: str
    """Where it is, and by which hop."""


@dataclass(frozen=True, slots=True)
class PoolLimits(SessionLimits):
    """
    The limits of a pool.

    @since: ugate NEXT
    """

    each: int = 8
    """Links with the same key at once; those that are going away do not count."""

    waiting: int = 1000
    """Streams that wait for the same link to come up."""

    quiet: float = 15.0
    """Seconds without a sign of a peer after which its link is asked before it is used."""

    attempts: int = 3
    """Links that a stream tries, if they go away before it is answered."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """
    A link of a pool, for whoever looks.

    @since: ugate NEXT
    """

    key: SessionKey
    """What its streams have in common."""

    principal: Principal | None
    """Who the other side has proven to be."""

    streams: int
    """How many are open."""

    room: int
    """How many more may be."""

    age: float
    """Seconds since it came up."""


@dataclass(slots=True)
class _Group:
    """
    The links of one key.
    """

    key: SessionKey
    hop: str
    make: LinkDialer
    sessions: list[Session] = field(default_factory=list)
    waiters: list[Deferred[None]] = field(default_factory=list)
    connecting: Deferred[Any] | None = None
    isStale: bool = False
    """Whether the link that is being made is for who we are no more."""

    def best(self) -> Session | None:
        """
        The oldest that has room, so that those which are not needed become idle.
        """
        for session in self.sessions:
            if session.room > 0:
                return session
        return None


class SessionPool:
    """
    Links by L{SessionKey}, made when they are needed and closed when they are not.

    @ivar sessions: all that are up.
    @ivar made: how many links came up so far.
    @ivar failed: how many did not.
    @ivar retried: how many streams had to try another link.
    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, limits: PoolLimits = PoolLimits()) -> None:
        """
        @param clock: what tells the time.
        """
        self._clock = clock
        self.limits = limits
        self.sessions = Sessions(clock, limits)
        self._groups: dict[SessionKey, _Group] = {}
        self._isClosing = False
        self.made = self.failed = self.retried = 0

    def dialer(
        self, keyOf: Callable[[StreamInfo], SessionKey], make: LinkDialer, hop: str = ""
    ) -> PoolDialer:
        """
        A dialer.

        @param keyOf: the key of a stream.
        @param make: makes another link, with all deadlines; L{ugate.endpoints.links.linkTo} does.
        @param hop: what refusals name; else the place of the key.
        """
        return PoolDialer(self, keyOf, make, hop)

    async def connect(
        self,
        key: SessionKey,
        hop: str,
        make: LinkDialer,
        info: StreamInfo,
        factory: IProtocolFactory,
        tried: int = 0,
    ) -> IProtocol:
        """
        Open a stream.  One whose link goes away before it is answered has sent nothing, and tries another.

        @param tried: how many links it has tried before.
        @raise Refused: it cannot be.
        """
        for _ in range(self.limits.attempts - 1 - tried):
            session = await self._sessionFor(key, hop, make, info)
            try:
                return await session.endpointFor(info).connect(factory)
            except Refused as refused:
                if not self.tries(session, refused):
                    raise
        session = await self._sessionFor(key, hop, make, info)
        return await session.endpointFor(info).connect(factory)

    def tries(self, session: Session, refused: Refused) -> bool:
        """
        Whether a stream tries another link than the one that it was refused on; if so, that is counted.
        """
        if session.room or refused.cause not in _AGAIN:
            return False
        self.retried += 1
        return True

    def readyFor(self, key: SessionKey) -> Session | None:
        """
        A link that may be used without a question, if there is one, and another can be tried after it.
        """
        group = self._groups.get(key)
        if group is None or self._isClosing or self.limits.attempts < 2:
            return None
        session = group.best()
        if session is None or self._clock.seconds() - session.last >= self.limits.quiet:
            return None
        return session

    async def _sessionFor(self, key: SessionKey, hop: str, make: LinkDialer, info: StreamInfo) -> Session:
        while True:
            if self._isClosing:
                raise _closed(hop)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(key, hop, make)
            group.make = make
            session = group.best()
            if session is None:
                await self._another(group, info)
            elif self._clock.seconds() - session.last < self.limits.quiet:
                return session
            else:
                try:
                    await session.check()
                except Refused as refused:
                    self._log.info("the link to {hop} is given up: {refused}", hop=hop, refused=refused)

    def _another(self, group: _Group, info: StreamInfo) -> Deferred[None]:
        """
        Wait until another link is up.

        @raise Refused: there may be none.
        """
        waiter: Deferred[None] = Deferred(lambda waiter: self._giveUp(group, waiter))
        try:
            if len(group.waiters) >= self.limits.waiting:
                many = f"{len(group.waiters)} streams wait for a link to it"
                raise Refused(Cause.OVERLOADED, Phase.CONNECT, group.hop, many)
            if group.connecting is None:
                self._checkRoom(group)
        except Refused:
            self._drop(group)
            raise
        group.waiters.append(waiter)
        if group.connecting is None:
            self._dial(group, info)
        return waiter

    def _checkRoom(self, group: _Group) -> None:
        """
        Whether there may be one more.

        @raise Refused: not.
        """
        limits = self.limits
        if sum(not session.isClosing for session in group.sessions) >= limits.each:
            many = f"{limits.each} links to it are full"
            raise Refused(Cause.OVERLOADED, Phase.CONNECT, group.hop, many)
        connecting = sum(other.connecting is not None for other in self._groups.values())
        if len(self.sessions) + connecting < limits.links:
            return
        for session in self.sessions:
            if not session.streams:
                session.close()
                return
        many = f"{limits.links} links are up, and none is idle"
        raise Refused(Cause.OVERLOADED, Phase.CONNECT, group.hop, many)

    def _dial(self, group: _Group, info: StreamInfo) -> None:
        group.isStale = False
        try:
            group.connecting = made = group.make(info)
        except Refused:
            self._down(Failure(), group)
            return
        made.addCallbacks(self._up, self._down, callbackArgs=(group, info), errbackArgs=(group,))
        made.addErrback(lambda failure: self._log.failure("a link could not be used", failure))

    def _up(self, link: ILink, group: _Group, info: StreamInfo) -> None:
        if self._isClosing or group.isStale or not group.waiters:
            link.drain()
            if group.waiters and not self._isClosing:
                self._dial(group, info)
                return
        else:
            self.made += 1
            session = Session(self._clock, link, hop=group.hop, sessions=self.sessions)
            group.sessions.append(session)
            session.whenClosed().addCallback(lambda _: self._left(group, session))
        self._wake(group, None)
        self._drop(group)

    def _down(self, failure: Failure, group: _Group) -> None:
        if failure.check(CancelledError):
            # Nobody wanted it any more: all is being closed, if somebody still waits.
            failure = Failure(_closed(group.hop))
        else:
            self.failed += 1
        self._wake(group, renamed(refusedAt(failure, group.hop), "peer", group.hop))
        self._drop(group)

    def _wake(self, group: _Group, result: Any) -> None:
        group.connecting = None
        waiters, group.waiters = group.waiters, []
        for waiter in waiters:
            waiter.callback(result)

    def _giveUp(self, group: _Group, waiter: Deferred[None]) -> None:
        """
        A stream waits no longer; if it was the last, nobody wants the link.
        """
        if waiter in group.waiters:
            group.waiters.remove(waiter)
            if not group.waiters and group.connecting is not None:
                group.connecting.cancel()

    def _left(self, group: _Group, session: Session) -> None:
        group.sessions.remove(session)
        self._drop(group)

    def _drop(self, group: _Group) -> None:
        if not (group.sessions or group.waiters) and group.connecting is None:
            self._groups.pop(group.key, None)

    # For those who look after it.

    def count(self, key: SessionKey) -> int:
        """
        How many links of a key are up.
        """
        group = self._groups.get(key)
        return 0 if group is None else len(group.sessions)

    def links(self) -> list[LinkState]:
        """
        All that are up, the oldest first of each key.
        """
        now = self._clock.seconds()
        return [
            LinkState(group.key, each.principal, each.streams, each.room, now - each.began)
            for group in self._groups.values()
            for each in group.sessions
        ]

    def follow(self, tenant: str, identity: IIdentity) -> Callable[[], None]:
        """
        Whenever we are somebody else, let new streams of that tenant use new links.

        @return: a callable that stops it.
        """
        stop: Callable[[], None] = identity.changed(lambda: self.retire(tenant))
        return stop

    def retire(self, tenant: str) -> None:
        """
        Use the links of a tenant for nothing new; those that are up close with their last streams.
        """
        for key, group in tuple(self._groups.items()):
            if key.tenant == tenant:
                group.isStale = group.connecting is not None
                for session in tuple(group.sessions):
                    session.close()

    def drain(self) -> Deferred[Any]:
        """
        Open no more streams.

        @return: fires when the last has ended.
        """
        self._isClosing = True
        for group in tuple(self._groups.values()):
            if group.connecting is not None:
                group.connecting.cancel()
        return self.sessions.drain()

    def stop(self) -> None:
        """
        Cut all that is left.
        """
        self.drain().addErrback(lambda _: None)
        self.sessions.stop("this gateway is being stopped")


def _closed(hop: str) -> Refused:
    return Refused(Cause.OVERLOADED, Phase.CONNECT, hop, "all links are being closed", "ask again later")
