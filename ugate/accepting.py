# -*- test-case-name: ugate.test.test_accepting -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
TCP ports whose connections cost less to accept.

Twisted's own buffers the log, asks once more than there are connections, and
makes two lines of text for each.
"""

from __future__ import annotations

import select
import sys
from array import array
from socket import (
    IPPROTO_TCP,
    NI_NUMERICHOST,
    NI_NUMERICSERV,
    SO_REUSEPORT,
    SOL_SOCKET,
    TCP_NODELAY,
    getnameinfo,
    socket,
)
from struct import pack
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger

from ugate.protocols.sockets import unpace

MOST_WAITING: Final = 4096
"""Connections that are accepted before a socket is closed, at most."""

_ATTACH_FILTER: Final = 26
_RETURN: Final = 6

_ANY: Final = ("0.0.0.0", "::")


class Accepted(tcp.Server):
    """
    The transport of a connection that was accepted.
    """

    logstr = "accepted"

    def __init__(
        self, connected: socket, protocol: Any, client: Any, server: Port, number: int, reactor: Any
    ) -> None:
        # Not that of Server, which makes the lines of text.
        tcp.Connection.__init__(self, connected, protocol, reactor)
        self.server: Port = server
        self.client = client
        self.hostname = client[0]
        self.sessionno = number
        self._addressType = server._addressType
        reactor.addReader(self)
        self.connected = 1

    def doRead(self) -> ConnectionDone | ConnectionLost | None:  # type: ignore[override]
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def __repr__(self) -> str:
        return f"<connection #{self.sessionno} on {self.server._realPortNumber}>"

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        The address that it connected to.
        """
        if self.server.only is not None:
            return self.server.only
        host: IPv4Address | IPv6Address = super().getHost()  # type: ignore[no-untyped-call]
        return host


def deafen(listening: socket) -> None:
    """
    Let a socket that listens not hear anybody any more, where the kernel can do that
    and lets us: some allow filters to root alone.
    """
    if sys.platform != "linux":
        return
    # An instruction that says: no byte of this packet.
    nothing = array("B", pack("HBBI", _RETURN, 0, 0, 0))
    try:
        listening.setsockopt(SOL_SOCKET, _ATTACH_FILTER, pack("HP", 1, nothing.buffer_info()[0]))
    except OSError:
        # Who connects between the last look and the end is reset, as with any other program.
        pass


class Port(tcp.Port):
    """
    A TCP port that accepts one connection each time that it is asked to read: if
    there are more, the poll says so again, after everybody else had a turn.

    @ivar only: the address that all connect to, if it listens at one alone.
    @ivar beside: whether it begins while one that is about to go has the same port at other addresses.
    @since: ugate NEXT
    """

    _log = Logger()
    transport = Accepted  # type: ignore[assignment]
    only: IPv4Address | IPv6Address | None = None
    beside = False
    _kind: tuple[int, int, int]

    def createInternetSocket(self) -> socket:
        """
        See L{tcp.Port}.
        """
        made: socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        if self.beside:
            made.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        return made

    def startListening(self) -> None:
        """
        See L{IListeningPort<twisted.internet.interfaces.IListeningPort>}.
        """
        super().startListening()
        # Those that it accepts inherit it.
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        if self.beside:
            # Nobody else may.
            self.socket.setsockopt(SOL_SOCKET, SO_REUSEPORT, 0)
        self._kind = int(self.socket.family), int(self.socket.type), self.socket.proto
        host = self.getHost()
        if host.host not in _ANY:
            self.only = host
        unpace(self.socket, host.host)

    def connectionLost(self, reason: Any) -> None:
        """
        The socket is to be closed, which would reset whoever has connected and was not yet
        accepted.  So first nobody new gets in, whose systems try again a moment later and
        find another socket, if there is one; and who is there is accepted.
        """
        deafen(self.socket)
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        for _ in range(MOST_WAITING):
            if not waiting.poll(0):
                break
            self.doRead()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def doRead(self) -> None:
        """
        Accept a connection.
        """
        try:
            # As accept() does it, which makes two enums of these each time.
            fd, address = self.socket._accept()  # type: ignore[union-attr]
        except BlockingIOError:
            return
        except OSError:
            # Twisted knows what to do without descriptors, and what is no error.
            super().doRead()  # type: ignore[no-untyped-call]
            return
        try:
            self._accepted(socket(*self._kind, fd), address)
        except Exception:
            # It is no matter of the port.
            self._log.failure("a connection that was accepted could not be served")

    def _accepted(self, connected: socket, address: Any) -> None:
        if len(address) == 4 and address[3]:
            address = (getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV)[0], *address[1:])
        factory: Any = self.factory
        protocol = None
        try:
            protocol = factory.buildProtocol(self._addressType("TCP", *address))
        finally:
            if protocol is None:
                connected.close()
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        protocol.makeConnection(Accepted(connected, protocol, address, self, number, self.reactor))
