# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A network in memory for the tests of endpoints and dialers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import IDialer, ITenant
from ugate.stream import StreamInfo, Target

CLIENT = IPv4Address("TCP", "192.0.2.7", 40000)
LISTENER = IPv4Address("TCP", "198.51.100.1", 1080)


def streamTo(target: str) -> StreamInfo:
    """
    A stream of a client to a target.
    """
    return StreamInfo(CLIENT, LISTENER, Target.fromText(target))


@implementer(IHostResolution)
class Lookup:
    """
    A name being looked up.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """
        As Twisted's own: it cannot.
        """
        raise RuntimeError("this resolver cannot cancel")


@implementer(IHostnameResolver)
class Resolver:
    """
    Knows some names; what it does not know has no address, and what is in
    C{pending} it answers only when told to.
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self.names = names
        self.pending: dict[str, list[tuple[IResolutionReceiver, int]]] = {}
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.asked.append(hostName)
        lookup = Lookup(hostName)
        resolutionReceiver.resolutionBegan(lookup)
        if hostName in self.pending:
            self.pending[hostName].append((resolutionReceiver, portNumber))
        else:
            self._answer(resolutionReceiver, hostName, portNumber)
        return lookup

    def answer(self, name: str) -> None:
        """
        Answer those who wait for a name.
        """
        for receiver, port in self.pending.pop(name):
            self._answer(receiver, name, port)

    def _answer(self, receiver: IResolutionReceiver, name: str, port: int) -> None:
        for address in self.names.get(name, ()):
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()


class Net(MemoryReactorClock):
    """
    A reactor whose connections the tests let succeed and fail.

    @ivar resolver: its L{Resolver}.
    @ivar forbidden: addresses that C{connectTCP} raises these errors for.
    """

    def __init__(
        self, names: Mapping[str, Sequence[str]] | None = None, tenant: ITenant | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.resolver = Resolver(names or {})
        self.installNameResolver(self.resolver)
        self.forbidden: dict[str, Refused] = {}
        self._tenant = tenant

    def __conform__(self, interface: Any) -> object | None:
        return self._tenant if interface is ITenant else None

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None
    ) -> Any:
        if host in self.forbidden:
            raise self.forbidden[host]
        return super().connectTCP(host, port, factory, timeout, bindAddress)  # type: ignore[no-untyped-call]

    @property
    def dialed(self) -> list[str]:
        """
        Where connections were begun to.
        """
        return [str(Target(host, port)) for host, port, *_ in self.tcpClients]

    def up(self, number: int = -1) -> StringTransport:
        """
        Let a connection succeed.
        """
        protocol: Any = self.tcpClients[number][2].buildProtocol(CLIENT)
        transport = StringTransport()
        transport.protocol = protocol  # type: ignore[attr-defined]
        protocol.makeConnection(transport)
        return transport

    def down(self, error: BaseException, number: int = -1) -> None:
        """
        Let a connection fail.
        """
        self.tcpClients[number][2].clientConnectionFailed(self.connectors[number], Failure(error))

    @property
    def timers(self) -> int:
        """
        How many timers run.
        """
        return len(self.getDelayedCalls())


class Recorder(Protocol):
    """
    A protocol that keeps what it got.
    """

    def __init__(self) -> None:
        self.got = b""
        self.lost: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.append(reason)


class Recorders(Factory):
    """
    Makes recorders and keeps them.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Recorder] = []
        self.started = 0

    def startFactory(self) -> None:
        self.started += 1

    def buildProtocol(self, addr: IAddress | None) -> Recorder:
        self.made.append(Recorder())
        return self.made[-1]


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """
    An endpoint whose connections the tests decide.
    """

    def __init__(self) -> None:
        self.connecting: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []
        self.cancelled = 0

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        def cancel(_: object) -> None:
            self.cancelled += 1

        self.connecting.append((factory, Deferred(cancel)))
        return self.connecting[-1][1]

    def up(self) -> StringTransport:
        """
        Let the last connection succeed.
        """
        factory, connected = self.connecting[-1]
        protocol = factory.buildProtocol(CLIENT)
        assert protocol is not None
        transport = StringTransport()
        protocol.makeConnection(transport)
        connected.callback(protocol)
        return transport

    def down(self, error: BaseException) -> None:
        """
        Let the last connection fail.
        """
        self.connecting[-1][1].errback(error)


@implementer(IDialer)
class FakeDialer:
    """
    A dialer that leads to its endpoint, or refuses.
    """

    def __init__(self, refused: Refused | None = None, name: str = "fake") -> None:
        self.refused = refused
        self.name = name
        self.endpoint = FakeEndpoint()
        self.asked: list[StreamInfo] = []

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        self.asked.append(info)
        if self.refused is not None:
            raise self.refused
        return self.endpoint

    def explain(self, info: StreamInfo) -> list[str]:
        return [f"{self.name} to {info.target}"]
