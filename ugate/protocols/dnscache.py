# -*- test-case-name: ugate.test.test_dnscache -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Answers that were got before, for as long as they are good; and a while longer, for when nobody answers
(RFC 8767).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ugate.protocols.dnsanswers import Answer
from ugate.protocols.dnswire import Asked

OVERHEAD: Final = 512
"""Bytes that one costs beside its records, more or less."""


@dataclass(frozen=True, slots=True)
class Kept:
    """
    An answer that was got before.
    """

    answer: Answer
    """It, as it was got."""

    at: float
    """When."""

    until: float
    """When it is too old."""

    calm: float = 0.0
    """Until when nobody is asked for a newer one, although it is too old."""


class Cache:
    """
    The answers to a tenant's questions, of which those go that were not asked for longest.

    @since: ugate NEXT
    """

    def __init__(self, entries: int, size: int, stale: float = 0.0) -> None:
        """
        @param entries: how many there may be.
        @param size: how many bytes they may have.
        @param stale: seconds for which one is kept that is too old.
        """
        self._entries = entries
        self._most = size
        self._stale = stale
        # What was not asked for longest comes first.
        self._kept: dict[Asked, Kept] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, asked: Asked, now: float) -> Kept | None:
        """
        What was answered before; it may be too old.
        """
        kept = self._kept.pop(asked, None)
        if kept is None:
            return None
        if now >= kept.until + self._stale:
            self.size -= _cost(asked, kept.answer)
            return None
        self._kept[asked] = kept
        return kept

    def put(self, asked: Asked, answer: Answer, now: float) -> None:
        """
        Keep an answer, if it may be.
        """
        old = self._kept.pop(asked, None)
        if old is not None:
            self.size -= _cost(asked, old.answer)
        cost = _cost(asked, answer)
        if answer.ttl <= 0 or cost > self._most or not self._entries:
            return
        self._kept[asked] = Kept(answer, now, now + answer.ttl)
        self.size += cost
        while self.size > self._most or len(self._kept) > self._entries:
            first = next(iter(self._kept))
            self.size -= _cost(first, self._kept.pop(first).answer)

    def calm(self, asked: Asked, until: float) -> None:
        """
        Let nobody be asked for a newer answer for a while.
        """
        kept = self._kept.get(asked)
        if kept is not None:
            self._kept[asked] = replace(kept, calm=until)

    def clear(self) -> None:
        """
        Forget all.
        """
        self._kept.clear()
        self.size = 0


def _cost(asked: Asked, answer: Answer) -> int:
    return OVERHEAD + len(asked.question) + len(answer.records)
