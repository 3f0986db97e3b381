# -*- test-case-name: ugate.test.test_poll,ugate.test.test_poll_numbers,ugate.test.test_poll_waiting -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
An epoll of our own for descriptors that would else be the reactor's.

It is one reader of the reactor.  What is ready is asked to read or write
without a log context around each call, and without a turn of the reactor
between them; in all else the descriptors see no difference.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReactorThreads,
    IReactorTime,
    IReadDescriptor,
)
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure

_ROUNDS: Final = 8
"""How often the epoll is asked again before the reactor has its turn."""

_MOMENT: Final = 0.005
"""Seconds that more is waited for before that, as long as there is nothing else that the reactor could do."""

_EVENTS: Final = 128
_DONE: Final = Failure(CONNECTION_DONE)
"""Most end so, and to make one takes long."""

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT


class SocketReactor(Protocol):
    """
    What a poll needs of a reactor, whatever the interfaces that it declares.
    """

    addReader: Callable[[Any], None]
    addWriter: Callable[[Any], None]
    removeReader: Callable[[Any], None]
    removeWriter: Callable[[Any], None]
    callFromThread: Callable[..., object]
    callLater: Callable[..., IDelayedCall]
    seconds: Callable[[], float]


def canPoll(reactor: object) -> bool:
    """
    Whether this reactor waits for descriptors and this system has epoll.
    """
    return (
        IReactorFDSet.providedBy(reactor)
        and IReactorThreads.providedBy(reactor)
        and IReactorTime.providedBy(reactor)
        and hasattr(select, "epoll")
    )


def asSocketReactor(reactor: object) -> SocketReactor:
    """
    The reactor by what a poll calls on it.
    """
    return cast(SocketReactor, reactor)


def _waitingFor(reactor: Any) -> Callable[[], object] | None:
    """
    What waits a moment for whatever the reactor would wait for, and for no longer than it would: a turn of
    it costs as much as half a dozen events here.

    @return: a callable; L{None} if the reactor has no epoll.
    """
    epoll = getattr(reactor, "_poller", None)
    if not isinstance(epoll, select.epoll):
        return None
    poll, timeout = epoll.poll, reactor.timeout

    def wait() -> None:
        seconds = timeout()
        poll(_MOMENT if seconds is None or seconds > _MOMENT else seconds, 1)

    return wait


