# -*- test-case-name: ugate.test.test_h2connect -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Gateways that carry streams in HTTP/2: Istio calls it HBONE when it is in TLS with the certificates of both
sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, IStreamServerEndpoint

from ugate.endpoints.hops import Hop
from ugate.endpoints.links import linkTo
from ugate.endpoints.mutual import Mutual
from ugate.endpoints.muxed import MuxedServerEndpoint
from ugate.endpoints.pool import SessionKey, SessionPool
from ugate.endpoints.pooledhop import PooledHop
from ugate.endpoints.upstream import carrierOf
from ugate.errors import StringError, UgateError
from ugate.interfaces import IDialer, ITenant
from ugate.protocols.h2link import linkMaker
from ugate.stream import TCP, UDP, StreamInfo

if TYPE_CHECKING:
    from ugate.protocols.websockettunnels import Tunnels

ALPN: Final = (b"h2",)
"""What is spoken inside of TLS."""


def h2connectEndpoint(
    reactor: IReactorTime, inner: IStreamServerEndpoint, deadline: float, tunnels: Tunnels | None = None
) -> MuxedServerEndpoint:
    """
    Listens by another endpoint for links in HTTP/2.  One for TLS that has no protocols of its own offers
    C{h2} inside.

    @param deadline: seconds for the handshake of a link.
    @param tunnels: what takes streams in WebSocket, if any.
    """
    mutual: Any = inner
    if getattr(inner, "alpn", None) == ():
        mutual.alpn = ALPN
    return MuxedServerEndpoint(reactor, inner, linkMaker(reactor, False, tunnels=tunnels), deadline=deadline)


def tunnelsOf(reactor: IReactorTime, own: Mapping[str, str]) -> Tunnels | None:
    """
    What takes streams in WebSocket, as keywords say.

    @raise StringError: they cannot be read.
    """
    if "websocket" in own:
        from ugate.endpoints.websocketstring import readRules
        from ugate.protocols.websockettunnels import Tunnels

        return Tunnels(reactor, readRules(own, "websocket"))
    for name in ("origins", "hosts"):
        if name in own:
            raise StringError(f"{name}= is for tunnels in WebSocket: websocket=PATH says where these are")
    return None


@implementer(IDialer)
class H2Connect(PooledHop):
    """
    The dialer that asks a gateway for the target, in HTTP/2, on links that the streams of a tenant
    share.  We prove our identity there, unless it is in clear text.

    @since: ugate NEXT
    """

    networks = TCP, UDP

    def __init__(
        self,
        reactor: Any,
        hop: Hop,
        via: IDialer | IStreamClientEndpoint,
        pool: SessionPool | None = None,
    ) -> None:
        """
        See L{PooledHop}.
        """
        super().__init__(reactor, hop, via, pool)
        self._maker = linkMaker(reactor, True)
        self._place = hop.place
        self._key: SessionKey | None = None
        self._mutual = None if hop.h2c else Mutual(reactor, replace(hop, alpn=ALPN), via)

    def _keyOf(self, info: StreamInfo) -> SessionKey:
        """
        See L{PooledHop._keyOf}.
        """
        if self._key is not None:
            return self._key
        hop = self._hop
        tenant = ITenant(self._reactor, None)
        identity = ""
        if tenant is not None and not hop.h2c:
            try:
                ours = tenant.identity
                # By another certificate we are not who we were, though the name is the same.
                identity = f"{ours.principal} {ours.certificate.serial_number:x}"
            except UgateError:
                # The endpoint for a link says what is wrong with it.
                pass
        name = "" if tenant is None else tenant.name
        key = SessionKey(name, identity, hop.name or hop.host, self._place)
        if hop.h2c:
            # Nobody proves anything, so it is the same for all.
            self._key = key
        return key

    def link(self, info: StreamInfo) -> Deferred[Any]:
        """
        See L{PooledHop.link}.
        """
        hop = self._hop
        below = carrierOf(hop, self._via, info) if self._mutual is None else self._mutual.endpointFor(info)
        return linkTo(self._reactor, below, self._maker, hop=hop.place, deadline=self._timeout)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way there, who that has to be, and what it is asked for.
        """
        hop = self._hop
        way = self._explainVia(info) if self._mutual is None else self._mutual.explain(info)
        asks = "CONNECT" if info.target is None or info.target.network == TCP else "CONNECT-UDP"
        clear = " in clear text" if hop.h2c else ""
        return [
            *way,
            f"ask {hop.place} for {info.target} in HTTP/2 {asks}{clear}, on a link that streams share",
        ]
