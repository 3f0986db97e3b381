# -*- test-case-name: ugate.test.test_cone -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A socket that several flows of one client share, which takes answers from anybody: a full cone, in the words
of those who get through NATs.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure

from ugate.endpoints.connecting import mark
from ugate.endpoints.outlet import Outlet
from ugate.endpoints.udp import AT_ONCE, NOW, SIZE, udpAddress
from ugate.interfaces import IEgress
from ugate.protocols.datagrams import DatagramStream
from ugate.stream import UDP, Target


class Strange(bytes):
    """
    A datagram of somebody to whom nothing was sent.

    @ivar source: who that is.
    """

    source: Target

    @classmethod
    def of(cls, datagram: bytes, address: Any) -> Strange:
        """
        One of an address.
        """
        made = cls(datagram)
        made.source = Target(address[0], address[1], UDP)
        return made


class ConeFlow(DatagramStream):
    """
    The flow to one target.

    @ivar address: the target's.
    """

    def __init__(self, cone: ConeSocket, target: Target) -> None:
        super().__init__(udpAddress(target.host, target.port), cone.host)
        self._cone = cone
        self.address = target.host, target.port
        self._outlet = Outlet(cone.socket, self.address)

    def postAll(self, datagrams: Sequence[bytes]) -> None:
        """
        See L{IDatagrams.postAll}.
        """
        self._cone.last = self
        self.dropped += self._outlet.post(datagrams)

    def closed(self) -> None:
        """
        It needs the socket no more.
        """
        self._cone.leave(self)


@implementer(IReadDescriptor)
class ConeSocket:
    """
    The socket of one client, for targets of one family.

    @ivar last: the flow that its client has used last: it gets what strangers send.
    """

    def __init__(self, reactor: Any, cones: dict[tuple[str, int], ConeSocket], key: tuple[str, int]) -> None:
        """
        @param cones: where it is kept as long as it has flows.
        @param key: under which name: whose it is, and the family.
        @raise OSError: there can be no such socket.
        """
        made = socket.socket(key[1], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        egress = IEgress(reactor, None)
        if egress is not None and egress.mark:
            mark(made, egress)
        try:
            made.bind(("::" if key[1] == socket.AF_INET6 else "0.0.0.0", 0))
        except OSError:
            made.close()
            raise
        self.socket = made
        host, port, *_ = made.getsockname()
        self.host = udpAddress(host, port)
        self.last: ConeFlow | None = None
        self._flows: dict[Any, ConeFlow] = {}
        self._reactor = reactor
        self._cones = cones
        self._key = key
        cones[key] = self
        reactor.addReader(self)

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

    def flowTo(self, target: Target) -> ConeFlow:
        """
        One more flow; one to the same target before it is over.
        """
        flow = ConeFlow(self, target)
        before = self._flows.get(flow.address)
        self._flows[flow.address] = self.last = flow
        if before is not None:
            before.lost()
        return flow

    def leave(self, flow: ConeFlow) -> None:
        """
        A flow is over; with the last one, so is the socket.
        """
        if self._flows.get(flow.address) is flow:
            del self._flows[flow.address]
        if self.last is flow:
            self.last = next(iter(self._flows.values()), None)
        if not self._flows and self._cones.pop(self._key, None) is not None:
            self._reactor.removeReader(self)
            self.socket.close()

    def doRead(self) -> None:
        """
        Take what is there, but not for long.
        """
        came: dict[ConeFlow, list[bytes]] = {}
        recv, get = self.socket.recvfrom, self._flows.get
        for _ in range(AT_ONCE):
            try:
                datagram, address = recv(SIZE, NOW)
            except OSError:
                break
            flow = get(address[:2])
            if flow is None:
                flow, datagram = self.last, Strange.of(datagram, address)
            if flow is not None:
                came.setdefault(flow, []).append(datagram)
        for flow, datagrams in came.items():
            flow.arrivedAll(datagrams)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen the socket fail.
        """
        for flow in tuple(self._flows.values()):
            flow.lost(reason.value)
