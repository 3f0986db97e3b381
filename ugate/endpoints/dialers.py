# -*- test-case-name: ugate.test.test_dialers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Dialers made of dialers: one after another, the same again, or none at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.pauses import pauseBefore
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer
from ugate.posting import checkCarries, networksOf
from ugate.stream import TCP, UDP, UNIX, StreamInfo

PASSING: Final = frozenset(
    (
        Cause.CONNECTION_REFUSED,
        Cause.TIMED_OUT,
        Cause.HOST_UNREACHABLE,
        Cause.NETWORK_UNREACHABLE,
        Cause.PEER_CLOSED,
        Cause.OVERLOADED,
    )
)
"""What may be over a moment later."""


def isFinal(refused: Refused) -> bool:
    """
    Whether no other way may be tried: our own policy said no.  A proxy that says
    no, or that does not take the login, speaks for itself only.
    """
    return refused.cause is Cause.DENIED and refused.phase is Phase.POLICY


def nameOf(info: StreamInfo) -> str:
    """
    What a refusal names when there is no hop yet.
    """
    return str(info.target or info)


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, slots=True)
class Way:
    """
    An endpoint whose C{connect()} is a coroutine; cancelling goes through to what it
    waits for.
    """

    connecting: Callable[[IProtocolFactory], Coroutine[Deferred[Any], Any, IProtocol]]
    """What connects."""

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.
        """
        return Deferred.fromCoroutine(self.connecting(factory))


def within(
    clock: IReactorTime, timeout: float | None, dialer: IDialer, info: StreamInfo, factory: IProtocolFactory
) -> Deferred[IProtocol]:
    """
    One attempt of a dialer.

    @param timeout: seconds that it has; L{None} for as long as the dialer itself
        gives it.
    @raise Refused: the dialer knows no way.
    """
    checkCarries(dialer, info)
    connected: Deferred[IProtocol] = dialer.endpointFor(info).connect(factory)
    if timeout is not None:

        def tooLong(result: Any, seconds: float) -> Failure:
            return Failure(
                Refused(Cause.TIMED_OUT, Phase.CONNECT, nameOf(info), f"not connected in {seconds:g} s")
            )

        connected.addTimeout(timeout, clock, tooLong)
    return connected


def together(refusals: Sequence[Refused]) -> Refused:
    """
    Several ways that were refused one after another, as one refusal: the last, which names those before.
    """
    *others, last = refusals
    if not others:
        return last
    before = "; ".join(f"{e.hop}: {e.detail or e.cause.value}" for e in others)
    detail = f"{last.detail}, the last way; before it {before}" if last.detail else f"before it {before}"
    refused = Refused(last.cause, last.phase, last.hop, detail, last.nextStep)
    refused.__cause__ = last
    return refused


@implementer(IDialer)
class Deny:
    """
    The dialer that leads nowhere.

    @since: ugate NEXT
    """

    networks = TCP, UDP, UNIX

    def __init__(self, reason: str = "this way is closed", nextStep: str = "") -> None:
        """
        @param reason: which rule says so.
        """
        self._reason = reason
        self._nextStep = nextStep

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        There is none.

        @raise Denied: always.
        """
        raise Denied(nameOf(info), self._reason, self._nextStep)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        One line.
        """
        return [f"refuse: {self._reason}"]


@implementer(IDialer)
class Fallback:
    """
    The dialer that tries several, the next one when one is refused, except by our
    own policy: what that forbids is forbidden on every way.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, dialers: Sequence[IDialer], timeout: float | None = None) -> None:
        """
        @param dialers: at least one, the best first.
        @param timeout: seconds that each has; L{None} for its own limits alone.
        @raise ValueError: if there are none.
        """
        if not dialers:
            raise ValueError("no dialers: wanted at least one")
        self._clock = clock
        self._dialers = tuple(dialers)
        self._timeout = timeout

    @property
    def networks(self) -> frozenset[str]:
        """
        See L{IDialer}: what any of them carries.
        """
        return frozenset[str]().union(*map(networksOf, self._dialers))

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that tries them.
        """
        return Way(lambda factory: self._connect(info, factory))

    async def _connect(self, info: StreamInfo, factory: IProtocolFactory) -> IProtocol:
        refusals: list[Refused] = []
        for dialer in self._dialers:
            try:
                return await within(self._clock, self._timeout, dialer, info, factory)
            except Refused as e:
                if isFinal(e):
                    raise
                refusals.append(e)
                if len(refusals) < len(self._dialers):
                    self._log.info("{stream}: trying the next way, since {refused}", stream=info, refused=e)
        raise together(refusals)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The ways, in the order that they are tried in.
        """
        lines: list[str] = []
        for number, dialer in enumerate(self._dialers, 1):
            lines.append(f"way {number} of {len(self._dialers)}:")
            lines += [f"  {line}" for line in dialer.explain(info)]
        return lines


@implementer(IDialer)
class Retry:
    """
    The dialer that tries another one again, after what may pass: not after a
    denial, a wrong password or a name that does not exist.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        dialer: IDialer,
        attempts: int = 3,
        *,
        timeout: float | None = None,
        pause: float = 0.1,
        maxPause: float = 2.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        @param attempts: how often to try in all.
        @param timeout: seconds that each attempt has; L{None} for the dialer's own
            limits alone.
        @param pause: seconds before the second attempt at most; twice as much before
            each next one.
        @param maxPause: seconds that no pause is longer than.
        @param jitter: from 0 to 1; 1 makes a pause whole and 0 halves it.
        @raise ValueError: if C{attempts} is less than one.
        """
        if attempts < 1:
            raise ValueError(f"{attempts} attempts: wanted at least one")
        self._clock = clock
        self._dialer = dialer
        self._attempts = attempts
        self._timeout = timeout
        self._pause = pause
        self._maxPause = maxPause
        self._jitter = jitter

    @property
    def networks(self) -> Collection[str]:
        """
        See L{IDialer}.
        """
        return networksOf(self._dialer)

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint that tries.
        """
        return Way(lambda factory: self._connect(info, factory))

    async def _connect(self, info: StreamInfo, factory: IProtocolFactory) -> IProtocol:
        for attempt in range(1, self._attempts):
            try:
                return await within(self._clock, self._timeout, self._dialer, info, factory)
            except Refused as e:
                if e.cause not in PASSING:
                    raise
                wait = pauseBefore(attempt, self._pause, self._maxPause, self._jitter)
                self._log.info(
                    "{stream}: attempt {attempt} of {attempts}, again in {wait:.2f} s, since {refused}",
                    stream=info,
                    attempt=attempt,
                    attempts=self._attempts,
                    wait=wait,
                    refused=e,
                )
                await deferLater(self._clock, wait)
        return await within(self._clock, self._timeout, self._dialer, info, factory)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        How often, and then the way.
        """
        return [f"at most {self._attempts} attempts:", *(f"  {line}" for line in self._dialer.explain(info))]
