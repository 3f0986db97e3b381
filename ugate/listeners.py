# -*- test-case-name: ugate.test.test_node,ugate.test.test_reload_listeners -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The listeners of a node, as the configuration has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, StandardIOEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.reach import addressOf, innermost, listedTargets, onlyLocal
from ugate.endpoints.standardio import serveOnce
from ugate.errors import ListenRefused, UgateError
from ugate.flows import Flows
from ugate.gateway import Gateway
from ugate.interfaces import ITenant
from ugate.journal import Journal
from ugate.listenerstrings import filesOf, listenerEndpoint
from ugate.stream import Principal, Target
from ugate.tenancy.config.schema import Listener
from ugate.tenancy.config.sections import ROOT
from ugate.tenancy.config.whole import Config
from ugate.tenancy.listening import Owner, Sockets, whyCannot

__all__ = [
    "ANYONE",
    "OPERATOR",
    "ListenerState",
    "Listeners",
    "Listening",
    "filesOf",
    "fullName",
    "listenerEndpoint",
]

OPERATOR: Final = Principal("operator", "local")
"""Who connects to a listener that only this machine reaches."""

ANYONE: Final = Principal("anyone", "open")
"""Who connects to a listener that the config declares open."""

Key: TypeAlias = tuple[str, str]
"""The path of a tenant and the name of its listener."""


@dataclass(frozen=True, slots=True)
class ListenerState:
    """
    One listener, for who wants to know.

    @since: ugate NEXT
    """

    tenant: str
    """The path of its tenant."""

    name: str
    """Its name."""

    endpoint: str
    """Its string in the config."""

    address: str
    """Where it listens: C{HOST:PORT}, C{unix:PATH}, or empty if it does not."""

    accepted: int
    """Streams that came in by it so far."""


@dataclass(slots=True, eq=False)
class Listening:
    """
    A listener and what it was made of.
    """

    key: Key
    """Whose it is, and its name."""

    listener: Listener
    """Its section."""

    endpoint: IStreamServerEndpoint
    """What its string means."""

    gateway: Gateway
    """What it listens with."""

    made: tuple[object, ...]
    """What else it depends on; if that is another, it has to be made again."""

    held: IListeningPort | None = None
    """What listens, if it does."""

    gone: bool = False
    """Whether it shall not listen, should it be about to begin."""

    @property
    def owner(self) -> Owner:
        """
        Whose its socket is.
        """
        return (self.key[0], "listen", self.key[1])


def fullName(key: Key) -> str:
    """
    The name of a listener among those of all tenants.
    """
    return key[1] if key[0] == ROOT else f"{key[0]}/{key[1]}"


