# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for how L{ugate.tenancy.passwords.PasswordFile} lets many log in at once.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from ugate.errors import Cause, Refused
from ugate.tenancy.passwords import PasswordFile, TooManyLogins, inThreadsOf
from ugate.test.test_passwords import PasswordCase, logged


class QueueTests(PasswordCase):
    """
    Many logins at once.
    """

    def test_together(self) -> None:
        """
        Logins with the same name and password wait for one check.
        """
        file = self.passwords()
        answers = [self.login(file) for _ in range(5)] + [self.login(file, password=b"x")]
        self.assertEqual(2, len(self.elsewhere.calls))
        self.elsewhere.run()
        self.assertEqual([b"alice"] * 5, [self.successResultOf(answer) for answer in answers[:5]])
        self.assertNoResult(answers[5])
        self.elsewhere.run()
        self.failureResultOf(answers[5], UnauthorizedLogin)

    def test_atOnce(self) -> None:
        """
        Only so many checks run at once; the next begins when one ends.
        """
        file = self.passwords(atOnce=2)
        answers = [self.login(file, password=b"%d" % number) for number in range(5)]
        for left in (2, 2, 2, 2, 1):
            self.assertEqual(left, len(self.elsewhere.calls))
            self.elsewhere.run()
        for answer in answers:
            self.failureResultOf(answer, UnauthorizedLogin)

    def test_tooMany(self) -> None:
        """
        Only so many logins wait; more are refused at once, which is told in the log once.
        """
        file = self.passwords(atOnce=1, waiting=3)
        with logged() as events:
            answers = [self.login(file, password=b"%d" % (number // 2)) for number in range(5)]
        for answer in answers[3:]:
            refused = self.failureResultOf(answer, TooManyLogins).value
            assert isinstance(refused, Refused)
            self.assertIs(Cause.OVERLOADED, refused.cause)
            self.assertIsInstance(refused, UnauthorizedLogin)
            self.assertIn("3 logins wait", str(refused))
        self.assertEqual(1, len(events))
        self.elsewhere.run()
        self.elsewhere.run()
        for answer in answers[:3]:
            self.failureResultOf(answer, UnauthorizedLogin)
        # The three that waited are gone, so there is room again.
        self.assertNoResult(self.login(file))
        self.assertEqual(1, file._waiting)

    def test_atOnceAnswered(self) -> None:
        """
        Checks that end before they return do not pile up on the stack.
        """
        file = PasswordFile(self.path, self.clock, self.elsewhere, atOnce=1, waiting=5000)
        answers = [self.login(file, password=b"%d" % number) for number in range(3000)]
        file._defer = lambda call: succeed(False)
        self.elsewhere.run()
        for answer in answers:
            self.failureResultOf(answer, UnauthorizedLogin)

    def test_cancelled(self) -> None:
        """
        A login that nobody waits for any more takes no room and is not checked; others with it go on.
        """
        file = self.passwords(atOnce=1)
        running, queued, other = self.login(file), self.login(file, b"bob"), self.login(file)
        queued.cancel()
        self.failureResultOf(queued, CancelledError)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(1, file._waiting)
        self.elsewhere.run()
        self.assertEqual(b"alice", self.successResultOf(other))
        self.assertEqual(([], 0, {}), (self.elsewhere.calls, file._waiting, file._logins))

    def test_cancelledInAnswer(self) -> None:
        """
        An answer may cancel the login that would be answered next.
        """
        file = self.passwords()
        first, second = self.login(file), self.login(file)
        first.addCallback(lambda name: second.cancel())
        self.elsewhere.run()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(0, file._waiting)

    def test_again(self) -> None:
        """
        A cancelled login that still stands in the queue is the same as the one that comes after it.
        """
        file = self.passwords(atOnce=1)
        answers = [self.login(file, b"bob"), self.login(file)]
        answers[1].cancel()
        self.failureResultOf(answers[1], CancelledError)
        answer = self.login(file)
        self.elsewhere.run()
        self.elsewhere.run()
        self.assertEqual(b"alice", self.successResultOf(answer))
        self.failureResultOf(answers[0], UnauthorizedLogin)

    def test_failure(self) -> None:
        """
        A check that fails is a failed login, be it at once or later, and room for the next.
        """
        file = self.passwords(atOnce=1)
        answer = self.login(file)
        self.elsewhere.calls.pop()[1].errback(Failure(MemoryError()))
        self.failureResultOf(answer, MemoryError)

        def broken(call: Callable[[], bool]) -> Deferred[bool]:
            raise RuntimeError("no threads")

        file._defer = broken
        self.failureResultOf(self.login(file), RuntimeError)
        file._defer = self.elsewhere
        self.assertNoResult(self.login(file))
        self.assertEqual(1, len(self.elsewhere.calls))

    def test_threads(self) -> None:
        """
        Unless given otherwise, checks run in the reactor's threads.
        """

        class Threads(Clock):
            """
            A reactor with a pool of one thread, and calls from it in a list.
            """

            def __init__(self) -> None:
                super().__init__()
                self.pool = ThreadPool(0, 1)
                self.fromThreads: list[Callable[[], None]] = []

            def getThreadPool(self) -> ThreadPool:
                return self.pool

            def callFromThread(self, call: Callable[..., None], *args: object) -> None:
                self.fromThreads.append(lambda: call(*args))

        reactor = Threads()
        file = PasswordFile(self.path, reactor)
        answer = self.login(file)
        raised = inThreadsOf(reactor)(lambda: bool(1 // 0))
        reactor.pool.start()
        reactor.pool.stop()
        for call in reactor.fromThreads:
            call()
        self.assertEqual(b"alice", self.successResultOf(answer))
        self.failureResultOf(raised, ZeroDivisionError)
