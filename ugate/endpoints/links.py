# -*- test-case-name: ugate.test.test_links -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From a connection to a link of many streams, on either side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.endpoints.refusals import refusedAt, renamed
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink, IPending
from ugate.protocols.sockets import cut
from ugate.protocols.tlsconnection import onSocket
from ugate.stream import StreamInfo

LinkMaker: TypeAlias = Callable[[StreamInfo], tuple[IProtocol, Deferred[Any]]]
"""
What a multiplexing protocol is, for those who use it: given what is known of a connection, the protocol
for it, and a Deferred that fires with the L{ILink} when the handshake is over, or fails with L{Refused}.
"""

HANDSHAKE = 10.0
"""Seconds for the handshake of a link."""


class LinkHost(Protocol):
    """
    The protocol of a connection that becomes a link: all that comes is for what the maker makes.

    @ivar up: fires with the L{ILink}, or fails with L{Refused}; cancelling it cuts the connection.
    @since: ugate NEXT
    """

    _inner: Any = None
    takesViews = False

    def __init__(self, maker: LinkMaker) -> None:
        """
        @param maker: what makes the link.
        """
        self._maker = maker
        self.up: Deferred[Any] = Deferred(lambda _: self.cut())

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "link"

    def connectionMade(self) -> None:
        """
        See L{IProtocol.connectionMade}.
        """
        transport: Any = self.transport
        if IPending.providedBy(transport):
            transport.accept()
        peer = transport.getPeer()
        info = peer if isinstance(peer, StreamInfo) else StreamInfo(peer, transport.getHost())
        try:
            self._inner, up = self._maker(info)
        except Refused:
            self._fail(Failure())
            return
        # What comes is none of ours.
        self.dataReceived = self._inner.dataReceived  # type: ignore[method-assign]
        self.takesViews = getattr(self._inner, "takesViews", False)
        up.addCallbacks(self._isUp, self._fail)
        # A link lives long and carries much.
        secure = onSocket(transport, self)
        if secure is None:
            self._inner.makeConnection(transport)
        else:
            self.transport = secure
            self._inner.makeConnection(secure)
            secure.begin()

    def _isUp(self, link: ILink) -> None:
        if self.up.called:
            link.abort("nobody waits for it any more")
        else:
            self.up.callback(link)

    def _fail(self, failure: Failure) -> None:
        self.cut()
        if not self.up.called:
            self.up.errback(failure)

    def refuse(self, reason: Refused) -> None:
        """
        Give up.
        """
        self._fail(Failure(reason))

    def cut(self) -> None:
        """
        Cut the connection.
        """
        if self.transport is not None:
            cut(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IProtocol.connectionLost}.
        """
        self.transport = None
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connectionLost(reason)
        if not self.up.called:
            detail = "in the middle of the handshake"
            self.up.errback(Refused(Cause.PEER_CLOSED, Phase.NEGOTIATE, "peer", detail))


class _Hosts(Factory):
    """
    The one connection of a client.
    """

    noisy = False

    def __init__(self, maker: LinkMaker) -> None:
        self._maker = maker

    def buildProtocol(self, addr: IAddress | None) -> LinkHost:
        return LinkHost(self._maker)


def linkTo(
    clock: IReactorTime,
    endpoint: IStreamClientEndpoint,
    maker: LinkMaker,
    *,
    hop: str,
    deadline: float = HANDSHAKE,
) -> Deferred[Any]:
    """
    Connect, and make a link of it.

    @param clock: what tells the time.
    @param endpoint: what connects, within a time of its own.
    @param maker: the multiplexing protocol.
    @param hop: what refusals name.
    @param deadline: seconds for the handshake of the link.
    @return: fires with the L{ILink}; fails with L{Refused}, or as C{endpoint} does.
    @since: ugate NEXT
    """

    def late(result: Any, seconds: float) -> Any:
        if isinstance(result, Failure) and result.check(CancelledError):
            return Failure(Refused(Cause.TIMED_OUT, Phase.NEGOTIATE, hop, f"no link in {seconds:g} s"))
        return result

    def connected(host: Any) -> Deferred[Any]:
        up: Deferred[Any] = host.up
        return up.addTimeout(deadline, clock, late)

    def named(failure: Failure) -> Failure:
        return renamed(refusedAt(failure, hop), "peer", hop)

    connecting: Deferred[Any] = endpoint.connect(_Hosts(maker))
    return connecting.addCallback(connected).addErrback(named)
