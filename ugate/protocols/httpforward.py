# -*- test-case-name: ugate.test.test_httpforward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Forward proxying of absolute URIs: what puts it in front of whatever carries streams.
"""

from __future__ import annotations

from typing import Final, cast

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime

from ugate.interfaces import Auth
from ugate.protocols.httplogin import Login, ProxyLogin
from ugate.stream import StreamInfo

IDLE_TIMEOUT: Final = 60.0
"""How long a client may rest between requests (L{float}, seconds)."""

HEAD_TIMEOUT: Final = 10.0
"""How long the head of a request may take (L{float}, seconds)."""


@implementer(IProtocolFactory)
class HttpForwardFactory:
    """
    Builds the protocol for a client that L{ugate.protocols.httpconnect.HttpProxy}
    found to make requests with whole URIs (protocol C{http}): it has C{inner}
    build a protocol for each stream to a target.  For any other client it has
    C{inner} build the protocol, so it can stand in front of every listener.

    @since: ugate NEXT
    """

    def __init__(
        self,
        inner: IProtocolFactory,
        clock: IReactorTime,
        auth: Auth = Auth.NONE,
        login: Login | None = None,
        idleTimeout: float = IDLE_TIMEOUT,
        headTimeout: float = HEAD_TIMEOUT,
    ) -> None:
        """
        @param inner: builds what carries one stream on.  The transport of it has the
            target in its peer, and provides L{ugate.interfaces.IPending}.
        @param clock: for the deadlines.
        @param auth: whether each request has to prove who asks.
        @param login: checks credentials.
        @param idleTimeout: how long a client may rest between requests, in seconds.
        @param headTimeout: how long a head may take from its first byte on, in seconds.
        """
        self._inner = inner
        self._clock = clock
        self._auth = auth
        self._login = login
        self._idleTimeout = idleTimeout
        self._headTimeout = headTimeout

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """
        The protocol for one client.
        """
        if getattr(addr, "protocol", "") != "http":
            return self._inner.buildProtocol(addr)
        # Imported for the first such client: h11 takes over ten milliseconds.
        from ugate.protocols.httpchannel import HttpForward

        info = cast(StreamInfo, addr)
        return HttpForward(
            info,
            self._inner,
            self._clock,
            ProxyLogin(self._auth, self._login, info.principal),
            self._idleTimeout,
            self._headTimeout,
        )

    def doStart(self) -> None:
        """
        A port listens with this factory.
        """
        self._inner.doStart()

    def doStop(self) -> None:
        """
        A port listens no more with this factory.
        """
        self._inner.doStop()