class Listeners:
    """
    All listeners of a node.

    @ivar all: those that there are.
    @ivar stdio: whether standard input and output are a stream, so that nothing
        else may be printed there.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, flows: Flows, sockets: Sockets, stdioEnded: Callable[[], object]) -> None:
        """
        @param stdioEnded: called when who was served on standard input is done.
        """
        self.all: dict[Key, Listening] = {}
        self.stdio = False
        self._flows = flows
        self._sockets = sockets
        self._stdioEnded = stdioEnded
        self._troubles: list[str] | None = None
        self._settled = False

    def states(self) -> list[ListenerState]:
        """
        What each of them does.
        """
        return [
            ListenerState(
                *listening.key,
                listening.listener.endpoint,
                "" if listening.held is None else _address(listening.held.getHost()),
                listening.gateway.entry.accepted,
            )
            for listening in self.all.values()
        ]

    def plan(
        self, configs: Mapping[str, Config], tenants: Mapping[str, ITenant], touched: Iterable[str]
    ) -> tuple[dict[Key, Listener], list[Listening]]:
        """
        What has to be done.

        @param touched: the tenants of which something is different.
        @return: the listeners to make, and those that will be gone or replaced then.
        """
        make: dict[Key, Listener] = {}
        old: list[Listening] = []
        touched = set(touched)
        for key, listening in self.all.items():
            config = configs.get(key[0])
            listener = None if config is None else config.listen.get(key[1])
            if listener is None:
                old.append(listening)
            elif (key[0] in touched or listening.made[2]) and not _isSame(
                listening, listener, tenants[key[0]]
            ):
                old.append(listening)
                make[key] = listener
        # Always in one order: the parents of a tenant are before it.
        for path in sorted(touched, key=lambda path: (path != ROOT, path)):
            config = configs.get(path)
            for name, listener in () if config is None else config.listen.items():
                if (path, name) not in self.all:
                    make[path, name] = listener
        return make, old

    def check(
        self,
        make: Mapping[Key, Listener],
        configs: Mapping[str, Config],
        tenants: Mapping[str, ITenant],
    ) -> Iterator[str | Listening]:
        """
        Make listeners, which do not listen yet.

        @return: each, or what is wrong with it.
        """
        holders: dict[tuple[object, ...], Key] = {}
        for key, listener in make.items():
            path, name = key
            tenant = tenants[path]
            try:
                endpoint = listenerEndpoint(tenant, name, listener)
                below = innermost(endpoint)
                holder = holders.setdefault(addressOf(endpoint) or key, key)
                if holder != key:
                    other = f"listen {holder[1]}" if holder[0] == path else "another tenant of this gateway"
                    raise ListenRefused(
                        f"listener {name} ({listener.endpoint}) cannot listen: {other} has it"
                    )
                if self._settled and isinstance(below, StandardIOEndpoint):
                    raise ListenRefused(
                        f"listener {name} ({listener.endpoint}) can only be there from the start"
                    )
            except (UgateError, OSError) as error:
                yield f"{_placed(configs, key)}{error}"
                continue
            before = self.all.get(key)
            gateway = Gateway(
                tenant,
                self._flows,
                listener=name,
                anonymous=anonymousAt(endpoint, listener),
                to=None if listener.to is None else Target.fromText(listener.to),
                entry=None if before is None else before.gateway.entry,
            )
            if isinstance(below, AdoptedStreamServerEndpoint):
                # It stays where systemd has put it, so that a later listener finds it.
                vars(below)["_close"] = _leave
            yield Listening(key, listener, endpoint, gateway, _made(listener, tenant))

    def listen(self, listenings: Iterable[Listening], journal: Journal) -> list[str]:
        """
        Let them listen.

        @return: what is wrong, a sentence each.
        """
        troubles: list[str] = []
        self._troubles = troubles
        for listening in listenings:
            below = innermost(listening.endpoint)
            if isinstance(below, StandardIOEndpoint):
                self.stdio = True
                serveOnce(below, self._stdioEnded)
            journal.put(self.all, listening.key, listening)
            journal.did(partial(setattr, listening, "gone", True))
            with self._sockets.owned(listening.owner):
                begun: Deferred[Any] = listening.endpoint.listen(listening.gateway)
            begun.addCallbacks(self._listening, self._notListening, (listening,), {}, (listening,), {})
        self._troubles = None
        return troubles

    def settle(self) -> None:
        """
        All are up that were there from the start.
        """
        self._settled = True

    def stop(self, listenings: Iterable[Listening]) -> list[Deferred[Any]]:
        """
        Let them listen no more; their streams go on.

        @return: what to wait for.
        """
        ending = []
        for listening in listenings:
            if self.all.get(listening.key) is listening:
                del self.all[listening.key]
            listening.gone = True
            held, listening.held = listening.held, None
            if held is not None:
                ending.append(maybeDeferred(held.stopListening))
        return ending

    def close(self, listenings: Iterable[Listening]) -> None:
        """
        Let nobody open streams any more who has connected to those that have no successor.
        """
        for listening in listenings:
            if listening.key not in self.all:
                listening.gateway.entry.close()

    def _listening(self, port: IListeningPort, listening: Listening) -> None:
        if not hasattr(port, "stopListening"):
            # stdio: its one connection is up already.
            return
        if listening.gone:
            port.stopListening()
            return
        listening.held = port

    def _notListening(self, failure: Failure, listening: Listening) -> None:
        path, name = listening.key
        where = listening.listener.endpoint
        sentence = f"{_of(path)}listener {name} ({where}) cannot listen: {whyCannot(failure.value)}"
        if self._troubles is None:
            self.log.critical("{sentence}", sentence=sentence)
        else:
            self._troubles.append(sentence)


def anonymousAt(endpoint: IStreamServerEndpoint, listener: Listener) -> Principal | None:
    """
    Who connects to a listener without a login; L{None} for nobody.
    """
    if onlyLocal(endpoint):
        return OPERATOR
    return ANYONE if listener.open or listedTargets(endpoint) else None


def _leave(descriptor: int) -> None:
    """
    Let a descriptor be open.
    """


def _made(listener: Listener, tenant: Any) -> tuple[float, Portal | None, object]:
    return tenant.handshake, tenant.portal, filesOf(listener.endpoint)


def _isSame(listening: Listening, listener: Listener, tenant: ITenant) -> bool:
    handshake, portal, files = _made(listener, tenant)
    had = listening.made
    return listening.listener == listener and had[0] == handshake and had[1] is portal and had[2] == files


def _placed(configs: Mapping[str, Config], key: Key) -> str:
    """
    Where a listener is written, and whose it is.
    """
    path, name = key
    place = configs[path].origins.get(("listen", name))
    return _of(path) if place is None else f"{place}: {_of(path)}"


def _of(path: str) -> str:
    return "" if path == ROOT else f"tenant {path}: "


def _address(host: Any) -> str:
    if isinstance(host, (IPv4Address, IPv6Address)):
        return str(Target(host.host, host.port))
    path = getattr(host, "name", None)
    return f"unix:{os.fsdecode(path)}" if isinstance(path, bytes) else str(host)
