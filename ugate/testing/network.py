# -*- test-case-name: ugate.test.test_testing,ugate.test.test_testingreactor -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is between the hosts of a mesh: who has which address and name, who listens
where, and what becomes of those who connect.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from twisted.internet.interfaces import IAddress

from ugate.testing.applied import Faults
from ugate.testing.faults import Blackhole, Refuse
from ugate.testing.turns import MeshError, Turns
from ugate.testing.wire import Connection

LOOPBACK: Final = ("127.0.0.1", "::1")
"""What every host has for itself alone."""

EPHEMERAL: Final = 49152
"""The first of the ports that are given to those who ask for none."""

Accept = Callable[[Connection, IAddress, IAddress], object]
"""Called with each new connection, the address that it is accepted at, and that it comes from."""


def normal(address: str) -> str:
    """
    An address as it is compared.

    @raise ValueError: it is none.
    """
    return str(ip_address(address))


def wildcard(address: str) -> str:
    """
    What stands for all addresses of the same family.
    """
    return "::" if ":" in address else "0.0.0.0"


class Machine:
    """
    One host, as the network knows it.

    @ivar name: unique in the mesh, and a name that everybody can look up.
    @ivar addresses: its addresses; those of its own loopback are not among them.
    @ivar listeners: what accepts, by address and port, or by path.
    @since: ugate NEXT
    """

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        """
        @param addresses: in the form of L{normal}.
        """
        self.name = name
        self.addresses = tuple(addresses)
        self.listeners: dict[tuple[str, int] | str, Accept] = {}
        self._nextPort = EPHEMERAL

    def port(self) -> int:
        """
        A port that nobody has.
        """
        self._nextPort += 1
        return self._nextPort - 1

    def owns(self, address: str) -> bool:
        """
        Whether something can be bound to an address here.
        """
        return address in self.addresses or ip_address(address).is_loopback

    def sourceFor(self, address: str) -> str | None:
        """
        The address that a connection to there comes from; L{None} if there is no
        route.
        """
        if self.owns(address):
            return address
        wanted = type(ip_address(address))
        return next((own for own in self.addresses if isinstance(ip_address(own), wanted)), None)

    def acceptorAt(self, address: str, port: int) -> Accept | None:
        """
        What accepts there.
        """
        return self.listeners.get((address, port)) or self.listeners.get((wildcard(address), port))


class Network:
    """
    All machines.

    @ivar turns: moves everything.
    @ivar faults: what is wrong now.
    @ivar names: what can be looked up besides the names of the machines.
    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self.turns = Turns()
        self.faults = Faults(self.turns.clock)
        self.machines: dict[str, Machine] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self._next = 1

    def add(self, name: str, addresses: Sequence[str]) -> Machine:
        """
        Another machine.

        @param addresses: IPv4 and IPv6, in the order that its name gives them; if
            empty, an IPv4 address of the network's choice.
        @raise MeshError: an address is none, or somebody has it.
        """
        if not addresses:
            addresses = (f"10.{self._next >> 16}.{self._next >> 8 & 255}.{self._next & 255}",)
            self._next += 1
        wanted = []
        for each in addresses:
            try:
                address = ip_address(each)
            except ValueError as e:
                raise MeshError(f"host {name}: {e}") from e
            owner = self.machineAt(str(address))
            if owner is not None or address.is_loopback or address.is_unspecified:
                whose = "every host" if owner is None else owner.name
                raise MeshError(f"host {name}: {address} belongs to {whose}: give it another address")
            wanted.append(str(address))
        machine = self.machines[name] = Machine(name, wanted)
        return machine

    def machineAt(self, address: str) -> Machine | None:
        """
        Who has an address.
        """
        return next((each for each in self.machines.values() if address in each.addresses), None)

    def addressesOf(self, name: str) -> tuple[IPv4Address | IPv6Address, ...]:
        """
        The addresses that a name has; none if nobody knows it.
        """
        name = name.lower().removesuffix(".")
        if name == "localhost":
            texts: Sequence[str] = LOOPBACK
        elif name in self.machines:
            texts = self.machines[name].addresses
        else:
            try:
                return (ip_address(name),)
            except ValueError:
                texts = self.names.get(name, ())
        return tuple(ip_address(text) for text in texts)

    def dial(self, source: Machine, address: str, port: int) -> tuple[Machine, Accept] | int | None:
        """
        What becomes of somebody who connects.

        @param address: in the form of L{normal}.
        @return: who accepts it; or the number of the error; or L{None} if there
            never will be an answer.
        """
        ip = ip_address(address)
        machine = source if ip.is_loopback or ip.is_unspecified else self.machineAt(address)
        if machine is None or source.sourceFor(address) is None:
            return errno.ENETUNREACH
        fault = self.faults.onDial(source.name, machine.name)
        if isinstance(fault, Blackhole):
            return None
        if isinstance(fault, Refuse):
            return fault.number
        if ip.is_unspecified:
            address = LOOPBACK[ip.version == 6]
        accept = machine.acceptorAt(address, port)
        return errno.ECONNREFUSED if accept is None else (machine, accept)

    def join(self, source: Machine, destination: Machine, client: str, server: str) -> Connection:
        """
        A new connection.

        @param client: the address and port of who connects, in words.
        @param server: those of who accepts.
        """
        connection = Connection(
            source.name, destination.name, f"{source.name} {client}", f"{destination.name} {server}"
        )
        self.turns.connections[connection] = None
        self.faults.onConnection(connection)
        return connection
