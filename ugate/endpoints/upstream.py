# -*- test-case-name: ugate.test.test_upstream -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Dialers that go through a hop: a proxy that is asked for the target, and the PROXY
header in front of a stream.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.hops import KINDS, Hop
from ugate.endpoints.negotiated import NegotiatedClientEndpoint
from ugate.endpoints.refusals import noTarget, refusedAt, renamed
from ugate.endpoints.tlsclient import TLSClientEndpoint, clientOptions
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDialer, INegotiation
from ugate.stream import StreamInfo, Target

MAX_PASSWORD: Final = 8192


class ClientNegotiation(Protocol):
    """
    What makes the client side of a protocol.
    """

    def __call__(self, target: Target, login: UsernamePassword | None, hop: str) -> INegotiation:
        """
        The negotiation that asks for one target.

        @raise Refused: the target or the login cannot be said in that protocol.
        """


def loginOf(hop: Hop) -> UsernamePassword | None:
    """
    Who a hop is told that we are.  The password is read now, so that a new one
    holds from the next connection on.

    @raise Refused: it cannot be read, and why.
    """
    if not hop.user:
        return None
    password = b""
    if hop.passwordFile:
        try:
            with open(hop.passwordFile, "rb") as file:
                password = file.read(MAX_PASSWORD + 1)
        except OSError as e:
            raise _noPassword(hop, f"passwordFile={hop.passwordFile}: {e.strerror}") from e
        if len(password) > MAX_PASSWORD:
            raise _noPassword(hop, f"passwordFile={hop.passwordFile} has over {MAX_PASSWORD} bytes")
        password = password.rstrip(b"\r\n")
    elif hop.passwordEnv:
        value = os.environ.get(hop.passwordEnv)
        if value is None:
            raise _noPassword(hop, f"passwordEnv={hop.passwordEnv}: no such variable")
        password = value.encode()
    return UsernamePassword(hop.user.encode(), password)


def _noPassword(hop: Hop, detail: str) -> Refused:
    nextStep = "let it hold the password of that hop, readable for this process"
    return Refused(Cause.AUTHENTICATION, Phase.AUTH, hop.place, detail, nextStep)


@implementer(IStreamClientEndpoint)
class _Through:
    """
    An endpoint whose refusals name the hop as the config does.
    """

    def __init__(self, inner: IStreamClientEndpoint, address: str, place: str) -> None:
        self._inner = inner
        self._address = address
        self._place = place

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        connected: Deferred[IProtocol] = self._inner.connect(factory)
        return connected.addErrback(self._named)

    def _named(self, failure: Failure) -> Failure:
        return renamed(refusedAt(failure, self._place), self._address, self._place)


def carrierOf(hop: Hop, via: IDialer | IStreamClientEndpoint, info: StreamInfo) -> IStreamClientEndpoint:
    """
    What connects to a hop itself.

    @param via: a dialer, which is asked for C{hop.target}, or an endpoint that leads there already.
    @raise Refused: there is no way there.
    """
    address = str(hop.target)
    if not IDialer.providedBy(via):
        return _Through(via, address, hop.place)
    try:
        endpoint = via.endpointFor(info.but(target=hop.target))
    except Refused as e:
        error = renamed(Failure(e), address, hop.place).value
        assert error is not None
        raise error from e
    return _Through(endpoint, address, hop.place)


def _single(alpn: Sequence[bytes]) -> list[bytes]:
    """
    What may be spoken on a connection for one stream.
    """
    return [each for each in alpn if each != b"h2"]


@implementer(IDialer)
class Upstream:
    """
    The dialer that asks a proxy for the target.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        hop: Hop,
        client: ClientNegotiation,
        via: IDialer | IStreamClientEndpoint,
    ) -> None:
        """
        @param reactor: L{IReactorTime}.
        @param hop: the proxy, how to log in there, and the limits.
        @param client: what makes the client side of its protocol.
        @param via: what carries the connection to the proxy: a dialer, which is asked
            for C{hop.target}, or an endpoint that leads to the proxy already.
        @raise Refused: the hop wants TLS and that is not installed.
        """
        self._reactor = reactor
        self._hop = hop
        self._client = client
        self._via = via
        self._deadline = DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout
        self._options = clientOptions(hop.host, hop.place, _single(hop.alpn)) if hop.tls else None

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the target, behind the proxy.

        @raise Refused: there is no target, it cannot be said to that proxy, there is
            no way to the proxy or no password.
        """
        target, hop, client = info.target, self._hop, self._client
        if target is None:
            raise noTarget(info)
        login = loginOf(hop)
        # Made before anything is dialed: it may find that the target cannot be said.
        first = [client(target, login, hop.place)]
        inner: IStreamClientEndpoint = carrierOf(hop, self._via, info)
        if self._options is not None:
            inner = TLSClientEndpoint(
                self._reactor, inner, self._options, hop=hop.place, deadline=self._deadline
            )
        return NegotiatedClientEndpoint(
            self._reactor,
            inner,
            lambda: first.pop() if first else client(target, login, hop.place),
            hop=hop.place,
            deadline=self._deadline,
        )

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way to the proxy, and then what it is asked for.
        """
        hop = self._hop
        way = [f"connect to {hop.place} by {hop.via}"]
        if IDialer.providedBy(self._via):
            way = self._via.explain(info.but(target=hop.target))
        tls = " over TLS" if hop.tls else ""
        user = f", as {hop.user}" if hop.user else ""
        return [*way, f"ask {hop.place} for {info.target} in {KINDS[hop.prefix].speaks}{tls}{user}"]


@implementer(IDialer)
class Announced:
    """
    The dialer that tells the other side for whom the stream is, by a PROXY header in
    front of it.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, dialer: IDialer, version: int, hop: str = "") -> None:
        """
        @param reactor: L{IReactorTime}.
        @param dialer: the way there.
        @param version: 1 or 2.
        @param hop: what refusals name; else the target.
        """
        self._reactor = reactor
        self._dialer = dialer
        self._version = version
        self._hop = hop

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of the dialer, which sends the header first.

        @raise Refused: as the dialer does.
        """
        target = info.target
        if target is None:
            raise noTarget(info)
        return NegotiatedClientEndpoint(
            self._reactor,
            self._dialer.endpointFor(info),
            _header(info, target, self._version),
            hop=self._hop or str(target),
        )

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way, and then the header.
        """
        who = "that names nobody, since the stream is our own" if _isOurs(info) else "that names the client"
        return [*self._dialer.explain(info), f"send a PROXY header v{self._version} {who}"]


def _isOurs(info: StreamInfo) -> bool:
    """
    Whether there is no client with an address: a program of this machine asks.
    """
    return isinstance(info.peer, UNIXAddress)


def _header(info: StreamInfo, target: Target, version: int) -> Callable[[], INegotiation]:
    """
    The PROXY header of a stream: as C{LOCAL} when it is our own.
    """
    from ugate.protocols.proxyproto import ProxyHeaderClient

    ours = _isOurs(info)
    return lambda: ProxyHeaderClient(
        target,
        source=None if ours else info.peer,
        destination=None if ours else info.host,
        version=version,
    )
