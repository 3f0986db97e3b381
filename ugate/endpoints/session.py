# -*- test-case-name: ugate.test.test_session,ugate.test.test_session_ends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A link to one peer, whose streams are dialed and listened for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError, NoProtocol
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.refusals import noTarget, refusedAt, renamed
from ugate.endpoints.sessionends import Opening, StreamEndpoint, StreamListener, StreamPort
from ugate.endpoints.sessions import Sessions
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink, ISession
from ugate.protocols.mux import MuxStream
from ugate.stream import Principal, StreamInfo, Target

_PEER = "peer"
_SOON: Final = 1.0
"""Seconds in which it need not be noted again that a peer is there."""
"""Where things happen, in the words of a link."""


@implementer(ISession)
class Session:
    """
    What everybody uses of a link: endpoints, both ways.

    @ivar link: what carries it.
    @ivar hop: what refusals name.
    @ivar began: when it came up, by the clock.
    @ivar isClosed: whether it is gone.
    @ivar onClosing: called, if it is set, when no more streams begin: it is being closed, or gone.
    @ivar idleSince: since when it has no stream; L{None} if it has some.
    @ivar last: when its peer was last heard of: not that of its bytes.
    @since: ugate NEXT
    """

    _log = Logger()
    onClosing: Callable[[], object] | None = None
    isClosed = _isClosing = False
    idleSince: float | None = None

    def __init__(
        self, clock: IReactorTime, link: ILink, *, hop: str = "", sessions: Sessions | None = None
    ) -> None:
        """
        @param clock: what tells the time.
        @param link: one that is up; its C{incoming} is set.
        @param hop: what refusals name; else who the peer is.
        @param sessions: those which it is one of, with the limits.
        """
        self.link = link
        self.sessions = Sessions(clock) if sessions is None else sessions
        self.hop = hop or str(link.info.principal or link.info)
        self.began = self.last = clock.seconds()
        self._listeners: dict[tuple[str, int] | None, StreamPort] = {}
        self._asked: set[MuxStream | Opening] = set()
        self._accepted: set[MuxStream] = set()
        self._pending: set[MuxStream] = set()
        self._checks: list[Deferred[None]] = []
        self.sessions.joined(self)
        link.incoming = self._incoming
        link.onDraining = self._closing
        link.whenClosed().addCallback(self._gone)

    def __repr__(self) -> str:
        return f"<Session with {self.hop}>"

    @property
    def principal(self) -> Principal | None:
        """
        See L{ISession}.
        """
        principal: Principal | None = self.link.info.principal
        return principal

    @property
    def isClosing(self) -> bool:
        """
        Whether no more streams begin, here or there.
        """
        return self._isClosing or self.isClosed or bool(self.link.isDraining)

    @property
    def streams(self) -> int:
        """
        How many are up or being opened, both ways.
        """
        return len(self._asked) + len(self._accepted)

    @property
    def room(self) -> int:
        """
        How many more may be opened now.
        """
        if self.isClosing:
            return 0
        room: int = self.link.room
        return room

    # The streams that we open.

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{IDialer.endpointFor}.
        """
        if info.target is None:
            raise noTarget(info)
        if self.isClosing:
            raise self._closed()
        return StreamEndpoint(self, info)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        See L{IDialer.explain}.
        """
        return [f"open a stream to {info.target} on the link to {self.hop}"]

    def _closed(self) -> Refused:
        return Refused(Cause.PEER_CLOSED, Phase.CONNECT, self.hop, "the link to it is closed")

    def open(
        self,
        info: StreamInfo,
        factory: IProtocolFactory,
        otherwise: Callable[[Failure], Any] | None = None,
    ) -> Deferred[IProtocol]:
        """
        Open a stream: what C{endpointFor(info).connect(factory)} does.

        @param otherwise: what is done if it cannot be, as by an errback.
        """
        if self.isClosing:
            closed: Deferred[IProtocol] = fail(self._closed())
            return closed if otherwise is None else closed.addErrback(otherwise)
        opened: Deferred[Any] = self.link.open(info)
        opening = Opening(opened)
        self._asked.add(opening)
        self.sessions.busy(self)
        self.sessions.opening.start(opening)
        opened.addCallbacks(
            self._begin, self._named, callbackArgs=(opening, factory), errbackArgs=(opening, otherwise)
        )
        return opened

    def _begin(self, stream: MuxStream, opening: Opening, factory: IProtocolFactory) -> IProtocol:
        self.sessions.opening.stop(opening)
        stream.keeper = self
        self._asked.discard(opening)
        self._asked.add(stream)
        self._heard()
        protocol = None
        try:
            protocol = factory.buildProtocol(stream.getPeer())
        finally:
            if protocol is None:
                stream.abortConnection()
        if protocol is None:
            raise NoProtocol()
        stream.begin(protocol)
        return protocol

    def _named(self, failure: Failure, opening: Opening, otherwise: Callable[[Failure], Any] | None) -> Any:
        """
        A link does not know what it is called here.
        """
        self.sessions.opening.stop(opening)
        self._ended(opening)
        if opening.isLate and failure.check(CancelledError):
            many = f"no answer in {self.sessions.limits.open:g} s"
            named = Failure(Refused(Cause.TIMED_OUT, Phase.REMOTE, self.hop, many))
        else:
            named = renamed(refusedAt(failure, self.hop), _PEER, self.hop)
        return named if otherwise is None else otherwise(named)

    # The streams that the peer opens.

    def listener(self, target: Target | None = None, accepts: bool = False) -> IStreamServerEndpoint:
        """
        See L{ISession.listener}.

        @param accepts: whether each is accepted before its protocol has it; else it is for the
            protocol to do so, since its transport is an L{IPending}.
        """
        return StreamListener(self, target, accepts)

    def listen(self, target: Target | None, port: StreamPort) -> None:
        """
        From now on, these are for that one.

        @raise CannotListenError: somebody else has them.
        """
        key = _key(target)
        if key in self._listeners or self.isClosed:
            why = "the link is closed" if self.isClosed else "somebody listens there already"
            raise CannotListenError(self.hop, target, why)
        self._listeners[key] = port

    def unlisten(self, target: Target | None, port: StreamPort) -> bool:
        """
        They are for nobody.
        """
        key = _key(target)
        if self._listeners.get(key) is not port:
            return False
        del self._listeners[key]
        return True

    def _incoming(self, stream: MuxStream) -> None:
        try:
            port = self._portFor(stream)
        except Refused as refused:
            stream.refuse(refused)
            return
        self._heard()
        try:
            protocol = port.factory.buildProtocol(stream.getPeer())
        except Exception:
            self._log.failure("{session}: no protocol for {stream}", session=self, stream=stream)
            protocol = None
        if protocol is None:
            stream.refuse(Refused(Cause.OVERLOADED, Phase.NEGOTIATE, "listener"))
            return
        stream.keeper = self
        self._accepted.add(stream)
        self.sessions.busy(self)
        if port.accepts:
            stream.accept()
        else:
            self._pending.add(stream)
            self.sessions.answering.start(stream)
        stream.begin(protocol)

    def _portFor(self, stream: MuxStream) -> StreamPort:
        limits = self.sessions.limits
        where = stream.info.target
        # One that comes while the link is going away was asked for before the peer knew: that is the link's.
        if len(self._accepted) >= limits.streams:
            many = f"{limits.streams} streams are open on one link"
            raise Refused(Cause.OVERLOADED, Phase.REMOTE, str(where), many, "use more links, or wait")
        if len(self._pending) >= limits.pending:
            many = f"{limits.pending} streams of one link wait for an answer"
            raise Refused(Cause.OVERLOADED, Phase.REMOTE, str(where), many, "use more links, or wait")
        port = self._listeners.get(_key(where)) or self._listeners.get(None)
        if port is None:
            step = "see for which targets it listens"
            raise Refused(
                Cause.CONNECTION_REFUSED, Phase.REMOTE, str(where), "nobody listens for it here", step
            )
        return port

    # How they fare: L{ugate.protocols.muxkeeper.Keeper}.

    def answered(self, stream: MuxStream) -> None:
        """
        See L{ugate.protocols.muxkeeper.Keeper}.
        """
        self._pending.discard(stream)
        self.sessions.answering.stop(stream)

    def closing(self, stream: MuxStream) -> None:
        """
        See L{ugate.protocols.muxkeeper.Keeper}.
        """
        self.sessions.lingering.start(stream)

    def over(self, stream: MuxStream) -> None:
        """
        See L{ugate.protocols.muxkeeper.Keeper}.
        """
        self.sessions.lingering.stop(stream)
        self._ended(stream)

    def _ended(self, what: MuxStream | Opening) -> None:
        self._asked.discard(what)
        self._accepted.discard(what)
        if not (self._asked or self._accepted or self.isClosed):
            self.sessions.idle(self)

    # The link.

    def check(self) -> Deferred[None]:
        """
        Ask whether it is still there; if it does not answer in time, it is cut.

        @return: fails with L{Refused} if it is not.
        """
        checking: Deferred[None] = Deferred()
        self._checks.append(checking)
        if len(self._checks) == 1:
            self.sessions.ponging.start(self)
            self.link.ping().addCallbacks(self._heard, self._dead)
        return checking

    def _heard(self, _: None = None) -> None:
        """
        It is there: that is an answer, too, to whoever has asked.
        """
        now = self.sessions.seconds()
        if now - self.last < _SOON and not self._checks:
            return
        self.last = now
        self.sessions.heard(self)
        self._checked(None)

    def _dead(self, failure: Failure) -> None:
        self.sessions.ponging.stop(self)
        self.link.abort("it cannot be asked whether it is still there")
        self._checked(renamed(refusedAt(failure, self.hop), _PEER, self.hop))

    def silent(self) -> None:
        """
        It did not answer.
        """
        why = f"no answer to a ping in {self.sessions.limits.pong:g} s"
        self._log.info("the link to {hop} is cut: {why}", hop=self.hop, why=why)
        self._isClosing = True
        self._checked(Failure(Refused(Cause.TIMED_OUT, Phase.CONNECT, self.hop, why)))
        self.link.abort(why)

    def _checked(self, result: Any) -> None:
        checks, self._checks = self._checks, []
        for each in checks:
            each.callback(result)

    def _closing(self) -> None:
        told, self.onClosing = self.onClosing, None
        if told is not None:
            told()

    def _gone(self, why: str) -> str:
        self.isClosed = True
        self._closing()
        self.sessions.left(self)
        ports, self._listeners = self._listeners, {}
        for port in ports.values():
            port.factory.doStop()
        return why

    def whenClosed(self) -> Deferred[Any]:
        """
        See L{ISession.whenClosed}.
        """
        closed: Deferred[Any] = self.link.whenClosed()
        return closed

    def close(self) -> Deferred[Any]:
        """
        See L{ISession.close}.
        """
        if not self._isClosing:
            self._isClosing = True
            self.link.drain()
            self._closing()
        return self.whenClosed()


def _key(target: Target | None) -> tuple[str, int] | None:
    return None if target is None else (target.host.lower(), target.port)
