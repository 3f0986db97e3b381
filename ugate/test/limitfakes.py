# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of limits share: a section, a clock and a time of day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.tenancy.limits import TenantLimits
from ugate.tenancy.usage import Usage


@dataclass(frozen=True)
class Section:
    """
    Limits, of which there are none.
    """

    streams: int | None = None
    opens: int | None = None
    up: int | None = None
    down: int | None = None
    month: int | None = None
    buffers: int | None = None


NONE = Section()


class LimitsTestCase(SynchronousTestCase):
    """
    Has a clock, and a time of day.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.now = datetime(2026, 3, 10, tzinfo=timezone.utc).timestamp()
        self.usage = Usage(lambda: self.now)
        self.cut: list[str] = []
        self.root = TenantLimits(
            self.clock, NONE, usage=self.usage, usedUp=lambda limits: self.cut.append(limits.path)
        )

    def tenant(self, path: str, section: Section, parent: TenantLimits | None = None) -> TenantLimits:
        """
        A tenant below another one, or below the root.
        """
        return TenantLimits(self.clock, section, parent or self.root, path=path)

    def refused(self, limits: TenantLimits, *words: str) -> None:
        """
        One more is refused, by a sentence with these words, and nothing is counted.
        """
        before = limits.streams, self.root.streams
        refused = self.assertRaises(Refused, limits.admit, "1.2.3.4:5 -> db:5432")
        self.assertEqual((limits.streams, self.root.streams), before)
        self.assertEqual((refused.cause, refused.phase), (Cause.OVERLOADED, Phase.POLICY))
        self.assertEqual(refused.hop, "1.2.3.4:5 -> db:5432")
        for word in words:
            self.assertIn(word, str(refused))
