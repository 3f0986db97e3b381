# -*- test-case-name: ugate.test.test_gateway -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The only place where a stream is decided: who asks, may it, where to, and what
its peer is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
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


class Flows:
    """
    What all gateways of a node share: the relay, the streams that are up or on
    their way, and the one log line of each.

    @ivar pending: streams that are not yet answered.
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
        self.pending = 0
        self.dialing: Deadlines[Inbound] = Deadlines(reactor, connect * _SLACK, Inbound.overdue)

    def __len__(self) -> int:
        return self.pending + len(self.relay)

    def stop(self) -> None:
        """
        Forget the timer; what is on its way is refused.
        """
        for inbound in self.dialing:
            inbound.overdue()
        self.dialing.close()

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
        if inbound.gateway.emptied is not None:
            inbound.gateway.emptied()

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
        if inbound.gateway.emptied is not None:
            inbound.gateway.emptied()


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
        emptied: Callable[[], object] | None = None,
    ) -> None:
        """
        @param tenant: whose policy and routes hold.
        @param flows: see L{Flows}.
        @param listener: its name, for the log.
        @param anonymous: who a peer is that has not logged in; L{None} for nobody.
        @param to: where every stream goes that does not say so itself.
        @param emptied: called when a stream of this listener has ended.
        """
        self.tenant = tenant
        self.flows = flows
        self.listener = listener
        self.anonymous = anonymous
        self.to = to
        self.emptied = emptied

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
    _late = False

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
        flows.pending += 1
        try:
            if len(flows) > flows.limit:
                limit = f"{flows.limit} streams are open"
                raise Refused(Cause.OVERLOADED, Phase.POLICY, str(info), limit, "raise node.streams")
            tenant = gateway.tenant
            tenant.policy.check(info)
            endpoint = tenant.dialer.endpointFor(info)
        except Refused as refused:
            self._refuse(refused)
            return
        flows.dialing.start(self)
        dial = endpoint.connect(_OUTWARD)
        if not dial.called:
            self._dial = dial
        dial.addCallbacks(self._dialed, self._failed)

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
        flows.dialing.stop(self)
        self._dial = None
        assert isinstance(outward, Leg)
        if self.gone is not None:
            flows.pending -= 1
            outward.transport.abortConnection()  # type: ignore[union-attr]
            return
        transport: Any = self.transport
        if IPending.providedBy(transport):
            transport.accept()
        # Counted by the relay from here on.
        flows.pending -= 1
        flows.relay.join(self, outward, self._carried)

    def _carried(self, stream: Carried, reason: str) -> None:
        self.gateway.flows.carried(self, stream, reason)

    def _failed(self, failure: Failure) -> None:
        self._dial = None
        if isinstance(failure.value, Refused):
            self._refuse(failure.value)
            return
        where = str(self.info.target)
        if failure.check(CancelledError):
            detail = "no answer from any hop in time" if self._late else "the client went away"
            cause = Cause.TIMED_OUT if self._late else Cause.PEER_CLOSED
            self._refuse(Refused(cause, Phase.CONNECT, where, detail))
            return
        self.gateway.flows.log.failure("a dialer failed on {where}", failure, where=where)
        self._refuse(Refused(Cause.GENERAL, Phase.CONNECT, where, failure.getErrorMessage()))

    def _refuse(self, reason: Refused) -> None:
        flows = self.gateway.flows
        flows.pending -= 1
        flows.dialing.stop(self)
        flows.refused(self, reason)
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
        if self._dial is not None:
            self._late = True
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
