# -*- test-case-name: ugate.test.test_udpport -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Ports for datagrams: the datagrams of each peer are a flow, which is offered as a stream is.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReadDescriptor,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.flowtable import DEFAULT_FLOWS, Flow, FlowTable
from ugate.endpoints.outlet import Outlet
from ugate.endpoints.reach import isLoopback
from ugate.endpoints.udp import AT_ONCE, CONE, NOW, SIZE, udpAddress
from ugate.errors import Cause, Phase, Refused
from ugate.poll import canPoll
from ugate.stream import NO_HINTS, StreamInfo, Target

RECEIVE_BUFFER: Final = 1 << 20
"""Bytes that the kernel keeps for a port while we are busy with others, as far as it lets us."""

PROTOCOL: Final = "udp"
"""What flows of a port are recognized as."""


@implementer(IReadDescriptor)
class Hearing(ABC):
    """
    A socket that hears many peers.

    @ivar table: their flows.
    @ivar factory: makes the protocol of each.
    @ivar dropped: how many datagrams were for no flow, and began none.
    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, bound: socket.socket, factory: IProtocolFactory, limit: int = DEFAULT_FLOWS
    ) -> None:
        """
        @param reactor: what waits for the socket, and the clock.
        @param bound: the socket; it is ours from now on.
        @param limit: how many flows there may be.
        """
        bound.setblocking(False)
        self.reactor = reactor
        self.socket = bound
        self.factory: Any = factory
        self.table: FlowTable[Any] = FlowTable(reactor, limit)
        self.dropped = 0
        self.isClosed = False
        host, port, *_ = bound.getsockname()
        self.host = udpAddress(host, port)

    def fileno(self) -> int:
        """
        The socket's.
        """
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "datagrams"

    @abstractmethod
    def doRead(self) -> None:
        """
        Take what is there, but not for long: see L{IReadDescriptor}.
        """

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen the socket fail.
        """
        self.close()

    def close(self) -> None:
        """
        Hear nobody any more; all flows end.
        """
        if not self.isClosed:
            self.isClosed = True
            self.reactor.removeReader(self)
            self.table.close()
            self.socket.close()


class PortFlow(Flow):
    """
    The flow of one peer of a port.
    """

    def __init__(self, port: Port, address: Any, target: Target | None) -> None:
        peer = udpAddress(address[0], address[1])
        hints = {CONE: f"{address} {port.host}"} if port.isCone else NO_HINTS
        info = StreamInfo(peer, port.host, target, protocol=PROTOCOL, hints=hints, layers=(PROTOCOL,))
        super().__init__(port.table, address, info, port.host)
        self._outlet = Outlet(port.socket, address)

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}.
        """
        self.dropped += self._outlet.post(datagrams)


@implementer(IListeningPort)
class Port(Hearing):
    """
    A port whose flows all go to one target.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        bound: socket.socket,
        factory: IProtocolFactory,
        limit: int = DEFAULT_FLOWS,
        target: Target | None = None,
        isCone: bool = False,
    ) -> None:
        """
        @param target: where the flows go.
        @param isCone: whether anybody may answer.
        """
        super().__init__(reactor, bound, factory, limit)
        self.isCone = isCone
        self.target = target

    def doRead(self) -> None:
        """
        See L{IReadDescriptor}.
        """
        recv, get = self.socket.recvfrom, self.table.get
        came: dict[PortFlow, list[bytes]] = {}
        for _ in range(AT_ONCE):
            try:
                datagram, address = recv(SIZE, NOW)
            except BlockingIOError:
                break
            except OSError:
                # What was sent to some peer did not get there.
                continue
            flow = get(address) or self.table.begin(PortFlow(self, address, self.target), self.factory)
            if flow in came:
                came[flow].append(datagram)
            else:
                came[flow] = [datagram]
        self.table.deliver(came)

    def startListening(self) -> None:
        """
        See L{IListeningPort}.
        """
        self.factory.doStart()
        self.reactor.addReader(self)

    def stopListening(self) -> Deferred[None]:
        """
        See L{IListeningPort}.  Flows have no other way to go on, so they end.
        """
        if not self.isClosed:
            self.close()
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """
        Where it listens.
        """
        return self.host

    def __repr__(self) -> str:
        return f"<Port for datagrams at {self.host.host}:{self.host.port}>"


def boundSocket(interface: str, port: int) -> socket.socket:
    """
    A socket for datagrams to an address of this host.

    @raise CannotListenError: it cannot be.
    """
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    made: socket.socket | None = None
    try:
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        made.bind((interface, port))
    except OSError as error:
        if made is not None:
            made.close()
        raise CannotListenError(interface, port, error) from error
    return made


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class DatagramServerEndpoint:
    """
    Listens for datagrams, whose flows all go to one target.

    @since: ugate NEXT
    """

    reactor: Any
    """What waits for the socket."""

    port: int
    """Which port; 0 for any."""

    target: Target
    """Where to."""

    interface: str = "127.0.0.1"
    """At which address."""

    flows: int = DEFAULT_FLOWS
    """How many there may be."""

    isCone: bool = False
    """Whether anybody may answer, and not only the target."""

    asks = True
    """Whether it is known where to."""

    @property
    def isLocal(self) -> bool:
        """
        Whether only programs of this machine reach it.
        """
        return isLoopback(self.interface)

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        return execute(self._listen, factory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        if not canPoll(self.reactor):
            where = f"udp:{self.port}"
            detail, step = "this reactor waits for no sockets", "run it with one that does: epoll, on Linux"
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, where, detail, step)
        listen: Callable[..., IListeningPort] | None = getattr(self.reactor, "listenDatagrams", None)
        if listen is not None:
            return listen(self.port, self.interface, factory, self._open, self._change)
        listening = self._open(factory, self.reactor)
        return listening

    def _open(self, factory: IProtocolFactory, reactor: Any) -> Port:
        bound = boundSocket(self.interface, self.port)
        listening = Port(reactor, bound, factory, self.flows, self.target, self.isCone)
        listening.startListening()
        return listening

    def _change(self, listening: Port) -> None:
        """
        A socket that was another listener's is one of ours.
        """
        listening.target = self.target
        listening.isCone = self.isCone
        listening.table.limit = self.flows
