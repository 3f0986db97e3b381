# -*- test-case-name: ugate.test.test_connecting -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that this host makes with sockets of its own.

C{connectTCP} costs two timers, six changes of the reactor's epoll and five
objects a connection, for a transport that a relayed stream leaves at once.
Here a socket waits to be writable, and its transport joins the reactor only if
its protocol has not given the socket away by then.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from zope.interface import implementer

from twisted.internet import abstract, tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import NoProtocol, TCPTimedOutError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IWriteDescriptor
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.refusals import refusedAt
from ugate.errors import Denied
from ugate.interfaces import IEgress
from ugate.protocols.sockets import unpace
from ugate.stream import Target

IP_TRANSPARENT: Final = 19
IPV6_TRANSPARENT: Final = 75
"""Linux's: a socket may have addresses that are not this host's."""

_BIND_ADDRESS_NO_PORT: Final = 24
"""Linux's: the port is chosen when it is known where to, so that many connections may have the same one."""

_IN_PROGRESS: Final = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, errno.EINTR)


class Dialed(tcp.Connection):
    """
    The transport of a connection that we made.
    """

    def __init__(self, connected: socket.socket, target: Target, protocol: Any, reactor: Any) -> None:
        # Not that of Connection: the socket never was a blocking one.
        abstract.FileDescriptor.__init__(self, reactor)
        self.socket = connected
        self.fileno = connected.fileno
        self.protocol = protocol
        self.connected = 1
        self._target = target
        # As other transports, in the words of the log.
        self.logstr = "dialed"

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        The address that we connected to.
        """
        kind = IPv6Address if ":" in self._target.host else IPv4Address
        return kind("TCP", self._target.host, self._target.port)

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        The address that we connected from.
        """
        host, port, *_ = self.socket.getsockname()
        return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


def withZone(target: Target) -> tuple[str, int, int, int]:
    """
    An address on one link, as sockets want it.

    @raise OSError: there is no such link.
    """
    host, _, zone = target.host.partition("%")
    try:
        return host, target.port, 0, socket.if_nametoindex(zone)
    except OSError as error:
        raise OSError(errno.ENETUNREACH, f"there is no interface {zone!r}") from error


def bindTo(connecting: socket.socket, source: str) -> None:
    """
    Let a connection come from an address, be it one of this host's or not; the port is any.

    @raise OSError: it cannot, and why.
    """
    if connecting.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, IPV6_TRANSPARENT
    else:
        level, option = socket.IPPROTO_IP, IP_TRANSPARENT
    if (":" in source) != (connecting.family == socket.AF_INET6):
        raise OSError(errno.EAFNOSUPPORT, f"from {source} there is no way to an address of the other family")
    connecting.setsockopt(level, option, 1)
    connecting.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    connecting.bind((source, 0))


def mark(connecting: socket.socket, egress: IEgress) -> None:
    """
    Let the kernel know a socket as ours.
    """
    try:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, egress.mark)
    except PermissionError:
        egress.cannotMark()


