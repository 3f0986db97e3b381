# -*- test-case-name: ugate.test.test_testing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Several hosts, with gateways on them, in one process and without a socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory

from ugate.checks import stringChecks
from ugate.draining import GOODBYE
from ugate.endpoints.chain import isChain
from ugate.endpoints.clients import clientFromChain
from ugate.node import Node
from ugate.tap import checkWhole
from ugate.tenancy.config.kinds import BUILTIN
from ugate.tenancy.config.stack import Stack
from ugate.tenancy.config.whole import readConfigs
from ugate.tenancy.egress import OwnListeners
from ugate.testing.applied import Applied
from ugate.testing.conversation import Conversation
from ugate.testing.faults import Fault, LostName
from ugate.testing.network import Machine, Network
from ugate.testing.reactor import HostReactor
from ugate.testing.store import ValueStore
from ugate.testing.turns import MeshError

TURNS: Final = 20_000
"""Turns after which something that goes on is taken for an endless loop."""

_NOTHING: Final[Mapping[str, object]] = {}
_NOBODY: Final[Mapping[str, Mapping[str, object]]] = {}
_EVERYBODY: Final[Mapping[str, object]] = {"rules": [{"action": "allow"}]}


class Host:
    """
    One host of a mesh.

    @ivar name: its name, which all hosts can look up.
    @ivar reactor: what its programs are given as the reactor.
    @since: ugate NEXT
    """

    def __init__(self, network: Network, machine: Machine) -> None:
        """
        @param network: where it is.
        """
        self._machine = machine
        self.name = machine.name
        self.reactor = HostReactor(network, machine)

    @property
    def addresses(self) -> tuple[str, ...]:
        """
        Its addresses, IPv4 and IPv6.
        """
        return self._machine.addresses


class _One(Factory):
    """
    What builds one protocol that is there already.
    """

    noisy = False

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def buildProtocol(self, addr: IAddress | None) -> Conversation:
        return self._conversation


class Client:
    """
    Programs of a host that open streams.

    @since: ugate NEXT
    """

    def __init__(self, host: Host) -> None:
        """
        @param host: where they run.
        """
        self.host = host

    def endpoint(self, text: str) -> IStreamClientEndpoint:
        """
        The endpoint that a client string, or a chain, means on this host.

        @raise ValueError: it cannot be read.
        """
        if isChain(text):
            return clientFromChain(self.host.reactor, text)
        endpoint: IStreamClientEndpoint = clientFromString(self.host.reactor, text)
        return endpoint

    def connect(self, text: str, hello: bytes = b"", half: bool = False) -> Conversation:
        """
        Open a stream; whether it comes up, the next C{flush} of the mesh shows.

        @param text: a client string, or a chain with a target.
        @param hello: what to say as soon as it is up.
        @param half: whether to end our direction after that.
        @raise ValueError: the text cannot be read.
        """
        conversation = Conversation(hello, half)
        self.endpoint(text).connect(_One(conversation)).addErrback(conversation.failed)
        return conversation


