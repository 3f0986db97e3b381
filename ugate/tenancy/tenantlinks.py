# -*- test-case-name: ugate.test.test_tenantlinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The links of a tenant, which many streams share, wherever they are: those of its hops, its listeners, and
its nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol
from weakref import WeakSet

from twisted.internet.defer import Deferred, gatherResults


class Place(Protocol):
    """
    What has some links in common: see C{ugate.endpoints.sessions.Sessions}.
    """

    kind: str

    def __iter__(self) -> Iterator[Any]:
        """
        The sessions that are up.
        """

    def drain(self) -> Deferred[Any]:
        """
        Let no more streams begin on them.
        """

    def stop(self, reason: str) -> None:
        """
        Cut them.
        """


class TenantLinks:
    """
    All links of a tenant.

    @ivar opened: how many came up so far, by their kinds.
    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self._places: WeakSet[Place] = WeakSet()
        self.opened: Counter[str] = Counter()

    def add(self, place: Place) -> None:
        """
        There is one more place; it is here as long as somebody holds it.
        """
        self._places.add(place)

    def sessions(self) -> list[Any]:
        """
        Those that are up, the oldest first.
        """
        return sorted(
            (each for place in tuple(self._places) for each in place), key=lambda session: session.began
        )

    def drain(self) -> Deferred[Any]:
        """
        Let no more streams begin on those that are up; each closes with its last one.

        @return: fires when all are closed.
        """
        return gatherResults([place.drain() for place in tuple(self._places)])

    def stop(self, reason: str) -> None:
        """
        Cut all that are left.
        """
        for place in tuple(self._places):
            place.stop(reason)
