# -*- test-case-name: ugate.test.test_turns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Doing only so much at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure


class Turns:
    """
    Lets only so many calls run at once, the others in their order: one for all tenants of a node, so that
    their logins together take no more threads and memory than those of one.  No tenant can fill it, since
    each password file has only two calls in it.

    @since: ugate NEXT
    """

    def __init__(self, defer: Callable[[Callable[[], bool]], Deferred[bool]], atOnce: int = 2) -> None:
        """
        @param defer: calls something elsewhere.
        """
        self._defer = defer
        self._free = atOnce
        self._starting = False
        self._queue: deque[tuple[Callable[[], bool], Deferred[bool]]] = deque()

    def __call__(self, call: Callable[[], bool]) -> Deferred[bool]:
        """
        Call something when it is its turn.
        """
        answer: Deferred[bool] = Deferred()
        self._queue.append((call, answer))
        self._start()
        return answer

    def _start(self) -> None:
        if self._starting:
            # A call that ended at once, in the loop below.
            return
        self._starting = True
        while self._free and self._queue:
            self._free -= 1
            call, answer = self._queue.popleft()
            maybeDeferred(self._defer, call).addBoth(self._ended, answer)
        self._starting = False

    def _ended(self, result: bool | Failure, answer: Deferred[bool]) -> None:
        self._free += 1
        # Fails if that is a failure.
        answer.callback(result)
        self._start()
