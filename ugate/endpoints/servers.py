# -*- test-case-name: ugate.test.test_servers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners made of a negotiation and the listener below, with their keywords: what
the prefixes of server strings stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from zope.interface import implementer

from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)

from ugate.endpoints.capturedstring import CAPTURING, redirectServer, tproxyServer
from ugate.endpoints.hops import MAX_TIMEOUT, readALPN
from ugate.endpoints.keyids import readKeys
from ugate.endpoints.negotiated import NegotiatedServerEndpoint, authOf
from ugate.endpoints.reversestring import reverseServer
from ugate.endpoints.sshstring import sshServer
from ugate.endpoints.udpstring import associating
from ugate.errors import StringError
from ugate.interfaces import Auth, INegotiation, ITenant
from ugate.stream import Principal, StreamInfo, Target

if TYPE_CHECKING:
    from ugate.protocols.servernames import Listed

HANDSHAKE: Final = 10.0
"""Seconds that a client has to say what it wants, unless its tenant or C{handshake=} says otherwise."""

PATIENCE: Final = 1.0
"""Seconds after which a client that says nothing is a C{silent} one, unless C{wait=} says otherwise."""

_HTTP_CAP: Final = 2 * 65536
"""Over the longest head, so that what is too long is told so by a status."""

Keywords = Mapping[str, str]
"""The keywords of one prefix, as they were written."""


_FIXED: Final = ("tls", "ssh", "h2c", "silent")


class Listener(Protocol):
    """
    What knows who may use a listener.
    """

    auth: Auth

    def login(self, credentials: ICredentials) -> Principal | Deferred[Principal]:
        """
        Who that is.

        @raise UnauthorizedLogin: nobody; the Deferred may fail so as well.
        """


@implementer(IProtocolFactory)
class HttpFactory:
    """
    What serves the requests of an HTTP proxy that are no C{CONNECT}, beside the
    streams that the factory within is for.

    @since: ugate NEXT
    """

    def __init__(self, inner: IProtocolFactory, clock: IReactorTime, listener: Listener) -> None:
        """
        @param inner: what carries one stream on.
        @param clock: for the deadlines.
        @param listener: whose C{auth} holds, and who checks logins.
        """
        self._inner = inner
        self._clock = clock
        self._listener = listener

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """
        The protocol of one stream, or of one client that makes requests.
        """
        if getattr(addr, "protocol", "") != "http":
            return self._inner.buildProtocol(addr)
        from ugate.protocols.httpforward import HttpForwardFactory

        # Made for each client, since the mode is known only when the port listens.
        listener = self._listener
        auth = authOf(listener.auth, addr)
        forwarding = HttpForwardFactory(self._inner, self._clock, auth, listener.login)
        return forwarding.buildProtocol(addr)

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


def _seconds(name: str, own: Keywords, default: float) -> float:
    text = own.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise StringError(f"{name}={text}: wanted seconds, more than 0 and at most {MAX_TIMEOUT:g}")
    return seconds


def handshakeOf(reactor: Any, own: Keywords) -> float:
    """
    Seconds that a negotiation has.
    """
    tenant = ITenant(reactor, None)
    return _seconds("handshake", own, HANDSHAKE if tenant is None else tenant.handshake)


def _target(name: str, own: Keywords) -> Target | None:
    text = own.get(name)
    if text is None:
        return None
    try:
        return Target.fromText(text)
    except StringError as e:
        raise StringError(f"{name}=: {e}; the colon is written \\:, as in {name}=localhost\\:8080") from e


def socksServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    SOCKS5.
    """
    from ugate.protocols.socks5 import Socks5

    return NegotiatedServerEndpoint(
        reactor,
        inner,
        partial(Socks5, associates=True),
        deadline=handshakeOf(reactor, own),
        wrap=associating(reactor, own),
    )


def socks4Server(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    SOCKS4 and 4A.
    """
    from ugate.protocols.socks4 import Socks4

    return NegotiatedServerEndpoint(reactor, inner, Socks4, deadline=handshakeOf(reactor, own), logins=False)


def connectServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    An HTTP proxy: C{CONNECT} and requests with whole URIs.
    """
    from ugate.protocols.httpconnect import HttpProxy

    origin = _target("http", own)

    def negotiation(info: StreamInfo, auth: Auth) -> INegotiation:
        return HttpProxy(info, auth, origin)

    return NegotiatedServerEndpoint(
        reactor,
        inner,
        negotiation,
        deadline=handshakeOf(reactor, own),
        wrap=partial(_http, reactor),
        cap=_HTTP_CAP,
    )


def _http(reactor: Any, factory: IProtocolFactory, listener: Listener) -> IProtocolFactory:
    return HttpFactory(factory, reactor, listener)


def proxyprotoServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    A PROXY header in front of each stream.
    """
    from ugate.protocols.proxyproto import ProxyHeader

    return NegotiatedServerEndpoint(
        reactor, inner, ProxyHeader, deadline=handshakeOf(reactor, own), proves=False
    )


def autoServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    SOCKS4, SOCKS5 and an HTTP proxy on one port, and what the keywords add.
    """
    from ugate.protocols.auto import SILENT, Auto, Choice, Fixed
    from ugate.protocols.httpconnect import HttpProxy
    from ugate.protocols.socks4 import Socks4
    from ugate.protocols.socks5 import Socks5

    choices: dict[str, Choice] = {
        "socks4": Socks4,
        "socks5": partial(Socks5, associates=True),
        "http1": partial(HttpProxy, origin=_target("http", own)),
    }
    for name in _FIXED:
        target = _target(name, own)
        if target is not None:
            choices[name] = partial(Fixed, target=target, protocol=name)
    patience = _seconds("wait", own, PATIENCE)
    if "wait" in own and SILENT not in choices:
        raise StringError(f"wait= is for clients that say nothing: {SILENT}=HOST\\:PORT says where they go")
    return NegotiatedServerEndpoint(
        reactor,
        inner,
        lambda info, auth: Auto(info, auth, choices),
        deadline=handshakeOf(reactor, own),
        patience=patience if SILENT in choices else None,
        wrap=associating(reactor, own, partial(_http, reactor)),
        cap=_HTTP_CAP,
    )


def forwardServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    Every stream to one place, whatever is spoken.
    """
    from ugate.protocols.auto import Fixed

    target = _target("to", own)
    if target is None:
        raise StringError("where to? add to=HOST\\:PORT")
    return NegotiatedServerEndpoint(
        reactor,
        inner,
        partial(Fixed, target=target, protocol="forward"),
        deadline=handshakeOf(reactor, own),
        logins=False,
        eager=True,
    )


def sniServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    TLS to the server that it names: unopened, or in clear for names that end here.
    """
    from ugate.protocols.servernames import DEFAULT_PORT, Listed, ServerNames
    from ugate.protocols.sni import Sni

    names, ends = own.get("names"), own.get("ends")
    if not names and not ends:
        raise StringError("to which servers? add names=HOST,*.SUFFIX for those to which it passes through")
    port = _port(own, DEFAULT_PORT)
    listed = Listed(
        ServerNames(names, port) if names is not None else None,
        port,
        _target("default", own),
        _alpn(own),
        ServerNames(ends, port, "ends") if ends is not None else None,
    )
    if ends is not None:
        return _endingServer(reactor, inner, listed, own)
    if "certificates" in own:
        raise StringError("certificates= is for names that end here: ends=HOST,*.SUFFIX says which")
    return NegotiatedServerEndpoint(
        reactor,
        inner,
        partial(Sni, listed=listed),
        deadline=handshakeOf(reactor, own),
        logins=False,
        listed=listed,
    )


def _endingServer(
    reactor: Any, inner: IStreamServerEndpoint, listed: Listed, own: Keywords
) -> IStreamServerEndpoint:
    from ugate.endpoints.ending import Certificates, EndingServerEndpoint

    text = own.get("certificates", "none")
    try:
        certificates = Certificates(text)
    except ValueError as e:
        wanted = ", ".join(each.value for each in Certificates)
        raise StringError(f"certificates={text}: wanted one of {wanted}") from e
    return EndingServerEndpoint(
        reactor, inner, listed, certificates=certificates, deadline=handshakeOf(reactor, own)
    )


def _port(own: Keywords, default: int) -> int:
    text = own.get("port", str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise StringError(f"port={text}: wanted the port that names stand for, from 1 to 65535")
    return int(text)


def mtlsServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    TLS, with the certificates of both sides.
    """
    from ugate.endpoints.mtls import MutualServerEndpoint

    text = own.get("anonymous", "no")
    if text not in ("no", "yes", "only"):
        raise StringError(f"anonymous={text}: wanted no, yes or only")
    return MutualServerEndpoint(
        reactor,
        inner,
        alpn=_alpn(own),
        anonymous=text != "no",
        asksClient=text != "only",
        deadline=handshakeOf(reactor, own),
    )


