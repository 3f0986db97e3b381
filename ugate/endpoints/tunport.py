# -*- test-case-name: ugate.test.test_tunport,ugate.test.interop.test_tun -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A TUN device that is listened in: what comes out of it, and what goes back.

TCP is left to the kernel, which answers for whomever programs want to reach: see
L{ugate.protocols.tunsessions}.  So each connection is one of a socket of ours, and what it carries is spliced
like any other.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from secrets import randbits
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger

from ugate.accepting import Port
from ugate.endpoints.flowtable import FlowTable
from ugate.endpoints.tundevice import QUIET, Device, openDevice
from ugate.endpoints.tunflows import DeviceFlow
from ugate.endpoints.tunroutes import Interface, Routes, Way
from ugate.errors import ListenRefused
from ugate.interfaces import IEgress
from ugate.protocols.tunfragments import Fragments, inParts
from ugate.protocols.tunicmp import ICMP_PROTOCOLS, Allowance, echoFor, headIn
from ugate.protocols.tunpackets import (
    IPV4,
    IPV6,
    TCP_PROTOCOL,
    UDP_PROTOCOL,
    VIRTIO,
    Layout,
    datagramIn,
    layoutOf,
)
from ugate.protocols.tunsessions import Session, Sessions
from ugate.stream import Target

FLOWS: Final = 8192
"""How many connections there may be in a device, and flows of datagrams, unless its string says otherwise."""

_BACKLOG: Final = 1024


