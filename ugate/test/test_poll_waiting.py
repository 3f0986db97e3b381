# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.poll}: what is served without a turn of the reactor, and ends.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from ugate import poll as module
from ugate.poll import Poll, asSocketReactor
from ugate.test.pollfakes import Guest, HalfGuest, PollTestCase
from ugate.test.socketfakes import SocketReactor


class EpollReactor(SocketReactor):
    """
    One that has an epoll, as Twisted's.

    @ivar due: seconds until it has something to do; L{None} for nothing.
    @ivar meanwhile: what happens while it is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._poller = select.epoll()
        self.due: float | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def addReader(self, reader: Any) -> None:
        super().addReader(reader)
        self._poller.register(reader.fileno(), select.EPOLLIN)

    def removeReader(self, reader: Any) -> None:
        super().removeReader(reader)
        self._poller.unregister(reader.fileno())

    def timeout(self) -> float | None:
        """
        As Twisted's.
        """
        self.meanwhile()
        return self.due

    def close(self) -> None:
        self._poller.close()
        super().close()


class MomentTests(PollTestCase):
    """
    More is waited for before the reactor has its turn, if that would only wait, too.
    """

    reactor: EpollReactor

    def setUp(self) -> None:
        super().setUp()
        self.poll.stop()
        self.reactor.close()
        self.reactor = EpollReactor()
        self.poll = Poll(asSocketReactor(self.reactor))
        # A test that waits for so long hangs.
        self.patch(module, "_MOMENT", 3600.0)
        self.first = self.reader()
        self.first.far.send(b"word")

    def test_comes(self) -> None:
        """
        What comes in that moment is served in the same turn; then the next thing is waited for.
        """
        late = self.reader()
        speakers = [late, self.first]

        def meanwhile() -> None:
            if speakers:
                speakers.pop(0).far.send(b"word")
            else:
                self.reactor.due = 0

        self.reactor.meanwhile = meanwhile
        self.poll.doRead()
        self.assertEqual((["read", "read"], ["read"]), (self.first.asked, late.asked))

    def test_due(self) -> None:
        """
        The reactor has its turn at once when something is due, and else no later than that.
        """
        for due in (0, 0.001):
            self.reactor.due = due
            self.first.far.send(b"word")
            self.poll.doRead()
        self.assertEqual(["read", "read"], self.first.asked)

    def test_others(self) -> None:
        """
        It has it, too, when something is ready that waits there.
        """
        other = Guest()
        self.addCleanup(other.close)
        self.reactor.addReader(other)
        self.reactor.meanwhile = lambda: other.far.send(b"word")
        self.poll.doRead()
        self.assertEqual((["read"], []), (self.first.asked, other.asked))
        self.reactor.removeReader(other)

    def test_moment(self) -> None:
        """
        With nothing at all it is only a moment.
        """
        self.patch(module, "_MOMENT", 0.001)
        self.poll.doRead()
        self.assertEqual(["read"], self.first.asked)

    def test_bounded(self) -> None:
        """
        With always something new it has its turn all the same.
        """
        self.reactor.meanwhile = lambda: self.first.far.send(b"word")
        self.poll.doRead()
        self.assertIn(len(self.first.asked), range(2, 20))


class HalfTests(PollTestCase):
    """
    What may happen when a guest is told that its peer has ended.
    """

    def ending(self, then: Callable[[], object]) -> HalfGuest:
        """
        A guest whose peer has ended, and what it does when it hears of that.
        """
        guest = HalfGuest()
        self.guests.append(guest)
        self.poll.addReader(guest)
        guest.reading = lambda: CONNECTION_DONE

        def told(reason: Failure) -> None:
            guest.asked.append("read lost")
            then()

        guest.readConnectionLost = told  # type: ignore[method-assign]
        guest.far.close()
        return guest

    def test_closed(self) -> None:
        """
        Whoever gets its number, as it is closed in that, goes on.
        """
        fresh = self.guest()

        def closing() -> None:
            number = guest.fileno()
            self.poll.leave(guest)
            guest.near.close()
            os.dup2(fresh.near.fileno(), number, inheritable=False)
            fresh.near.close()
            fresh.near = type(fresh.near)(fileno=number)
            self.poll.addReader(fresh)

        guest = self.ending(closing)
        self.rest()
        fresh.far.send(b"word")
        self.rest()
        self.assertEqual((["read", "read lost"], ["read"]), (guest.asked, fresh.asked))

    def test_fails(self) -> None:
        """
        An error in that is logged, and it is not asked again.
        """
        guest = self.ending(lambda: 1 // 0)
        self.rest()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual((["read", "read lost"], {}), (guest.asked, self.poll._guests))
