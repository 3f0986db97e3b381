# -*- test-case-name: ugate.test.test_session,ugate.test.test_session_ends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the sessions of one place have in common: their limits, the timers, and that there are not
too many of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ugate.deadlines import Deadlines
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ITenant
from ugate.protocols.mux import MuxStream
from ugate.protocols.tlsverify import checkAgain

if TYPE_CHECKING:
    from ugate.endpoints.session import Session
    from ugate.endpoints.sessionends import Opening


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """
    How much there may be of sessions, and how long.

    @since: ugate NEXT
    """

    links: int = 1000
    """Links of one place at once."""

    streams: int = 1000
    """Streams of one link at once that its peer has opened."""

    pending: int = 256
    """How many of these may wait for an answer."""

    open: float = 30.0
    """Seconds until a stream that we open is answered."""

    answer: float = 60.0
    """Seconds until a stream that the peer opens is answered."""

    linger: float = 30.0
    """Seconds that the peer of a stream which is closed here has to close it, too."""

    idle: float | None = 300.0
    """Seconds without a stream after which a link is closed; L{None} for never."""

    age: float | None = 3600.0
    """Seconds after which a link takes no new streams, so that both sides prove anew who they are; L{None}
    for never."""

    look: float = 15.0
    """Seconds after which it is looked at whether the peer of a link is still believed; else that takes no
    new streams."""

    ping: float | None = 30.0
    """Seconds after which a link is asked whether it is still there; L{None} for never."""

    pong: float = 10.0
    """Seconds that it has to answer."""


DEFAULT = SessionLimits()

KINDS: Final = ("dialed", "accepted", "reverse", "linked")
"""
We have dialed, or accepted, and who has dialed opens streams; or the other way round: C{reverse} came to us,
and C{linked} we have dialed.
"""


class Sessions:
    """
    The sessions of one place.

    @ivar limits: for each of them.
    @ivar kind: how they came to be, one of L{KINDS}.
    @ivar name: what that place is called, if all of them are of one.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, limits: SessionLimits = DEFAULT, *, kind: str = "dialed", name: str = ""
    ) -> None:
        """
        @param clock: what tells the time; if it is the reactor of a tenant, that knows of them.
        """
        self.limits = limits
        self.kind = kind
        self.name = name
        self._links: Any = getattr(ITenant(clock, None), "links", None)
        if self._links is not None:
            self._links.add(self)
        self.seconds = clock.seconds
        self._sessions: dict[Session, None] = {}
        self.opening: Deadlines[Opening] = Deadlines(clock, limits.open, lambda each: each.overdue())
        self.answering: Deadlines[MuxStream] = Deadlines(clock, limits.answer, self._unanswered)
        self.lingering: Deadlines[MuxStream] = Deadlines(
            clock, limits.linger, lambda stream: stream.abortConnection()
        )
        self.ponging: Deadlines[Session] = Deadlines(clock, limits.pong, lambda session: session.silent())
        self._looking: Deadlines[Session] = Deadlines(clock, limits.look, self._look)
        self._idle: Deadlines[Session] | None = None
        self._aging: Deadlines[Session] | None = None
        self._pinging: Deadlines[Session] | None = None
        if limits.idle is not None:
            self._idle = Deadlines(clock, limits.idle, lambda session: session.close())
        if limits.age is not None:
            self._aging = Deadlines(clock, limits.age, lambda session: session.close())
        if limits.ping is not None:
            self._pinging = Deadlines(clock, limits.ping, self._ask)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions))

    @property
    def isFull(self) -> bool:
        """
        Whether there may be no more of them.
        """
        return len(self) >= self.limits.links

    def joined(self, session: Session) -> None:
        """
        One is up.
        """
        self._sessions[session] = None
        if self._links is not None:
            self._links.opened[self.kind] += 1
        if self._aging is not None:
            self._aging.start(session)
        self._looking.start(session)
        self.idle(session)
        self.heard(session)

    def left(self, session: Session) -> None:
        """
        One is gone.
        """
        self._sessions.pop(session, None)
        for deadlines in (self._idle, self._aging, self._pinging, self._looking, self.ponging):
            if deadlines is not None:
                deadlines.stop(session)
        if not self._sessions:
            self._rest()

    def idle(self, session: Session) -> None:
        """
        One has no stream.
        """
        session.idleSince = self.seconds()
        if self._idle is not None:
            self._idle.start(session)

    def busy(self, session: Session) -> None:
        """
        One has a stream.
        """
        if session.idleSince is not None:
            session.idleSince = None
            if self._idle is not None:
                self._idle.stop(session)

    def heard(self, session: Session) -> None:
        """
        The peer of one has said something.
        """
        self.ponging.stop(session)
        if self._pinging is not None and session in self._sessions:
            self._pinging.start(session)

    def _ask(self, session: Session) -> None:
        session.check().addErrback(lambda _: None)

    def _look(self, session: Session) -> None:
        if session.isClosing:
            return
        try:
            checkAgain(getattr(session.link, "transport", None))
        except Refused as refused:
            self.log.warn("{hop} has no more streams: {why}", hop=session.hop, why=str(refused))
            session.close()
        else:
            self._looking.start(session)

    def _unanswered(self, stream: MuxStream) -> None:
        many = f"no answer in {self.limits.answer:g} s"
        stream.refuse(Refused(Cause.TIMED_OUT, Phase.REMOTE, "peer", many, "see what listens there"))

    def drain(self) -> Deferred[Any]:
        """
        Let no more streams begin, and each link close with its last one.

        @return: fires when all are closed.
        """
        return gatherResults([session.close() for session in self])

    def stop(self, reason: str) -> None:
        """
        Cut all that is left, and give the timers back.
        """
        for session in self:
            session.link.abort(reason)
        self._rest()

    def _rest(self) -> None:
        """
        Nothing is left to wait for.
        """
        for deadlines in (self.opening, self.answering, self.lingering, self._looking, self.ponging):
            deadlines.close()
        for of in (self._idle, self._aging, self._pinging):
            if of is not None:
                of.close()