class MemoryMesh:
    """
    Hosts, the network between them, the gateways on them, and all that goes wrong.
    Nothing happens but in L{flush}, L{advance} and L{stop}.

    @ivar names: what all hosts can look up besides each other: addresses by name, in
        lower case.
    @ivar gateways: the nodes, by the names of their hosts.
    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self._network = Network()
        self._hosts: dict[str, Host] = {}
        self.names = self._network.names
        self.gateways: dict[str, Node] = {}

    def seconds(self) -> float:
        """
        How much time has passed.
        """
        return self._network.turns.clock.seconds()

    def host(self, name: str, *addresses: str) -> Host:
        """
        A host; when it is first named, it is made.

        @param addresses: IPv4 and IPv6 addresses, in the order in which its name gives
            them; if none, it gets an IPv4 address.  Each host has a loopback besides.
        @raise MeshError: it is there already, with other addresses, or another host
            has one of these.
        """
        host = self._hosts.get(name)
        if host is None:
            if name != name.lower():
                raise MeshError(f"host {name}: names are in lower case here")
            host = self._hosts[name] = Host(self._network, self._network.add(name, addresses))
        elif addresses and host.addresses != addresses:
            raise MeshError(f"host {name} is there already, with the addresses {', '.join(host.addresses)}")
        return host

    def gateway(
        self,
        name: str,
        *,
        listen: Mapping[str, object],
        dial: Mapping[str, object] = _NOTHING,
        routes: Sequence[Mapping[str, object]] = (),
        policy: Mapping[str, object] = _EVERYBODY,
        node: Mapping[str, object] = _NOTHING,
        tenants: Mapping[str, Mapping[str, object]] = _NOBODY,
        identity: Mapping[str, object] = _NOTHING,
        trust: Mapping[str, object] = _NOTHING,
        nodes: Mapping[str, object] = _NOTHING,
        serve: Mapping[str, object] = _NOTHING,
    ) -> Node:
        """
        Start a gateway on a host, with what a configuration file would hold.

        Its C{node.store} can be changed, and then it reloads.

        @param policy: without one, whoever is known may go anywhere.
        @raise ConfigError: the configuration has mistakes; all are named.
        @raise ListenRefused: a listener may not start, and why.
        @raise MeshError: the host has a gateway, or somebody else listens there.
        """
        if name in self.gateways:
            raise MeshError(f"host {name} has a gateway already: one gateway can have many listeners")
        reactor = self.host(name).reactor
        store = ValueStore(listen, dial, routes, policy, node, tenants, {}, identity, trust, nodes, serve)
        read = partial(readConfigs, Stack([store]), stringChecks(reactor), BUILTIN)
        configs = read()
        checkWhole(reactor, configs)
        owns = reactor.machine.owns
        own = OwnListeners(lambda address: owns(str(address)))
        gateway = Node(reactor, configs, read=read, store=store, own=own)
        try:
            gateway.privilegedStartService()
        except SystemExit as e:
            raise MeshError(f"host {name}: {e}") from e
        gateway.startService()
        self.gateways[name] = gateway
        return gateway

    def client(self, name: str) -> Client:
        """
        Who opens streams on a host.
        """
        return Client(self.host(name))

    def serve(self, name: str, port: int, factory: IProtocolFactory, interface: str = "") -> IListeningPort:
        """
        Let something listen on a host.

        @param interface: all IPv4 addresses; C{::} for all of IPv6, or one address.
        @raise CannotListenError: somebody else listens there.
        """
        return self.host(name).reactor.listenTCP(port, factory, interface=interface)

    def apply(self, fault: Fault, source: str, destination: str = "", nth: int | None = None) -> Applied:
        """
        Put a fault between two hosts.

        @param source: the host that sends what does not arrive, or connects, or looks
            up; it need not be the one that connects.
        @param destination: the host that receives, or is connected to.
        @param nth: which connection between them from now on, from 1; L{None} for all
            of them, those that are up included.
        @return: what lifts it again.
        @raise MeshError: there is no such host.
        """
        wanted = (source,) if isinstance(fault, LostName) else (source, destination)
        for name in wanted:
            if name not in self._hosts:
                raise MeshError(f"{fault}: no host is named {name!r}: {', '.join(self._hosts) or 'none is'}")
        applied = Applied(fault, source, destination, nth)
        self._network.faults.add(applied)
        if nth is None:
            for connection in self._network.turns.connections:
                applied.connected(self._network.turns.clock, connection)
        return applied

    def flush(self, turns: int = TURNS) -> None:
        """
        Let everything happen that needs no time.

        @param turns: how many steps that may take.
        @raise NeverQuiet: it takes more.
        """
        self._network.turns.flush(turns)

    def advance(self, seconds: float, turns: int = TURNS) -> None:
        """
        Let time pass, and everything happen that happens meanwhile, in its order.

        @param turns: how many steps each moment may take.
        @raise NeverQuiet: one of them takes more.
        """
        self._network.turns.advance(seconds, turns)

    def connections(self, host: str = "") -> list[str]:
        """
        The connections that have an open end, in words: C{HOST ADDRESS -E{>} HOST ADDRESS}.

        @param host: only those of which the end on this host is open; a gateway that
            is done with its streams has none.
        """
        return [str(each) for each in self._network.turns.connections if each.isOpenOn(host)]

    def stop(self) -> None:
        """
        Stop all gateways, and let the time pass that they need for it.

        @raise MeshError: one does not stop.
        """
        for name, gateway in self.gateways.items():
            stopped: list[object] = []
            gateway.stopService().addCallback(stopped.append)
            self.advance(gateway.config.node.drain + 1)
            if not stopped:
                # A link whose other end is dead has a little longer.
                self.advance(GOODBYE)
            if not stopped:
                raise MeshError(f"the gateway on host {name} has not stopped")
        self.gateways.clear()
        self.flush()
