# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of the gateway share: who asks, where it leads, and what is logged.
"""

from __future__ import annotations

from typing import Any, cast

from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Refused
from ugate.flows import Flows
from ugate.gateway import Gateway, Inbound
from ugate.interfaces import IDialer, IPending, IPolicy, ITenant
from ugate.leg import Leg
from ugate.relay import Relay
from ugate.stream import Principal, StreamInfo, Target

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HERE = IPv4Address("TCP", "198.51.100.1", 1080)
THERE = IPv4Address("TCP", "203.0.113.9", 80)
TARGET = Target("db.example", 5432)
ALICE = Principal("alice", "password")
INFO = StreamInfo(PEER, HERE, TARGET, ALICE, "socks5")


@implementer(IHalfCloseableDescriptor)
class Wire(StringTransport):
    """
    One end of a stream; it ends when it is told to, with its protocol's knowledge.
    """

    protocol: Any = None
    ended = False
    gone = False

    def __init__(self, peer: Any) -> None:
        super().__init__(HERE, peer, lenient=True)  # type: ignore[no-untyped-call]

    def attach(self, protocol: Any) -> Any:
        """
        Put a protocol on it.
        """
        self.protocol = protocol
        protocol.makeConnection(self)
        return protocol

    def lost(self, error: Exception | None = None) -> None:
        """
        The connection is gone.
        """
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(error or ConnectionDone()))

    def settle(self) -> None:
        """
        Do what was asked for.
        """
        if self.disconnected:
            self.lost(ConnectionAborted())
        elif self.disconnecting:
            self.lost()

    def unregisterProducer(self) -> None:
        # As sockets do, it takes this also when there is none.
        if self.producer is not None:
            super().unregisterProducer()  # type: ignore[no-untyped-call]

    def loseWriteConnection(self) -> None:
        self.ended = True

    def readConnectionLost(self, reason: Failure) -> None:
        """
        Not called by what is tested here.
        """

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        Not called by what is tested here.
        """

    def take(self) -> bytes:
        """
        What was written since the last time.
        """
        data: bytes = self.value()
        self.clear()
        return data


@implementer(IPending)
class PendingWire(Wire):
    """
    One that owes its peer an answer.
    """

    def __init__(self, peer: Any) -> None:
        super().__init__(peer)
        self.answers: list[Any] = []

    def accept(self) -> None:
        self.answers.append("accepted")

    def refuse(self, reason: Refused) -> None:
        self.answers.append(reason)
        self.loseConnection()


@implementer(IStreamClientEndpoint)
class Dial:
    """
    A connection to a target that is being made.
    """

    def __init__(self) -> None:
        self.factory: Any = None
        self.wire = Wire(THERE)
        self.cancelled = 0
        self.connected: Deferred[IProtocol] = Deferred(self._cancel)

    def _cancel(self, connected: Deferred[IProtocol]) -> None:
        self.cancelled += 1

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        self.factory = factory
        return self.connected

    @property
    def waits(self) -> bool:
        """
        Whether it has not ended.
        """
        return not self.connected.called

    def up(self) -> Wire:
        """
        It succeeds.
        """
        self.connected.callback(self.wire.attach(self.factory.buildProtocol(THERE)))
        return self.wire

    def down(self, error: Exception) -> None:
        """
        It fails.
        """
        self.connected.errback(error)


@implementer(IDialer, IPolicy)
class Rules:
    """
    A dialer and a policy that do as they are told.
    """

    def __init__(self) -> None:
        self.refused: Exception | None = None
        self.denied: Exception | None = None
        self.dials: list[Dial] = []
        self.make: Any = Dial
        self.asked: list[StreamInfo] = []

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        self.asked.append(info)
        if self.refused is not None:
            raise self.refused
        made: Dial = self.make()
        self.dials.append(made)
        return made

    @property
    def dialed(self) -> list[Dial]:
        """
        Those that connect.
        """
        return [dial for dial in self.dials if dial.factory is not None]

    def explain(self, info: StreamInfo) -> list[str]:
        return []

    def check(self, info: StreamInfo) -> None:
        if self.denied is not None:
            raise self.denied


@implementer(ITenant)
class FakeTenant:
    """
    A tenant of these rules.
    """

    name = "root"
    portal = None
    handshake = 10.0
    parent: ITenant | None = None
    limits: Any = None
    identity: Any = None
    trust: Any = None
    nodes: Any = None
    names: Any = None

    def __init__(self, reactor: Any, rules: Rules) -> None:
        self.reactor = reactor
        self.policy = self.dialer = rules
        self.hops: dict[str, IDialer] = {}
        self.children: dict[str, ITenant] = {}

    def tenantFor(self, info: StreamInfo) -> ITenant:
        return self.children.get(getattr(info.principal, "name", ""), self)


class GatewayCase(SynchronousTestCase):
    """
    A gateway whose streams go where the test lets them.
    """

    def setUp(self) -> None:
        self.clock: Any = MemoryReactorClock()
        self.rules = Rules()
        self.relay = Relay(self.clock, idle=900)
        self.flows = self.flowsWith()
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def flowsWith(self, **options: Any) -> Flows:
        """
        Other limits.
        """
        self.flows = Flows(self.clock, self.relay, **options)
        return self.flows

    def gateway(self, **options: Any) -> Gateway:
        """
        The gateway of a listener.
        """
        return Gateway(FakeTenant(self.clock, self.rules), self.flows, listener="main", **options)

    def ask(self, info: StreamInfo = INFO, gateway: Gateway | None = None) -> PendingWire:
        """
        A stream that is asked for.
        """
        wire = PendingWire(info)
        wire.attach((gateway or self.gateway()).buildProtocol(info))
        return wire

    def inbound(self, wire: Wire) -> Inbound:
        """
        The leg of who asked.
        """
        protocol = wire.protocol
        assert isinstance(protocol, Inbound) and isinstance(protocol, Leg)
        return protocol

    def refusal(self, wire: PendingWire) -> Refused:
        """
        What the peer of a stream was told.
        """
        (refused,) = wire.answers
        assert isinstance(refused, Refused), refused
        return refused

    def said(self) -> list[str]:
        """
        The lines of the log.
        """
        lines = [formatEvent(event) for event in self.events if event["log_namespace"].startswith("ugate")]
        self.events.clear()
        return lines