def h2connectServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    C{CONNECT} in HTTP/2: many streams on each connection.
    """
    from ugate.endpoints.h2connect import h2connectEndpoint, tunnelsOf

    return h2connectEndpoint(reactor, inner, handshakeOf(reactor, own), tunnelsOf(reactor, own))


def websocketServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    WebSocket: a stream in the messages of each connection.
    """
    from ugate.endpoints.websocketstring import websocketEndpoint

    return websocketEndpoint(reactor, inner, handshakeOf(reactor, own), own)


def readyServer(reactor: Any, inner: IStreamServerEndpoint, own: Keywords) -> IStreamServerEndpoint:
    """
    Nodes that keep connections ready for streams to them.
    """
    from ugate.endpoints.readylistener import ReadyServerEndpoint

    keys = readKeys("keys", own["keys"]) if "keys" in own else None
    return ReadyServerEndpoint(reactor, inner, keys=keys, deadline=handshakeOf(reactor, own))


def _alpn(own: Keywords) -> tuple[bytes, ...]:
    return readALPN(own["alpn"]) if "alpn" in own else ()


@dataclass(frozen=True, slots=True)
class ServerKind:
    """
    What a prefix of a server string stands for.
    """

    build: Callable[[Any, IStreamServerEndpoint, Keywords], IStreamServerEndpoint]
    """Makes the endpoint from the reactor, the one below and the own keywords; raises L{StringError}."""

    keywords: frozenset[str] = frozenset(("handshake",))
    """Its own keywords; all others are for the rest of the string."""


SERVERS: Final[Mapping[str, ServerKind]] = {
    "socks": ServerKind(socksServer, frozenset(("handshake", "answers"))),
    "socks4": ServerKind(socks4Server),
    "connect": ServerKind(connectServer, frozenset(("handshake", "http"))),
    "proxyproto": ServerKind(proxyprotoServer),
    "mtls": ServerKind(mtlsServer, frozenset(("handshake", "alpn", "anonymous"))),
    "h2connect": ServerKind(h2connectServer, frozenset(("handshake", "websocket", "origins", "hosts"))),
    "ssh": ServerKind(sshServer, frozenset(("handshake", "nist", "penalties"))),
    "ready": ServerKind(readyServer, frozenset(("handshake", "keys"))),
    "websocket": ServerKind(websocketServer, frozenset(("handshake", "path", "origins", "hosts", "proxied"))),
    "reverse": ServerKind(reverseServer, frozenset(("handshake", "keys"))),
    "forward": ServerKind(forwardServer, frozenset(("handshake", "to"))),
    "redirect": ServerKind(redirectServer, CAPTURING),
    "tproxy": ServerKind(tproxyServer, CAPTURING),
    "sni": ServerKind(
        sniServer, frozenset(("handshake", "names", "ends", "certificates", "default", "port", "alpn"))
    ),
    "auto": ServerKind(autoServer, frozenset(("handshake", "wait", "http", "answers", *_FIXED))),
}
"""The prefixes.  A new one has a line here, and an instance in the plugin file."""
