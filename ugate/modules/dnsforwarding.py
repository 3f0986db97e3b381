# -*- test-case-name: ugate.test.test_dnsforwarding -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Questions that go on to other servers, each once, however many wait for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import ProtocolError, UgateError
from ugate.modules.dnsplaces import Places
from ugate.modules.hosts import Hosts
from ugate.protocols.dnsanswers import Answer, Times, readAnswer
from ugate.protocols.dnscache import Cache, Kept
from ugate.protocols.dnswire import Asked

DEADLINE: Final = 4.5
"""Seconds until who asked is told that there is no answer: a little less than clients wait."""

NEXT: Final = 1.2
"""Seconds that a server has before the next one is asked beside it."""

STALE_AFTER: Final = 1.8
"""Seconds after which an answer that is too old is given, if there is one and that is wanted (RFC 8767)."""

STALE_TTL: Final = 30
"""Seconds for which that is good, and for which nobody is asked again when all have failed."""

FAILED: Final = 2.0
"""Seconds for which it is remembered that nobody answered (RFC 9520)."""

REST: Final = 30.0
"""Seconds for which a server that did not answer is asked after the others."""

MAX_ASKING: Final = 1024
"""Questions that are under way."""

_SERVFAIL: Final = 2
_REFUSED: Final = 5
FAILURE: Final = Answer(_SERVFAIL, ttl=FAILED)
NOBODY: Final = Answer(_REFUSED)
OVERLOADED: Final = Answer(_SERVFAIL)


class Server(Protocol):
    """
    Another server, by one way.
    """

    @property
    def title(self) -> str:
        """What it is called in the log."""

    def ask(self, asked: Asked) -> Deferred[bytes]:
        """
        Ask it.

        @return: the message that is the answer, whatever it says; fails with L{UgateError}.  It can be
            cancelled.
        """

    def stop(self) -> None:
        """
        Close what is open.
        """


