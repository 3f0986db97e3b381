# -*- test-case-name: ugate.test.test_udp -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Flows of datagrams that this host makes itself: a socket for each, connected to the target, so that nobody
else can answer, unless a listener wants that (L{ugate.endpoints.cone}).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReadDescriptor,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

from ugate.endpoints.addresses import DEFAULT_TIMEOUT, isLiteral
from ugate.endpoints.connecting import mark, withZone
from ugate.endpoints.names import interleaved
from ugate.endpoints.outlet import Outlet
from ugate.endpoints.refusals import refusedAt
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IEgress
from ugate.poll import canPoll
from ugate.protocols.datagrams import DatagramStream
from ugate.stream import UDP, Target

if TYPE_CHECKING:
    from ugate.endpoints.cone import ConeSocket

Cones: TypeAlias = "dict[tuple[str, int], ConeSocket]"
"""The sockets that are shared: by whose they are, and the family."""

AT_ONCE: Final = 64
"""Datagrams that are read of a socket before others have their turn."""

SIZE: Final = 65536
"""More than any datagram has."""

CONE: Final = "cone"
"""
The hint of flows whose socket takes answers from anybody: whose they are, which share one.  Only a listener
gives it.
"""

NOW: Final = int(socket.MSG_DONTWAIT)


def udpAddress(host: str, port: int) -> IPv4Address | IPv6Address:
    """
    An address of a socket for datagrams.
    """
    return (IPv6Address if ":" in host else IPv4Address)("UDP", host, port)


