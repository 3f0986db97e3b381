# -*- test-case-name: ugate.test.test_addresses -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections to address literals, the hot path of a gateway: one object and one
Deferred a connection, and nothing of them stays between the transport and the
protocol once it is up.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Final

from zope.interface import directlyProvides, implementer

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure

from ugate.endpoints.connecting import Sockets
from ugate.endpoints.refusals import refusedAt
from ugate.poll import canPoll
from ugate.stream import Target

DEFAULT_TIMEOUT: Final = 10.0


def isLiteral(host: str) -> bool:
    """
    Whether a host is an IPv4 or IPv6 address, which may have a zone, and no name.
    """
    try:
        if ":" in host:
            inet_pton(AF_INET6, host.partition("%")[0])
        else:
            inet_pton(AF_INET, host)
    except (OSError, ValueError):
        return False
    return True


@implementer(IProtocol)
class _Opening:
    """
    One connection that is being made: the client factory of the reactor, and then
    for a moment the protocol, which puts the real one into its place.
    """

    def __init__(self, factory: IProtocolFactory, hop: str) -> None:
        self._factory = factory
        self._hop = hop
        self._connector: IConnector | None = None
        self._inner: IProtocol | None = None
        self._over = False
        self.opened: Deferred[IProtocol] = Deferred(self._cancel)

    def _cancel(self, opened: Deferred[IProtocol]) -> None:
        self._over = True
        if self._connector is not None:
            self._connector.stopConnecting()

    def _fail(self, failure: Failure) -> None:
        if not self._over:
            self._over = True
            self.opened.errback(failure)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._fail(refusedAt(reason, self._hop))

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """
        The protocol knows already.
        """

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if self._over:
            return None
        try:
            inner = self._factory.buildProtocol(addr)
            if inner is None:
                raise NoProtocol()
        except Exception:
            self._fail(Failure())
            return None
        self._inner = inner
        return self

    def makeConnection(self, transport: ITransport) -> None:
        inner = self._inner
        assert inner is not None
        if getattr(transport, "protocol", None) is self:
            transport.protocol = inner  # type: ignore[attr-defined]
            self._inner = None
        elif IHalfCloseableProtocol.providedBy(inner):
            directlyProvides(self, IHalfCloseableProtocol)
        self._over = True
        try:
            inner.makeConnection(transport)
        except Exception:
            # The reactor logs it and closes; nobody may wait for it forever.
            self.opened.errback()
            raise
        self.opened.callback(inner)

    # What follows is called only by transports that do not let their protocol be replaced.

    def connectionMade(self) -> None:
        """
        L{makeConnection} has told the protocol.
        """

    def dataReceived(self, data: bytes) -> None:
        assert self._inner is not None
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        assert self._inner is not None
        self._inner.connectionLost(reason)

    def readConnectionLost(self) -> None:
        assert self._inner is not None
        IHalfCloseableProtocol(self._inner).readConnectionLost()

    def writeConnectionLost(self) -> None:
        assert self._inner is not None
        IHalfCloseableProtocol(self._inner).writeConnectionLost()


@implementer(IStreamClientEndpoint)
class AddressEndpoint:
    """
    A TCP connection to an address literal.  It fails with
    L{Refused<ugate.errors.Refused>}, or with what the factory raised.

    @since: ugate NEXT
    """

    __slots__ = ("_reactor", "_sockets", "_source", "_target", "_timeout")

    def __init__(
        self,
        reactor: Any,
        target: Target,
        timeout: float | None = DEFAULT_TIMEOUT,
        sockets: Sockets | None = None,
        source: str = "",
    ) -> None:
        """
        @param reactor: whose C{connectTCP} may refuse an address: by an exception, or
            as a failed connection.
        @param target: an IPv4 or IPv6 address, and the port.
        @param timeout: seconds; L{None} if the caller cancels when it takes too long.
        @param sockets: what makes many such connections.
        @param source: the address to connect from, be it one of this host's or not; empty for any.
        """
        self._source = source
        self._reactor = reactor
        self._target = target
        self._timeout = timeout
        self._sockets = sockets

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect; the Deferred can be cancelled.
        """
        target = self._target
        sockets = self._sockets or socketsOf(self._reactor, self._timeout)
        if sockets is not None:
            return sockets.connect(target, factory, self._source)
        opening = _Opening(factory, str(target))
        try:
            self._reactor.connectTCP(
                target.host,
                target.port,
                opening,
                self._timeout,
                (self._source, 0) if self._source else None,
            )
        except Exception:
            return fail(refusedAt(Failure(), str(target)))
        return opening.opened

    def __str__(self) -> str:
        return f"tcp:{self._target}"


def socketsOf(reactor: Any, timeout: float | None) -> Sockets | None:
    """
    What makes connections without C{connectTCP}, if this reactor can wait for them.
    """
    return Sockets(reactor, timeout) if canPoll(reactor) else None
