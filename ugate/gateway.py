# -*- test-case-name: ugate.test.test_gateway,ugate.test.test_gateway_flows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The only place where a stream is decided: who asks, may it, where to, and what
its peer is told.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IPending, ITenant
from ugate.leg import Leg
from ugate.relay import Carried, Relay
from ugate.stream import Principal, StreamInfo, Target

DEFAULT_STREAMS: Final = 10_000
_SLACK: Final = 3.0
_STOPPED: Final = -1
_STOPPING: Final = "this gateway is being stopped"
_AGAIN: Final = "ask again when it is up"


class Flows:
    """
    What all gateways of a node share: the relay, the streams that are up or on
    their way, and the one log line of each.

    @ivar dialing: streams that are not yet answered, and how long they may take.
    @ivar limit: how many streams may be open at once.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        relay: Relay,
        *,
        connect: float = 10.0,
        streams: int = DEFAULT_STREAMS,
        quiet: bool = False,
    ) -> None:
        """
        @param reactor: the clock.
        @param relay: carries what was answered.
        @param connect: seconds that one hop may take; a stream as a whole may
            take three times as long, for those with several ways to try.
        @param streams: how many may be open at once.
        @param quiet: whether to leave out the line of each stream that went well.
        """
        self.relay = relay
        self.limit = streams
        self.quiet = quiet
        self.seconds = reactor.seconds
        self.dialing: Deadlines[Inbound] = Deadlines(reactor, connect * _SLACK, Inbound.overdue)

    def __len__(self) -> int:
        return len(self.dialing) + len(self.relay)

    def stop(self) -> None:
        """
        Forget the timer; what is on its way is refused, and so is what still comes.
        """
        self.limit = _STOPPED
        for inbound in self.dialing:
            inbound.stop()
        self.dialing.close()

    def full(self, info: StreamInfo) -> Refused:
        """
        Why there is no place for one more stream.
        """
        if self.limit == _STOPPED:
            return Refused(Cause.OVERLOADED, Phase.POLICY, str(info), _STOPPING, _AGAIN)
        limit = f"{self.limit} streams are open"
        return Refused(Cause.OVERLOADED, Phase.POLICY, str(info), limit, "raise node.streams")

    def carried(self, inbound: Inbound, stream: Carried, reason: str) -> None:
        """
        A stream that was up has ended.
        """
        if not self.quiet:
            listener, info = inbound.gateway.listener, inbound.info
            sent, received = stream.sent, stream.received
            seconds = self.seconds() - inbound.began
            self.log.info(
                # Formatted here: eight fields would cost more than the stream did.
                "{flow}",
                flow=(
                    f"{listener}: {info} {info.protocol} {info.principal}: {sent} sent, "
                    f"{received} received, {seconds:.3f} s, {reason}"
                ),
                listener=listener,
                info=info,
                sent=sent,
                received=received,
                seconds=seconds,
                reason=reason,
            )

    def refused(self, inbound: Inbound, reason: Refused) -> None:
        """
        A stream was not carried.
        """
        self.log.info(
            "{listener}: {info} {protocol} {principal}: refused: {reason}",
            listener=inbound.gateway.listener,
            info=inbound.info,
            protocol=inbound.info.protocol,
            principal=inbound.info.principal,
            reason=reason,
        )


class Gateway(Factory):
    """
    The factory of one listener: what a server endpoint is given to listen with.

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
    ) -> None:
        """
        @param tenant: whose policy and routes hold.
        @param flows: see L{Flows}.
        @param listener: its name, for the log.
        @param anonymous: who a peer is that has not logged in; L{None} for nobody.
        @param to: where every stream goes that does not say so itself.
        """
        self.tenant = tenant
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
        return Inbound(self)


class Inbound(Leg):
    """
    The leg of who asked.
    """

    info: StreamInfo
    began: float = 0.0
    _dial: Deferred[IProtocol] | None = None
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
        self.info = info = self._info()
        try:
            if len(flows) >= flows.limit:
                raise flows.full(info)
            tenant = gateway.tenant
            tenant.policy.check(info)
            endpoint = tenant.dialer.endpointFor(info)
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
        # Counted by the relay from here on.
        flows.dialing.stop(self)
        try:
            transport: Any = self.transport
            if IPending.providedBy(transport):
                transport.accept()
            flows.relay.join(self, outward, self._carried)
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
        flows.refused(self, Refused(Cause.GENERAL, Phase.REMOTE, where, failure.getErrorMessage()))
        for leg in (self, outward):
            transport: Any = leg.transport
            # What has given its socket away has nothing below it.
            if leg.gone is None and getattr(transport, "transport", transport) is not None:
                transport.abortConnection()

    def _carried(self, stream: Carried, reason: str) -> None:
        self.gateway.flows.carried(self, stream, reason)

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
        if self._given == _STOPPING:
            return Refused(Cause.OVERLOADED, Phase.CONNECT, where, _STOPPING, _AGAIN)
        return Refused(Cause.TIMED_OUT, Phase.CONNECT, where, self._given)

    def _refuse(self, reason: Refused) -> None:
        flows = self.gateway.flows
        flows.dialing.stop(self)
        flows.refused(self, reason)
        if self.gone is not None:
            return
        self.deliver = _ignore
        self.early = b""
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
        self._giveUp("no answer from any hop in time")

    def stop(self) -> None:
        """
        Dialing shall end now, since all does.
        """
        self._giveUp(_STOPPING)

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
