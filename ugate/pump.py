# -*- test-case-name: ugate.test.test_pump -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Joined sockets, moved by an epoll of their own.

An event costs a microsecond or two of Python and not a round through the reactor
(L{ugate.poll}).  Small data is received and sent at once; a direction that carries
much in a short time is lent to a thread (L{ugate.splicing}) until it ends or goes
quiet.
"""

from __future__ import annotations

import errno
import select
import struct
from socket import MSG_DONTWAIT, SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ugate.joined import Joined, Side
from ugate.joining import Joining
from ugate.lending import COPY_ONLY, LOST, Bulk, Lender
from ugate.poll import SocketReactor
from ugate.protocols.sockets import RefusedBelow, Truncated, isClosed, undelivered
from ugate.slots import UNLIMITED
from ugate.splice import PIPE_SIZE

CHUNK: Final = 65536
"""Bytes received at once."""

BULK: Final = 1 << 20
"""Bytes within a quarter of a second that make a direction bulk."""

DELIVERY: Final = 0.05
"""Seconds between two looks at whether all has arrived that came before a cut."""

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_RESET: Final = struct.pack("ii", 1, 0)


class Pump(Joining):
    """
    All joined sockets of a process, and those that are not joined yet as guests.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, reactor: SocketReactor, threads: int, process: bool = False) -> None:
        """
        @param reactor: see L{canPoll<ugate.poll.canPoll>}.
        @param threads: how many may splice; 0 for none, as where there is no splice(2).
        @param process: whether they may be those of another process, started when it is
            first needed.
        """
        super().__init__(reactor)
        self._lent: dict[Bulk, Side] = {}
        self._arriving: dict[Joined, IDelayedCall] = {}
        """Those that are cut as soon as all has arrived, and the next look at that."""
        self._lender = Lender(reactor, threads, process, self._returned)

    def logPrefix(self) -> str:
        """
        See L{IReadDescriptor}.
        """
        return "relay"

    def stop(self) -> None:
        """
        Cut every stream that is left and give all descriptors back; guests go on in
        the reactor.
        """
        for joined in {**{side.flow: None for side in self._sides.values()}, **self._arriving}:
            self.end(joined, "shutdown", abort=True)
        self._lender.stop()
        for direction in tuple(self._lent):
            self._returned(direction)
        self._lender.close()
        super().stop()

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        """
        Sockets are ready: move what they have.
        """
        sides = self._sides
        tick = int(self._seconds() * 4) if sides else 0
        for fd, event in events:
            side = sides.get(fd)
            if side is None:
                self._serve(fd, event)
                continue
            if event != _IN and not self._mayRead(side, event):
                continue
            try:
                data = side.recv(CHUNK, MSG_DONTWAIT)
            except BlockingIOError:
                if side.copyOnly:
                    self._await(side)
                continue
            except OSError as error:
                self._broken(side, error)
                continue
            if not data:
                self._ended(side)
                continue
            count = len(data)
            side.count += count
            if side.tick == tick:
                side.burst += count
            else:
                side.tick = tick
                side.burst = count
            other = side.other
            try:
                taken = other.send(data, MSG_DONTWAIT)
            except OSError as error:
                taken = self._unsent(side, error)
            if taken < count:
                self._stall(side, data[taken:])
            elif side.burst > BULK:
                self._lend(side)

    def _await(self, side: Side) -> None:
        """
        Nothing was read: wait, if that is why, until TLS can send there what it has to.
        """
        if getattr(side.socket, "wantsRoom", False):
            side.owes = True
            self._arm(side, side.mask & ~_IN | _OUT)

    def _mayRead(self, side: Side, event: int) -> int:
        """
        There is room for what waits, or the connection broke, or both.

        @return: whether there is something to read, and nothing that has to go first.
        """
        if event & _OUT:
            self._flush(side)
        return side.mask & _IN and event & ~_OUT

    def _unsent(self, side: Side, error: OSError) -> int:
        """
        Nothing of what came from C{side} could be sent on, for now or for ever.
        """
        if not isinstance(error, BlockingIOError):
            self._broken(side.other, error)
        return 0

    def _stall(self, side: Side, rest: bytes) -> None:
        """
        Keep what could not be sent, and read no more until it is.
        """
        if side.fd in self._sides:
            side.other.out = rest
            if side.flow.buffers is not None:
                side.flow.buffers.hold(len(rest))
            self._arm(side, side.mask & ~_IN)
            self._arm(side.other, side.other.mask | _OUT)

    def _flush(self, side: Side) -> None:
        """
        Send what is waiting for this socket, and read from the other one again
        when all is sent.
        """
        if side.out:
            try:
                taken = side.send(side.out, MSG_DONTWAIT)
            except BlockingIOError:
                taken = 0
            except OSError as error:
                self._broken(side, error)
                return
            side.out = side.out[taken:]
            if side.flow.buffers is not None:
                side.flow.buffers.hold(-taken)
            side.tick = int(self._seconds() * 4)
        if side.out:
            self._arm(side, side.mask | _OUT)
            return
        self._arm(side, side.mask & ~_OUT)
        if side.owes:
            return self._settle(side)
        other = side.other
        if other.burst > BULK:
            self._lend(other)
        else:
            self._arm(other, other.mask | _IN)

    def _ended(self, side: Side) -> None:
        if side.other.lent is not None and isClosed(side.socket):
            # The thread that sends there has got the error, of which there is one.
            return self._broken(side, OSError(errno.ECONNRESET, "reset"))
        side.eof = True
        # All before that was sent on, for as long as something waits nothing is read.
        other, joined = side.other, side.flow
        if other.eof and not joined.inTLS:
            return self._close(joined, "done", abort=False)
        other.owes = True
        self._settle(other)
        if joined.ending is None:
            self._arm(side, side.mask & ~_IN)

    def _settle(self, side: Side) -> None:
        """
        Tell a socket that no more comes, or let TLS there say what it has to: that takes bytes, for which
        there may be no room.
        """
        other = side.other
        try:
            if other.eof:
                side.socket.shutdown(SHUT_WR)
            else:
                side.socket.settle()
        except BlockingIOError:
            self._arm(side, side.mask | _OUT)
            return
        except OSError as error:
            self._broken(side, error)
            return
        side.owes = False
        if not (side.eof or side.lent or other.out):
            self._arm(side, side.mask | _IN)
        if not other.eof:
            self._arm(other, other.mask | _IN)
        elif side.eof and not other.owes:
            self._close(side.flow, "done", abort=False)

    def _broken(self, side: Side, error: OSError) -> None:
        who = "client" if side is side.flow.a else "target"
        reset = error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
        what = "reset" if reset else error.strerror
        if isinstance(error, RefusedBelow) and side is side.flow.b:
            side.flow.refusal = error.refusal
            self.end(side.flow, str(error.refusal), abort=True)
        elif isinstance(error, Truncated):
            self._deliver(side, f"{who}: {what}")
        else:
            self.end(side.flow, f"{who}: {what}", abort=True)

    def _deliver(self, side: Side, reason: str) -> None:
        """
        Cut a stream when all that came from there has arrived, which a reset would overtake: until that,
        nothing is read on either side.
        """
        for each in (side, side.other):
            # What the epoll has reported already is for nobody.
            self._sides.pop(each.fd, None)
            self._arm(each, 0)
        self._look(side, reason, 0)

    def _look(self, side: Side, reason: str, before: int) -> None:
        """
        See whether all that came from there has arrived.

        @param before: how much had not when that was looked at last.
        """
        joined, other = side.flow, side.other
        left = undelivered(other.fd)
        if not left or isClosed(other.socket):
            self.end(joined, reason, abort=True)
            return
        if left != before:
            # Somebody reads, if slowly: that is no idle stream.
            side.tick = int(self._seconds() * 4)
        self._arriving[joined] = self._reactor.callLater(DELIVERY, self._look, side, reason, left)

    def _lend(self, side: Side) -> None:
        side.burst = 0
        buffers = side.flow.buffers
        full = buffers is not None and not buffers.fits(PIPE_SIZE)
        if full or not self._lender.lends or side.copyOnly or side.lent or side.eof:
            self._arm(side, side.mask | _IN)
            return
        share = side.share
        try:
            allowed = UNLIMITED if share is None else 0
            direction = self._lender.lend(side.socket, side.other.socket, allowed)
        except OSError as error:
            # Out of descriptors: it goes on as it is, only slower.
            side.copyOnly = True
            self._log.warn("no pipe or no thread for a bulk stream: {error}", error=error)
            self._arm(side, side.mask | _IN)
            return
        self._arm(side, side.mask & ~_IN)
        side.lent = direction
        self._lent[direction] = side
        if share is not None:
            share.lend(direction)
        if buffers is not None:
            buffers.hold(PIPE_SIZE)

    def _returned(self, direction: Bulk) -> None:
        side = self._lent.pop(direction, None)
        if side is None:
            return
        side.lent = None
        if side.share is not None:
            side.share.settle()
        if side.flow.buffers is not None:
            side.flow.buffers.hold(-PIPE_SIZE)
        moved = direction.count + direction.queued
        side.count += direction.count
        side.tick = int(direction.active * 4)
        self._lender.settle(direction)
        ending = side.flow.ending
        if ending is not None:
            if side.other.lent is None:
                self._close(side.flow, *ending)
        elif direction.error is not None:
            number = direction.error.errno
            if number in COPY_ONLY and not moved:
                side.copyOnly = True
                self._arm(side, _IN | side.mask)
            elif number == LOST:
                self.end(side.flow, f"relay: {direction.error.strerror}", abort=True)
            else:
                # The source is only asked when nothing is queued.
                self._broken(side.other if direction.queued else side, direction.error)
        elif direction.eof:
            self._ended(side)
        else:
            self._arm(side, _IN | side.mask)

    def end(self, joined: Joined, reason: str, abort: bool) -> None:
        """
        End a stream before its time.  Sockets that a thread works on are closed
        when they have come back: to shut them down, which wakes the thread too,
        would tell both peers of a clean end.
        """
        if joined.ending is not None:
            return
        joined.ending = (reason, abort)
        lent = []
        for side in (joined.a, joined.b):
            # What the epoll has reported already is for nobody.
            self._sides.pop(side.fd, None)
            self._arm(side, 0)
            if side.lent is not None:
                lent.append(side.lent)
        if not lent:
            self._close(joined, reason, abort)
            return
        for direction in lent:
            self._lender.recall(direction)

    def _close(self, joined: Joined, reason: str, abort: bool) -> None:
        joined.ending = (reason, abort)
        look = self._arriving.pop(joined, None)
        if look is not None and look.active():
            look.cancel()
        # Of so few bytes nothing was ever lent: nobody else has the sockets, and to
        # close them takes them out of the epoll as well.
        alone = joined.a.count + joined.b.count <= BULK
        for side in (joined.a, joined.b):
            self._sides.pop(side.fd, None)
            if not alone:
                self._arm(side, 0)
            if abort:
                # A peer must not take what was cut for a clean end.
                side.socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            side.socket.close()
            if side.share is not None:
                side.share.stop()
        if joined.buffers is not None:
            joined.buffers.hold(-len(joined.a.out) - len(joined.b.out))
        try:
            joined.finished(reason)
        except Exception:
            # All other streams are served by the same call of the reactor.
            self._log.failure("what was to happen at the end of a stream failed")
        del joined.finished
        for side in (joined.a, joined.b):
            # These go round in circles, which the collector would have to find.
            del side.other, side.flow, side.recv, side.send
