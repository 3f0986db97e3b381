# -*- test-case-name: ugate.test.test_testinglinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A link of many streams in memory, with windows, delays and faults: what sessions, and whatever
is built on them, are tested with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ugate.errors import Cause, Refused
from ugate.interfaces import ILink
from ugate.protocols.mux import MuxStream
from ugate.stream import StreamInfo
from ugate.testing.channels import MemoryChannel, refused

CAPACITY: Final = 262144
"""Bytes that are on their way each way at once."""

CHUNK: Final = 16384
"""Bytes that one stream sends before others have their turn."""

_LAYER: Final = "memory"


@implementer(ILink)
class MemoryLink:
    """
    One end of a link in memory; L{ugate.testing.linkPair} makes both.

    @ivar info: of the connection.
    @ivar delay: seconds that everything takes from here to the other end.
    @ivar isClosed: whether it is gone.
    @ivar arrived: bytes of streams that have come so far.
    @since: ugate NEXT
    """

    protocol = "memory"
    incoming: Callable[[MuxStream], object] | None = None
    onDraining: Callable[[], object] | None = None
    isClosed = isDraining = isStalled = _isFilling = False
    arrived = 0
    other: MemoryLink
    _flying = 0

    def __init__(
        self, clock: IReactorTime, info: StreamInfo, first: int, delay: float, window: int, limit: int
    ) -> None:
        self._clock = clock
        self.info = info
        self.delay = delay
        self._window = window
        self._limit = limit
        self._next = self._first = first
        self._channels: dict[int, MemoryChannel] = {}
        self._turn: deque[MemoryChannel] = deque()
        self._batches: deque[tuple[float, list[tuple[str, int, Any]]]] = deque()
        self._stalled: list[tuple[str, int, Any]] = []
        self._pings: deque[Deferred[None]] = deque()
        self._waiting: list[Deferred[str]] = []
        self._why = ""

    @property
    def streams(self) -> int:
        """
        See L{ILink}.
        """
        return len(self._channels)

    @property
    def room(self) -> int:
        """
        See L{ILink}.
        """
        if self.isClosed or self.isDraining:
            return 0
        return self._limit - sum(number % 2 == self._first % 2 for number in self._channels)

    @property
    def unsent(self) -> int:
        """
        Bytes of all streams that wait here.
        """
        return sum(channel.unsent for channel in self._channels.values())

    def open(self, info: StreamInfo) -> Deferred[Any]:
        """
        See L{ILink.open}.
        """
        if self.isClosed:
            return fail(refused(Cause.PEER_CLOSED, self._why))
        if self.room <= 0:
            return fail(refused(Cause.OVERLOADED, "the link takes no more streams"))
        channel = MemoryChannel(self, self._next, self._window)
        self._next += 2
        self._channels[channel.number] = channel
        opening: Deferred[Any] = Deferred(lambda _: self._giveUp(channel))
        channel.opening = opening
        channel.stream = MuxStream(channel, info)
        self.send("open", channel.number, info.target)
        return opening

    def _giveUp(self, channel: MemoryChannel) -> None:
        channel.opening = None
        channel.reset()

    def ping(self) -> Deferred[None]:
        """
        See L{ILink.ping}.
        """
        if self.isClosed:
            return fail(refused(Cause.PEER_CLOSED, self._why))
        ping: Deferred[None] = Deferred(lambda _: None)
        self._pings.append(ping)
        self.send("ping", 0, None)
        return ping

    def drain(self) -> None:
        """
        See L{ILink.drain}.
        """
        if not (self.isDraining or self.isClosed):
            self.isDraining = True
            self.send("drain", 0, None)
            self._closeIfDone()

    def abort(self, reason: str) -> None:
        """
        See L{ILink.abort}.
        """
        if not self.isClosed:
            self.send("cut", 0, None)
            self._close(ConnectionLost(reason))

    def whenClosed(self) -> Deferred[str]:
        """
        See L{ILink.whenClosed}.
        """
        waiting: Deferred[str] = Deferred()
        if self.isClosed:
            waiting.callback(self._why)
        else:
            self._waiting.append(waiting)
        return waiting

    # What goes wrong.

    def cut(self) -> None:
        """
        The connection breaks: both ends find it lost, and what is under way is lost.
        """
        for link in (self, self.other):
            link._batches.clear()
            link._close(ConnectionLost("the connection was lost"))

    def stall(self) -> None:
        """
        From now on nothing from here arrives, though nobody is told.
        """
        self.isStalled = True

    def resume(self) -> None:
        """
        All arrives that was stalled, and what follows, too.
        """
        self.isStalled = False
        stalled, self._stalled = self._stalled, []
        self._deliver(stalled)

    def resetStreams(self) -> None:
        """
        All streams that there are break; the link does not.
        """
        for link in (self, self.other):
            for channel in tuple(link._channels.values()):
                link.forget(channel)
                channel.gone(Failure(ConnectionAborted()))

    # For channels.

    def send(self, kind: str, number: int, what: Any) -> None:
        """
        Something for the other end.
        """
        if self.isClosed:
            return
        now = self._clock.seconds()
        if not self._batches or self._batches[-1][0] != now:
            self._batches.append((now, []))
            self._clock.callLater(self.delay, self._arrive)
        self._batches[-1][1].append((kind, number, what))

    def wants(self, channel: MemoryChannel) -> None:
        """
        It has something to send.
        """
        self._queue(channel)
        self._fill()

    def _queue(self, channel: MemoryChannel) -> None:
        if channel.isReady and not channel.isQueued:
            channel.isQueued = True
            self._turn.append(channel)

    def forget(self, channel: MemoryChannel) -> None:
        """
        It has ended, one way or the other.
        """
        self._channels.pop(channel.number, None)
        channel.isSent = True
        channel.waiting.clear()
        self._closeIfDone()

    def _fill(self) -> None:
        """
        Put on the way what fits, each stream a piece in its turn.
        """
        if self._isFilling:
            return
        self._isFilling = True
        try:
            while self._turn and self._flying < CAPACITY:
                channel = self._turn.popleft()
                channel.isQueued = False
                if channel.isReady:
                    self._sendOf(channel)
        finally:
            self._isFilling = False

    def _sendOf(self, channel: MemoryChannel) -> None:
        if not channel.waiting:
            channel.isSent = True
            self.send("end", channel.number, None)
            self._closeIfEnded(channel)
            return
        size = min(CHUNK, channel.window, len(channel.waiting))
        data = bytes(channel.waiting[:size])
        del channel.waiting[:size]
        channel.window -= size
        self._flying += size
        self.send("data", channel.number, data)
        self._queue(channel)
        if not channel.waiting and channel.stream is not None:
            channel.stream.drained()

    # What arrives.

    def _arrive(self) -> None:
        if not self._batches:
            return
        _, batch = self._batches.popleft()
        if self.isStalled:
            self._stalled += batch
        else:
            self._deliver(batch)

    def _deliver(self, batch: list[tuple[str, int, Any]]) -> None:
        other = self.other
        for kind, number, what in batch:
            if kind == "data":
                self._flying -= len(what)
            if not other.isClosed:
                getattr(other, f"_on_{kind}")(number, what)
        self._fill()

    def _on_open(self, number: int, target: Any) -> None:
        incoming = self.incoming
        reason = None
        if self.isDraining:
            reason = refused(Cause.OVERLOADED, "the link is going away")
        elif incoming is None:
            reason = refused(Cause.CONNECTION_REFUSED, "nobody listens on this link")
        elif sum(each % 2 == number % 2 for each in self._channels) >= self._limit:
            reason = refused(Cause.OVERLOADED, f"{self._limit} streams are open on this link")
        if reason is not None or incoming is None:
            self.send("refuse", number, reason)
            return
        channel = self._channels[number] = MemoryChannel(self, number, self._window)
        info = self.info.but(target=target, protocol=_LAYER, layers=(*self.info.layers, _LAYER))
        channel.stream = MuxStream(channel, info, True)
        incoming(channel.stream)

    def _on_accept(self, number: int, what: None) -> None:
        channel = self._channels.get(number)
        if channel is not None and channel.opening is not None:
            opening, channel.opening = channel.opening, None
            opening.callback(channel.stream)

    def _on_refuse(self, number: int, reason: Refused) -> None:
        self._lose(number, Failure(refused(reason.cause, reason.detail)))

    def _on_reset(self, number: int, what: None) -> None:
        self._lose(number, Failure(ConnectionAborted()))

    def _lose(self, number: int, reason: Failure) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            self.forget(channel)
            channel.gone(reason)

    def _on_data(self, number: int, data: bytes) -> None:
        self.arrived += len(data)
        channel = self._channels.get(number)
        if channel is not None and channel.stream is not None:
            channel.stream.received(data)

    def _on_window(self, number: int, count: int) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            channel.window += count
            self.wants(channel)

    def _on_end(self, number: int, what: None) -> None:
        channel = self._channels.get(number)
        if channel is not None and channel.stream is not None:
            channel.isReceived = True
            channel.stream.ended()
            self._closeIfEnded(channel)

    def _closeIfEnded(self, channel: MemoryChannel) -> None:
        if channel.isSent and channel.isReceived and self._channels.get(channel.number) is channel:
            self.forget(channel)
            channel.gone(Failure(ConnectionDone()))

    def _on_ping(self, number: int, what: None) -> None:
        self.send("pong", 0, None)

    def _on_pong(self, number: int, what: None) -> None:
        ping = self._pings.popleft()
        if not ping.called:
            ping.callback(None)

    def _on_drain(self, number: int, what: None) -> None:
        if not self.isDraining:
            self.isDraining = True
            if self.onDraining is not None:
                self.onDraining()
        self._closeIfDone()

    def _on_cut(self, number: int, what: None) -> None:
        self._close(ConnectionLost("the peer cut the link"))

    def _on_done(self, number: int, what: None) -> None:
        self._close(ConnectionDone("the peer closed the link"))

    def _closeIfDone(self) -> None:
        if self.isDraining and not self._channels and not self.isClosed:
            self.send("done", 0, None)
            self._close(ConnectionDone("the last stream of a link that was going away has ended"))

    def _close(self, error: Exception) -> None:
        if self.isClosed:
            return
        self.isClosed = True
        self._why = " ".join(map(str, error.args))
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.isSent = True
            channel.waiting.clear()
            channel.gone(Failure(ConnectionLost(self._why)))
        while self._pings:
            ping = self._pings.popleft()
            if not ping.called:
                ping.errback(refused(Cause.PEER_CLOSED, self._why))
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(self._why)
