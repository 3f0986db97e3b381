# -*- test-case-name: ugate.test.test_reverse,ugate.test.test_reverse_renew -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners without an address: they dial out, and serve what the peer opens on the link.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.pauses import pauseBefore
from ugate.endpoints.refusals import refusedAt
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink

FIRST: Final = 1.0
"""Seconds before the second attempt, at most; twice as many before each next one."""

LONGEST: Final = 60.0
"""Seconds that no pause is longer than."""

MAX_LINKS: Final = 16
"""How many links one endpoint may keep."""

LinkCall: TypeAlias = Callable[[], Deferred[Any]]
"""Makes a link, with all deadlines; L{ugate.endpoints.links.linkTo} does."""

RENEW: Final = 3000.0
"""Seconds after which another link takes the place of one: before the peer finds it too old."""

KEEP: Final = SessionLimits(idle=None, age=None)
"""Links that are kept, whether they have streams or not."""


@implementer(IAddress)
class NoAddress:
    """
    Where who dials out listens, in words.
    """

    def __init__(self, words: str = "reverse") -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


class _Keeping:
    """
    One link that is made again whenever it is gone.
    """

    _isStale = False
    """Whether the link that is being made is for who we are no more."""

    def __init__(self, port: ReversePort) -> None:
        self._port = port
        self._attempts = 0
        self._again: IDelayedCall | None = None
        self._dialing: Deferred[Any] | None = None
        self._session: Session | None = None

    def dial(self) -> None:
        self._again = None
        self._isStale = False
        try:
            dialing = self._port.dial()
        except Refused:
            self._failed(Failure())
            return
        self._dialing = dialing
        dialing.addCallbacks(self._up, self._failed)

    def _up(self, link: ILink) -> None:
        self._dialing = None
        port = self._port
        began = port.clock.seconds()
        before, self._session = self._session, Session(port.clock, link, sessions=port.sessions)
        session = self._session
        if port.joined is not None:
            port.joined(session)
        session.listener(accepts=port.accepts).listen(port.factory)
        session.onClosing = lambda: self._closing(began)
        session.whenClosed().addCallback(self._gone, session.hop)
        port.log.info("the link to {hop} is up", hop=session.hop)
        port.isLive()
        if port.renews:
            port.aging.start(self)
        if before is not None:
            before.onClosing = None
            before.close()
        if self._isStale:
            self.renew()

    def renew(self) -> None:
        """
        Let another link take the place of this one, which goes on until that is up.
        """
        self._isStale = True
        if self._session is not None and self._dialing is None and self._again is None:
            self.dial()

    def _closing(self, began: float) -> None:
        self._session = None
        self._port.aging.stop(self)
        if self._port.clock.seconds() - began >= LONGEST:
            # It was a good one; so the next one may come at once.
            self._attempts = 0
        self._wait()

    def _gone(self, why: str, hop: str) -> None:
        self._port.log.info("the link to {hop} is gone: {why}", hop=hop, why=why)

    def _failed(self, failure: Failure) -> None:
        self._dialing = None
        failure = refusedAt(failure, "peer")
        if not self._port.isStopped:
            refused = isinstance(failure.value, Refused)
            log = self._port.log
            if refused:
                log.info("no link: {why}", why=str(failure.value))
            else:
                log.failure("no link", failure)
            self._wait()

    def _wait(self) -> None:
        port = self._port
        if port.isStopped or self._dialing is not None or self._again is not None:
            return
        self._attempts += 1
        pause = pauseBefore(self._attempts, FIRST, LONGEST, port.jitter)
        self._again = port.clock.callLater(pause, self.dial)

    def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._dialing is not None:
            self._dialing.cancel()


@implementer(IListeningPort)
class ReversePort:
    """
    What listens on links that are kept up.

    @ivar sessions: those that are up.
    @since: ugate NEXT
    """

    log = Logger()
    isStopped = True

    def __init__(self, endpoint: ReverseServerEndpoint, factory: IProtocolFactory) -> None:
        self.clock = endpoint.clock
        self.dial = endpoint.dial
        self.jitter = endpoint.jitter
        self.accepts = endpoint.accepts
        self.joined = endpoint.joined
        self.renews = endpoint.renews
        self.factory = factory
        self.aging: Deadlines[_Keeping] = Deadlines(endpoint.clock, RENEW, _Keeping.renew)
        self.sessions = Sessions(endpoint.clock, endpoint.limits, kind="linked", name=endpoint.place)
        self._kept = [_Keeping(self) for _ in range(endpoint.links)]
        self._waiting: list[Deferred[None]] = []

    def startListening(self) -> None:
        """
        Begin to dial.
        """
        if self.isStopped:
            self.isStopped = False
            self.factory.doStart()
            for kept in self._kept:
                kept.dial()

    def renew(self) -> None:
        """
        Let other links take the place of all: we are somebody else.
        """
        for kept in self._kept:
            kept.renew()

    def stopListening(self) -> Deferred[Any]:
        """
        Dial no more, and let the links close with their last streams.

        @return: fires when they have.
        """
        if self.isStopped:
            return succeed(None)
        self.isStopped = True
        self.aging.close()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(_stopped())
        self.factory.doStop()
        for kept in self._kept:
            kept.stop()
        return self.sessions.drain()

    def getHost(self) -> IAddress:
        """
        Of the first link that is up, our address; else none.
        """
        session = next(iter(self.sessions), None)
        return NoAddress() if session is None else session.link.info.host

    def whenLive(self) -> Deferred[None]:
        """
        A new Deferred that fires when at least one link is up; it fails with L{Refused} when the port is
        stopped before.
        """
        live: Deferred[None] = Deferred(self._waiting.remove)
        if self.isStopped:
            live.errback(_stopped())
        elif any(not session.isClosing for session in self.sessions):
            live.callback(None)
        else:
            self._waiting.append(live)
        return live

    def isLive(self) -> None:
        """
        A link is up.
        """
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


def _stopped() -> Refused:
    return Refused(Cause.OVERLOADED, Phase.CONNECT, "reverse", "it listens no more", "listen again")


@implementer(IStreamServerEndpoint)
class ReverseServerEndpoint:
    """
    Keeps links to a peer up, and listens on them: for who has no address of its own.

    @ivar place: what the peer is called.
    @since: ugate NEXT
    """

    place = ""

    def __init__(
        self,
        clock: IReactorTime,
        dial: LinkCall,
        *,
        links: int = 1,
        limits: SessionLimits = KEEP,
        accepts: bool = False,
        joined: Callable[[Session], object] | None = None,
        renews: bool = True,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param clock: what tells the time.
        @param dial: makes one link.
        @param links: how many are kept at once, 16 at most.
        @param limits: for each of them.
        @param accepts: whether each stream is accepted before its protocol has it.
        @param joined: called with each session that is up.
        @param renews: whether another link takes the place of one before that is too old.
        @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
        @raise ValueError: that is no number of links.
        """
        if not 0 < links <= MAX_LINKS:
            raise ValueError(f"{links} links: wanted 1 to {MAX_LINKS}")
        self.clock = clock
        self.dial = dial
        self.links = links
        self.limits = limits
        self.accepts = accepts
        self.joined = joined
        self.renews = renews
        self.jitter = jitter

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: fires at once with the L{ReversePort}, whether a link is up or not.
        """
        port = self.portFor(factory)
        port.startListening()
        return succeed(port)

    def portFor(self, factory: IProtocolFactory) -> ReversePort:
        """
        What listens, once it is told to.
        """
        return ReversePort(self, factory)
