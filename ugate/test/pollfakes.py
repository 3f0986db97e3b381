# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Descriptors that remember what they were asked to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadWriteDescriptor
from twisted.python.failure import Failure

from ugate.poll import Poll, asSocketReactor
from ugate.test.socketfakes import SocketTestCase, tcpPair


@implementer(IReadWriteDescriptor)
class Guest:
    """
    One end of a connection that somebody waits for.

    @ivar far: the other end.
    @ivar asked: what it was asked to do, and what it was told.
    @ivar reading: what it does when it is asked to read; by default it reads.
    @ivar writing: what it does when it is asked to write.
    @ivar losing: what it does when it is told that it has ended.
    """

    def __init__(self) -> None:
        self.far, self.near = tcpPair()
        self.near.setblocking(False)
        self.asked: list[str] = []
        self.reasons: list[BaseException | None] = []
        self.reading: Callable[[], Exception | None] = self.read
        self.writing: Callable[[], Exception | None] = lambda: None
        self.losing: Callable[[], object] = lambda: None

    def read(self) -> None:
        """
        Take what there is.
        """
        self.near.recv(65536)

    def fileno(self) -> int:
        return self.near.fileno()

    def logPrefix(self) -> str:
        return "guest"

    def doRead(self) -> Any:
        self.asked.append("read")
        return self.reading()

    def doWrite(self) -> Any:
        self.asked.append("write")
        return self.writing()

    def connectionLost(self, reason: Failure) -> None:
        self.asked.append("lost")
        self.reasons.append(reason.value)
        self.losing()

    def close(self) -> None:
        """
        Close both ends.
        """
        self.far.close()
        self.near.close()


@implementer(IHalfCloseableDescriptor)
class HalfGuest(Guest):
    """
    One that knows the end of one direction.
    """

    def readConnectionLost(self, reason: Failure) -> None:
        self.asked.append("read lost")
        self.reasons.append(reason.value)

    def writeConnectionLost(self, reason: Failure) -> None:
        raise AssertionError("nobody says so")


class PollTestCase(SocketTestCase):
    """
    Has a poll, and gives away guests.
    """

    def setUp(self) -> None:
        super().setUp()
        self.guests: list[Guest] = []
        self.poll = Poll(asSocketReactor(self.reactor))

    def stop(self) -> None:
        for guest in self.guests:
            self.poll.removeReader(guest)
            self.poll.removeWriter(guest)
            guest.close()
        self.poll.stop()
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))

    def guest(self, kind: type[Guest] = Guest) -> Guest:
        """
        A new one, which nobody waits for yet.
        """
        self.guests.append(kind())
        return self.guests[-1]

    def reader(self, kind: type[Guest] = Guest) -> Guest:
        """
        A new one, which waits to read.
        """
        guest = self.guest(kind)
        self.poll.addReader(guest)
        return guest
