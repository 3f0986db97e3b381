# -*- test-case-name: ugate.test.test_reload -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a node knows of changes in its store.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ugate.interfaces import IConfigStore, IWatching


class StoreWatch:
    """
    Gathers what a store says has changed, and reloads that in the next turn of the reactor:
    who has changed it may want to know what comes of that, and ask for a reload first.

    @since: ugate NEXT
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: IConfigStore | None,
        reload: Callable[[str, frozenset[str] | None], object],
    ) -> None:
        """
        @param clock: the reactor.
        @param store: maybe none.
        @param reload: called with C{store} and the paths of the tenants that changed,
            L{None} if that is not known.
        """
        self._clock = clock
        self._store = store
        self._reload = reload
        self._dirty: frozenset[str] | None = frozenset()
        self._soon: IDelayedCall | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """
        From now on.
        """
        if self._store is not None:
            self._unsubscribe = self._store.changed(self._changed)
            if IWatching.providedBy(self._store):
                IWatching(self._store).start(self._clock)

    def stop(self) -> None:
        """
        No more.
        """
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            if IWatching.providedBy(self._store):
                IWatching(self._store).stop()
        self.taken()

    def look(self) -> bool:
        """
        Have the store look for changes now.

        @return: whether it can.
        """
        if self._unsubscribe is None or not IWatching.providedBy(self._store):
            return False
        IWatching(self._store).reload()
        return True

    def taken(self) -> frozenset[str] | None:
        """
        The tenants of which the store has said that they changed, since this was asked last.
        """
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        dirty, self._dirty = self._dirty, frozenset()
        return dirty

    def _changed(self, tenants: frozenset[str] | None) -> None:
        dirty = self._dirty
        self._dirty = None if tenants is None or dirty is None else dirty | tenants
        if self._soon is None:
            self._soon = self._clock.callLater(0, self._now)

    def _now(self) -> None:
        self._soon = None
        self._reload("store", self.taken())
