# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.testing.links}.
"""

from __future__ import annotations

from ugate.test import linkcontract
from ugate.testing.links import MemoryLink, linkPair
from ugate.testing.turns import MeshClock


class MemoryLinkTests(linkcontract.LinkContract):
    """
    It is a link.
    """

    def makeLinks(self) -> tuple[MemoryLink, MemoryLink]:
        """
        One on a clock.
        """
        self.clock = MeshClock()
        return linkPair(self.clock, streams=self.streams)

    def step(self) -> bool:
        """
        What is due.
        """
        return self.clock.runDue()
