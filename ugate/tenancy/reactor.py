# -*- test-case-name: ugate.test.test_reactor -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor that a tenant's code is handed.

Twisted passes the reactor through every nested endpoint string, so whatever is
made from one finds its tenant by C{ITenant(reactor)}, and every connection that
it makes passes the egress rules with its resolved address.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from zope.interface import directlyProvides, providedBy

from twisted.internet.interfaces import IConnector, IListeningPort

from ugate.accepting import Port
from ugate.interfaces import IEgress, ITenant
from ugate.poll import Poll
from ugate.tenancy.egress import Egress
from ugate.tenancy.listening import Ask, Sockets

_OFTEN: Final = ("seconds", "callLater")
"""What is called so often that looking it up twice would count."""

_WAITING: Final = ("addReader", "addWriter", "removeReader", "removeWriter", "leave")
"""What may be a poll's in place of the reactor's, and is called as often."""

BACKLOG: Final = 1024
"""
Connections that may wait to be accepted.  Twisted's own default is so few that a
burst of clients fills it, and each of those that come then waits a second.
"""

_TWISTEDS: Final = 50


class TenantReactor:
    """
    A reactor with a tenant behind it; in all else the one it wraps.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        tenant: ITenant,
        egress: Egress,
        poll: Callable[[], Poll | None] = lambda: None,
        sockets: Sockets | None = None,
        resolver: Callable[[], Any] = lambda: None,
    ) -> None:
        """
        @param reactor: the real one.
        @param tenant: what C{ITenant} of this reactor answers.
        @param egress: asked about each connection.
        @param poll: what waits for the sockets of this tenant in the reactor's
            place, if anything does; asked when the first one comes.
        @param sockets: what it listens on is kept there, so that it may outlive the
            listener; L{None} if that is all the same.
        @param resolver: gives what looks names up in the place of the real reactor's, if anything does.
        """
        self._reactor = reactor
        self._resolver = resolver
        self._tenant = tenant
        self._egress = egress
        self._connectTCP = reactor.connectTCP
        self._poll = poll
        self._sockets = sockets
        for name in _OFTEN:
            if hasattr(reactor, name):
                setattr(self, name, getattr(reactor, name))
        directlyProvides(self, providedBy(reactor))

    def __conform__(self, interface: object) -> object | None:
        if interface is IEgress:
            return self._egress
        return self._tenant if interface is ITenant else None

    def __getattr__(self, name: str) -> Any:
        if name in _WAITING:
            self._settle()
            if name in self.__dict__:
                return self.__dict__[name]
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> Any:
        """
        See L{twisted.internet.interfaces.IReactorPluggableNameResolver}.
        """
        return self._resolver() or self._reactor.nameResolver

    def _settle(self) -> Poll | None:
        """
        Decide where descriptors wait.
        """
        poll = self._poll()
        there = self._reactor if poll is None else poll
        for name in _WAITING:
            if hasattr(there, name):
                setattr(self, name, getattr(there, name))
        return poll

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> IConnector:
        """
        See L{twisted.internet.interfaces.IReactorTCP.connectTCP}.

        @raise ugate.errors.Denied: the egress rules forbid that address.
        """
        self._egress.check(host, port)
        connector: IConnector = self._connectTCP(host, port, factory, timeout, bindAddress)
        return connector

    def listenTCP(
        self, port: int, factory: Any, backlog: int = _TWISTEDS, interface: str = ""
    ) -> IListeningPort:
        """
        See L{twisted.internet.interfaces.IReactorTCP.listenTCP}; unless a string says how many, L{BACKLOG}
        connections may wait.
        """
        room = _room(backlog)

        def opened(beside: bool) -> IListeningPort:
            if self._settle() is None:
                listening: IListeningPort = self._reactor.listenTCP(port, factory, room, interface)
                return listening
            own = Port(port, factory, room, interface, self)
            own.beside = beside
            own.startListening()
            return own

        return self._listen(Ask("tcp", (port, interface), factory, opened, partial(self._changed, room=room)))

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = _TWISTEDS, interface: str = ""
    ) -> IListeningPort:
        """
        See L{twisted.internet.interfaces.IReactorSSL.listenSSL}.
        """
        from twisted.protocols.tls import TLSMemoryBIOFactory

        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory)
        return self.listenTCP(port, wrapped, backlog, interface)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = _TWISTEDS, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        """
        See L{twisted.internet.interfaces.IReactorUNIX.listenUNIX}; with room as in L{listenTCP}.
        """
        room = _room(backlog)

        def opened(beside: bool) -> IListeningPort:
            listening: IListeningPort = self._reactor.listenUNIX(address, factory, room, mode, wantPID)
            return listening

        def changed(listening: Any) -> None:
            self._changed(listening, room)
            if getattr(listening, "mode", mode) != mode:
                listening.mode = mode
                os.chmod(address, mode)

        return self._listen(Ask("unix", (os.fsdecode(address),), factory, opened, changed))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> IListeningPort:
        """
        See L{twisted.internet.interfaces.IReactorSocket.adoptStreamPort}.
        """

        def opened(beside: bool) -> IListeningPort:
            listening: IListeningPort = self._reactor.adoptStreamPort(fileDescriptor, addressFamily, factory)
            return listening

        return self._listen(Ask("descriptor", (fileDescriptor,), factory, opened))

    def listenDatagrams(
        self,
        port: int,
        interface: str,
        factory: Any,
        open: Callable[[Any, Any], IListeningPort],
        change: Callable[[Any], object],
        kind: str = "udp",
    ) -> IListeningPort:
        """
        Listen for datagrams: see L{listenAt}.

        @param kind: which listeners may follow one another.
        """
        return self.listenAt(kind, (port, interface), factory, open, change)

    def listenAt(
        self,
        kind: str,
        address: tuple[Any, ...],
        factory: Any,
        open: Callable[[Any, Any], IListeningPort],
        change: Callable[[Any], object],
    ) -> IListeningPort:
        """
        Listen at what Twisted's reactors do not know.

        @param kind: which listeners may follow one another.
        @param address: those with the same one are the same.
        @param factory: makes the protocols of flows.
        @param open: opens a port that listens, with the factory and a reactor.
        @param change: gives one what it has in this one, if it was another listener's before.
        """

        def opened(beside: bool) -> IListeningPort:
            return open(factory, self)

        def changed(listening: Any) -> None:
            listening.reactor = self
            change(listening)

        return self._listen(Ask(kind, address, factory, opened, changed))

    def _listen(self, ask: Ask) -> IListeningPort:
        return ask.open(False) if self._sockets is None else self._sockets.listen(ask)

    def _changed(self, listening: Any, room: int) -> None:
        """
        A socket that was another listener's is one of ours.
        """
        if isinstance(listening, Port):
            listening.reactor = self  # type: ignore[assignment]
        if getattr(listening, "backlog", room) != room:
            listening.backlog = room
            listening.socket.listen(room)


def _room(backlog: int) -> int:
    return BACKLOG if backlog == _TWISTEDS else backlog
