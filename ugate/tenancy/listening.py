# -*- test-case-name: ugate.test.test_listening -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The sockets that a node listens on, which outlive the listeners of its configuration.

When a configuration is changed, a listener that is made anew at an address of an old
one takes over the socket of that: the factory behind it is changed, and no client
notices.  Nothing of this happens before all of the change is known to be good.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory

from ugate.stream import UNIX
from ugate.tenancy.egress import OwnListeners

Owner: TypeAlias = tuple[str, str, str]
"""Whose a socket is: the path of a tenant, a kind, and a name."""

NOBODY: Final[Owner] = ("", "", "")


class Taken(CannotListenError):
    """
    Another listener of this gateway has the address: take another one, or remove that listener.

    @since: ugate NEXT
    """

    def __init__(self, interface: str, port: Any, words: str) -> None:
        super().__init__(interface, port, OSError(errno.EADDRINUSE, words))  # type: ignore[no-untyped-call]
        self.words = words

    def __str__(self) -> str:
        return self.words


_STEPS: Final = {
    errno.EADDRINUSE: "stop what listens there (ss -ltnp names it), or take another port",
    errno.EACCES: "take a port above 1023, let systemd open it (systemd:), or have CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "take an address that this host has (ip address shows them)",
}


def whyCannot(error: BaseException | None) -> str:
    """
    Why something cannot listen, and what to do.
    """
    if isinstance(error, Taken):
        return str(error)
    if isinstance(error, CannotListenError):
        step = _STEPS.get(getattr(error.socketError, "errno", 0))
        return "; ".join(filter(None, (str(error).rstrip("."), step)))
    if isinstance(error, OSError) and error.filename2 is not None:
        # The lock of a UNIX socket is a link to nothing.
        place = os.path.dirname(os.fsdecode(error.filename2)) or "."
        return f"{place}: {error.strerror}; wanted a folder that ugate may write"
    return str(error)


@dataclass(frozen=True, slots=True)
class Ask:
    """
    What somebody wants to listen on.
    """

    kind: str
    """C{tcp}, C{udp}, C{unix} or C{descriptor}."""

    address: tuple[Any, ...]
    """Two that are equal are the same socket, unless their port is 0."""

    factory: IProtocolFactory
    """What builds the protocols."""

    open: Callable[[bool], IListeningPort]
    """Opens a socket; with the argument true, at a port where others listen that have C{SO_REUSEPORT} too."""

    change: Callable[[Any], object] = lambda port: None
    """Gives an open one what it has in this one."""

    @property
    def key(self) -> tuple[Any, ...]:
        """
        What those have in common that may have the same socket.
        """
        return (self.kind, *self.address)


class Place:
    """
    One socket.

    @ivar owner: whose it is.
    @ivar held: what listens with it now.
    @ivar next: what will, if the change that is being made is good.
    """

    def __init__(self, ask: Ask, owner: Owner, port: Any) -> None:
        self.ask = ask
        self.owner = owner
        self.port = port
        self.held: Held | None = None
        self.next: Held | None = None


@implementer(IListeningPort)
class Held:
    """
    What listens, as far as a listener knows: it has the socket as long as no other
    one has taken it over.

    @since: ugate NEXT
    """

    def __init__(self, sockets: Sockets, place: Place, ask: Ask, owner: Owner) -> None:
        self._sockets = sockets
        self.place = place
        self.ask = ask
        self.owner = owner

    @property
    def factory(self) -> Any:
        """
        What builds the protocols.
        """
        return self.ask.factory

    @property
    def socket(self) -> Any:
        """
        The socket itself.
        """
        return self.place.port.socket

    def startListening(self) -> None:
        """
        It does from the start.
        """

    def stopListening(self) -> Deferred[Any] | None:
        """
        Close the socket, unless it is another one's by now.
        """
        return self._sockets.leave(self)

    def getHost(self) -> IAddress:
        """
        Where it listens.
        """
        host: IAddress = self.place.port.getHost()
        return host

    def __repr__(self) -> str:
        return f"<Held {self.ask.kind} {self.ask.address}>"