@implementer(IAddress)
class DeviceAddress:
    """
    Where a device is listened at.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"tun:{self.name}"


class DevicePort(Port):
    """
    A port that is reached through a device alone.
    """

    device = ""

    def createInternetSocket(self) -> socket.socket:
        """
        See L{Port}.
        """
        made = super().createInternetSocket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
        return made


@implementer(IListeningPort)
class TunPort:
    """
    A device that is up.

    @ivar sessions: the connections in it, by the version of IP.
    @ivar table: the flows of datagrams in it.
    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        way: Way,
        factory: IProtocolFactory,
        limit: int = FLOWS,
        *,
        open: Callable[[str], int] = openDevice,
        routes: Callable[[Way, int], Routes] = Routes,
        port: Callable[..., Any] = DevicePort,
    ) -> None:
        """
        @param way: what goes into it.
        @param factory: makes the protocols.
        @param limit: how many connections, and flows of datagrams.
        @param open: makes a device, and returns its descriptor.
        @param routes: leads traffic there.
        @param port: makes what listens at an address.
        """
        self.reactor = reactor
        self.way = way
        self._factory: Any = factory
        self._open = open
        self._makeRoutes = routes
        self._makePort = port
        self._routes: Routes | None = None
        self._device: Device | None = None
        self._ports: list[Any] = []
        self.limit = limit
        self.sessions: dict[int, Sessions] = {}
        self._fragments = Fragments(reactor.seconds)
        self._allowance = Allowance(reactor.seconds)
        self.table: FlowTable[DeviceFlow] = FlowTable(reactor, limit)

    @property
    def factory(self) -> Any:
        """
        What makes the protocols.
        """
        return self._factory

    @factory.setter
    def factory(self, factory: Any) -> None:
        self._factory = factory
        for port in self._ports:
            port.factory = factory

    def startListening(self) -> None:
        """
        See L{IListeningPort}.

        @raise ListenRefused: it cannot be, and why.
        """
        self._device = Device(self.reactor, self._open(self.way.device), self._received, self._go)
        try:
            self._lead(self.way)
            for address in self.way.addresses:
                self._listen(address)
        except BaseException:
            for port in self._ports:
                port.stopListening()
            self._go()
            raise
        self._factory.doStart()
        self._device.start()

    def _lead(self, way: Way) -> None:
        egress = IEgress(self.reactor, None)
        mark = 0 if egress is None else egress.mark
        if not mark:
            raise ListenRefused(
                "without node.mark its own connections would come back to it: let that be above 0"
            )
        routes = self._makeRoutes(way, mark)
        routes.up()
        self._routes = routes

    def _listen(self, address: Interface) -> None:
        port = self._makePort(0, self._factory, _BACKLOG, str(address.ip), self.reactor)
        port.device = self.way.device
        port.startListening()
        self._ports.append(port)
        self.sessions[address.version] = Sessions(
            IPV4 if address.version == 4 else IPV6,
            address.ip.packed,
            (address.ip + 1).packed,
            port.getHost().port,
            self.reactor.seconds,
            self.limit,
            self._forwardOf(self.way, address.version),
        )

    @staticmethod
    def _forwardOf(way: Way, version: int) -> Any:
        return tuple(each for each in way.forward if each.version == version)

    def change(self, way: Way, limit: int) -> None:
        """
        What goes into it is another, but for its own addresses.
        """
        self.limit = self.table.limit = limit
        for sessions in self.sessions.values():
            sessions.limit = limit
        before = self.way
        if way == before:
            return
        if self._routes is not None:
            self._routes.down()
            self._routes = None
        for self.way in (way, before):
            for version, sessions in self.sessions.items():
                sessions.forward = self._forwardOf(self.way, version)
            try:
                self._lead(self.way)
                return
            except ListenRefused as error:
                # Then it is as before: better than that nothing is led there.
                self._log.critical("tun:{device}: {error}", device=way.device, error=str(error))

    def find(self, connected: Any) -> Target:
        """
        Where a connection was to go.

        @raise OSError: it did not come through the device.
        """
        session = self._session(*connected.getpeername()[:2])
        if session is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return Target(*session.target)

    def sourceOf(self, address: Any) -> Any:
        """
        Who connects, who comes as somebody else.
        """
        session = self._session(address.host, address.port)
        return address if session is None else type(address)("TCP", *session.source)

    def _session(self, host: str, port: int) -> Session | None:
        sessions = self.sessions.get(6 if ":" in host else 4)
        if sessions is None or socket.inet_pton(_family(host), host) != sessions.peer:
            return None
        return sessions.find(port)

    def _received(self, packet: bytearray, size: int) -> bytes | bytearray | None:
        layout = layoutOf(packet, size)
        if layout is None:
            whole = self._fragments.add(packet, size)
            if whole is None:
                return None
            packet, size = whole, len(whole)
            layout = layoutOf(packet, size)
        sessions = None if layout is None else self.sessions.get(layout.version)
        if layout is None or sessions is None:
            return None
        protocol = packet[layout.protocol]
        if protocol == TCP_PROTOCOL:
            return sessions.translate(packet, size)
        if protocol == UDP_PROTOCOL:
            self._datagram(sessions, layout, packet, size)
        elif protocol == ICMP_PROTOCOLS[layout.version]:
            self._asked(sessions, layout, packet, size)
        return None

    def _asked(self, sessions: Sessions, layout: Layout, packet: bytearray, size: int) -> None:
        """
        Whoever asks whether somebody is there is told that the device is.
        """
        key = bytes(packet[layout.key : layout.transport + 4])
        if self._ports and sessions.isToOne(key) and not self._isBeside(layout, key):
            answer = echoFor(layout, packet, size)
            if answer is not None:
                self._tell(answer)

    def _isBeside(self, layout: Layout, key: bytes) -> bool:
        """
        Whether a packet is for the network of the device itself, where nobody is, and one address is all.
        """
        target = ip_address(key[layout.size : 2 * layout.size])
        return any(target in address.network for address in self.way.addresses)

    def _tell(self, message: bytes) -> None:
        if self._allowance.take():
            self._write(message)

    def _write(self, packet: bytes) -> bool:
        """
        Give one that we made to the kernel, in parts if it is longer than packets may be.

        @return: whether it took it.
        """
        device = self._device
        if device is None:
            return False
        if len(packet) <= VIRTIO + self.way.mtu:
            return device.write(packet)
        return all(map(device.write, inParts(packet, self.way.mtu, randbits(32))))

    def _datagram(self, sessions: Sessions, layout: Layout, packet: bytearray, size: int) -> None:
        key = bytes(packet[layout.key : layout.transport + 4])
        datagram = datagramIn(layout, packet, size)
        flow = self.table.get(key)
        # Without ports, nothing begins any more.
        if datagram is None or (flow is None and not (self._ports and sessions.isFromUs(key))):
            sessions.dropped += 1
            return
        isNew = flow is None
        if flow is None:
            tell = _keepQuiet if self._isBeside(layout, key) else self._tell
            made = DeviceFlow(self.table, layout, key, self._write, tell, headIn(layout, packet))
            flow = self.table.begin(made, self._factory)
        self.table.deliver({flow: [datagram]})
        if flow.isRefused and not isNew:
            flow.noPort()

    def stopListening(self) -> Deferred[Any]:
        """
        See L{IListeningPort}.  The connections that are up have their packets in the device, so it stays
        until they have ended, or until the reactor ends.
        """
        ports, self._ports = self._ports, []
        ending = [maybeDeferred(port.stopListening) for port in ports]
        if ports:
            self._factory.doStop()
            self.table.close()
            for sessions in self.sessions.values():
                sessions.closed = self._mayGo
            self._mayGo()
        return DeferredList(ending, consumeErrors=True)

    def _mayGo(self) -> None:
        if not any(sessions.up for sessions in self.sessions.values()):
            # What it has just been given still has to be passed on, and what is asked about it.
            self.reactor.callLater(QUIET, self._go)

    def _go(self) -> None:
        """
        Let all be as it was before.
        """
        routes, self._routes = self._routes, None
        if routes is not None:
            routes.down()
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def getHost(self) -> IAddress:
        """
        Where it listens.
        """
        return DeviceAddress(self.way.device)


def _keepQuiet(message: bytes) -> None:
    """
    Tell nobody.
    """


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