class _Asking:
    """
    One question that is under way.
    """

    def __init__(
        self,
        clock: IReactorTime,
        asked: Asked,
        servers: Sequence[Server],
        times: Times,
        failed: Callable[[Server, str], object],
    ) -> None:
        self.waiting: list[Deferred[Answer]] = []
        self.stale: IDelayedCall | None = None
        self.done: Deferred[Answer | None] = Deferred()
        self._clock = clock
        self._asked = asked
        self._times = times
        self._failed = failed
        # Datagrams are lost, so each has a second chance.
        self._left = [*servers, *servers]
        self._pending: dict[Deferred[bytes], tuple[Server, float]] = {}
        self._next: IDelayedCall | None = None
        self._limit = clock.callLater(DEADLINE, self._end, None)

    def begin(self) -> None:
        """
        Ask the first one, or the next.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None
        if not self._left:
            return
        server = self._left.pop(0)
        self._next = self._clock.callLater(NEXT, self.begin)
        asking = server.ask(self._asked)
        self._pending[asking] = server, self._clock.seconds()
        asking.addCallback(self._answered, asking)
        asking.addErrback(self._wrong, server, asking)

    def _answered(self, data: bytes, asking: Deferred[bytes]) -> None:
        self._pending.pop(asking, None)
        self._end(readAnswer(data, self._asked.question, self._times))

    def _wrong(self, failure: Failure, server: Server, asking: Deferred[bytes]) -> None:
        self._pending.pop(asking, None)
        if self.done.called:
            return
        if failure.check(UgateError) is None:
            self._end(None)
            failure.raiseException()
        if failure.check(ProtocolError) is None:
            self._failed(server, str(failure.value))
        # It has said no: once more would be no better.
        self._left = [each for each in self._left if each is not server]
        if self._left:
            self.begin()
        elif not self._pending:
            self._end(None)

    def silent(self) -> Sequence[Server]:
        """
        Who has had time to answer, and has not.
        """
        now = self._clock.seconds()
        return [server for server, at in self._pending.values() if now - at >= NEXT]

    def stop(self) -> None:
        """
        Wait no longer.
        """
        self._end(None)

    def _end(self, answer: Answer | None) -> None:
        if self.done.called:
            return
        self.done.callback(answer)
        for timer in (self._next, self._limit, self.stale):
            if timer is not None and timer.active():
                timer.cancel()
        self._left.clear()
        for asking in [*self._pending]:
            asking.cancel()


class Forwarder:
    """
    What a tenant asks of others, and keeps.

    @ivar cache: what they said.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        servers: Mapping[str, Sequence[Server]],
        cache: Cache,
        times: Times,
        *,
        title: str = "dns",
        stale: bool = False,
        isOurs: Callable[[bytes], bool] = lambda number: False,
    ) -> None:
        """
        @param servers: by the suffix of the names that they are asked for, best first; an empty one is for
            all other names.
        @param stale: whether an answer that is too old is better than none.
        @param isOurs: whether an address, packed, is one that others cannot give to a name.
        """
        self.cache = cache
        self._clock = clock
        self._servers = servers
        self._suffixes = Hosts({each: (each, f"*.{each}") for each in servers if each})
        self._times = times
        self._title = title
        self._stale = stale
        self._isOurs = isOurs
        self._asking: dict[Asked, _Asking] = {}
        self._places = Places()
        self._resting: dict[str, float] = {}

    def serversFor(self, name: str) -> Sequence[Server]:
        """
        Whom to ask for a name.
        """
        return self._servers.get(self._suffixes.tenantOf(name) or "", ())

    def isDelegated(self, name: str) -> bool:
        """
        Whether the configuration names servers for just that name, or for what it ends with.
        """
        return self._suffixes.tenantOf(name) is not None

    def kept(self, asked: Asked) -> Kept | None:
        """
        An answer that need not be asked for.
        """
        now = self._clock.seconds()
        kept = self.cache.find(asked, now)
        if kept is None or now < kept.until:
            return kept
        return Kept(kept.answer.stale(STALE_TTL), now, now) if now < kept.calm else None

    def ask(self, asked: Asked, name: str, source: str | None = None) -> Deferred[Answer]:
        """
        Ask for what is not there.

        @param name: the name in it.
        @param source: who wants to know; L{None} for this machine.
        @return: the answer, if need be that there is none; it does not fail.
        """
        asking = self._asking.get(asked)
        if asking is None:
            servers = self._ordered(self.serversFor(name))
            if not servers:
                return succeed(NOBODY)
            if not self._places.take(source, MAX_ASKING):
                return succeed(OVERLOADED)
            asking = _Asking(self._clock, asked, servers, self._times, self._failed)
            self._asking[asked] = asking
            asking.done.addCallback(self._ended, asked, asking, source, name)
            if self._old(asked) is not None:
                asking.stale = self._clock.callLater(STALE_AFTER, self._useOld, asked, asking)
            asking.done.addErrback(lambda failure: self.log.failure("an answer was not passed on", failure))
            waiter: Deferred[Answer] = Deferred()
            asking.waiting.append(waiter)
            asking.begin()
            return waiter
        waiter = Deferred()
        asking.waiting.append(waiter)
        return waiter

    def _ordered(self, servers: Sequence[Server]) -> Sequence[Server]:
        """
        Those last that did not answer a moment ago.
        """
        now = self._clock.seconds()
        return sorted(servers, key=lambda server: self._resting.get(server.title, 0.0) > now)

    def _failed(self, server: Server, why: str) -> None:
        self._warn(server.title, f"{server.title}: {why}")

    def _warn(self, title: str, why: str) -> None:
        """
        Say that something is wrong, unless it was a moment ago.

        @param title: that of the server, which is then asked last for a while; empty if it is none.
        """
        now = self._clock.seconds()
        if self._resting.get(title, 0.0) <= now:
            self.log.warn("{title}: {why}", title=self._title, why=why)
        self._resting[title] = now + REST

    def _old(self, asked: Asked) -> Answer | None:
        """
        An answer that is too old, if that is better than none.
        """
        kept = self.cache.find(asked, self._clock.seconds()) if self._stale else None
        return None if kept is None or kept.answer.code == _SERVFAIL else kept.answer.stale(STALE_TTL)

    def _useOld(self, asked: Asked, asking: _Asking) -> None:
        old = self._old(asked)
        if old is not None:
            self._tell(asking, old)

    def _ended(
        self, answer: Answer | None, asked: Asked, asking: _Asking, source: str | None, name: str
    ) -> None:
        del self._asking[asked]
        self._places.give(source)
        now = self._clock.seconds()
        for server in asking.silent():
            self._failed(server, f"no answer in {NEXT:g} s")
        if answer is not None and any(map(self._isOurs, answer.addresses)):
            self._warn("", f"others say that {name} has an address that is made up here")
            answer = FAILURE
        if answer is None:
            answer = self._old(asked)
            if answer is None:
                answer = FAILURE
                self.cache.put(asked, answer, now)
            else:
                self.cache.calm(asked, now + STALE_TTL)
        else:
            self.cache.put(asked, answer, now)
        self._tell(asking, answer)

    def _tell(self, asking: _Asking, answer: Answer) -> None:
        waiting, asking.waiting = asking.waiting, []
        for waiter in waiting:
            waiter.callback(answer)

    def stop(self) -> None:
        """
        Ask nobody any more.
        """
        for asking in [*self._asking.values()]:
            asking.stop()
        for servers in self._servers.values():
            for server in servers:
                server.stop()
