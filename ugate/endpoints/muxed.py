# -*- test-case-name: ugate.test.test_muxed -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners whose connections are links, and whose streams are those that peers open on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.links import HANDSHAKE, LinkHost, LinkMaker
from ugate.endpoints.serving import Serving
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import DEFAULT, SessionLimits, Sessions
from ugate.endpoints.sources import TurnedAway
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink

HANDSHAKES: Final = 1000
"""How many connections of one listener may be in the middle of their handshakes."""


class LinkFactory(Serving):
    """
    Accepted connections, each a link.

    @ivar sessions: those that are up.
    @since: ugate NEXT
    """

    _log = Logger()
    alpn = (b"h2",)
    _isCrowded = False

    def __init__(self, endpoint: MuxedServerEndpoint, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)
        self._maker = endpoint.maker
        self._clock = endpoint.reactor
        self._joined = endpoint.joined
        self._stopped = endpoint.stopped
        self.sessions = Sessions(endpoint.reactor, endpoint.limits, kind=endpoint.kind, name=self.logPrefix())
        self._shaking: Deadlines[LinkHost] = Deadlines(endpoint.reactor, endpoint.deadline, self._late)
        self._late_ = Refused(Cause.TIMED_OUT, Phase.NEGOTIATE, "peer", f"no link in {endpoint.deadline:g} s")

    def stopFactory(self) -> None:
        """
        Nobody listens any more: links go on as long as they have streams, and take no new ones.
        """
        for host in self._shaking:
            host.refuse(Refused(Cause.OVERLOADED, Phase.NEGOTIATE, "listener", "it is being closed"))
        self._shaking.close()
        self._stopped()
        self.sessions.drain()

    def buildProtocol(self, addr: IAddress | None) -> LinkHost | None:
        limit = self.sessions.limits.links
        if len(self._shaking) >= HANDSHAKES or len(self.sessions) + len(self._shaking) >= limit:
            if not self._isCrowded:
                self._isCrowded = True
                self._log.warn("no more than {limit} links: those that come now are closed", limit=limit)
            return None
        self._isCrowded = False
        host = LinkHost(self._maker)
        self._shaking.start(host)
        host.up.addBoth(self._shaken, host)
        host.up.addCallbacks(self._up, self._failed, errbackArgs=(addr,))
        host.up.addErrback(lambda failure: self._log.failure("a link could not be used", failure))
        return host

    def _late(self, host: LinkHost) -> None:
        host.refuse(self._late_)

    def _shaken(self, result: Any, host: LinkHost) -> Any:
        self._shaking.stop(host)
        return result

    def _up(self, link: ILink) -> None:
        session = Session(self._clock, link, sessions=self.sessions)
        session.listener().listen(self.wrappedFactory)
        if self._joined is None:
            return
        try:
            self._joined(session)
        except Refused as refused:
            self._log.info("{session} is cut: {refused}", session=session, refused=str(refused))
            link.abort(str(refused))

    def _failed(self, failure: Failure, addr: IAddress | None) -> None:
        refused = failure.trap(Refused) and failure.value
        if isinstance(refused, TurnedAway):
            return
        if isinstance(refused, Refused) and refused.cause is not Cause.PEER_CLOSED:
            self._log.info("{peer}: {refused}", peer=str(addr), refused=str(refused))


@implementer(IStreamServerEndpoint)
class MuxedServerEndpoint:
    """
    Listens by another endpoint, whose connections become links; each stream that a peer opens has a
    protocol of the factory.  Its address and C{getPeer()} is a L{ugate.stream.StreamInfo} with its target
    and with what is known of the link, and its transport is an L{ugate.interfaces.IPending}.

    @ivar inner: how to listen.
    @ivar asks: that its protocol says where streams want to go.
    @ivar logins: whether a link proves by itself who its peer is.
    @cvar kind: see L{ugate.endpoints.sessions.KINDS}.
    @since: ugate NEXT
    """

    asks = True
    kind = "accepted"

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        maker: LinkMaker,
        *,
        limits: SessionLimits = DEFAULT,
        deadline: float = HANDSHAKE,
        logins: bool = False,
        joined: Callable[[Session], object] | None = None,
        stopped: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param reactor: the clock.
        @param inner: how to listen.
        @param maker: the multiplexing protocol.
        @param limits: how much there may be of it.
        @param deadline: seconds for the handshake of a link.
        @param logins: whether somebody can say who it is, in this protocol.
        @param joined: called with each session that is up; L{Refused} cuts it.
        @param stopped: called when nobody listens any more.
        """
        self.reactor = reactor
        self.inner = inner
        self.maker = maker
        self.limits = limits
        self.deadline = deadline
        self.logins = logins
        self.joined = joined
        self.stopped = stopped

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        listening: Deferred[IListeningPort] = self.inner.listen(LinkFactory(self, factory))
        return listening
