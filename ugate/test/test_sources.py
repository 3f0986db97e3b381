# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.sources}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints import sources
from ugate.endpoints.sources import LATE, LEAST, LONGEST, NOTHING, WRONG, Sources, TurnedAway, sourceOf
from ugate.errors import Cause, Phase, Refused
from ugate.stream import StreamInfo
from ugate.test.sshfakes import HOST
from ugate.test.tlsfakes import Logged


class Trying(Protocol):
    """
    What has been tried.
    """

    wrong = 0


class SourceTests(SynchronousTestCase):
    """
    Whom a connection is counted to.
    """

    def test_of(self) -> None:
        """
        An address, a network of IPv6, and nobody for what comes from this machine.
        """
        for host, wanted in (
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("127.0.0.1", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("bob", None),
        ):
            kind = IPv6Address if ":" in host else IPv4Address
            self.assertEqual(wanted, sourceOf(kind("TCP", host, 1)), host)
        self.assertIsNone(sourceOf(UNIXAddress("/run/x")))


class SourcesTests(SynchronousTestCase):
    """
    A listener for 100 who have not logged in.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.use()

    def use(self, **more: Any) -> None:
        """
        Begin.
        """
        self.made: list[tuple[Trying, Deferred[Any]]] = []
        self.come = Sources(self.clock, 100, 60.0, **more).maker(self.make)

    def make(self, info: StreamInfo) -> tuple[Trying, Deferred[Any]]:
        """
        One more.
        """
        self.made.append((Trying(), Deferred()))
        return self.made[-1]

    def connect(self, host: str = "192.0.2.7", many: int = 1) -> int:
        """
        Somebody connects.

        @return: how often that was well.
        """
        before = len(self.made)
        for _ in range(many):
            try:
                self.come(StreamInfo(IPv4Address("TCP", host, 1), HOST))
            except TurnedAway:
                pass
        return len(self.made) - before

    def end(self, wrong: int = 0, good: bool = False) -> None:
        """
        The first one ends, or has logged in.
        """
        protocol, ready = self.made.pop(0)
        protocol.wrong = wrong
        if good:
            ready.callback(None)
        else:
            ready.errback(Refused(Cause.PEER_CLOSED, Phase.NEGOTIATE, "peer"))
            self.failureResultOf(ready, Refused)

    def test_share(self) -> None:
        """
        A source has a tenth of what is still free, and the log says once when one wants more; others have
        theirs, down to one. Who has logged in does not count, nor does this machine.
        """
        with Logged() as logged:
            self.assertEqual(9, self.connect(many=50))
        (line,) = logged.lines
        self.assertIn("192.0.2.7 has 9 connections that have not logged in: more are closed", line)
        self.assertEqual(8, self.connect("192.0.2.8", many=50))
        self.end(good=True)
        self.assertEqual(0, self.connect())
        for _ in range(2):
            self.end(good=True)
        self.assertEqual(1, self.connect())
        self.assertEqual(200, self.connect("127.0.0.1", many=200))
        self.use()
        for number in range(120):
            self.connect(f"192.0.2.{number}", many=100)
        self.assertEqual(1, self.connect("192.0.2.200", many=3))

    def test_wrong(self) -> None:
        """
        The third that ends after a wrong password shuts the source out, for as long as all of them count, and
        nobody else; the log says so once.
        """
        for number in range(3):
            self.assertEqual(1, self.connect(), number)
            with Logged() as logged:
                self.end(wrong=6)
        self.assertIn("192.0.2.7 has to wait for 15 s, since its logins fail", "\n".join(logged.lines))
        with Logged() as logged:
            self.assertEqual(0, self.connect(many=3))
        self.assertEqual([], logged.lines)
        self.assertEqual(1, self.connect("192.0.2.8"))
        self.clock.advance(3 * WRONG - 0.1)
        self.assertEqual(0, self.connect())
        self.clock.advance(0.2)
        self.assertEqual(1, self.connect())

    def test_slowly(self) -> None:
        """
        What was wrong is forgiven with the time; a login is no fault.
        """
        for _ in range(20):
            self.assertEqual(1, self.connect())
            self.end(wrong=1)
            self.clock.advance(WRONG)
        for _ in range(20):
            self.assertEqual(1, self.connect())
            self.end(wrong=1, good=True)

    def test_kinds(self) -> None:
        """
        Connections without a try count less, and those that are too late more.
        """
        for count in range(int(LEAST / NOTHING)):
            self.assertEqual(1, self.connect(), count)
            self.end()
        self.assertEqual(0, self.connect())
        self.use()
        for _ in range(2):
            self.connect()
        self.clock.advance(60)
        for _ in range(2):
            self.end()
        self.assertEqual(0, self.connect())
        self.clock.advance(2 * LATE)
        self.assertEqual(1, self.connect())

    def test_longest(self) -> None:
        """
        Nobody waits for longer than that.
        """
        self.patch(sources, "LATE", 2 * LONGEST)
        self.connect()
        self.clock.advance(60)
        self.end()
        self.clock.advance(LONGEST - 1)
        self.assertEqual(0, self.connect())
        self.clock.advance(2)
        self.assertEqual(1, self.connect())

    def test_known(self) -> None:
        """
        The table does not grow: who has done nothing wrong for longest is forgotten.
        """
        self.patch(sources, "KNOWN", 3)
        for number in range(4):
            for _ in range(3):
                self.assertEqual(1, self.connect(f"192.0.2.{number}"))
                self.end(wrong=1)
        self.assertEqual(1, self.connect("192.0.2.0"))
        for number in (1, 2, 3):
            self.assertEqual(0, self.connect(f"192.0.2.{number}"), number)

    def test_without(self) -> None:
        """
        Without penalties nobody waits.
        """
        self.use(penalties=False)
        for _ in range(100):
            self.assertEqual(1, self.connect())
            self.end(wrong=6)
