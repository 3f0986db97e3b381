# -*- test-case-name: ugate.test.test_websocketshared -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tunnels in WebSocket that share connections in HTTP/2 (RFC 8441), with a server that takes them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.hops import Hop
from ugate.endpoints.links import linkTo
from ugate.endpoints.pool import PoolLimits, SessionKey, SessionPool
from ugate.endpoints.tlsclient import TLSClientEndpoint, clientOptions
from ugate.endpoints.upstream import carrierOf, loginOf
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDialer, ITenant
from ugate.protocols.h2link import H2Link, linkMaker
from ugate.protocols.websockettunnels import Asking
from ugate.stream import StreamInfo

H2: Final = b"h2"
"""What has to be chosen inside of TLS."""

OFFERED: Final = (H2, b"http/1.1")
"""What is offered, unless the hop says what: a server that knows only HTTP/1.1 is to say so."""

AGAIN: Final = 600.0
"""Seconds after which a server that takes no tunnels in HTTP/2 is asked again."""


LINKS: Final = 64
"""To one server: some take a hundred streams on each, where as many connections were no matter."""


class Shared:
    """
    The links to one server, as long as it takes tunnels there.

    @ivar pool: its links.
    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint, host: str) -> None:
        """
        @param reactor: what tells the time.
        @param hop: the server, how to log in there, and the limits.
        @param via: what carries connections there.
        @param host: the server, for C{:authority}.
        @raise Refused: TLS is not installed.
        """
        self._reactor = reactor
        self._hop = hop
        self._via = via
        self._timeout = DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout
        self._options = clientOptions(hop.host, hop.place, hop.alpn or OFFERED)
        asking = Asking(partial(loginOf, hop), host, hop.path or "/")
        self._maker = linkMaker(reactor, True, asking=asking)
        self.pool = SessionPool(reactor, PoolLimits(open=self._timeout, each=LINKS))
        self._dialer = self.pool.dialer(self._keyOf, self._link, hop.place)
        self._takesNone = 0.0
        """Until when it need not be asked whether it takes them."""

    @property
    def areTaken(self) -> bool:
        """
        Whether the server takes tunnels in HTTP/2, as far as we know.
        """
        return bool(self._reactor.seconds() >= self._takesNone)

    def _keyOf(self, info: StreamInfo) -> SessionKey:
        tenant = ITenant(self._reactor, None)
        # Nobody proves anything for a link: each stream has its login.
        return SessionKey("" if tenant is None else tenant.name, "", self._hop.host, self._hop.place)

    def _link(self, info: StreamInfo) -> Deferred[Any]:
        hop = self._hop
        below = TLSClientEndpoint(
            self._reactor,
            carrierOf(hop, self._via, info),
            self._options,
            hop=hop.place,
            deadline=self._timeout,
            alpn=H2,
        )
        made = linkTo(self._reactor, below, self._maker, hop=hop.place, deadline=self._timeout)
        return made.addCallback(self._up).addErrback(self._down)

    def _up(self, link: H2Link) -> H2Link:
        if link.core.takesExtended:
            return link
        link.drain()
        raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, self._hop.place, "no WebSocket in HTTP/2")

    def _down(self, failure: Failure) -> Failure:
        if _isOther(failure.value):
            self._takesNone = self._reactor.seconds() + AGAIN
        return failure

    def endpointFor(
        self, info: StreamInfo, otherwise: Callable[[], IStreamClientEndpoint]
    ) -> IStreamClientEndpoint:
        """
        The endpoint of a tunnel on one of the links.

        @param otherwise: makes what connects in HTTP/1.1, if the server takes none.
        @raise Refused: there is no target.
        """
        return _Preferred(self, self._dialer.endpointFor(info), otherwise)


def _isOther(error: BaseException | None) -> bool:
    """
    Whether a server may take tunnels in another way: it knows none in HTTP/2; or it breaks off TLS, as some
    do that know nothing of what is offered inside.
    """
    if not isinstance(error, Refused) or error.cause is Cause.TIMED_OUT:
        return False
    return error.cause is Cause.UNSUPPORTED or error.phase is Phase.TLS


@implementer(IStreamClientEndpoint)
class _Preferred:
    """
    A tunnel on a link, or else on a connection of its own.
    """

    def __init__(
        self, shared: Shared, first: IStreamClientEndpoint, otherwise: Callable[[], IStreamClientEndpoint]
    ) -> None:
        self._shared = shared
        self._first = first
        self._otherwise = otherwise

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[Any] = self._first.connect(factory)
        return connecting.addErrback(self._again, factory)

    def _again(self, failure: Failure, factory: IProtocolFactory) -> Any:
        if self._shared.areTaken or not _isOther(failure.value):
            return failure
        return self._otherwise().connect(factory)
