# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The reactor that a host in memory has: how time passes.
"""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from ugate.testing import MemoryMesh, NeverQuiet


class Chatter(Protocol):
    """
    Says what it hears.
    """

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class TimeTests(SynchronousTestCase):
    """
    How time passes, and how a test ends that would not.
    """

    def setUp(self) -> None:
        self.mesh = MemoryMesh()
        self.reactor = self.mesh.host("app").reactor

    def test_order(self) -> None:
        """
        What is due is called at its own time, and bytes move in between.
        """
        times: list[tuple[str, float]] = []

        def note(what: str) -> None:
            times.append((what, self.mesh.seconds()))

        def first() -> None:
            note("first")
            self.reactor.callLater(0.5, note, "third")

        self.reactor.callLater(2, note, "last")
        self.reactor.callLater(1, first)
        self.mesh.advance(1.25)
        self.assertEqual([("first", 1)], times)
        self.mesh.advance(2)
        self.assertEqual([("first", 1), ("third", 1.5), ("last", 2)], times)
        self.assertEqual(3.25, self.mesh.seconds())

    def test_cancelledMeanwhile(self) -> None:
        """
        A call that another one cancels, due at the same time, is not made.
        """
        called: list[str] = []
        self.reactor.callLater(0, lambda: second.cancel())  # noqa: PLW0108
        second = self.reactor.callLater(0, called.append, "second")
        self.mesh.flush()
        self.assertEqual([], called)

    def test_failingCall(self) -> None:
        """
        What a call raises is logged, and the others are made.
        """
        called: list[str] = []
        self.reactor.callLater(0, lambda: 1 / 0)
        self.reactor.callLater(0, called.append, "other")
        self.mesh.flush()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(["other"], called)

    def test_endlessCalls(self) -> None:
        """
        A call that is due again and again is named.
        """

        def again() -> None:
            self.reactor.callLater(0, again)

        again()
        error = self.assertRaises(NeverQuiet, self.mesh.flush, 100)
        self.assertIn("100 turns", str(error))
        self.assertIn("again", str(error))

    def test_endlessTalk(self) -> None:
        """
        A connection on which two talk for ever is named.
        """
        self.mesh.serve("db", 7, Factory.forProtocol(Chatter))
        Chatter.noisy = False  # type: ignore[attr-defined]
        self.mesh.client("app").endpoint("tcp:db:7").connect(Factory.forProtocol(Greeting))
        error = self.assertRaises(NeverQuiet, self.mesh.flush, 100)
        self.assertIn("app 10.0.0.1:49152 -> db 10.0.0.2:7", str(error))
        self.assertRaises(NeverQuiet, self.mesh.advance, 1, 100)

    def test_tooManyMoments(self) -> None:
        """
        So is a time in which calls are due too often.
        """
        LoopingCallOn(self.reactor).start(0.001)
        self.mesh.advance(1)
        self.assertRaises(NeverQuiet, self.mesh.advance, 1, 100)


class LoopingCallOn(LoopingCall):
    """
    One on a reactor of a mesh.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        super().__init__(lambda: None)
        self.clock = reactor


class Greeting(Chatter):
    """
    And says something first.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"x")
