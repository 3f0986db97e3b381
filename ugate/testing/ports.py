# -*- test-case-name: ugate.test.test_testing,ugate.test.test_testingreactor -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What listens, and what connects, on a host of a mesh.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.base import BaseConnector
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, getConnectError
from twisted.internet.interfaces import IAddress, IConnector, IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from ugate.testing.network import Machine, Network
from ugate.testing.transport import MemoryTransport
from ugate.testing.wire import Connection


def tcpAddress(host: str, port: int) -> IPv4Address | IPv6Address:
    """
    An address as Twisted has it.
    """
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


def inWords(address: IAddress) -> str:
    """
    An address for the name of an end.
    """
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    return str(getattr(address, "name", "") or "unnamed")


@implementer(IListeningPort)
class MemoryPort:
    """
    A listener.

    @since: ugate NEXT
    """

    def __init__(
        self, network: Network, machine: Machine, where: tuple[str, int] | str, factory: IProtocolFactory
    ) -> None:
        """
        @param where: the address and port, or a path.
        """
        self._network = network
        self._machine = machine
        self._where = where
        self.factory = factory
        self._listening = False

    def startListening(self) -> None:
        """
        Listen.

        @raise CannotListenError: somebody else listens there.
        """
        if self._where in self._machine.listeners:
            interface, port = self._where if isinstance(self._where, tuple) else ("", self._where)
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)))
        self._listening = True
        self._machine.listeners[self._where] = self._accept
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        Listen no more; connections that are up stay.
        """
        if self._listening:
            self._listening = False
            del self._machine.listeners[self._where]
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """
        Where it listens.
        """
        return tcpAddress(*self._where) if isinstance(self._where, tuple) else UNIXAddress(self._where)

    def _accept(self, connection: Connection, host: IAddress, peer: IAddress) -> None:
        turns = self._network.turns
        # As with a socket, who connected may be up, and gone, before this is accepted.
        turns.callLater(0, self._accepted, MemoryTransport(turns, connection.server, host, peer))

    def _accepted(self, transport: MemoryTransport) -> None:
        if not self._listening:
            transport.end.close(reset=True)
            return
        transport.start(self.factory.buildProtocol(transport.getPeer()))

    def __str__(self) -> str:
        return f"{self._machine.name} {inWords(self.getHost())}"


class Attempt:
    """
    One connection that is being made.
    """

    def __init__(self, connector: MemoryConnector, begin: Callable[[Attempt], object]) -> None:
        """
        @param begin: called in the next turn with this.
        """
        self._connector: MemoryConnector | None = connector
        self._call = connector.network.turns.callLater(0, begin, self)

    def failed(self, number: int) -> None:
        """
        It came to nothing.

        @param number: of the error.
        """
        self.failIfNotConnected(getConnectError((number, os.strerror(number))))

    def failIfNotConnected(self, error: BaseException) -> None:
        """
        As the connectors of reactors call it, when it takes too long or is called off.
        """
        connector, self._connector = self._connector, None
        if connector is not None:
            if self._call.active():
                self._call.cancel()
            connector.connectionFailed(Failure(error))

    def joined(self, source: Machine, found: tuple[Machine, Any], host: IAddress, peer: IAddress) -> None:
        """
        Somebody accepts.
        """
        connector, self._connector = self._connector, None
        if connector is None:
            return
        machine, accept = found
        network = connector.network
        connection = network.join(source, machine, inWords(host), inWords(peer))
        transport = MemoryTransport(network.turns, connection.client, host, peer, connector.connectionLost)
        accept(connection, peer, host)
        connector.transport = transport
        transport.start(connector.buildProtocol(peer))


@implementer(IConnector)
class MemoryConnector(BaseConnector):
    """
    What C{connectTCP} and C{connectUNIX} return.

    @since: ugate NEXT
    """

    transport: Any

    def __init__(
        self,
        network: Network,
        reactor: Any,
        factory: Any,
        timeout: float,
        destination: IAddress,
        begin: Callable[[Attempt], object],
    ) -> None:
        """
        @param timeout: seconds that an attempt has.
        @param begin: looks for who accepts; called with each attempt.
        """
        super().__init__(factory, timeout, reactor)
        self.network = network
        self._destination = destination
        self._begin = begin

    def _makeTransport(self) -> Any:
        return Attempt(self, self._begin)

    def getDestination(self) -> IAddress:
        """
        Where to.
        """
        return self._destination
