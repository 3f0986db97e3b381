# -*- test-case-name: ugate.test.test_cainturn -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a CA at work does with its record: elsewhere than on the reactor's thread, since another process may
hold it for seconds; and one thing after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.tenancy.ca.errors import Busy, NotCertified

MAX_WAITING: Final = 100
"""How many things may wait."""

DEADLINE: Final = 10.0
"""Seconds that whoever asks for one waits, until it is done."""

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Work:
    """
    One thing, and all who wait for it.
    """

    call: Callable[[], Any]
    answers: list[Deferred[Any]] = field(default_factory=list)


class InTurn:
    """
    Does one thing after the other.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, defer: Callable[[Callable[[], Any]], Deferred[Any]], name: str
    ) -> None:
        """
        @param clock: the reactor.
        @param defer: calls something elsewhere, and gives its result.
        @param name: whose record it is, for the log.
        """
        self._clock = clock
        self._defer = defer
        self._name = name
        self._queue: deque[_Work] = deque()
        self._isRunning = self._isBusy = self._isStopped = False

    def do(self, call: Callable[[], _T], isShared: bool = False) -> Deferred[_T]:
        """
        Do something when it is its turn.

        @param isShared: whether it changes nothing, so that who wants the same before it has begun waits with
            who asked first.
        @return: its result; fails with L{Busy} if there is none in time.  What has begun then is done all
            the same.
        """
        work = next((each for each in self._queue if isShared and each.call == call), None)
        if self._isStopped:
            return fail(Busy(f"{self._name} is being stopped"))
        if work is None and len(self._queue) >= MAX_WAITING:
            return fail(self._busy(Busy(f"{self._name}: {MAX_WAITING} requests wait already")))
        if work is None:
            work = _Work(call)
            self._queue.append(work)
        answer = self._answer(work)
        self._next()
        return answer

    def _answer(self, work: _Work) -> Deferred[Any]:
        def late(result: Any, timeout: float) -> Any:
            raise self._busy(Busy(f"{self._name}: nothing was heard of the record in {timeout:g} s"))

        def forget(answer: Deferred[Any]) -> None:
            work.answers.remove(answer)
            if not work.answers and work in self._queue:
                self._queue.remove(work)

        answer: Deferred[Any] = Deferred(forget)
        work.answers.append(answer)
        return answer.addTimeout(DEADLINE, self._clock, late)

    def _next(self) -> None:
        if self._queue and not self._isRunning:
            self._isRunning = True
            work = self._queue.popleft()
            maybeDeferred(self._defer, work.call).addBoth(self._ended, work)

    def _ended(self, result: Any, work: _Work) -> None:
        self._isRunning = False
        if isinstance(result, Failure) and isinstance(result.value, Busy):
            self._busy(result.value)
        else:
            self._isBusy = False
            if isinstance(result, Failure) and not (work.answers or result.check(NotCertified)):
                self.log.failure("ca: nobody waits any more for what failed", result)
        while work.answers:
            # Fails if that is a failure.
            work.answers.pop(0).callback(result)
        self._next()

    def _busy(self, error: Busy) -> Busy:
        """
        Told once, and again only after something was done.
        """
        if not self._isBusy:
            self._isBusy = True
            self.log.error("ca: {error}; whoever asks is told to come again", error=error)
        return error

    def stop(self, last: Callable[[], None]) -> Deferred[None]:
        """
        Do what has begun, and one thing more; nothing else.
        """
        self._isStopped = True
        waiting, self._queue = self._queue, deque()
        ended: Deferred[None] = Deferred()
        self._queue.append(_Work(last, [ended]))
        for work in waiting:
            while work.answers:
                work.answers.pop(0).errback(Busy(f"{self._name} is being stopped"))
        self._next()
        return ended
