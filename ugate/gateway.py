# -*- test-case-name: ugate.test.test_gateway_limits,ugate.test.test_gateway,ugate.test.test_gateway_flows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The only place where a stream is decided: who asks, may it, where to, and what
its peer is told.
"""

from __future__ import annotations

import time
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ugate.entry import Entry
from ugate.errors import Cause, Phase, Refused
from ugate.flows import AGAIN, STOPPING, Flows
from ugate.interfaces import ILimits, IPending, ITenant
from ugate.leg import Leg
from ugate.metering import Meters
from ugate.naming import named
from ugate.posting import checkCarries, checkDatagrams
from ugate.relay import Carried
from ugate.stream import TCP, UDP, Principal, StreamInfo, Target

_LATE: Final = "no answer from any hop in time"


class Gateway(Factory):
    """
    The factory of one listener: what a server endpoint is given to listen with.

    @ivar entry: what it has in common with those before it.
    @since: ugate NEXT
    """

    noisy = False

    def __init__(
        self,
        tenant: ITenant,
        flows: Flows,
        *,
        listener: str = "",
        anonymous: Principal | None = None,
        to: Target | None = None,
        entry: Entry | None = None,
    ) -> None:
        """
        @param tenant: whose policy and routes hold.
        @param flows: see L{Flows}.
        @param listener: its name, for the log.
        @param anonymous: who a peer is that has not logged in; L{None} for nobody.
        @param to: where every stream goes that does not say so itself.
        @param entry: that of the one which this one follows.
        """
        self.entry = Entry(tenant) if entry is None else entry
        self.flows = flows
        self.listener = listener
        self.anonymous = anonymous
        self.to = to

    def logPrefix(self) -> str:
        """
        Who it is that listens, in the log of the reactor.
        """
        return f"listener {self.listener}"

    def buildProtocol(self, addr: IAddress | None) -> Inbound:
        """
        The protocol of one stream.
        """
        self.entry.accepted += 1
        return Inbound(self)


class Inbound(Leg):
    """
    The leg of who asked; it is the L{ugate.flows.LiveStream}, too.
    """

    id = 0
    info: StreamInfo
    owner: ITenant
    via = ""
    began = 0.0
    _dial: Deferred[IProtocol] | None = None
    _limits: ILimits | None = None
    """Where it is counted, as long as it is."""

    _meters: Meters | None = None

    _up: Carried | None = None
    _given = ""
    """Why we gave up dialing, if we did."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def connectionMade(self) -> None:
        """
        All that the peer says of its stream is known: decide.
        """
        gateway = self.gateway
        flows = gateway.flows
        self.began = flows.seconds()
        self.owner = tenant = gateway.entry.tenant
        self.info = info = self._info()
        try:
            if tenant.names is not None:
                self.info = info = named(info, tenant.names)
            self.owner = tenant = tenant.tenantFor(info)
            tenant.policy.check(info)
            dialer = tenant.dialer
            routed = getattr(dialer, "ruleFor", None)
            if routed is not None:
                rule = routed(info)
                self.via = rule.via
                dialer = rule.dialer
            target = info.target
            if target is not None and target.network != TCP:
                checkCarries(dialer, info)
            endpoint = dialer.endpointFor(info)
            # Last, since flows may have to make way for it.
            if tenant.limits is not None:
                self._admit(tenant.limits)
            if len(flows) >= flows.limit:
                flows.makeRoom(info)
            self.id = flows.begin(self)
            self._dial = dial = endpoint.connect(_OUTWARD)
        except Refused as refused:
            self._refuse(refused)
        except Exception:
            self._failed(Failure())
        else:
            up = getattr(dial, "result", None)
            if isinstance(up, Leg) and not dial.paused:
                # As within one machine: there is nothing to wait for.
                self._dialed(up)
                return
            dial.addCallbacks(self._dialed, self._failed)
            if self._dial is not None:
                # It takes its time.
                flows.dialing.start(self)

    def _admit(self, limits: ILimits) -> None:
        """
        @raise Refused: the tenant may not have one more stream.
        """
        try:
            limits.admit()
        except Refused as refused:
            if not refused.full or not self.gateway.flows.makeWay(refused.full):
                raise
            limits.admit()
        self._limits = limits
        self._meters = meters = limits.meters
        if meters is not None and meters.buffers is not None:
            self.count(meters.buffers)

    @property
    def used(self) -> float:
        """
        When something was carried last, if that is up.
        """
        return self.began if self._up is None else self._up.active

    @property
    def tenant(self) -> str:
        """
        See L{ugate.flows.LiveStream}.
        """
        path: str = self.owner.name
        return path

    @property
    def listener(self) -> str:
        """
        See L{ugate.flows.LiveStream}.
        """
        return self.gateway.listener

    @property
    def wall(self) -> float:
        """
        See L{ugate.flows.LiveStream}.
        """
        age: float = self.gateway.flows.seconds() - self.began
        return time.time() - age

    @property
    def state(self) -> str:
        """
        See L{ugate.flows.LiveStream}.
        """
        return "dialing" if self._up is None else "open"

    @property
    def sent(self) -> int:
        """
        See L{ugate.flows.LiveStream}.
        """
        return 0 if self._up is None else self._up.sent

    @property
    def received(self) -> int:
        """
        See L{ugate.flows.LiveStream}.
        """
        return 0 if self._up is None else self._up.received

    def close(self, reason: str) -> None:
        """
        See L{ugate.flows.LiveStream}.
        """
        if self._up is not None:
            self._up.close(reason, abort=True)
        else:
            self._giveUp(reason)

    def _info(self) -> StreamInfo:
        transport: Any = self.transport
        gateway = self.gateway
        peer: Any = transport.getPeer()
        if not isinstance(peer, StreamInfo):
            return StreamInfo(peer, transport.getHost(), gateway.to, gateway.anonymous)
        if peer.principal is not None and peer.target is not None:
            return peer
        return StreamInfo(
            peer.peer,
            peer.host,
            peer.target or gateway.to,
            peer.principal or gateway.anonymous,
            peer.protocol,
            peer.hints,
            peer.layers,
        )

    def _dialed(self, outward: IProtocol) -> None:
        flows = self.gateway.flows
        self._dial = None
        assert isinstance(outward, Leg)
        if self.gone is not None:
            outward.transport.abortConnection()  # type: ignore[union-attr]
            self._refuse(self._abandoned())
            return
        flows.opened(self)
        try:
            transport: Any = self.transport
            if IPending.providedBy(transport):
                transport.accept()
            target = self.info.target
            if target is None or target.network != UDP:
                self._up = flows.relay.join(self, outward, self._carried, self._meters)
            else:
                checkDatagrams((self, outward), target)
                self._up = flows.relay.join(self, outward, self._carried, self._meters, target)
                if self._up is not None:
                    flows.exchanging(self)
        except Exception:
            # The Deferred of a dialer is not where anybody would look for it.
            self._broken(outward, Failure())

    def _broken(self, outward: Leg, failure: Failure) -> None:
        """
        A stream that was answered cannot be carried, by a fault of ours.
        """
        flows = self.gateway.flows
        flows.log.failure("{info} cannot be carried", failure, info=self.info)
        where = str(self.info.target)
        self._release()
        self.takeEarly()
        flows.refused(self, Refused(Cause.GENERAL, Phase.REMOTE, where, failure.getErrorMessage()))
        for leg in (self, outward):
            transport: Any = leg.transport
            # What has given its socket away has nothing below it.
            if leg.gone is None and getattr(transport, "transport", transport) is not None:
                transport.abortConnection()

    def _carried(self, stream: Carried, reason: str) -> None:
        self._release()
        self._up = None
        # Some servers say no when it is up already: as long as nothing came from there, that is what it was.
        refusal = None if stream.received else getattr(stream, "refusal", None)
        self.gateway.flows.carried(self, stream, reason, refusal)

    def _release(self) -> None:
        """
        It is over: its place is for others.
        """
        limits = self._limits
        if limits is not None:
            self._limits = None
            limits.release()

    def _failed(self, failure: Failure) -> None:
        self._dial = None
        if isinstance(failure.value, Refused):
            self._refuse(failure.value)
            return
        if self._given or self.gone is not None:
            # It was cancelled; by which error it says so is up to the dialer.
            self._refuse(self._abandoned())
            return
        where = str(self.info.target)
        self.gateway.flows.log.failure("a dialer failed on {where}", failure, where=where)
        self._refuse(Refused(Cause.GENERAL, Phase.CONNECT, where, failure.getErrorMessage()))

    def _abandoned(self) -> Refused:
        """
        Why a stream was given up while it was being dialed.
        """
        where = str(self.info.target)
        if self.gone is not None:
            step = "see how long the client waits, if that was too short"
            return Refused(Cause.PEER_CLOSED, Phase.CONNECT, where, "the client went away", step)
        if self._given == STOPPING:
            return Refused(Cause.OVERLOADED, Phase.CONNECT, where, STOPPING, AGAIN)
        if self._given == _LATE:
            return Refused(Cause.TIMED_OUT, Phase.CONNECT, where, _LATE)
        return Refused(Cause.DENIED, Phase.POLICY, where, self._given)

    def _refuse(self, reason: Refused) -> None:
        self._release()
        self.takeEarly()
        self.gateway.flows.refused(self, reason)
        if self.gone is not None:
            return
        self.deliver = _ignore
        transport: Any = self.transport
        if self.paused:
            transport.resumeProducing()
        if IPending.providedBy(transport):
            transport.refuse(reason)
        else:
            transport.abortConnection()

    def overdue(self) -> None:
        """
        Dialing has taken too long, all ways together.
        """
        self._giveUp(_LATE)

    def stop(self) -> None:
        """
        Dialing shall end now, since all does.
        """
        self._giveUp(STOPPING)

    def _giveUp(self, why: str) -> None:
        if self._dial is not None:
            self._given = why
            self._dial.cancel()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        The peer is gone; if we are still dialing for it, stop.
        """
        super().connectionLost(reason)
        if self._dial is not None:
            self._dial.cancel()


def _ignore(data: bytes) -> None:
    """
    What a refused peer goes on to send.
    """


class _Outward(Factory):
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Leg:
        return Leg()


_OUTWARD: Final = _Outward()
"""It knows nothing of the stream, so one serves all."""