class Sockets:
    """
    All sockets that a node listens on.

    @since: ugate NEXT
    """

    def __init__(self, own: OwnListeners) -> None:
        """
        @param own: is told of all of them.
        """
        self._own = own
        self._places: dict[tuple[Any, ...], list[Place]] = {}
        self._owner: Owner = NOBODY
        self._retiring: Callable[[Owner], bool] | None = None
        self._opened: dict[Place, None] = {}
        self._promised: dict[Place, None] = {}

    @contextmanager
    def owned(self, owner: Owner) -> Iterator[None]:
        """
        What is opened meanwhile belongs to C{owner}.
        """
        before, self._owner = self._owner, owner
        try:
            yield
        finally:
            self._owner = before

    def begin(self, retiring: Callable[[Owner], bool]) -> None:
        """
        A change begins.

        @param retiring: whose sockets may be taken over.
        """
        self._retiring = retiring
        self._opened.clear()
        self._promised.clear()

    def commit(self) -> None:
        """
        The change is good: whoever took a socket over has it.
        """
        self._retiring = None
        for place in self._promised:
            taker, before = place.next, place.held
            if taker is None:
                continue
            place.next = None
            place.held, place.owner, place.ask = taker, taker.owner, taker.ask
            port = place.port
            taker.factory.doStart()
            port.factory = taker.factory
            taker.ask.change(port)
            if before is not None:
                before.factory.doStop()
        self._promised.clear()
        self._opened.clear()

    def rollback(self) -> list[Deferred[Any]]:
        """
        The change is not good: all is as before.

        @return: what to wait for until that is so.
        """
        self._retiring = None
        for place in self._promised:
            place.next = None
        self._promised.clear()
        opened, self._opened = self._opened, {}
        return [self._close(place) for place in opened if self._isOpen(place)]

    def listen(self, ask: Ask) -> Held:
        """
        Listen, with a socket that is there or with a new one.

        @raise CannotListenError: it cannot be; L{Taken} if that is because of another listener.
        """
        place = self._takeable(ask)
        if place is None:
            self._checkFree(ask)
            place = Place(ask, self._owner, self._open(ask))
            place.held = held = Held(self, place, ask, self._owner)
            self._places.setdefault(ask.key, []).append(place)
            self._tell(place, self._own.add)
            if self._retiring is not None:
                self._opened[place] = None
            return held
        self._promised[place] = None
        place.next = held = Held(self, place, ask, self._owner)
        return held

    def leave(self, held: Held) -> Deferred[Any] | None:
        """
        A listener is done.
        """
        place = held.place
        if place.next is held:
            place.next = None
        if place.held is not held or not self._isOpen(place):
            return None
        return self._close(place)

    def _isOpen(self, place: Place) -> bool:
        return place in self._places.get(place.ask.key, ())

    def _close(self, place: Place) -> Deferred[Any]:
        key = place.ask.key
        self._places[key].remove(place)
        if not self._places[key]:
            del self._places[key]
        self._tell(place, self._own.remove)
        return maybeDeferred(place.port.stopListening)

    def _takeable(self, ask: Ask) -> Place | None:
        """
        The socket to take over: best that of the same listener.
        """
        fit = [
            place for place in self._places.get(ask.key, ()) if place.next is None and self._retires(place)
        ]
        return min(fit, key=lambda place: place.owner != self._owner, default=None)

    def _retires(self, place: Place) -> bool:
        """
        Whether whoever has a socket is about to go.
        """
        # What was opened in this change is of those that come.
        return self._retiring is not None and place not in self._opened and self._retiring(place.owner)

    def _checkFree(self, ask: Ask) -> None:
        if ask.kind in ("tcp", "udp") and ask.address[0] == 0:
            return
        for place in self._places.get(ask.key, ()):
            raise self._taken(ask, place)

    def _taken(self, ask: Ask, place: Place) -> Taken:
        path, kind, name = place.owner if place.next is None else place.next.owner
        # Who it is is not for a tenant to know.
        mine = self._owner[0]
        words = f"{kind} {name} has it" if path == mine else "another tenant of this gateway has it"
        interface = ask.address[1] if ask.kind in ("tcp", "udp") else ""
        return Taken(interface, ask.address[0], words)

    def _open(self, ask: Ask) -> Any:
        try:
            return ask.open(False)
        except CannotListenError as error:
            number = getattr(error.socketError, "errno", None)
            if number != errno.EADDRINUSE or ask.kind != "tcp":
                raise
            return self._openBeside(ask, error)

    def _openBeside(self, ask: Ask, error: CannotListenError) -> Any:
        """
        Open a socket at the port of one that listens at other addresses: if that is
        about to go, both can be there for the moment.
        """
        number = ask.address[0]
        places = (place for each in self._places.values() for place in each)
        beside = [place for place in places if place.ask.kind == "tcp" and _portOf(place) == number]
        for place in beside:
            if not self._retires(place):
                raise self._taken(ask, place) from error
        if not beside:
            raise error
        sockets: list[socket.socket] = [
            place.port.socket for place in beside if hasattr(place.port, "socket")
        ]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            return ask.open(True)
        finally:
            for each in sockets:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)

    def _tell(self, place: Place, tell: Callable[[str, int, str], object]) -> None:
        address = place.port.getHost()
        if isinstance(address, (IPv4Address, IPv6Address)):
            tell(address.host, address.port, address.type.lower())
        elif isinstance(address, UNIXAddress) and address.name:
            tell(os.path.realpath(os.fsdecode(address.name)), 0, UNIX)


def _portOf(place: Place) -> int:
    port: int = place.port.getHost().port
    return port
