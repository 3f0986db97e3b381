# -*- test-case-name: ugate.test.test_dnsplaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Places for what waits, of which no client has more than are still left for others.
"""

from __future__ import annotations

from collections import Counter


class Places:
    """
    Who has how many.

    @ivar taken: how many are.
    @since: ugate NEXT
    """

    def __init__(self) -> None:
        self.taken = 0
        self._taken: Counter[str] = Counter()

    def has(self, source: str | None, most: int) -> bool:
        """
        Whether there is one for a client.

        @param source: who it is: see L{ugate.endpoints.sources.sourceOf}; L{None} may have all.
        @param most: how many there are.
        """
        taken = self.taken
        return not taken or most - taken > (self._taken.get(source, 0) if source is not None else 0)

    def take(self, source: str | None, most: int) -> bool:
        """
        Take one, if there is one: see L{has}.
        """
        if not self.has(source, most):
            return False
        self.taken += 1
        if source is not None:
            self._taken[source] += 1
        return True

    def give(self, source: str | None) -> None:
        """
        Give one back.
        """
        self.taken -= 1
        if source is not None:
            self._taken[source] -= 1
            if not self._taken[source]:
                del self._taken[source]
