# -*- test-case-name: ugate.test.test_config_stores -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who wants to know of changes.
"""

from __future__ import annotations

from collections.abc import Callable


class Callbacks:
    """
    The callbacks of a store.

    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[[frozenset[str] | None], None]] = {}

    def add(self, callback: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """
        Add one.

        @return: a callable that takes it out again.
        """
        key = object()
        self._callbacks[key] = callback

        def stop() -> None:
            self._callbacks.pop(key, None)

        return stop

    def call(self, tenants: frozenset[str] | None) -> None:
        """
        Call all.
        """
        for callback in list(self._callbacks.values()):
            callback(tenants)
