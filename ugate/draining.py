# -*- test-case-name: ugate.test.test_draining -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The end of a node: streams have some time to end, and then they are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ugate.tenancy.tenantlinks import TenantLinks

GOODBYE: Final = 3.0
"""Seconds that links have in the end to send what is left, and to close, when all streams are over."""


class Drain:
    """
    The wait until nothing is left, or until there was time enough.

    @ivar done: fires when it is over.
    @since: ugate NEXT
    """

    log = Logger()
    CHECK = 0.2
    """Seconds between two looks at what is left."""

    def __init__(self, clock: IReactorTime, left: Callable[[], int], seconds: float) -> None:
        """
        @param left: how many streams are open.
        @param seconds: how long to wait for them at most.
        """
        self._clock = clock
        self._left = left
        self._began = clock.seconds()
        self._until = self._began + seconds
        self._next: IDelayedCall | None = None
        self._over = False
        self._waiting = False
        self.done: Deferred[None] = Deferred()

    def begin(self, waiting: Callable[[], object]) -> None:
        """
        Begin.

        @param waiting: called if there is something to wait for.
        """
        left = self._left()
        if left and self._clock.seconds() < self._until:
            self.log.info(
                "open streams: {left}; they have {seconds:g} s to end",
                left=left,
                seconds=self._until - self._began,
            )
            self._waiting = True
            waiting()
        self._look()

    def cut(self) -> None:
        """
        Wait no longer.
        """
        if not self._over:
            self._until = self._clock.seconds()
            if self._next is not None:
                self._next.cancel()
            self._look()

    def _look(self) -> None:
        self._next = None
        left = self._left()
        now = self._clock.seconds()
        if left and now < self._until:
            self._next = self._clock.callLater(min(self.CHECK, self._until - now), self._look)
            return
        self._over = True
        waited = now - self._began
        if left:
            self.log.warn("streams cut after {waited:.1f} s: {left}", left=left, waited=waited)
        elif self._waiting:
            self.log.info("all streams have ended, after {waited:.1f} s", waited=waited)
        self.done.callback(None)


class Parting:
    """
    The end of links: no stream begins on them any more, and each closes with its last one.

    @since: ugate NEXT
    """

    def __init__(self, clock: IReactorTime, links: Iterable[TenantLinks]) -> None:
        """
        @param links: those of all tenants.
        """
        self._clock = clock
        self._closing: Deferred[Any] = gatherResults([each.drain() for each in links])

    def close(self) -> Deferred[None]:
        """
        Wait until the links have said what they have to say in the end, but not for long.
        """
        closed: Deferred[None] = Deferred()
        late = self._clock.callLater(GOODBYE, closed.callback, None)

        def all_(result: object) -> None:
            if late.active():
                late.cancel()
                closed.callback(None)

        self._closing.addBoth(all_)
        return closed
