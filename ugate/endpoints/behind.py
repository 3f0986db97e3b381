# -*- test-case-name: ugate.test.test_behind -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listening without an address: connections that are kept ready at a gate, each for one stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.endpoints.clients import OURSELVES
from ugate.endpoints.direct import Direct
from ugate.endpoints.negotiated import NegotiatedClientEndpoint
from ugate.endpoints.pauses import pauseBefore
from ugate.endpoints.refusals import refusedAt
from ugate.endpoints.reverse import NoAddress
from ugate.errors import ListenRefused, ProtocolError, Refused, UgateError
from ugate.interfaces import IIdentity, INegotiation, ITenant
from ugate.protocols.readywire import ASK, BEGIN, GO, THERE, ReadyNode, frame, unframe
from ugate.protocols.sockets import writeNow
from ugate.stream import StreamInfo, Target

KEEPS: Final = 4
"""Connections that are kept, unless C{ready=} says otherwise."""

MOST: Final = 16
"""Connections that may be kept: what a gate takes of one node."""

HANDSHAKE: Final = 10.0
"""Seconds that a gate has to say who it is, and that we are welcome."""

SILENCE: Final = 45.0
"""Seconds after which a gate that says nothing is gone."""

FIRST: Final = 1.0
"""Seconds before the second attempt, at most; twice as many before each next one."""

LONGEST: Final = 30.0
"""Seconds that no pause is longer than."""

_DIAL: Final = 10.0