@implementer(IReadDescriptor)
class DatagramSocket(DatagramStream):
    """
    A flow with a socket of its own.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, connected: socket.socket, peer: IAddress) -> None:
        """
        @param reactor: what waits for the socket.
        @param connected: one that is, and does not block.
        """
        host, port, *_ = connected.getsockname()
        super().__init__(peer, udpAddress(host, port))
        self._reactor = reactor
        self._socket: socket.socket | None = connected
        self._recv = connected.recv
        self._outlet = Outlet(connected)
        self._outlet.tooLong = self.fail

    def fileno(self) -> int:
        """
        The socket's, while there is one.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "datagrams"

    def startReading(self) -> None:
        """
        Take what comes.
        """
        if self._socket is not None:
            self._reactor.addReader(self)

    def doRead(self) -> None:
        """
        Take what is there, but not for long.
        """
        recv = self._recv
        found: list[bytes] = []
        for _ in range(AT_ONCE):
            try:
                found.append(recv(SIZE, NOW))
            except BlockingIOError:
                break
            except OSError as error:
                # What was sent before did not get there; that is no end of a flow.
                self.fail(error)
        if found:
            self.arrivedAll(found)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen the socket fail.
        """
        self.lost(reason.value)

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}.
        """
        self.dropped += self._outlet.post(datagrams)

    def pauseProducing(self) -> None:
        """
        Leave what comes to the kernel, which keeps some.
        """
        if self._socket is not None:
            self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer<twisted.internet.interfaces.IPushProducer>}.
        """
        self.startReading()

    def closed(self) -> None:
        """
        Give the socket back.
        """
        connected, self._socket = self._socket, None
        self._outlet.tooLong = None
        if connected is not None:
            self._reactor.removeReader(self)
            connected.close()


@implementer(IResolutionReceiver)
class _Opening:
    """
    A flow to a name, whose addresses are looked up.
    """

    def __init__(self, endpoint: DatagramEndpoint, factory: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._addresses: list[IAddress] = []
        self.opened: Deferred[IProtocol] = Deferred(lambda _: self._end())
        self._limit: IDelayedCall | None = None

    def begin(self) -> Deferred[IProtocol]:
        endpoint = self._endpoint
        target, reactor = endpoint.target, endpoint.reactor
        try:
            name = target.host.encode("idna").decode("ascii")
        except UnicodeError as e:
            return fail(Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, str(target), f"no DNS name: {e}"))
        self._limit = reactor.callLater(endpoint.timeout, self._late)
        reactor.nameResolver.resolveHostName(self, name, target.port, transportSemantics="UDP")
        return self.opened

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        Not needed: Twisted's own cannot be cancelled.
        """

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        if self._limit is None:
            return
        self._end()
        target = self._endpoint.target
        first: Failure | None = None
        for each in interleaved(self._addresses):
            try:
                protocol = self._endpoint.open(Target(each.host, each.port, UDP), self._factory)
            except Refused:
                first = first or Failure()
            except Exception:
                self.opened.errback()
                return
            else:
                self.opened.callback(protocol)
                return
        unknown = Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, str(target))
        self.opened.errback(Failure(unknown) if first is None else first)

    def _late(self) -> None:
        self._limit = None
        endpoint = self._endpoint
        detail = f"no answer from the resolver in {endpoint.timeout:g} s"
        self.opened.errback(Refused(Cause.TIMED_OUT, Phase.RESOLVE, str(endpoint.target), detail))

    def _end(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.cancel()


@implementer(IStreamClientEndpoint)
class DatagramEndpoint:
    """
    A flow of datagrams to a target.  It fails with L{Refused<ugate.errors.Refused>}, or with what the
    factory raised.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        timeout: float = DEFAULT_TIMEOUT,
        cones: Cones | None = None,
        whose: str = "",
    ) -> None:
        """
        @param reactor: what waits for the socket and looks names up; with L{IEgress}, asked about addresses.
        @param target: an address or a name, and the port.
        @param timeout: seconds for the lookup.
        @param cones: the sockets that are shared.
        @param whose: those whose it may share; empty for one of its own.
        """
        self._cones = cones
        self._whose = whose
        self.reactor = reactor
        self.target = target
        self.timeout = timeout

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open it; the Deferred can be cancelled.
        """
        opened: Deferred[IProtocol] = Deferred()
        if not canPoll(self.reactor):
            step = "run it with a reactor that does: epoll, on Linux"
            detail = "this reactor waits for no sockets"
            return fail(Refused(Cause.UNSUPPORTED, Phase.CONNECT, str(self.target), detail, step))
        if not isLiteral(self.target.host):
            return _Opening(self, factory).begin()
        try:
            opened.callback(self.open(self.target, factory))
        except Exception:
            return fail(Failure())
        return opened

    def open(self, target: Target, factory: IProtocolFactory) -> IProtocol:
        """
        Open one to an address.

        @raise Refused: the egress rules forbid it, or there is no way there.
        """
        egress = IEgress(self.reactor, None)
        if egress is not None:
            egress.check(target.host, target.port, UDP)
        transport = self._transport(target, egress)
        protocol = None
        try:
            protocol = factory.buildProtocol(transport.getPeer())
        finally:
            if protocol is None:
                transport.lost()
        if protocol is None:
            raise NoProtocol()
        transport.begin(protocol)
        return protocol

    def _transport(self, target: Target, egress: IEgress | None) -> DatagramStream:
        """
        @raise Refused: there is no way there.
        """
        if self._cones is None or not self._whose:
            connected = connectedSocket(target, egress)
            transport = DatagramSocket(self.reactor, connected, udpAddress(target.host, target.port))
            transport.startReading()
            return transport
        from ugate.endpoints.cone import ConeSocket

        key = self._whose, socket.AF_INET6 if ":" in target.host else socket.AF_INET
        try:
            cone = self._cones.get(key) or ConeSocket(self.reactor, self._cones, key)
        except OSError:
            raise _refused(target) from None
        return cone.flowTo(target)

    def __str__(self) -> str:
        return str(self.target)


def connectedSocket(target: Target, egress: IEgress | None) -> socket.socket:
    """
    A socket for datagrams with that place alone, which is known as ours where the kernel leads any here.

    @raise Refused: there is no way there.
    """
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    made: socket.socket | None = None
    try:
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if egress is not None and egress.mark:
            mark(made, egress)
        made.connect(withZone(target) if "%" in target.host else (target.host, target.port))
        if egress is not None and egress.outgoing is not None:
            egress.outgoing.add((*made.getsockname()[:2], target.host, target.port), made)
    except OSError:
        if made is not None:
            made.close()
        raise _refused(target) from None
    return made


def _refused(target: Target) -> BaseException:
    """
    What the error means that is being handled; it has that as its cause.
    """
    refused = refusedAt(Failure(), str(target)).value
    assert refused is not None
    return refused
