# -*- test-case-name: ugate.test.test_websocket -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Streams in WebSocket: listeners for tunnels, and the hop that asks for one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory

from ugate.endpoints.hops import Hop
from ugate.endpoints.negotiated import NegotiatedServerEndpoint, ServerFactory
from ugate.endpoints.upstream import Upstream
from ugate.interfaces import Auth, IDialer
from ugate.protocols.httpconnectclient import authorityOf
from ugate.protocols.negotiate import Negotiating
from ugate.protocols.websocketclient import WebSocketClient
from ugate.protocols.websocketlink import WebSocketLink
from ugate.protocols.websocketrules import Rules
from ugate.protocols.websocketserver import WebSocketServer
from ugate.protocols.websocketwire import WebSocketStreams
from ugate.stream import TCP, UDP, StreamInfo, Target

if TYPE_CHECKING:
    from ugate.endpoints.pool import SessionPool
    from ugate.endpoints.websocketshared import Shared

CAP: Final = 2 * 65536
"""Over the longest head, so that what is too long is told so by a status."""


class _WebSocketFactory(ServerFactory):
    """
    Accepted connections, with frames between the handshake and the protocol.
    """

    def __init__(self, endpoint: NegotiatedServerEndpoint, wrapped: IProtocolFactory) -> None:
        super().__init__(endpoint, wrapped)
        self._streams = WebSocketStreams(endpoint.reactor, False)

    def protocolFor(self, host: Negotiating) -> IProtocol | None:
        inner = super().protocolFor(host)
        info = host.peer
        if inner is None or not isinstance(info, StreamInfo):
            return None
        return WebSocketLink(self._streams, inner, info)


class WebSocketServerEndpoint(NegotiatedServerEndpoint):
    """
    Listens by another endpoint for WebSocket, in whose binary messages the streams are.

    @since: ugate NEXT
    """

    factory = _WebSocketFactory

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        rules: Rules,
        *,
        proxied: bool = False,
        deadline: float = 10.0,
    ) -> None:
        """
        @param reactor: the clock, and with L{ITenant} the one who checks credentials.
        @param inner: how to listen.
        @param rules: which requests are taken.
        @param proxied: whether a web server passes on to us what comes from anywhere, so that nobody is of
            this machine.
        @param deadline: seconds that a handshake may take.
        """
        super().__init__(reactor, inner, partial(WebSocketServer, rules=rules), deadline=deadline, cap=CAP)
        self.forOthers = proxied

    @property
    def auth(self) -> Auth:
        """
        See L{NegotiatedServerEndpoint}.
        """
        auth = super().auth
        return Auth.REQUIRED if auth is Auth.OPTIONAL and self.forOthers and not self.open else auth


class _Links(Factory):
    """
    Frames around the protocols of another factory.
    """

    noisy = False

    def __init__(self, streams: WebSocketStreams, served: IProtocolFactory, target: Target | None) -> None:
        self._streams = streams
        self._served = served
        self._target = target

    def buildProtocol(self, addr: IAddress | None) -> WebSocketLink | None:
        inner = self._served.buildProtocol(addr)  # type: ignore[arg-type]
        return None if inner is None else WebSocketLink(self._streams, inner, None, self._target)


@implementer(IStreamClientEndpoint)
class WebSocketClientEndpoint:
    """
    What another endpoint connects to, in frames.

    @since: ugate NEXT
    """

    def __init__(
        self, inner: IStreamClientEndpoint, streams: WebSocketStreams, target: Target | None = None
    ) -> None:
        """
        @param inner: connects, and makes the handshake.
        @param streams: those which its connections are some of.
        @param target: what it asks for.
        """
        self._inner = inner
        self._streams = streams
        self._target = target

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        connected: Deferred[Any] = self._inner.connect(_Links(self._streams, factory, self._target))
        return connected.addCallback(lambda link: link.inner)


@implementer(IDialer)
class WebSocketUpstream(Upstream):
    """
    The dialer that asks for a tunnel to the target.  In TLS, tunnels share connections in HTTP/2 with a
    server that takes them there.

    @ivar pool: those connections, if there can be such.
    @since: ugate NEXT
    """

    networks = TCP, UDP

    def __init__(self, reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> None:
        """
        @param reactor: L{IReactorTime}.
        @param hop: the server, how to log in there, and the limits.
        @param via: what carries the connection there.
        @raise Refused: the hop wants TLS and that is not installed, or HTTP cannot name the server.
        """
        host = authorityOf(hop.target, hop.place).removesuffix(":443" if hop.tls else ":80")
        super().__init__(reactor, hop, partial(WebSocketClient, place=host, path=hop.path or "/"), via)
        self._streams = WebSocketStreams(reactor, True)
        self._shared: Shared | None = None
        self.pool: SessionPool | None = None
        if hop.tls and (not hop.alpn or b"h2" in hop.alpn):
            # By it comes all of HTTP/2.
            from ugate.endpoints.websocketshared import Shared

            self._shared = Shared(reactor, hop, via, host)
            self.pool = self._shared.pool

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        See L{Upstream.endpointFor}.
        """
        shared, single = self._shared, partial(super().endpointFor, info)
        inner = single() if shared is None or not shared.areTaken else shared.endpointFor(info, single)
        return WebSocketClientEndpoint(inner, self._streams, info.target)