class Kept(Protocol):
    """
    One connection, until the gate has a stream for it.
    """

    _seen = b""

    def __init__(self, slot: _Slot) -> None:
        self._slot = slot

    def connectionMade(self) -> None:
        """
        See L{IProtocol.connectionMade}.
        """
        self._slot.port.silence.start(self)

    def dataReceived(self, data: bytes) -> None:
        """
        See L{IProtocol.dataReceived}.
        """
        self._seen += data
        try:
            while (found := unframe(self._seen)) is not None:
                kind, said, self._seen = found
                if kind == GO:
                    self._begin(said.decode("utf-8", "replace"))
                    return
                if kind != ASK or said:
                    raise ProtocolError("not what a gate says to those who wait")
                writeNow(self.transport, frame(THERE))
                self._slot.port.silence.start(self)
        except ProtocolError:
            self.cut()

    def _begin(self, client: str) -> None:
        port, host = self._slot.port, self.transport
        assert host is not None
        port.silence.stop(self)
        slot, rest = self._slot, self._seen
        hints = {"client": "".join(each for each in client if each.isprintable())}
        transport: Any = host
        transport.peer = StreamInfo(host.getPeer(), host.getHost(), hints=hints)
        protocol: Any = port.factory.buildProtocol(transport.peer)
        if protocol is None:
            self.cut()
            return
        writeNow(host, frame(BEGIN))
        # The negotiation is the transport of the stream: a socket that can be taken out.
        transport.inner = protocol
        protocol.makeConnection(transport)
        if rest:
            protocol.dataReceived(rest)
        slot.taken(self)

    def cut(self) -> None:
        """
        It is of no use.
        """
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IProtocol.connectionLost}.
        """
        self._slot.port.silence.stop(self)
        self._slot.lost(self)


class _KeptFactory(Factory):
    """
    Makes the one of a slot.
    """

    noisy = False

    def __init__(self, slot: _Slot) -> None:
        self._slot = slot

    def buildProtocol(self, addr: IAddress | None) -> Kept:
        return Kept(self._slot)


class _Slot:
    """
    One connection that is made again whenever it is gone or taken.
    """

    def __init__(self, port: BehindPort) -> None:
        self.port = port
        self._attempts = 0
        self._again: IDelayedCall | None = None
        self._dialing: Deferred[Any] | None = None
        self.kept: Kept | None = None
        self._began = 0.0

    def dial(self) -> None:
        self._again = None
        if self.port.isStopped:
            return
        dialing = self._dialing = self.port.connect(_KeptFactory(self))
        dialing.addCallbacks(self._up, self._failed)

    def _up(self, kept: Kept) -> None:
        self._dialing = None
        self.kept = kept
        self._began = self.port.clock.seconds()
        self.port.isUp()

    def taken(self, kept: Kept) -> None:
        """
        It has a stream: so there has to be another.
        """
        self.kept = None
        self._attempts = 0
        # What it was dialed by has to end first.
        self._wait(0)

    def lost(self, kept: Kept) -> None:
        """
        The gate has closed it, or is gone.
        """
        self.kept = None
        if self._dialing is not None or self.port.isStopped:
            return
        if self.port.clock.seconds() - self._began >= LONGEST:
            # It was a good one; so the next one may come at once.
            self._attempts = 0
        self._later()

    def _failed(self, failure: Failure) -> None:
        self._dialing = None
        failure = refusedAt(failure, self.port.gate)
        if not self.port.isStopped:
            self.port.isDown(failure)
            self._later()

    def _later(self) -> None:
        self._attempts += 1
        self._wait(pauseBefore(self._attempts, FIRST, LONGEST, self.port.jitter))

    def _wait(self, seconds: float) -> None:
        if self._again is None and not self.port.isStopped:
            self._again = self.port.clock.callLater(seconds, self.dial)

    def renew(self) -> None:
        """
        Let it be another one.
        """
        if self.kept is not None:
            self.kept.cut()

    def stop(self) -> None:
        """
        Make none any more.
        """
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._dialing is not None:
            self._dialing.cancel()
        if self.kept is not None:
            self.kept.cut()


@implementer(IListeningPort)
class BehindPort:
    """
    What listens at a gate.

    @since: ugate NEXT
    """

    log = Logger()
    isStopped = True

    def __init__(
        self, endpoint: BehindServerEndpoint, identity: IIdentity, factory: IProtocolFactory
    ) -> None:
        self.clock = endpoint.reactor
        self.jitter = endpoint.jitter
        self.gate = str(endpoint.gate)
        self.factory = factory
        self.silence: Deadlines[Kept] = Deadlines(self.clock, SILENCE, Kept.cut)
        self._identity = identity
        self._endpoint = endpoint
        self._slots = [_Slot(self) for _ in range(endpoint.ready)]
        self._unwatch: Callable[[], None] | None = None
        self._wasGood: bool | None = None

    def startListening(self) -> None:
        """
        Begin to dial.
        """
        if self.isStopped:
            self.isStopped = False
            self.factory.doStart()
            self._unwatch = self._identity.changed(self._changed)
            for slot in self._slots:
                slot.dial()

    def _changed(self) -> None:
        for slot in self._slots:
            slot.renew()

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """
        Make one connection, that is welcome.
        """
        endpoint = self._endpoint

        def negotiation() -> INegotiation:
            return ReadyNode(self._identity, self.gate, endpoint.keyid)

        connecting = NegotiatedClientEndpoint(
            self.clock, endpoint.inGate(), negotiation, hop=self.gate, deadline=HANDSHAKE
        )
        return connecting.connect(factory)

    def stopListening(self) -> Deferred[Any]:
        """
        Keep no connections any more; streams go on.
        """
        if not self.isStopped:
            self.isStopped = True
            if self._unwatch is not None:
                self._unwatch()
            for slot in self._slots:
                slot.stop()
            self.silence.close()
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """
        No address.
        """
        return NoAddress(f"behind {self.gate}")

    def isUp(self) -> None:
        """
        The gate has taken a connection.
        """
        if not self._wasGood:
            self.log.info("behind {gate}: the gate keeps our connections", gate=self.gate)
        self._wasGood = True

    def isDown(self, failure: Failure) -> None:
        """
        The gate has taken none.
        """
        if not isinstance(failure.value, Refused):
            self.log.failure("behind {gate}", failure, gate=self.gate)
        elif self._wasGood is not False:
            self.log.warn("behind {gate}: {why}; it is tried again", gate=self.gate, why=str(failure.value))
        self._wasGood = False


@implementer(IStreamServerEndpoint)
class BehindServerEndpoint:
    """
    Listens behind a gate: keeps connections ready there, each for one stream.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: Any,
        gate: Target,
        *,
        keyid: str = "",
        ready: int = KEEPS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param reactor: that of a tenant, which has an identity.
        @param gate: where C{ready:} listens.
        @param keyid: the KEYID that the gate has to say; empty for any.
        @param ready: how many connections are kept, 16 at most.
        @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
        @raise ValueError: that is no number of connections.
        """
        if not 0 < ready <= MOST:
            raise ValueError(f"{ready} connections: wanted 1 to {MOST}")
        self.reactor = reactor
        self.gate = gate
        self.keyid = keyid
        self.ready = ready
        self.jitter = jitter

    def inGate(self) -> IStreamClientEndpoint:
        """
        What connects to the gate.
        """
        tenant: Any = ITenant(self.reactor)
        reactor = getattr(tenant, "hopReactor", self.reactor)
        return Direct(reactor, _DIAL).endpointFor(StreamInfo(OURSELVES, OURSELVES, self.gate))

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: fires at once with the L{BehindPort}, whether the gate is there or not; fails with
            L{ListenRefused} if there is no good identity.
        """
        tenant = ITenant(self.reactor, None)
        if tenant is None:
            return fail(ListenRefused("behind: has no identity here: put it into the config of a gateway"))
        try:
            port = BehindPort(self, tenant.identity, factory)
        except UgateError as error:
            return fail(ListenRefused(f"behind: {error}"))
        port.startListening()
        return succeed(port)
