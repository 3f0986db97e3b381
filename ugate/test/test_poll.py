# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.poll}.
"""

from __future__ import annotations

import socket

from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from ugate.poll import canPoll
from ugate.test.pollfakes import Guest, HalfGuest, PollTestCase


class WaitTests(PollTestCase):
    """
    What guests are asked to do, and when.
    """

    def test_interfaces(self) -> None:
        """
        It is a reader of the reactor, of those reactors that have readers.
        """
        verifyObject(IReadDescriptor, self.poll)
        self.assertEqual((self.reactor.getReaders(), self.poll.logPrefix()), ([self.poll], "poll"))
        self.assertTrue(canPoll(self.reactor))
        self.assertFalse(canPoll(MemoryReactorClock()))

    def test_read(self) -> None:
        """
        A guest reads when there is something to read, until it waits no more.
        """
        guest = self.reader()
        self.rest()
        self.assertEqual(guest.asked, [])
        for wanted in (["read"], ["read", "read"]):
            guest.far.send(b"word")
            self.rest()
            self.assertEqual(guest.asked, wanted)
        self.poll.removeReader(guest)
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["read", "read"])

    def test_write(self) -> None:
        """
        A guest writes when there is room.
        """
        guest = self.guest()
        guest.writing = lambda: self.poll.removeWriter(guest)
        self.poll.addWriter(guest)
        self.rest()
        self.assertEqual(guest.asked, ["write"])

    def test_both(self) -> None:
        """
        To wait for one is nothing to the other, in whichever order; to ask twice is to
        ask once.
        """
        guest = self.reader()
        guest.writing = lambda: self.poll.removeWriter(guest)
        for _ in range(2):
            self.poll.addWriter(guest)
            self.poll.addReader(guest)
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["read", "write"])
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["read", "write", "read"])
        self.poll.addWriter(guest)
        for _ in range(2):
            self.poll.removeReader(guest)
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["read", "write", "read", "write"])

    def test_goneInBetween(self) -> None:
        """
        Who makes way while it reads is not asked to write.
        """
        guest = self.reader()

        def away() -> None:
            self.poll.removeReader(guest)
            self.poll.removeWriter(guest)

        guest.reading = away
        self.poll.addWriter(guest)
        guest.far.send(b"word")
        self.rest()
        self.assertEqual(guest.asked, ["read"])

    def test_bounded(self) -> None:
        """
        However much there is to do, the reactor gets its turn.
        """
        guests = [self.reader() for _ in range(5)]
        for guest in guests:
            guest.reading = lambda: None
            guest.far.send(b"word")
        self.turn()
        for guest in guests:
            self.assertIn(len(guest.asked), range(1, 20))
            guest.reading = guest.read


class EndTests(PollTestCase):
    """
    Guests that end, and those that fail.
    """

    def test_ended(self) -> None:
        """
        It hears of the end as from a reactor: of half of it if it knows such.
        """
        for kind, why, told in (
            (Guest, CONNECTION_DONE, "lost"),
            (Guest, CONNECTION_LOST, "lost"),
            (HalfGuest, CONNECTION_DONE, "read lost"),
            (HalfGuest, CONNECTION_LOST, "lost"),
        ):
            guest = self.reader(kind)
            guest.reading = lambda why=why: why  # type: ignore[misc]
            guest.far.close()
            self.rest()
            self.assertEqual((guest.asked, guest.reasons), (["read", told], [why]))

    def test_halfEnded(self) -> None:
        """
        After half of the end it still writes.
        """
        guest = self.reader(HalfGuest)
        guest.reading = lambda: CONNECTION_DONE
        guest.far.shutdown(socket.SHUT_WR)
        self.rest()
        guest.writing = lambda: CONNECTION_LOST
        self.poll.addWriter(guest)
        self.rest()
        self.assertEqual(guest.asked, ["read", "read lost", "write", "lost"])

    def test_broken(self) -> None:
        """
        Who waits to write only is asked to when its connection breaks, and so finds out.
        """
        guest = self.guest()
        filled = 0
        try:
            while True:
                filled += guest.near.send(bytes(65536))
        except BlockingIOError:
            pass
        guest.writing = lambda: CONNECTION_LOST
        self.poll.addWriter(guest)
        self.rest()
        self.assertEqual(guest.asked, [])
        guest.far.close()
        self.rest()
        self.assertEqual(guest.asked, ["write", "lost"])

    def test_fails(self) -> None:
        """
        An error in one is logged and ends that one, whatever it is; the others go on.
        """
        for error in (ZeroDivisionError, SystemExit):
            guest, other = self.reader(), self.reader()

            def fail(error: type[BaseException] = error) -> None:
                raise error("a fault")

            guest.reading = fail
            for each in (guest, other):
                each.far.send(b"word")
            self.rest()
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)
            self.assertEqual((guest.asked, other.asked), (["read", "lost"], ["read"]))
            self.assertIsInstance(guest.reasons[0], error)
            self.assertEqual(self.reactor.getReaders(), [self.poll])

    def test_failsAtTheEnd(self) -> None:
        """
        So it is for an error when it is told of its end.
        """
        guest, other = self.reader(), self.reader()
        guest.reading = lambda: CONNECTION_LOST
        guest.losing = lambda: 1 // 0
        for each in (guest, other):
            each.far.send(b"word")
        self.rest()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((guest.asked, other.asked), (["read", "lost"], ["read"]))

    def test_reactorIsDone(self) -> None:
        """
        When the reactor cuts its readers, the guests are cut.
        """
        guest, other = self.reader(), self.guest()
        self.poll.addWriter(other)
        self.poll.connectionLost(Failure(CONNECTION_LOST))
        for each in (guest, other):
            self.assertEqual((each.asked, each.reasons), (["lost"], [CONNECTION_LOST]))


class StopTests(PollTestCase):
    """
    Guests outlive the poll.
    """

    def setUp(self) -> None:
        super().setUp()
        self.both, self.late = self.reader(), self.guest()
        self.poll.addWriter(self.both)
        self.poll.stop()

    def stop(self) -> None:
        self.patch(self.poll, "stop", lambda: None)
        super().stop()

    def test_goOn(self) -> None:
        """
        They go on in the reactor, with what they waited for, and can leave that.
        """
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([self.both], [self.both]))
        self.poll.removeWriter(self.both)
        self.both.far.send(b"word")
        self.rest()
        self.assertEqual(self.both.asked, ["read"])
        self.assertIs(self.poll.leave(self.both), None)
        self.assertEqual(self.reactor.getReaders(), [])

    def test_late(self) -> None:
        """
        Those that come later wait in the reactor.
        """
        self.poll.addReader(self.late)
        self.poll.addWriter(self.late)
        self.assertEqual(
            (self.reactor.getReaders(), self.reactor.getWriters()),
            ([self.both, self.late], [self.both, self.late]),
        )
