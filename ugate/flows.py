# -*- test-case-name: ugate.test.test_flows,ugate.test.test_gateway_flows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What all gateways of a node share: the streams that are up or on their way, how many
there were, why others were not carried, and the one log line of each.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from typing import Any, Final

from twisted.logger import Logger

from ugate.deadlines import Deadlines
from ugate.errors import Cause, Phase, Refused
from ugate.recency import Recency
from ugate.relay import Carried, Relay
from ugate.stream import StreamInfo
from ugate.streams import LiveStream, Refusal, Totals

__all__ = ["Flows", "LiveStream", "Refusal", "Totals"]

DEFAULT_STREAMS: Final = 10_000
REFUSALS: Final = 100
"""How many refusals are kept for each tenant."""

ALL_REFUSALS: Final = 10_000
"""How many are kept for all of them."""

STOPPING: Final = "this gateway is being stopped"
AGAIN: Final = "ask again when it is up"

_SLACK: Final = 3.0
_STOPPED: Final = -1
_ROOT: Final = "root"


class Flows:
    """
    What all gateways of a node share: the relay, the streams that are up or on
    their way, and the one log line of each.

    @ivar dialing: streams that are not yet answered, and how long they may take.
    @ivar limit: how many streams may be open at once.
    @ivar quiet: whether the line of each stream that went well is left out.
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
        self.dialing: Deadlines[Any] = Deadlines(reactor, connect * _SLACK, lambda stream: stream.overdue())
        self._last = 0
        self._live: dict[int, LiveStream] = {}
        # Those of datagrams that are up, by whose they are.
        self._datagrams: dict[str, Recency[Any]] = {}
        self._totals: dict[str, Totals] = {}
        # The tenant of which something was refused last is the last one.
        self._refusals: dict[str, deque[Refusal]] = {}
        self._kept = 0
        self.causes: Counter[tuple[str, Cause]] = Counter()

    def __len__(self) -> int:
        return len(self._live)

    def change(self, connect: float, streams: int, quiet: bool) -> None:
        """
        Other settings, for what comes from now on.
        """
        self.dialing.seconds = connect * _SLACK
        self.quiet = quiet
        if self.limit != _STOPPED:
            self.limit = streams

    def stop(self) -> None:
        """
        Forget the timer; what is on its way is refused, and so is what still comes.
        """
        self.limit = _STOPPED
        for stream in self.dialing:
            stream.stop()
        self.dialing.close()

    def streams(self) -> Iterator[LiveStream]:
        """
        All that is up or on its way, the oldest first.
        """
        return iter(tuple(self._live.values()))

    def stream(self, number: int) -> LiveStream | None:
        """
        The stream with an id, if there still is one.
        """
        return self._live.get(number)

    def refusals(self, tenant: str | None = None) -> list[Refusal]:
        """
        What was not carried, the newest first.

        @param tenant: the path of one tenant; L{None} for all of them.
        """
        if tenant is not None:
            return list(reversed(self._refusals.get(tenant, ())))
        kept = [refusal for each in self._refusals.values() for refusal in each]
        return sorted(kept, key=lambda refusal: refusal.wall, reverse=True)

    def totals(self, tenant: str) -> Totals:
        """
        What a tenant has done so far, without those below it.
        """
        return self.allTotals((tenant,)).get(tenant) or Totals()

    def allTotals(self, only: tuple[str, ...] | None = None) -> dict[str, Totals]:
        """
        What each tenant has done so far, by path; those that did nothing are left out.

        @param only: the paths of those that are wanted; L{None} for all.
        """
        wanted = self._totals if only is None else [path for path in only if path in self._totals]
        found = {path: _copied(self._totals[path]) for path in wanted}
        for stream in self._live.values():
            totals = found.get(stream.owner.name)
            if totals is not None:
                totals.open += 1
                totals.sent += stream.sent
                totals.received += stream.received
        return found

    def keep(self, tenants: Collection[str]) -> None:
        """
        Forget what is kept of all tenants but these, and those that have streams still.
        """
        gone = [path for path in self._totals if path not in tenants]
        used = {stream.owner.name for stream in self._live.values()} if gone else set()
        for tenant in set(gone) - used:
            del self._totals[tenant]
        for tenant in [path for path in self._refusals if path not in tenants]:
            self._kept -= len(self._refusals.pop(tenant))
        for key in [key for key in self.causes if key[0] not in tenants]:
            del self.causes[key]

    def begin(self, stream: LiveStream) -> int:
        """
        A stream is on its way; if that takes its time, it is one of those C{dialing}.

        @return: its number.
        """
        self._last = number = self._last + 1
        self._live[number] = stream
        tenant = stream.owner.name
        if tenant not in self._totals:
            self._totals[tenant] = Totals()
        return number

    def opened(self, stream: LiveStream) -> None:
        """
        It is answered: the relay has it from here on.
        """
        self.dialing.stop(stream)
        self._totalsOf(stream).opened += 1

    def exchanging(self, stream: Any) -> None:
        """
        A flow of datagrams is up: it makes way for others, if there is no place.

        @param stream: with C{used}: when a datagram went by it last.
        """
        self._datagrams.setdefault(stream.owner.name, Recency()).add(stream)

    def makeRoom(self, info: StreamInfo) -> None:
        """
        There is no place for one more stream: let a flow of datagrams go.

        @raise Refused: there is none.
        """
        if self.limit == _STOPPED or not self.makeWay(_ROOT):
            raise self.full(info)

    def makeWay(self, path: str) -> bool:
        """
        End the flow of datagrams that was idle for longest.

        @param path: whose it has to be, or of whom below.
        @return: whether there was one.
        """
        oldest: Any = None
        for owner, recency in self._datagrams.items():
            if path in (_ROOT, owner) or owner.startswith(f"{path}/"):
                flow = recency.oldest()
                if flow is not None and (oldest is None or flow.used < oldest.used):
                    oldest = flow
        if oldest is None:
            return False
        oldest.close("made way: no more streams may be open")
        return True

    def full(self, info: StreamInfo) -> Refused:
        """
        Why there is no place for one more stream.
        """
        if self.limit == _STOPPED:
            return Refused(Cause.OVERLOADED, Phase.POLICY, str(info), STOPPING, AGAIN)
        limit = f"{self.limit} streams are open"
        return Refused(Cause.OVERLOADED, Phase.POLICY, str(info), limit, "raise node.streams")

    def carried(
        self, stream: LiveStream, carried: Carried, reason: str, refusal: Refused | None = None
    ) -> None:
        """
        A stream that was up has ended.

        @param refusal: why it was not carried after all, if it was not.
        """
        sent, received = carried.sent, carried.received
        totals = self._totalsOf(stream)
        totals.sent += sent
        totals.received += received
        self._live.pop(stream.id, None)
        if self._datagrams:
            self._exchanged(stream)
        if refusal is not None:
            self._count(stream, refusal)
        if not self.quiet or refusal is not None:
            info = stream.info
            seconds = self.seconds() - stream.began
            dropped = getattr(carried, "dropped", 0)
            lost = f", {dropped} datagrams dropped" if dropped else ""
            self.log.info(
                # Formatted here: eight fields would cost more than the stream did.
                "{flow}",
                flow=(
                    f"{_where(stream)}: {info}{_way(stream)} {info.protocol} {info.principal}: {sent} sent, "
                    f"{received} received, {seconds:.3f} s, {reason}{lost}"
                ),
                tenant=stream.owner.name,
                listener=stream.listener,
                info=info,
                via=stream.via,
                sent=sent,
                received=received,
                seconds=seconds,
                reason=reason,
            )

    def _exchanged(self, stream: LiveStream) -> None:
        recency = self._datagrams.get(stream.owner.name)
        if recency is not None:
            recency.discard(stream)
            if not recency:
                del self._datagrams[stream.owner.name]

    def refused(self, stream: LiveStream, reason: Refused) -> None:
        """
        A stream was not carried.
        """
        self.dialing.stop(stream)
        self._live.pop(stream.id, None)
        self._count(stream, reason)
        self.log.info(
            "{where}: {info} {protocol} {principal}: refused: {reason}",
            where=_where(stream),
            tenant=stream.owner.name,
            listener=stream.listener,
            info=stream.info,
            protocol=stream.info.protocol,
            principal=stream.info.principal,
            reason=reason,
        )

    def _count(self, stream: LiveStream, reason: Refused) -> None:
        self._totalsOf(stream).refused += 1
        self.causes[stream.owner.name, reason.cause] += 1
        self._keep(stream, reason)

    def _totalsOf(self, stream: LiveStream) -> Totals:
        tenant = stream.owner.name
        totals = self._totals.get(tenant)
        if totals is None:
            totals = self._totals[tenant] = Totals()
        return totals

    def _keep(self, stream: LiveStream, reason: Refused) -> None:
        tenant = stream.owner.name
        kept = self._refusals.pop(tenant, None)
        if kept is None:
            kept = deque(maxlen=REFUSALS)
        self._refusals[tenant] = kept
        self._kept += len(kept) < REFUSALS
        # The error itself holds on to the frames that it passed.
        kept.append(
            Refusal(
                time.time(),
                tenant,
                stream.listener,
                stream.info,
                reason.cause,
                reason.phase,
                reason.hop,
                reason.detail,
                reason.nextStep,
            )
        )
        while self._kept > ALL_REFUSALS:
            self._kept -= len(self._refusals.pop(next(iter(self._refusals))))


def _copied(totals: Totals) -> Totals:
    return Totals(totals.opened, totals.refused, totals.sent, totals.received)


def _where(stream: LiveStream) -> str:
    """
    Which listener, and whose rules if not those of the node itself.
    """
    tenant = stream.owner.name
    return stream.listener if tenant == "root" else f"{stream.listener} (tenant {tenant})"


def _way(stream: LiveStream) -> str:
    """
    The way in words, unless it is the plain one.
    """
    return "" if stream.via in ("", "direct") else f" via {stream.via}"
