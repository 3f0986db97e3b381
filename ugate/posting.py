# -*- test-case-name: ugate.test.test_posting -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The relay for flows of datagrams: they are passed on as they come, or dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import IDatagrams, IDialer
from ugate.leg import Leg
from ugate.metering import Meter, Meters
from ugate.protocols.capsules import Capsules
from ugate.shares import Share
from ugate.stream import TCP, UDP, UNIX, StreamInfo, Target

_CARRIED: Final[Mapping[str, tuple[str, str]]] = {
    UDP: ("datagrams", "socks, h2connect, websocket or ssh"),
    UNIX: ("streams to UNIX sockets", "ssh"),
}
"""What the networks beside L{TCP} are, and which hops carry them."""

Pipe: TypeAlias = Callable[[Sequence[bytes]], object]
"""What takes datagrams."""


def networksOf(dialer: IDialer) -> Collection[str]:
    """
    What a dialer carries.
    """
    networks: Collection[str] = getattr(dialer, "networks", (TCP,))
    return networks


def checkCarries(dialer: IDialer, info: StreamInfo) -> None:
    """
    Return if a dialer carries what a stream is made of.

    @raise Refused: it carries bytes to hosts alone, and these are datagrams, or go to a UNIX socket.
    @since: ugate NEXT
    """
    target = info.target
    if target is not None and target.network != TCP and target.network not in networksOf(dialer):
        what, hops = _CARRIED[target.network]
        step = f"add a route for it by direct, or by a hop that carries them: {hops}"
        raise Refused(Cause.UNSUPPORTED, Phase.POLICY, str(target), f"its route carries no {what}", step)


def carriesDatagrams(transport: Any) -> bool:
    """
    Whether what is written to a transport are datagrams: one by one, or as the capsules of a stream that was
    opened for these.
    """
    if IDatagrams.providedBy(transport):
        return True
    target = getattr(transport.getPeer(), "target", None)
    return isinstance(target, Target) and target.network == UDP


def checkDatagrams(legs: Iterable[Leg], target: Target) -> None:
    """
    Return if what is written for one side does not reach the other as bytes of something else.

    @raise TypeError: it would.
    """
    for leg in legs:
        if not carriesDatagrams(leg.transport):
            raise TypeError(f"{leg.transport} carries no datagrams, as {target} wants them")


class Posting:
    """
    Two legs of datagrams.

    @ivar active: when one was passed on last.
    @ivar sent: bytes from the first to the second.
    @ivar received: bytes from the second to the first.
    @since: ugate NEXT
    """

    __slots__ = ("_finished", "_legs", "_pipes", "active", "received", "sent")

    def __init__(
        self,
        clock: IReactorTime,
        a: Leg,
        b: Leg,
        finished: Callable[[str], object],
        meters: Meters | None = None,
    ) -> None:
        """
        @param a: the leg of who asked.
        @param b: the leg to the target.
        @param finished: called once with why it has ended.
        @param meters: what limits it, if anything does: what is too much is dropped.
        """
        self._legs = (a, b)
        self._finished: Callable[[str], object] | None = finished
        self.sent = self.received = 0
        self.active = clock.seconds()
        up, down = _datagramsOf(a), _datagramsOf(b)
        limits = (None, None) if meters is None else (meters.up, meters.down)
        seconds = clock.seconds

        def toTarget(datagrams: Sequence[bytes], post: Pipe = down.postAll) -> None:
            self.sent += sum(map(len, datagrams))
            self.active = seconds()
            post(datagrams)

        def toClient(datagrams: Sequence[bytes], post: Pipe = up.postAll) -> None:
            self.received += sum(map(len, datagrams))
            self.active = seconds()
            post(datagrams)

        self._pipes: tuple[Pipe, ...] = tuple(
            pass_ if meter is None else _Limited(meter, source, pass_)
            for meter, source, pass_ in ((limits[0], up, toTarget), (limits[1], down, toClient))
        )

    @property
    def dropped(self) -> int:
        """
        How many datagrams were not passed on.
        """
        return sum(_datagramsOf(leg).dropped for leg in self._legs)

    def start(self) -> None:
        """
        Pass on what is waiting, and go on from there.
        """
        up, down = map(_datagramsOf, self._legs)
        up.failed, down.failed = down.undelivered, up.undelivered
        for leg, pipe in zip(self._legs, self._pipes, strict=True):
            leg.lost = self._lost
            early = leg.takeEarly()
            _datagramsOf(leg).receive(pipe)
            if early:
                self._deliver(early, pipe)
            leg.deliver = lambda data, pipe=pipe: self._deliver(data, pipe)
        for leg in self._legs:
            if leg.gone is not None:
                self._lost(leg.gone)

    def _deliver(self, early: bytes, pipe: Pipe) -> None:
        try:
            pipe(Capsules().receive(early))
        except ProtocolError as error:
            self.close(str(error), abort=True)

    def _lost(self, reason: Failure) -> None:
        if isinstance(reason.value, ConnectionDone):
            self.close("done", abort=False)
        else:
            self.close(reason.getErrorMessage(), abort=True)

    def close(self, reason: str, abort: bool) -> None:
        """
        End both.

        @param reason: for the log of the stream.
        """
        finished, self._finished = self._finished, None
        if finished is None:
            return
        for pipe in self._pipes:
            if isinstance(pipe, _Limited):
                pipe.stop()
        # These go round in circles, which the collector would have to find.
        self._pipes = ()
        for leg in self._legs:
            leg.lost = leg.deliver = None
            _datagramsOf(leg).failed = None
            if leg.gone is None:
                # Nothing is under way that could be lost.
                leg.transport.loseConnection()  # type: ignore[union-attr]
        finished(reason)


class _Limited:
    """
    Drops what is more than a meter lets through.
    """

    __slots__ = ("_isShort", "_pass", "_share", "_source")

    def __init__(self, meter: Meter, source: Any, pass_: Pipe) -> None:
        self._share = Share(meter, self._resume, whole=True)
        self._source = source
        self._pass = pass_
        self._isShort = False

    def __call__(self, datagrams: Sequence[bytes]) -> None:
        for number, each in enumerate(datagrams):
            if self._isShort:
                self._source.dropped += len(datagrams) - number
                return
            self._pass((each,))
            self._share.take(len(each))
            self._isShort = not self._share.room()

    def _resume(self) -> None:
        self._isShort = False

    def stop(self) -> None:
        """
        It passes no more.
        """
        self._share.stop()


def _datagramsOf(leg: Leg) -> Any:
    return leg.transport