@implementer(IReadDescriptor)
class Poll:
    """
    Waits for descriptors in the reactor's place, until it is stopped: what is
    left then, and what comes later, waits in the reactor.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, reactor: SocketReactor) -> None:
        """
        @param reactor: see L{canPoll}.
        """
        self._reactor = reactor
        self._epoll = select.epoll()
        self._guests: dict[int, Any] = {}
        self._masks: dict[int, int] = {}
        """What the epoll waits for on the descriptor of each guest."""
        self._elsewhere: set[Any] = set()
        """Descriptors of files and the like, which the kernel has no epoll for."""
        self._stopped = False
        self._wait = _waitingFor(reactor)
        reactor.addReader(self)

    def fileno(self) -> int:
        """
        The epoll's own descriptor is readable when anything in it is ready.
        """
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "poll"

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor is done with us, and so with all that wait here.
        """
        for guest in tuple(self._guests.values()):
            self._lose(guest, reason.value, False)

    def stop(self) -> None:
        """
        Give the epoll back, and leave to the reactor whoever waits.
        """
        self._stopped = True
        self._reactor.removeReader(self)
        guests, masks = self._guests, self._masks
        self._guests, self._masks = {}, {}
        self._epoll.close()
        for fd, guest in guests.items():
            if masks[fd] & _IN:
                self._reactor.addReader(guest)
            if masks[fd] & _OUT:
                self._reactor.addWriter(guest)

    # What a reactor offers to descriptors.

    def addReader(self, reader: Any) -> None:
        """
        See L{IReactorFDSet.addReader}.
        """
        if not self._add(reader, _IN):
            self._reactor.addReader(reader)

    def addWriter(self, writer: Any) -> None:
        """
        See L{IReactorFDSet.addWriter}.
        """
        if not self._add(writer, _OUT):
            self._reactor.addWriter(writer)

    def removeReader(self, reader: Any) -> None:
        """
        See L{IReactorFDSet.removeReader}.
        """
        if not self._remove(reader, _IN):
            self._reactor.removeReader(reader)

    def removeWriter(self, writer: Any) -> None:
        """
        See L{IReactorFDSet.removeWriter}.
        """
        if not self._remove(writer, _OUT):
            self._reactor.removeWriter(writer)

    def leave(self, guest: Any) -> Poll | None:
        """
        Forget a descriptor whose socket goes on to be somebody else's.

        @return: ourselves, if the epoll still waits for that to be readable, and for
            nothing else; L{None} if it no longer waits.
        """
        fd = guest.fileno()
        if self._guests.get(fd) is guest:
            if self._masks[fd] == _IN:
                del self._guests[fd], self._masks[fd]
                return self
        elif fd >= 0 and not (self._stopped or guest in self._elsewhere):
            # It waits for nothing.
            return None
        self.removeReader(guest)
        self.removeWriter(guest)
        return None

    def _add(self, guest: Any, bit: int) -> bool:
        """
        Wait for one more thing.

        @return: whether it is here that it waits.
        """
        if self._stopped:
            return False
        fd = guest.fileno()
        # Who had that number before and never said goodbye is gone from the epoll.
        mask = self._masks[fd] if self._guests.get(fd) is guest else 0
        if mask & bit:
            return True
        try:
            if mask:
                self._epoll.modify(fd, mask | bit)
            else:
                self._epoll.register(fd, bit)
        except FileExistsError:
            # It was left, and comes back.
            self._epoll.modify(fd, bit)
        except PermissionError:
            self._elsewhere.add(guest)
            return False
        self._guests[fd] = guest
        self._masks[fd] = mask | bit
        return True

    def _remove(self, guest: Any, bit: int) -> bool:
        """
        Wait for one thing less.

        @return: whether it cannot be elsewhere that it waits.
        """
        fd = guest.fileno()
        if self._guests.get(fd) is not guest:
            if fd < 0:
                self._closed(guest)
            return not (self._stopped or guest in self._elsewhere)
        mask = self._masks[fd]
        rest = mask & ~bit
        if rest == mask:
            return True
        if rest:
            self._masks[fd] = rest
            self._epoll.modify(fd, rest)
        else:
            del self._guests[fd], self._masks[fd]
            self._epoll.unregister(fd)
        return True

    def _closed(self, guest: Any) -> None:
        """
        It was closed while it waited, and the kernel has forgotten it.
        """
        for fd, each in self._guests.items():
            if each is guest:
                del self._guests[fd], self._masks[fd]
                return

    # What the reactor does with them.

    def doRead(self) -> None:
        """
        Something is ready.
        """
        poll = self._epoll.poll
        wait = self._wait
        for _ in range(_ROUNDS):
            events = poll(0, _EVENTS)
            if not events:
                if wait is None:
                    return
                wait()
                events = poll(0, _EVENTS)
                if not events:
                    return
            self._dispatch(events)

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        for fd, event in events:
            self._serve(fd, event)

    def _serve(self, fd: int, event: int) -> None:
        """
        A descriptor is ready, or broken: what it is asked to do tells it which.
        """
        guest = self._guests.get(fd)
        if guest is None:
            self._nobody(fd)
            return
        why: BaseException | None = None
        reading = event == _IN
        try:
            if reading:
                # Most are so, and then there is no more to do.
                if self._masks[fd] & _IN:
                    why = guest.doRead()
                if why:
                    self._lose(guest, why, True)
                return
            if event & ~_OUT and self._masks[fd] & _IN:
                reading = True
                why = guest.doRead()
            # Whoever was read from may have made way for somebody else.
            writing = self._guests.get(fd) is guest and self._masks[fd] & _OUT
            if writing and not why and (event & _OUT or not reading):
                reading = False
                why = guest.doWrite()
        except BaseException as error:
            # All others are served by the same call of the reactor.
            self._log.failure("a descriptor failed")
            why = error
        if why:
            self._lose(guest, why, reading)

    def _lose(self, guest: Any, why: BaseException | None, reading: bool) -> None:
        """
        Tell a descriptor that it has ended, in the reactor's way.
        """
        try:
            failure = _DONE if why is CONNECTION_DONE else Failure(why)
            if reading and isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(guest):
                self._loseHalf(guest, failure)
            else:
                self.removeReader(guest)
                self.removeWriter(guest)
                guest.connectionLost(failure)
        except BaseException:
            self._log.failure("what was to happen at the end of a descriptor failed")

    def _loseHalf(self, guest: Any, failure: Failure) -> None:
        fd = guest.fileno()
        try:
            guest.readConnectionLost(failure)
        finally:
            # The kernel has forgotten who was closed in that.
            if self._guests.get(fd) is guest:
                self.removeReader(guest)

    def _nobody(self, fd: int) -> None:
        """
        Whoever waited here is gone: closed by who was served just before, or left
        and never taken over, which would be reported for ever.
        """
        try:
            self._epoll.unregister(fd)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOENT):
                raise
