# -*- test-case-name: ugate.test.test_dialers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.dialers}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialers import PASSING, Deny, Fallback, Retry, isFinal
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import IDialer
from ugate.test.dialfakes import FakeDialer, Recorders, streamTo

INFO = streamTo("db.corp:80")
BUSY = Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "a:1", "busy")
UNKNOWN = Refused(Cause.NAME_UNKNOWN, Phase.RESOLVE, "b:1")
DENIED = Denied("db.corp:80", "rule 3")
REMOTE = Refused(Cause.DENIED, Phase.REMOTE, "socks:p:1", "its rules")
LOGIN = Refused(Cause.AUTHENTICATION, Phase.AUTH, "socks:p:1")


class DialerTests(SynchronousTestCase):
    """
    What the tests of dialers share.
    """

    def setUp(self) -> None:
        """
        A clock and a factory.
        """
        self.clock = Clock()
        self.factory = Recorders()

    def connect(self, dialer: IDialer) -> Deferred[IProtocol]:
        """
        Begin to connect.
        """
        endpoint = dialer.endpointFor(INFO)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        return endpoint.connect(self.factory)

    def refused(self, connected: Deferred[IProtocol]) -> Refused:
        """
        The refusal that it failed with; nothing is left behind.
        """
        refused = self.failureResultOf(connected, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return refused


class DenyTests(DialerTests):
    """
    The way that leads nowhere.
    """

    def test_deny(self) -> None:
        """
        The reason is said, with the target.
        """
        dialer = Deny("no mail", "use the relay")
        self.assertTrue(verifyObject(IDialer, dialer))
        denied = self.assertRaises(Denied, dialer.endpointFor, INFO)
        self.assertEqual(
            (denied.hop, denied.detail, denied.nextStep), ("db.corp:80", "no mail", "use the relay")
        )
        self.assertEqual(dialer.explain(INFO), ["refuse: no mail"])


class FallbackTests(DialerTests):
    """
    One way after another.
    """

    def test_interface(self) -> None:
        """
        It is a dialer, of at least one.
        """
        self.assertTrue(verifyObject(IDialer, Fallback(self.clock, [Deny()])))
        self.assertRaises(ValueError, Fallback, self.clock, [])

    def test_first(self) -> None:
        """
        When the first way is good no other is asked.
        """
        first, second = FakeDialer(), FakeDialer()
        connected = self.connect(Fallback(self.clock, [first, second], 5.0))
        first.endpoint.up()
        self.assertEqual([self.successResultOf(connected)], self.factory.made)
        self.assertEqual((first.asked, second.asked), ([INFO], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next(self) -> None:
        """
        The next way is tried when one is refused, at once or later, whatever a
        proxy says.
        """
        for refused in (BUSY, UNKNOWN, REMOTE, LOGIN):
            atOnce, later, last = FakeDialer(refused), FakeDialer(), FakeDialer()
            connected = self.connect(Fallback(self.clock, [atOnce, later, last]))
            self.assertEqual(last.asked, [])
            later.endpoint.down(refused)
            last.endpoint.up()
            self.successResultOf(connected)

    def test_policy(self) -> None:
        """
        What our own policy forbids is forbidden on every way.
        """
        self.assertTrue(isFinal(DENIED))
        self.assertFalse(isFinal(REMOTE))
        other = FakeDialer()
        self.assertIs(self.refused(self.connect(Fallback(self.clock, [FakeDialer(DENIED), other]))), DENIED)
        later = FakeDialer()
        connected = self.connect(Fallback(self.clock, [later, other]))
        later.endpoint.down(DENIED)
        self.assertIs(self.refused(connected), DENIED)
        self.assertEqual(other.asked, [])

    def test_allFail(self) -> None:
        """
        The last refusal is said, with those before it.
        """
        refused = self.refused(self.connect(Fallback(self.clock, [FakeDialer(BUSY), FakeDialer(UNKNOWN)])))
        self.assertEqual((refused.cause, refused.phase, refused.hop), (UNKNOWN.cause, UNKNOWN.phase, "b:1"))
        self.assertEqual(refused.detail, "before it a:1: busy")
        refused = self.refused(self.connect(Fallback(self.clock, [FakeDialer(UNKNOWN), FakeDialer(BUSY)])))
        self.assertEqual(refused.detail, "busy, the last way; before it b:1: the name does not exist")
        self.assertIs(self.refused(self.connect(Fallback(self.clock, [FakeDialer(BUSY)]))), BUSY)

    def test_timeout(self) -> None:
        """
        Each way has its time.
        """
        first, second = FakeDialer(), FakeDialer()
        connected = self.connect(Fallback(self.clock, [first, second], 5.0))
        self.clock.advance(5.0)
        self.assertEqual(first.endpoint.cancelled, 1)
        self.assertEqual(second.asked, [INFO])
        self.clock.advance(5.0)
        refused = self.refused(connected)
        self.assertEqual((refused.cause, refused.hop), (Cause.TIMED_OUT, "db.corp:80"))
        self.assertIn("not connected in 5 s", refused.detail)

    def test_cancel(self) -> None:
        """
        Cancelling goes to the way under way, and no other is tried.
        """
        first, second = FakeDialer(BUSY), FakeDialer()
        connected = self.connect(Fallback(self.clock, [first, second, FakeDialer()], 5.0))
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertEqual(second.endpoint.cancelled, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fault(self) -> None:
        """
        A fault of a program is not taken for a refusal.
        """
        first, second = FakeDialer(), FakeDialer()
        connected = self.connect(Fallback(self.clock, [first, second]))
        first.endpoint.down(ZeroDivisionError("a fault"))
        self.failureResultOf(connected, ZeroDivisionError)
        self.assertEqual(second.asked, [])

    def test_explain(self) -> None:
        """
        All ways, in order.
        """
        dialer = Fallback(self.clock, [FakeDialer(name="a"), Deny("x")])
        self.assertEqual(
            dialer.explain(INFO), ["way 1 of 2:", "  a to db.corp:80", "way 2 of 2:", "  refuse: x"]
        )


class RetryTests(DialerTests):
    """
    The same way again.
    """

    def retry(self, dialer: IDialer, attempts: int = 3, **options: float) -> Retry:
        """
        A dialer whose pauses are whole.
        """
        return Retry(self.clock, dialer, attempts, jitter=lambda: 1.0, **options)

    def test_interface(self) -> None:
        """
        It is a dialer that tries at least once.
        """
        self.assertTrue(verifyObject(IDialer, self.retry(Deny())))
        self.assertRaises(ValueError, Retry, self.clock, Deny(), 0)

    def test_again(self) -> None:
        """
        After what may pass it is tried again, after pauses that double.
        """
        dialer = FakeDialer()
        connected = self.connect(self.retry(dialer, 4, pause=1.0, maxPause=3.0))
        for number, pause in enumerate((1.0, 2.0, 3.0), 1):
            self.assertEqual(len(dialer.asked), number)
            dialer.endpoint.down(BUSY)
            self.clock.advance(pause - 0.01)
            self.assertEqual(len(dialer.asked), number)
            self.clock.advance(0.02)
        dialer.endpoint.up()
        self.successResultOf(connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_jitter(self) -> None:
        """
        Chance makes a pause up to half as long.
        """
        for chance, pause in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
            dialer = FakeDialer(BUSY)
            connected = self.connect(Retry(self.clock, dialer, 2, pause=1.0, jitter=lambda c=chance: c))  # type: ignore[misc]
            self.clock.advance(pause - 0.01)
            self.assertEqual(len(dialer.asked), 1)
            self.clock.advance(0.02)
            self.assertEqual(len(dialer.asked), 2)
            self.refused(connected)

    def test_giveUp(self) -> None:
        """
        The last refusal counts.
        """
        dialer = FakeDialer(BUSY)
        connected = self.connect(self.retry(dialer, 3))
        self.clock.pump([0.11, 0.21])
        self.assertIs(self.refused(connected), BUSY)
        self.assertEqual(len(dialer.asked), 3)

    def test_notAgain(self) -> None:
        """
        What will not pass is not tried again.
        """
        for refused in (UNKNOWN, DENIED, REMOTE, LOGIN):
            self.assertNotIn(refused.cause, PASSING)
            dialer = FakeDialer(refused)
            self.assertIs(self.refused(self.connect(self.retry(dialer))), refused)
            self.assertEqual(len(dialer.asked), 1)

    def test_timeout(self) -> None:
        """
        Each attempt has its time, and what took too long is tried again.
        """
        dialer = FakeDialer()
        connected = self.connect(self.retry(dialer, 2, timeout=5.0, pause=1.0))
        self.clock.advance(5.0)
        self.clock.advance(1.0)
        self.assertEqual(len(dialer.asked), 2)
        self.clock.advance(5.0)
        self.assertIs(self.refused(connected).cause, Cause.TIMED_OUT)

    def test_cancel(self) -> None:
        """
        Cancelling ends an attempt, and a pause.
        """
        dialer = FakeDialer()
        connected = self.connect(self.retry(dialer))
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertEqual(dialer.endpoint.cancelled, 1)
        connected = self.connect(self.retry(FakeDialer(BUSY)))
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_explain(self) -> None:
        """
        How often, and the way.
        """
        self.assertEqual(
            self.retry(FakeDialer(name="a")).explain(INFO), ["at most 3 attempts:", "  a to db.corp:80"]
        )
