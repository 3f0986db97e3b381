# -*- test-case-name: ugate.test.test_flowtable -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The flows of one socket that hears many peers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

from ugate.deadlines import Deadlines
from ugate.errors import Refused, UgateError
from ugate.interfaces import IPending
from ugate.protocols.datagrams import DatagramStream
from ugate.recency import Recency

DEFAULT_FLOWS: Final = 5000
"""How many flows of one socket there may be, unless its string says otherwise."""

QUIET: Final = 5.0
"""Seconds for which a peer that was refused is not asked about again, whatever it sends."""


class MadeWay(UgateError):
    """
    A flow that was ended for a newer one: let that listener have more flows, if they are no flood.

    @since: ugate NEXT
    """


@implementer(IPending)
class Flow(DatagramStream):
    """
    One of them.

    @ivar key: what it is known by.
    @ivar seen: when its peer was heard last, by the clock; set by who reads.
    @since: ugate NEXT
    """

    seen = 0.0

    def __init__(self, table: FlowTable[Flow], key: Hashable, peer: IAddress, host: IAddress) -> None:
        super().__init__(peer, host)
        self._table = table
        self.key = key
        self._isUp = False

    @property
    def used(self) -> float:
        """
        See L{Recency}.
        """
        return self.seen

    def accept(self) -> None:
        """
        See L{IPending}: datagrams are the answer.
        """
        self._isUp = True

    def refuse(self, reason: Refused) -> None:
        """
        See L{IPending}: nobody is told, and what comes for a while is dropped.
        """
        self.lost()

    def closed(self) -> None:
        """
        One that came to nothing is remembered for a while.
        """
        self._table.over(self, self._isUp)


F = TypeVar("F", bound=Flow)


class FlowTable(Generic[F]):
    """
    Flows by what they are known by, and how many there may be: for one more, the one whose peer was silent
    for longest makes way.  As many again may be kept that were refused.

    @ivar get: the flow of a key, or L{None}.
    @ivar made: how many had to make way.
    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, limit: int = DEFAULT_FLOWS) -> None:
        """
        @param clock: what tells the time.
        @param limit: how many, at least one.
        """
        self._flows: dict[Hashable, F] = {}
        self._order: Recency[F] = Recency()
        self.get = self._flows.get
        self._quiet: Deadlines[F] = Deadlines(clock, QUIET, self._forget)
        self._seconds = clock.seconds
        self.limit = limit
        self.made = 0

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[F]:
        return iter(tuple(self._flows.values()))

    def begin(self, flow: F, factory: Any) -> F:
        """
        One more.  Others make way when it is known that it is not refused at once.

        @param factory: makes its protocol.
        @return: the same, which may be over already.
        """
        flow.seen = self._seconds()
        self._flows[flow.key] = flow
        try:
            protocol = factory.buildProtocol(flow.peer)
            if protocol is None:
                flow.lost()
            else:
                flow.begin(protocol)
        except Exception:
            self._failed(flow)
        if not flow.isClosed:
            while len(self._order) >= self.limit:
                self._makeWay()
            self._order.add(flow)
        return flow

    def deliver(self, came: Mapping[F, list[bytes]]) -> None:
        """
        Give each flow what came for it.
        """
        now = self._seconds()
        for flow, datagrams in came.items():
            flow.seen = now
            try:
                flow.arrivedAll(datagrams)
            except Exception:
                self._failed(flow)

    def _failed(self, flow: F) -> None:
        # It is no matter of the others.
        self._log.failure("a flow of datagrams could not be served")
        flow.lost()

    def _makeWay(self) -> None:
        """
        End the one whose peer was silent for longest.
        """
        flow = self._order.oldest()
        assert flow is not None
        self._forget(flow)
        self.made += 1
        flow.lost(MadeWay(f"made way: {self.limit} flows are open on one socket"))

    def over(self, flow: F, wasUp: bool) -> None:
        """
        One has ended.

        @param wasUp: whether it may begin anew at once.
        """
        if self._flows.get(flow.key) is not flow:
            return
        if wasUp:
            self._forget(flow)
            return
        self._order.discard(flow)
        self._quiet.start(flow)
        while len(self._quiet) > self.limit:
            oldest = self._quiet.oldest
            self._quiet.stop(oldest)
            self._forget(oldest)

    def refuse(self, flow: F) -> None:
        """
        One that does not begin: what comes for it is dropped for a while.
        """
        self._flows[flow.key] = flow
        flow.lost()

    def _forget(self, flow: F) -> None:
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]
            self._order.discard(flow)

    def close(self) -> None:
        """
        End all.
        """
        flows = tuple(self._flows.values())
        self._flows.clear()
        self._order = Recency()
        self._quiet.close()
        for flow in flows:
            flow.lost()
