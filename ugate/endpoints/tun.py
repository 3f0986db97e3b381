# -*- test-case-name: ugate.test.test_tun,ugate.test.interop.test_tun -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{tun:}: what programs of this machine send into a device, as streams.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from ugate.endpoints.captured import Capture, CapturedFactory, CapturedServerEndpoint
from ugate.endpoints.tunport import FLOWS, TunPort
from ugate.endpoints.tunroutes import Way
from ugate.errors import Cause, Phase, Refused
from ugate.poll import canPoll
from ugate.stream import StreamInfo, Target


class TunFactory(CapturedFactory):
    """
    What comes out of a device.
    """

    def __init__(self, endpoint: Any, wrapped: IProtocolFactory) -> None:
        super().__init__(endpoint, wrapped)
        self._sourceOf = endpoint.inner.sourceOf

    def buildProtocol(self, addr: Any) -> Any:
        if isinstance(addr, StreamInfo):
            # A flow of datagrams, of which all is known.
            return self.wrappedFactory.buildProtocol(addr)
        return super().buildProtocol(self._sourceOf(addr))


@implementer(IStreamServerEndpoint)
class DeviceEndpoint:
    """
    Listens in a device: who is there is a program of this machine, or another one for which it is a router.
    """

    whose = "for the traffic of the whole machine"
    """Why no tenant but the root may have it."""

    def __init__(self, reactor: Any, way: Way, limit: int = FLOWS) -> None:
        """
        @param reactor: a tenant's, by which a device that is there may be taken over.
        """
        self.reactor = reactor
        self.way = way
        self.limit = limit
        # Whose packets pass through is known by the address alone, which says little.
        self.isLocal = not way.forward
        self._port: TunPort | None = None

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        return execute(self._listen, factory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        way = self.way
        if not canPoll(self.reactor):
            where = f"tun:{way.device}"
            detail, step = (
                "this reactor waits for no descriptors",
                "run it with one that does: epoll, on Linux",
            )
            raise Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, where, detail, step)
        listen = getattr(self.reactor, "listenAt", None)
        if listen is None:
            return self._open(factory, self.reactor)
        place = (way.device, way.addresses)
        listening: IListeningPort = listen("tun", place, factory, self._open, self._taken)
        return listening

    def _open(self, factory: IProtocolFactory, reactor: Any) -> TunPort:
        self._port = port = TunPort(reactor, self.way, factory, self.limit)
        port.startListening()
        return port

    def _taken(self, port: TunPort) -> None:
        self._port = port
        port.change(self.way, self.limit)

    def find(self, connected: Any) -> Target:
        """
        See L{TunPort.find}.
        """
        assert self._port is not None
        return self._port.find(connected)

    def sourceOf(self, address: Any) -> IPv4Address | IPv6Address:
        """
        See L{TunPort.sourceOf}.
        """
        assert self._port is not None
        source: IPv4Address | IPv6Address = self._port.sourceOf(address)
        return source


class TunServerEndpoint(CapturedServerEndpoint):
    """
    Listens in a device for streams to anywhere.

    @since: ugate NEXT
    """

    factory = TunFactory

    def __init__(
        self,
        reactor: Any,
        way: Way,
        capture: Capture,
        *,
        deadline: float = 10.0,
        limit: int = FLOWS,
    ) -> None:
        """
        @param way: what is led into the device.
        @param capture: what is looked for in streams.
        @param deadline: seconds that all of it may take.
        @param limit: how many connections, and flows of datagrams, there may be.
        """
        device = DeviceEndpoint(reactor, way, limit)
        super().__init__(reactor, device, capture, deadline=deadline, find=device.find)
        self.forOthers = False
