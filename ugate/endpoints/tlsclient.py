# -*- test-case-name: ugate.test.test_tlsclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TLS to a hop, verified, over any client endpoint.

Twisted's C{wrapClientTLS} calls a connection up before the handshake is through;
here it is up when the certificate was found good, and what failed before that is
a refusal that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.errors import Cause, Phase, Refused
from ugate.protocols.tlsverify import PeerCheck

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol


def clientOptions(serverName: str, hop: str, protocols: Sequence[bytes] = ()) -> Any:
    """
    Twisted's TLS options for a client that trusts what this host trusts.

    @param serverName: the name or address that the certificate must be good for.
    @param hop: what L{Refused} names.
    @param protocols: what to offer by ALPN, best first.
    @raise Refused: if TLS is not installed.
    """
    try:
        from twisted.internet.ssl import optionsForClientTLS
    except ImportError as e:
        raise Refused(
            Cause.UNSUPPORTED, Phase.TLS, hop, str(e), "install TLS: pip install 'twisted[tls]'"
        ) from e
    return optionsForClientTLS(serverName, acceptableProtocols=list(protocols) or None)


def _said(error: BaseException) -> str:
    """
    What OpenSSL or the check of the name has against the other side.
    """
    if hasattr(error, "errors"):
        # What the check of the name raises has a list of what does not match.
        return "its certificate is for another name"
    entries = error.args[0] if error.args else None
    if isinstance(entries, list):
        return "; ".join(str(entry[-1]) if isinstance(entry, tuple) else str(entry) for entry in entries)
    return str(error) or type(error).__name__


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    """
    The protocol inside TLS until the handshake is through; then the real one takes
    its place.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        address: IAddress | None,
        hop: str,
        check: PeerCheck | None,
        alpn: bytes,
    ) -> None:
        self._check = check
        self._alpn = alpn
        self._factory = factory
        self._address = address
        self._hop = hop
        self._over = False
        self.done: Deferred[IProtocol] = Deferred(lambda _: self._abort())

    def _abort(self) -> None:
        self._over = True
        if self.transport is not None:
            self._tls.abortConnection()

    @property
    def _tls(self) -> TLSMemoryBIOProtocol:
        return cast("TLSMemoryBIOProtocol", self.transport)

    def handshakeCompleted(self) -> None:
        # A connection on its way down says this too, if it went down over the name.
        if self._over or self._tls.disconnecting:
            return
        try:
            if self._check is not None:
                self._check.finish(self._tls.getHandle())
            if self._alpn and self._tls.negotiatedProtocol != self._alpn:
                spoken = f"it does not speak {self._alpn.decode()} in TLS"
                raise Refused(Cause.UNSUPPORTED, Phase.TLS, self._hop, spoken)
            inner = self._factory.buildProtocol(self._address)  # type: ignore[arg-type]
            if inner is None:
                raise NoProtocol()
        except Exception:
            self._abort()
            self.done.errback()
            return
        self._over = True
        self._tls.wrappedProtocol = inner
        inner.makeConnection(self._tls)
        self.done.callback(inner)

    def refuse(self, cause: Cause, detail: str, nextStep: str = "") -> None:
        """
        Give up.
        """
        if not self._over:
            self._abort()
            self.done.errback(Refused(cause, Phase.TLS, self._hop, detail, nextStep))

    def connectionLost(self, reason: Failure | None = None) -> None:
        error = None if reason is None else reason.value
        if self._check is not None and self._check.refused is not None and not self._over:
            self._abort()
            self.done.errback(self._check.refused)
        elif isinstance(error, Refused):
            self.refuse(error.cause, error.detail, error.nextStep)
        elif error is None or isinstance(error, ConnectionClosed):
            self.refuse(Cause.PEER_CLOSED, "in the middle of the handshake")
        else:
            self.refuse(
                Cause.GENERAL,
                _said(error),
                "check that it serves TLS, with a certificate for that name that this host trusts",
            )


class _Handshakes(Factory):
    """
    What makes the one protocol inside TLS, and keeps it: a transport that is lost
    forgets it.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, hop: str, check: PeerCheck | None, alpn: bytes) -> None:
        self._factory = factory
        self._hop = hop
        self._check = check
        self._alpn = alpn
        self.made: _Handshake | None = None

    def buildProtocol(self, addr: IAddress | None) -> _Handshake:
        self.made = _Handshake(self._factory, addr, self._hop, self._check, self._alpn)
        return self.made

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()


@implementer(IOpenSSLClientConnectionCreator)
class _Checked:
    """
    Connections whose peer is checked by us.
    """

    def __init__(self, options: Any, check: PeerCheck) -> None:
        self._options = options
        self._check = check

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        self._check.install(connection)
        return connection


@implementer(IStreamClientEndpoint)
class TLSClientEndpoint:
    """
    TLS over another endpoint.  It fails with L{Refused<ugate.errors.Refused>}, as the
    other endpoint does, or with what the factory raised.

    @since: ugate NEXT
    """

    def __init__(
        self,
        clock: IReactorTime,
        inner: IStreamClientEndpoint,
        options: Any,
        *,
        hop: str,
        deadline: float = DEFAULT_TIMEOUT,
        check: Callable[[], PeerCheck] | None = None,
        alpn: bytes = b"",
    ) -> None:
        """
        @param inner: what connects to the server.
        @param options: as L{clientOptions} makes them; they serve many connections.
        @param hop: what L{Refused} names.
        @param deadline: seconds for the handshake, from when C{inner} is connected.
        @param check: makes what says whether the server is the right one, if C{options} do not.
        @param alpn: what the server has to choose of the protocols in C{options}, if it has to.
        """
        self._check = check
        self._alpn = alpn
        self._clock = clock
        self._inner = inner
        self._options = options
        self._hop = hop
        self._deadline = deadline

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect; the Deferred can be cancelled.
        """
        from ugate.protocols.tlshop import HopStreams

        check = None if self._check is None else self._check()
        handshakes = _Handshakes(factory, self._hop, check, self._alpn)
        options = self._options if check is None else _Checked(self._options, check)
        wrapping = HopStreams(options, handshakes, self._clock, self._hop)
        return self._inner.connect(wrapping).addCallback(self._shaken, handshakes)

    def _shaken(self, connected: object, handshakes: _Handshakes) -> Deferred[IProtocol]:
        """
        The connection is up: wait for the handshake, but not forever.
        """
        handshake = handshakes.made
        assert handshake is not None
        if handshake.done.called:
            return handshake.done
        limit = self._clock.callLater(
            self._deadline, handshake.refuse, Cause.TIMED_OUT, f"no handshake in {self._deadline:g} s"
        )

        def over(result: Any) -> Any:
            if limit.active():
                limit.cancel()
            return result

        return handshake.done.addBoth(over)
