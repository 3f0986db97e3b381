# -*- test-case-name: ugate.test.test_negotiated,ugate.test.test_negotiated_client,ugate.test.test_negotiated_failing -*-  # noqa: E501
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Endpoints that put a negotiation between a transport and a protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.cred.credentials import ICredentials
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.reach import isHaproxy, onlyLocal
from ugate.endpoints.serving import Serving
from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, IPrincipal, IStreamInfo, ITenant, Step
from ugate.protocols.negotiate import LINGER, Negotiating
from ugate.protocols.owner import Owner
from ugate.protocols.servernames import Listed
from ugate.stream import Principal, StreamInfo

ServerNegotiation = Callable[[StreamInfo, Auth], INegotiation]

PENDING: Final = 2000
"""How many clients of one listener may be in the middle of their negotiations."""

_CALM: Final = PENDING // 2
"""With no more than these, it is worth a line in the log when there are too many again."""


def authOf(auth: Auth, info: object) -> Auth:
    """
    What is demanded of one peer: who has proven already who it is need not log in.
    """
    if auth is Auth.REQUIRED and getattr(info, "principal", None) is not None:
        return Auth.OPTIONAL
    return auth


class ServerFactory(Serving, Owner):
    """
    Accepted connections, each with its negotiation.
    """

    _log = Logger()

    def __init__(self, endpoint: NegotiatedServerEndpoint, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)
        self._make = endpoint.negotiation
        self.auth = endpoint.auth
        if endpoint.wrap is not None:
            self.wrappedFactory = endpoint.wrap(wrapped, self)
        self.cap = endpoint.cap
        self.eager = endpoint.eager
        self._late = isHaproxy(endpoint.inner)
        clock = endpoint.reactor
        self.deadlines = Deadlines(clock, endpoint.deadline, Negotiating.overdue)
        self.lingering = Deadlines(clock, LINGER, Negotiating.overdue)
        self._silence: Deadlines[Negotiating] | None = None
        if endpoint.patience is not None:
            self._silence = Deadlines(clock, endpoint.patience, Negotiating.silent)
        self._crowded = False
        tenant = ITenant(endpoint.reactor, None)
        self._portal = None if tenant is None else tenant.portal

    def stopFactory(self) -> None:
        # What is under way still has its deadline.
        for deadlines in (self.deadlines, self.lingering, self._silence):
            if deadlines is not None and not len(deadlines):
                deadlines.close()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return Negotiating(self, addr)  # type: ignore[arg-type]

    def negotiationFor(self, host: Negotiating) -> INegotiation:
        if len(self.deadlines) > PENDING:
            self._crowdOut()
        elif self._crowded and len(self.deadlines) <= _CALM:
            self._crowded = False
        peer = host.peer
        info = peer if IStreamInfo.providedBy(peer) else StreamInfo(peer, host.getHost())
        if self._silence is not None:
            self._silence.start(host)
        return self._make(info, authOf(self.auth, info))  # type: ignore[arg-type]

    def _crowdOut(self) -> None:
        """
        End the client that has been at it for longest: one that means it is done long before.
        """
        oldest = self.deadlines.oldest
        many = f"{PENDING} clients are in the middle of their handshakes"
        step = "let a firewall limit connections, or lower node.handshake"
        oldest.crowdedOut(Refused(Cause.OVERLOADED, Phase.NEGOTIATE, str(_where(oldest.peer)), many, step))
        self._crowded = True

    def buildInner(self, host: Negotiating, step: Step) -> IProtocol | None:
        info = host.peer
        if self._late and isinstance(info, StreamInfo):
            # Twisted's haproxy: builds its protocols before it has read the header: only now
            # does the transport know who connects.
            host.peer = info.but(peer=host.transport.getPeer(), host=host.getHost())
        return self.protocolFor(host)

    def protocolFor(self, host: Negotiating) -> IProtocol | None:
        """
        What the stream is for, now that all is known.
        """
        return self.wrappedFactory.buildProtocol(host.peer)

    def failed(self, host: Negotiating, error: Exception) -> None:
        if isinstance(error, Refused):
            if error.cause is Cause.PEER_CLOSED:
                return
            if error.cause is Cause.OVERLOADED and self._crowded:
                # A flood of clients need not be one of the log.
                return
        self._log.info("{peer}: {error}", peer=str(_where(host.peer)), error=str(error))

    def login(self, credentials: ICredentials) -> Principal | Deferred[Principal]:
        if self._portal is None:
            return super().login(credentials)
        loggedIn: Deferred[tuple[object, Principal, object]] = self._portal.login(
            credentials, None, IPrincipal
        )
        return loggedIn.addCallback(lambda result: result[1])


def _where(peer: IAddress) -> object:
    if isinstance(peer, (IPv4Address, IPv6Address)):
        return f"{peer.host}:{peer.port}"
    return peer


