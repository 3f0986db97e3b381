# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.copyends}: what is left of a stream that is over.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from ugate.test.framingfakes import FramingTestCase


class PartTests(FramingTestCase):
    """
    Streams between sockets and a link.
    """

    def ended(self, first: str) -> list[ref[Any]]:
        """
        Have a stream end both ways.

        @param first: which peer ends first.
        @return: what it was made of.
        """
        way = self.way()
        made: list[ref[Any]] = []
        for half in way.halves:
            for leg in half._legs:
                made += (ref(leg), ref(leg.transport))
        one, two = (way.a, way.b) if first == "a" else (way.b, way.a)
        for peer, other in ((one, two), (two, one)):
            peer.give(b"word", end=True)
            self.until(lambda: other.ended, "the end")  # noqa: B023
        self.until(lambda: len(way.reasons) == 2, "both ends")
        self.assertEqual(["done", "done"], way.reasons)
        # What the test itself has of it.
        self.ways.remove(way)
        self.server.incoming = None
        self.rest()
        return made

    def test_nothingIsLeft(self) -> None:
        """
        All of it goes with its end: nothing waits for the collector, which has to look at all that there is
        to find it.
        """
        gc.disable()
        self.addCleanup(gc.enable)
        for first in ("a", "b"):
            made = self.ended(first)
            self.assertEqual([None] * 8, [each() for each in made])
