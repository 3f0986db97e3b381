# -*- test-case-name: ugate.test.test_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections to names: the first address that answers, as RFC 8305 has it.

Twisted's C{HostnameEndpoint} does the same with two differences that a gateway
feels: after a failure it waits out its delay (0.3 seconds to every name whose
first address refuses, as C{localhost} often does), and it sets no limit on the
lookup.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

from ugate.endpoints.addresses import DEFAULT_TIMEOUT, AddressEndpoint
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.stream import Target

ATTEMPT_DELAY: Final = 0.25
MAX_ADDRESSES: Final = 16


def interleaved(addresses: list[IAddress]) -> list[Target]:
    """
    The order to try addresses in: as the resolver sorted them, but each family in
    turn (RFC 8305, section 4), and no more than C{MAX_ADDRESSES}.
    """
    targets: dict[type, list[Target]] = {}
    for address in addresses:
        if isinstance(address, (IPv4Address, IPv6Address)):
            targets.setdefault(type(address), []).append(Target(address.host, address.port))
    turns = chain.from_iterable(zip_longest(*targets.values()))
    return [target for target in turns if target is not None][:MAX_ADDRESSES]


def _rank(refused: Refused) -> int:
    """
    Which of several failures says most: one of an address that was tried before
    one that policy or the lack of a route forbade.
    """
    if refused.cause is Cause.NETWORK_UNREACHABLE:
        return 2
    return 1 if isinstance(refused, Denied) else 0


@implementer(IResolutionReceiver)
class _Race:
    """
    One connection that is being made, by attempts that overlap.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        factory: IProtocolFactory,
        timeout: float,
        delay: float,
        source: str = "",
    ) -> None:
        self._source = source
        self._reactor = reactor
        self._target = target
        self._factory = factory
        self._delay = delay
        self._addresses: list[IAddress] = []
        self._queue: list[Target] | None = None
        self._pending: list[Deferred[IProtocol]] = []
        self._failures: list[Refused] = []
        self._over = False
        self._next: IDelayedCall | None = None
        self._limit: IDelayedCall = reactor.callLater(timeout, self._timedOut, timeout)
        self.won: Deferred[IProtocol] = Deferred(lambda _: self._end())

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        Not needed: Twisted's own cannot be cancelled.
        """

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        if self._over:
            return
        self._queue = interleaved(self._addresses)
        if self._queue:
            self._attempt()
        else:
            self._fail(Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, str(self._target)))

    def _attempt(self) -> None:
        """
        Try the next address; and after a while, or when that fails, the one after.
        """
        assert self._queue
        self._stopWaiting()
        target = self._queue.pop(0)
        if self._queue:
            self._next = self._reactor.callLater(self._delay, self._attempt)
        attempt = AddressEndpoint(self._reactor, target, None, source=self._source).connect(self._factory)
        self._pending.append(attempt)
        attempt.addCallbacks(self._succeeded, self._failed, (attempt,), {}, (attempt,), {})

    def _succeeded(self, protocol: IProtocol, attempt: Deferred[IProtocol]) -> None:
        self._pending.remove(attempt)
        self._end()
        self.won.callback(protocol)

    def _failed(self, failure: Failure, attempt: Deferred[IProtocol]) -> None:
        self._pending.remove(attempt)
        if self._over:
            return
        if not isinstance(failure.value, Refused):
            self._end()
            self.won.errback(failure)
            return
        self._failures.append(failure.value)
        if self._queue:
            self._attempt()
        elif not self._pending:
            self._fail(self._summary())

    def _summary(self) -> Refused:
        """
        All failures as one, which names the name that led there.
        """
        best = min(self._failures, key=_rank)
        if isinstance(best, Denied):
            return Denied(str(self._target), f"{best.hop}: {best.detail}", best.nextStep)
        tried = ", ".join(
            f"{each.hop}: {each.detail or each.cause.value}"
            if each.cause is not best.cause or each.detail
            else each.hop
            for each in self._failures
        )
        return Refused(best.cause, best.phase, str(self._target), tried)

    def _timedOut(self, timeout: float) -> None:
        if self._queue is None:
            phase, detail = Phase.RESOLVE, f"no answer from the resolver in {timeout:g} s"
        else:
            phase, detail = Phase.CONNECT, f"no answer in {timeout:g} s"
        self._fail(Refused(Cause.TIMED_OUT, phase, str(self._target), detail))

    def _fail(self, refused: Refused) -> None:
        self._end()
        self.won.errback(refused)

    def _stopWaiting(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _end(self) -> None:
        self._over = True
        self._stopWaiting()
        if self._limit.active():
            self._limit.cancel()
        for attempt in self._pending[:]:
            attempt.cancel()


@implementer(IStreamClientEndpoint)
class NameEndpoint:
    """
    A TCP connection to a name.  It fails with L{Refused<ugate.errors.Refused>}, or
    with what the factory raised.

    @since: ugate NEXT
    """

    __slots__ = ("_delay", "_reactor", "_source", "_target", "_timeout")

    def __init__(
        self,
        reactor: Any,
        target: Target,
        timeout: float = DEFAULT_TIMEOUT,
        attemptDelay: float = ATTEMPT_DELAY,
        source: str = "",
    ) -> None:
        """
        @param reactor: L{IReactorTCP}, L{IReactorTime} and
            L{IReactorPluggableNameResolver}.
        @param timeout: seconds for the lookup and all attempts together.
        @param attemptDelay: seconds that an attempt has before the next one begins
            beside it.
        @param source: see L{AddressEndpoint}.
        """
        self._source = source
        self._reactor = reactor
        self._target = target
        self._timeout = timeout
        self._delay = attemptDelay

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect; the Deferred can be cancelled.
        """
        target = self._target
        try:
            name = target.host.encode("idna").decode("ascii")
        except UnicodeError as e:
            return fail(Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, str(target), f"no DNS name: {e}"))
        race = _Race(self._reactor, target, factory, self._timeout, self._delay, self._source)
        self._reactor.nameResolver.resolveHostName(race, name, target.port)
        return race.won

    def __str__(self) -> str:
        return f"tcp:{self._target}"
