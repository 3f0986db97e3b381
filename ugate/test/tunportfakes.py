# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A TUN device for tests, whose kernel is the other end of a socket.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.tunport import TunPort
from ugate.endpoints.tunroutes import Routes, Way
from ugate.errors import ListenRefused
from ugate.interfaces import IEgress
from ugate.tenancy.egress import Egress, OwnListeners
from ugate.test.socketfakes import SocketReactor
from ugate.test.test_tunroutes import WAY
from ugate.test.tunfakes import PEER, Segment, outwards, read

PORT = 15001


class TunReactor(SocketReactor):
    """
    With rules on addresses.
    """

    connectTCP = None

    def __init__(self) -> None:
        super().__init__()
        self.own = OwnListeners().markWith(0x7567)
        self.egress = Egress(self.own, True)
        self.egress.capture()

    def __conform__(self, interface: object) -> object | None:
        return self.egress if interface is IEgress else None


class FakeRoutes(Routes):
    """
    Routes that only remember.
    """

    made: list[FakeRoutes] = []
    refuses = ""

    def __init__(self, way: Way, mark: int) -> None:
        super().__init__(way, mark)
        self.isUp = False
        self.made.append(self)
        self.asked = way, mark

    def up(self) -> None:
        if self.refuses:
            raise ListenRefused(self.refuses)
        self.isUp = True

    def down(self) -> None:
        self.isUp = False


class FakePort:
    """
    What listens at an address of the device.
    """

    def __init__(self, port: int, factory: Any, backlog: int, interface: str, reactor: object) -> None:
        assert (port, backlog) == (0, 1024)
        self.factory = factory
        self.interface = interface
        self.isUp = False

    def startListening(self) -> None:
        """
        See L{IListeningPort}.
        """
        self.isUp = True

    def stopListening(self) -> Deferred[None]:
        """
        See L{IListeningPort}.
        """
        self.isUp = False
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """
        See L{IListeningPort}.
        """
        return IPv4Address("TCP", self.interface, PORT)


class Accepted:
    """
    A socket that was accepted from the neighbour.
    """

    def __init__(self, version: int, port: int) -> None:
        self._peer = PEER[version], port

    def getpeername(self) -> Any:
        """
        Who connected.
        """
        return (*self._peer, 0, 0)


class Kept(Protocol):
    """
    A stream, or a flow.
    """

    got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data


class Keeping(Factory):
    """
    All of them.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.asked: list[Any] = []
        self.answer: Any = Kept
        self.running = 0

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        self.asked.append(addr)
        made = self.answer()
        if made is not None:
            self.made.append(made)
        return made


class TunCase(SynchronousTestCase):
    """
    A device whose kernel is the other end of a socket.
    """

    def setUp(self) -> None:
        self.reactor = TunReactor()
        self.addCleanup(self.reactor.close)
        self.kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.kernel.close)
        for each in (self.kernel, ours):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.ours = ours.detach()
        self.factory = Keeping()
        FakeRoutes.made = []
        FakeRoutes.refuses = ""

    def port(self, way: Way = WAY, limit: int = 4) -> TunPort:
        """
        One that does not listen yet.
        """
        return TunPort(
            self.reactor,
            way,
            self.factory,
            limit,
            open=lambda name: self.ours,
            routes=FakeRoutes,
            port=FakePort,
        )

    def started(self) -> TunPort:
        """
        One that listens.
        """
        port = self.port()
        port.startListening()
        self.addCleanup(port._go)
        return port

    def send(self, segment: Segment) -> Segment | None:
        """
        Send a packet into the device.

        @return: what comes back, if anything does.
        """
        self.kernel.send(segment.toBytes())
        self.reactor.getReaders()[0].doRead()
        return self.back()

    def back(self) -> Segment | None:
        """
        What comes back.
        """
        try:
            return read(self.kernel.recv(70000))
        except BlockingIOError:
            return None

    def connect(self, port: TunPort, version: int = 4, sport: int = 40000) -> Segment:
        """
        Begin a connection, and accept it.
        """
        given = self.send(outwards(version, sport))
        assert given is not None
        port.find(Accepted(version, given.sport))
        return given
