# -*- test-case-name: ugate.test.test_testing,ugate.test.test_testingreactor -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor of one host of a mesh.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.address import UNIXAddress
from twisted.internet.error import CannotListenError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
    IResolutionReceiver,
)
from twisted.python.failure import Failure

from ugate.testing.names import MeshResolver
from ugate.testing.network import LOOPBACK, Machine, Network, normal, wildcard
from ugate.testing.ports import Attempt, MemoryConnector, MemoryPort, tcpAddress


@implementer(IReactorTCP, IReactorUNIX, IReactorTime, IReactorPluggableNameResolver, IReactorThreads)
class HostReactor:
    """
    Time, names, connections and threads as a host of a mesh has them.  There is one
    time for all hosts; what is called in a thread is called in a later turn.

    It waits for no descriptors, so nothing can put a socket into it.

    @ivar machine: the host.
    @since: ugate NEXT
    """

    def __init__(self, network: Network, machine: Machine) -> None:
        """
        @param network: what is between it and all others.
        """
        self._network = network
        self._clock = network.turns.clock
        self.machine = machine
        self.nameResolver: IHostnameResolver = MeshResolver(network, machine)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """
        Look names up in another way.

        @return: the way before.
        """
        before, self.nameResolver = self.nameResolver, resolver
        return before

    # IReactorTime

    def seconds(self) -> float:
        """
        The time of the mesh.
        """
        return self._clock.seconds()

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """
        Call something when so many seconds of the mesh's time have passed.
        """
        return self._clock.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """
        Those of all hosts.
        """
        return self._clock.getDelayedCalls()

    # IReactorThreads

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """
        Call it in a later turn.
        """
        self._clock.callLater(0, callable, *args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """
        Call it in a later turn: there are no threads here.
        """
        self._clock.callLater(0, callable, *args, **kwargs)

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object], func: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """
        As a thread pool does it.
        """

        def call() -> None:
            try:
                result = func(*args, **kw)
            except Exception:
                onResult(False, Failure())
            else:
                onResult(True, result)

        self._clock.callLater(0, call)

    def getThreadPool(self) -> Any:
        """
        This, which can all that is asked of a pool.
        """
        return self

    def suggestThreadPoolSize(self, size: int) -> None:
        """
        There is none.
        """

    # IReactorTCP

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen; C{interface="::"} takes IPv6 alone.

        @raise CannotListenError: somebody else listens there, or the address is not
            one of this host.
        """
        interface = {"": "0.0.0.0", "localhost": LOOPBACK[0]}.get(interface, interface)
        try:
            address = normal(interface)
        except ValueError as e:
            raise CannotListenError(interface, port, OSError(errno.EINVAL, str(e))) from e
        if address != wildcard(address) and not self.machine.owns(address):
            absent = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            raise CannotListenError(interface, port, absent)
        return self._listen((address, port or self.machine.port()), factory)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> IConnector:
        """
        Connect to an address, or to the first one of a name.

        @param bindAddress: an address and a port, either of which may be empty.
        """

        def begin(attempt: Attempt) -> None:
            try:
                address = normal(host)
            except ValueError:
                first = _First(lambda address: self._dial(attempt, address, port, bindAddress), attempt, host)
                self.nameResolver.resolveHostName(first, host, port)
            else:
                self._dial(attempt, address, port, bindAddress)

        return self._connect(factory, timeout, tcpAddress(host, port), begin)

    def _dial(self, attempt: Attempt, address: str, port: int, bindAddress: Any) -> None:
        found = self._network.dial(self.machine, address, port)
        if isinstance(found, int):
            attempt.failed(found)
        elif found is not None:
            given, sourcePort = bindAddress or ("", 0)
            source = given or self.machine.sourceFor(address) or ""
            host = tcpAddress(source, sourcePort or self.machine.port())
            attempt.joined(self.machine, found, host, tcpAddress(address, port))

    # IReactorUNIX

    def listenUNIX(
        self,
        address: str,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> IListeningPort:
        """
        Listen on a path, which only this host has.

        @raise CannotListenError: somebody else listens there.
        """
        return self._listen(_path(address), factory)

    def connectUNIX(
        self, address: str, factory: Any, timeout: float = 30, checkPID: bool = False
    ) -> IConnector:
        """
        Connect to a path.
        """
        path = _path(address)

        def begin(attempt: Attempt) -> None:
            accept = self.machine.listeners.get(path)
            if accept is None:
                attempt.failed(errno.ENOENT)
            else:
                attempt.joined(self.machine, (self.machine, accept), UNIXAddress(None), UNIXAddress(path))

        return self._connect(factory, timeout, UNIXAddress(path), begin)

    def _listen(self, where: tuple[str, int] | str, factory: IProtocolFactory) -> IListeningPort:
        listening = MemoryPort(self._network, self.machine, where, factory)
        listening.startListening()
        return listening

    def _connect(
        self, factory: Any, timeout: float, destination: IAddress, begin: Callable[[Attempt], object]
    ) -> IConnector:
        connector = MemoryConnector(self._network, self, factory, timeout, destination, begin)
        connector.connect()
        return connector


def _path(address: str | bytes) -> str:
    return os.fsdecode(address)


@implementer(IResolutionReceiver)
class _First:
    """
    Waits for the first address of a name.
    """

    def __init__(self, found: Callable[[str], object], attempt: Attempt, name: str) -> None:
        self._found: Callable[[str], object] | None = found
        self._attempt = attempt
        self._name = name

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        The lookup goes on by itself.
        """

    def addressResolved(self, address: IAddress) -> None:
        """
        One of its addresses.
        """
        found, self._found = self._found, None
        if found is not None:
            found(normal(address.host))  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """
        There are no more.
        """
        if self._found is not None:
            self._attempt.failIfNotConnected(DNSLookupError(f"no address of {self._name}"))