@implementer(IStreamServerEndpoint)
class NegotiatedServerEndpoint:
    """
    Listens by another endpoint; the protocols of the factory are built when the
    negotiation is done, with a L{StreamInfo} as address and C{getPeer()}.

    @ivar inner: how to listen.
    @ivar asks: whether the negotiation asks who it is and where to.
    @ivar logins: whether its protocol has logins.
    @ivar listed: the only targets that it has, whoever asks; L{None} if these are not all listed.
    @ivar forOthers: whether those who connect may do so for others.
    @ivar certifies: whether nobody passes who has not proven who it is.
    @ivar open: whether those may pass who have not logged in, wherever they come from.
    @cvar factory: makes what it listens with, from itself and what the streams are for.
    @since: ugate NEXT
    """

    open = False
    certifies = False
    factory = ServerFactory

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        negotiation: ServerNegotiation,
        *,
        deadline: float = 10.0,
        patience: float | None = None,
        cap: int = Owner.cap,
        proves: bool = True,
        logins: bool = True,
        eager: bool = False,
        listed: Listed | None = None,
        wrap: Callable[[IProtocolFactory, Any], IProtocolFactory] | None = None,
    ) -> None:
        """
        @param reactor: the clock, and with L{ITenant} the one who checks credentials.
        @param inner: how to listen.
        @param negotiation: makes one from a L{StreamInfo} and an L{Auth}.
        @param deadline: seconds that a negotiation may take.
        @param patience: seconds after which a peer that has said nothing is
            taken for the client of a server that speaks first.
        @param cap: bytes that a negotiation may take.
        @param proves: whether the negotiation asks who it is and where to; a PROXY
            header only says whence, so that even on loopback others come through it.
        @param logins: whether somebody could say who it is, in this protocol.
        @param eager: whether it may be done before the peer says anything.
        @param listed: the only targets that it has, if they are written down in its string.
        @param wrap: puts a factory in front of the one that is listened with; its
            second argument has C{auth} and C{login(credentials)} of this listener.
        """
        self.reactor = reactor
        self.inner = inner
        self.negotiation = negotiation
        self.deadline = deadline
        self.patience = patience
        self.cap = cap
        self.wrap = wrap
        self.eager = eager
        self.listed = listed
        self.asks = proves
        self.forOthers = not proves
        self.logins = proves and logins

    @property
    def auth(self) -> Auth:
        """
        What this listener demands of its peers: with nobody to check credentials
        none, with somebody all but those who only this machine can be, unless it is
        open.
        """
        tenant = ITenant(self.reactor, None)
        if not self.asks or tenant is None or tenant.portal is None:
            return Auth.NONE
        return Auth.OPTIONAL if self.open or onlyLocal(self.inner) else Auth.REQUIRED

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        listening: Deferred[IListeningPort] = self.inner.listen(self.factory(self, factory))
        return listening


class _ClientFactory(Factory, Owner):
    """
    One connection to a peer that first has to be told what we want.
    """

    noisy = False

    def __init__(self, endpoint: NegotiatedClientEndpoint, wrapped: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self.wrappedFactory = wrapped
        clock = endpoint.reactor
        self.deadlines = Deadlines(clock, endpoint.deadline, Negotiating.overdue)
        self.lingering = Deadlines(clock, LINGER, Negotiating.overdue)
        self.host: Negotiating | None = None
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)

    def _cancelled(self, result: Deferred[IProtocol]) -> None:
        host = self.host
        self._over()
        if host is not None and host.transport is not None:
            host.abortConnection()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self.result.called:
            # Nobody waits for it any more.
            return None
        self.host = Negotiating(self, addr)  # type: ignore[arg-type]
        return self.host

    def negotiationFor(self, host: Negotiating) -> INegotiation:
        return self._endpoint.negotiation()

    def buildInner(self, host: Negotiating, step: Step) -> IProtocol | None:
        return self.wrappedFactory.buildProtocol(host.peer)

    def _over(self) -> None:
        self.deadlines.close()
        # It knows us, too: only the collector would let go of both.
        self.host = None

    def opened(self, inner: IProtocol) -> None:
        self._over()
        if not self.result.called:
            self.result.callback(inner)

    def failed(self, host: Negotiating, error: Exception) -> None:
        self._over()
        if self.result.called:
            return
        hop = self._endpoint.hop
        if isinstance(error, ProtocolError):
            error = Refused(Cause.PEER_MISBEHAVED, Phase.REMOTE, hop, str(error))
        elif isinstance(error, Refused) and error.hop == "peer":
            error = Refused(error.cause, Phase.REMOTE, hop, error.detail)
        self.result.errback(Failure(error))


@implementer(IStreamClientEndpoint)
class NegotiatedClientEndpoint:
    """
    Connects by another endpoint and negotiates; the protocol is built and the
    Deferred fires when that is done.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamClientEndpoint,
        negotiation: Callable[[], INegotiation],
        *,
        hop: str,
        deadline: float = 10.0,
    ) -> None:
        """
        @param reactor: the clock.
        @param inner: how to reach the peer.
        @param negotiation: makes a fresh one for each connection.
        @param hop: what errors name.
        @param deadline: seconds that the negotiation may take.
        """
        self.reactor = reactor
        self.inner = inner
        self.negotiation = negotiation
        self.hop = hop
        self.deadline = deadline

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.

        @return: a Deferred that fails with L{Refused}, or with what the inner
            endpoint fails with.
        """
        factory = _ClientFactory(self, protocolFactory)
        connecting = self.inner.connect(factory)
        result = factory.result

        def connected(host: IProtocol) -> None:
            # What waits for nothing from its peer is done now.
            if factory.host is not None and factory.host.inner is None:
                factory.host.begin()

        def failed(failure: Failure) -> None:
            factory.deadlines.close()
            if not result.called:
                result.errback(failure)

        connecting.addCallbacks(connected, failed)

        def cancelled(outer: Deferred[IProtocol]) -> None:
            connecting.cancel()
            result.cancel()

        outer: Deferred[IProtocol] = Deferred(cancelled)
        result.addCallbacks(outer.callback, outer.errback)
        return outer
