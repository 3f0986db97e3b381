# -*- test-case-name: ugate.test.test_relay -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The one relay: it joins the two ends of a stream until both directions ended.

When both ends can hand over their sockets, the kernel moves the bytes
(L{ugate.pump}); everything else is copied with back-pressure (L{ugate.copying}).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.tcp import Connection

from ugate.copying import Copying
from ugate.deadlines import Deadlines
from ugate.idling import Idling
from ugate.interfaces import IDatagrams, IDetachable, IDetachableTLS
from ugate.leg import Leg
from ugate.metering import Meters
from ugate.poll import asSocketReactor, canPoll
from ugate.posting import Posting
from ugate.protocols.mux import MuxStream
from ugate.protocols.sockets import cut, detachable
from ugate.pump import Pump
from ugate.stream import Target

IDLE_DATAGRAMS: Final = 60.0
"""Seconds after which a flow of datagrams is over that has none."""

BRIEF: Final = 10.0
"""The same for those to the port of DNS: a question has one answer."""

_DNS: Final = 53


class Carried(Protocol):
    """
    A stream that is being relayed.
    """

    @property
    def sent(self) -> int:
        """Bytes from who asked to the target."""

    @property
    def received(self) -> int:
        """Bytes from the target to who asked."""

    @property
    def active(self) -> float:
        """When bytes last moved, by the reactor's clock."""

    def close(self, reason: str, abort: bool) -> None:
        """End it, with a reason for the log; abort resets both ends."""


class Relay:
    """
    All streams that are up.

    @since: ugate NEXT
    """

    def __init__(
        self,
        reactor: IReactorTime,
        idle: float = 900.0,
        threads: int | None = None,
        datagrams: float = IDLE_DATAGRAMS,
    ) -> None:
        """
        @param reactor: what tells the time, and waits for sockets if it can.
        @param idle: seconds without a byte either way after which a stream is cut.
        @param threads: how many may splice bulk; by default as many as there
            are cores, 2 at least.
        @param datagrams: seconds without a datagram either way after which a flow is over.
        """
        self._reactor = reactor
        self._threads = max(2, os.cpu_count() or 2) if threads is None else threads
        self._pump: Pump | None = None
        self._streams: Idling[Carried] = Idling(reactor, idle, _idle)
        self._datagrams: Idling[Carried] = Idling(reactor, datagrams, _over)
        self._brief: Idling[Carried] = Idling(reactor, min(BRIEF, datagrams), _over)
        self._closing: Deadlines[Leg] = Deadlines(reactor, idle, _cut)

    def __len__(self) -> int:
        return len(self._streams) + len(self._datagrams) + len(self._brief)

    @property
    def closing(self) -> int:
        """
        Transports of ended streams whose peers have yet to read what was written.
        """
        return len(self._closing)

    def __iter__(self) -> Iterator[Carried]:
        return chain(self._streams, self._datagrams, self._brief)

    def join(
        self,
        a: Leg,
        b: Leg,
        finished: Callable[[Carried, str], object],
        meters: Meters | None = None,
        target: Target | None = None,
    ) -> Carried | None:
        """
        Carry on from here: what was kept early goes first.

        @param a: the leg of who asked; its transport has been accepted.
        @param b: the leg to the target.
        @param finished: called once with the stream and why it ended: C{done}
            when both directions did.
        @param meters: what limits it, if anything does: C{up} is from C{a} to C{b}.
        @param target: where it goes, if it is a flow of datagrams.
        @return: the stream, or L{None} when it has ended already.
        """
        streams = self._streams
        if target is not None:
            streams = self._brief if target.port == _DNS else self._datagrams
        stream: Carried | None = None
        ended: str | None = None
        copied: tuple[Leg, ...] = ()

        def end(reason: str) -> None:
            nonlocal ended
            ended = reason
            if stream is not None:
                streams.discard(stream)
                finished(stream, reason)
            for leg in copied:
                self._outlive(leg)

        # The one that is asked first need not be a stream of a link, which says no at once.
        detachA = None if isinstance(b.transport, MuxStream) else _detachable(a)
        detachB = _detachable(b) if detachA is not None else None
        if target is not None and all(IDatagrams.providedBy(leg.transport) for leg in (a, b)):
            posting = Posting(self._reactor, a, b, end, meters)
            posting.start()
            stream = posting
        elif detachA is not None and detachB is not None and (pump := self.pump()) is not None:
            one, two = detachA.detach(), detachB.detach()
            stream = pump.join(one, two, a.takeEarly(), b.takeEarly(), end, meters)
        else:
            copied = (a, b)
            copying = Copying(self._reactor, a, b, end, meters)
            copying.start()
            stream = copying
        if ended is not None:
            finished(stream, ended)
            return None
        streams.add(stream)
        return stream

    def pump(self) -> Pump | None:
        """
        What moves the bytes of sockets, and waits for descriptors that are on their
        way to be such; L{None} with a reactor that waits for none.
        """
        if self._pump is None and canPoll(self._reactor):
            self._pump = Pump(asSocketReactor(self._reactor), self._threads, process=True)
        return self._pump

    def _outlive(self, leg: Leg) -> None:
        """
        A transport that was copied to closes when all that was written is read by
        its peer: not later than an idle stream would.
        """
        transport = leg.transport
        if leg.gone is None and not (isinstance(transport, MuxStream) and transport.channel is None):
            leg.lost = lambda _: self._closing.stop(leg)
            self._closing.start(leg)

    def change(self, idle: float, datagrams: float | None = None) -> None:
        """
        Let streams be idle for another time, those that are up, too.

        @param datagrams: the same of flows of datagrams; L{None} to leave it.
        """
        self._streams.change(idle)
        self._closing.seconds = idle
        if datagrams is not None:
            self._datagrams.change(datagrams)
            self._brief.change(min(BRIEF, datagrams))

    def stop(self) -> None:
        """
        Cut what is left and give everything back.
        """
        for streams in (self._streams, self._datagrams, self._brief):
            streams.stop()
        for stream in self:
            stream.close("shutdown", abort=True)
        for leg in self._closing:
            _cut(leg)
        self._closing.close()
        if self._pump is not None:
            self._pump.stop()
            self._pump = None


def _detachable(leg: Leg) -> IDetachable | IDetachableTLS | None:
    """
    What gives the socket of a leg away, with TLS on it or without.
    """
    transport = leg.transport
    if leg.gone is not None or leg.eof:
        return None
    # Of its class: wrappers of Twisted have all that is below them.
    quick = getattr(type(transport), "detacher", None)
    if quick is not None:
        found: IDetachableTLS | None = quick(transport)
        return found
    if isinstance(transport, Connection):
        return detachable(transport)
    if isinstance(transport, MuxStream):
        return None
    bare = detachable(transport)
    if bare is not None:
        return bare
    secure: IDetachableTLS | None = IDetachableTLS(transport, None)
    return secure


def _idle(stream: Carried) -> None:
    stream.close("idle", abort=True)


def _over(stream: Carried) -> None:
    # Flows of datagrams have no other end.
    stream.close("idle", abort=False)


def _cut(leg: Leg) -> None:
    cut(leg.transport)