@implementer(IWriteDescriptor)
class Connecting:
    """
    One connection that is being made.

    @ivar opened: fires with the protocol, or fails with
        L{Refused<ugate.errors.Refused>}, or with what the factory raised.
    @since: ugate NEXT
    """

    __slots__ = (
        "__weakref__",
        "_deadlines",
        "_egress",
        "_factory",
        "_reactor",
        "_socket",
        "_source",
        "_target",
        "opened",
    )

    def __init__(
        self,
        reactor: Any,
        target: Target,
        factory: IProtocolFactory,
        deadlines: Deadlines[Connecting] | None,
        egress: IEgress | None = None,
        source: str = "",
    ) -> None:
        """
        @param reactor: what waits for the socket.
        @param target: an IPv4 or IPv6 address, and the port.
        @param factory: makes the protocol.
        @param deadlines: until when it must be up; L{None} if the caller cancels.
        @param egress: says how the connection has to be known again, if it has.
        @param source: the address to connect from, which need not be one of this host's; empty for whichever
            the kernel takes.
        """
        self._egress = egress
        self._source = source
        self._reactor = reactor
        self._target = target
        self._factory = factory
        self._deadlines = deadlines
        self._socket: socket.socket | None = None
        self.opened: Deferred[IProtocol] = Deferred(self._cancelled)

    def begin(self) -> Deferred[IProtocol]:
        """
        Begin.

        @return: C{opened}.
        """
        target = self._target
        try:
            family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
            self._socket = connecting = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            address = withZone(target) if "%" in target.host else (target.host, target.port)
            egress = self._egress
            if self._source:
                bindTo(connecting, self._source)
            if egress is not None and egress.mark:
                mark(connecting, egress)
            unpace(connecting, target.host)
            number = connecting.connect_ex(address)
            if egress is not None and egress.outgoing is not None:
                made = (*connecting.getsockname()[:2], target.host, target.port)
                egress.outgoing.add(made, connecting)
            if number in _IN_PROGRESS:
                # On the same machine it is up or refused by now.
                number = connecting.connect_ex(address)
        except OSError:
            self._end()
            self.opened.errback(refusedAt(Failure(), str(target)))
            return self.opened
        if not number or number == errno.EISCONN:
            self._socket = None
            self._build(connecting)
            return self.opened
        if number not in _IN_PROGRESS:
            self._fail(OSError(number, os.strerror(number)))
            return self.opened
        if self._deadlines is not None:
            self._deadlines.start(self)
        self._reactor.addWriter(self)
        return self.opened

    def fileno(self) -> int:
        """
        The socket's, while there is one.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "connecting"

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen the socket fail.
        """
        if self._socket is not None:
            self.doWrite()

    def doWrite(self) -> None:
        """
        The socket is up, or has failed.
        """
        connected = self._socket
        if connected is None:
            return
        number = connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._fail(OSError(number, os.strerror(number)))
            return
        self._reactor.removeWriter(self)
        self._socket = None
        if self._deadlines is not None:
            self._deadlines.stop(self)
        self._build(connected)

    def _build(self, connected: socket.socket) -> None:
        target = self._target
        transport = Dialed(connected, target, None, self._reactor)
        try:
            protocol = self._factory.buildProtocol(transport.getPeer())
            if protocol is None:
                raise NoProtocol()
            transport.protocol = protocol
            protocol.makeConnection(transport)
        except Exception:
            connected.close()
            transport.connected = 0
            self.opened.errback()
            return
        self.opened.callback(protocol)
        # Whoever took the socket away in that callback spares the reactor both ways.
        if transport.connected:
            transport.startReading()

    def overdue(self) -> None:
        """
        It has taken too long.
        """
        self._end()
        self.opened.errback(refusedAt(Failure(TCPTimedOutError()), str(self._target)))

    def _cancelled(self, opened: Deferred[IProtocol]) -> None:
        self._end()

    def _fail(self, error: OSError) -> None:
        self._end()
        self.opened.errback(refusedAt(Failure(error), str(self._target)))

    def _end(self) -> None:
        if self._deadlines is not None:
            self._deadlines.stop(self)
        if self._socket is not None:
            # The reactor finds what it waits for by the descriptor.
            self._reactor.removeWriter(self)
            self._socket.close()
            self._socket = None


class Sockets:
    """
    Makes connections of this kind: what is the same for all of them.

    @since: ugate NEXT
    """

    __slots__ = ("_deadlines", "_egress", "_reactor")

    def __init__(self, reactor: Any, timeout: float | None) -> None:
        """
        @param reactor: what waits for them, see L{canPoll}; with L{IEgress}, asked
            about each.
        @param timeout: seconds until one must be up; L{None} if the caller cancels.
        """
        self._reactor = reactor
        self._egress = IEgress(reactor, None)
        self._deadlines: Deadlines[Connecting] | None = None
        if timeout is not None:
            self._deadlines = Deadlines(reactor, timeout, Connecting.overdue)

    def connect(self, target: Target, factory: IProtocolFactory, source: str = "") -> Deferred[IProtocol]:
        """
        Begin a connection to an IPv4 or IPv6 address.

        @param source: see L{Connecting}.
        @return: see L{Connecting.opened}.
        """
        egress = self._egress
        if egress is not None:
            try:
                egress.check(target.host, target.port)
            except Denied as denied:
                return fail(denied)
        return Connecting(self._reactor, target, factory, self._deadlines, egress, source).begin()
