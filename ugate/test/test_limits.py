# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How many descriptors there are.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence

from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ugate import limits
from ugate.limits import raiseDescriptorLimit

INFINITE = resource.RLIM_INFINITY


class FakeResource:
    """
    A process with limits of its own.
    """

    RLIMIT_NOFILE = resource.RLIMIT_NOFILE
    RLIM_INFINITY = INFINITE

    def __init__(self, soft: int, hard: int, error: Exception | None = None) -> None:
        self.limit = (soft, hard)
        self.error = error
        self.sets = 0

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self.limit

    def setrlimit(self, which: int, limit: tuple[int, int]) -> None:
        assert which == self.RLIMIT_NOFILE
        if self.error is not None:
            raise self.error
        self.sets += 1
        self.limit = limit


class RaiseDescriptorLimitTests(SynchronousTestCase):
    """
    L{raiseDescriptorLimit}.
    """

    def _raise(self, fake: FakeResource, streams: int = 1000) -> tuple[int, Sequence[str]]:
        self.patch(limits, "resource", fake)
        with capturedLogs() as events:
            good = raiseDescriptorLimit(streams)
        return good, [formatEvent(event) for event in events if _isOurs(event)]

    def test_enough(self) -> None:
        """
        What is high enough stays.
        """
        for soft in (2256, 5000, INFINITE):
            fake = FakeResource(soft, INFINITE)
            self.assertEqual(self._raise(fake), (1000, []))
            self.assertEqual((fake.sets, fake.limit), (0, (soft, INFINITE)))

    def test_raised(self) -> None:
        """
        What is too low is raised as far as the streams need it, and the hard limit stays.
        """
        for hard in (2256, 5000, INFINITE):
            fake = FakeResource(1024, hard)
            self.assertEqual(self._raise(fake), (1000, []))
            self.assertEqual(fake.limit, (2256, hard))

    def test_hardLimit(self) -> None:
        """
        No further than the hard limit, and then it is said what can be done.
        """
        fake = FakeResource(256, 1256)
        good, said = self._raise(fake)
        self.assertEqual((good, fake.limit), (500, (1256, 1256)))
        self.assertEqual(
            said,
            ["only 500 of node.streams=1000 streams have descriptors: raise the hard limit (ulimit -Hn)"],
        )

    def test_hardly(self) -> None:
        """
        At least one stream is promised however low the limit is.
        """
        self.assertEqual(self._raise(FakeResource(16, 16))[0], 1)

    def test_notAllowed(self) -> None:
        """
        When it may not be raised the gateway works with what there is, and says so.
        """
        for error in (ValueError("not allowed to raise maximum limit"), PermissionError(1, "no")):
            fake = FakeResource(1256, INFINITE, error)
            good, said = self._raise(fake)
            self.assertEqual((good, fake.limit), (500, (1256, INFINITE)))
            self.assertEqual(len(said), 2)
            self.assertIn("the limit of descriptors stays at 1256", said[0])


def _isOurs(event: LogEvent) -> bool:
    return bool(event["log_namespace"] == "ugate.limits")
