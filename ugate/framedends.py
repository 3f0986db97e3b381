# -*- test-case-name: ugate.test.test_framedends,ugate.test.test_framing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The sockets whose bytes go to a stream of HTTP/2, or come from one, without a copy: L{ugate.framing}.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.main import CONNECTION_LOST

from ugate.pace import Pace
from ugate.protocols.h2frames import DATA, HEADER, frameHead
from ugate.protocols.tlsconnection import TLSConnection
from ugate.protocols.tlsrecords import MUCH
from ugate.splice import PIPE_SIZE

NOWAIT: Final = getattr(os, "SPLICE_F_NONBLOCK", 2)

LEAST: Final = 1 << 16
"""Bytes of a frame for which it pays."""

LONGEST: Final = 0.001
"""Seconds that a fast source is left alone."""

ROUNDS: Final = 4
"""Frames, or parts of one, that are moved before others have their turn."""


class Splicer(Protocol):
    """
    What splices for a link.
    """

    def send(self, channel: Any, source: int) -> int:
        """See L{ugate.framing.LinkSplicer.send}."""

    def wait(self, channel: Any, source: Any) -> bool:
        """See L{ugate.framing.LinkSplicer.wait}."""

    def giveBack(self, pipe: tuple[int, int], isEmpty: bool) -> None:
        """See L{ugate.framing.LinkSplicer.giveBack}."""


class Sink:
    """
    A socket for what comes on a stream.
    """

    __slots__ = ("_lost", "_pipe", "_queued", "_splicer", "_stream", "_write", "moved", "transport")

    def __init__(self, splicer: Splicer, stream: Any, transport: Any, moved: Callable[[int], object]) -> None:
        """
        @param moved: called with each count of bytes.
        """
        self._splicer = splicer
        self._stream = stream
        self._pipe: tuple[int, int] | None = None
        self._queued = 0
        self.transport = transport
        self.moved = moved
        self._write = transport.doWrite
        self._lost = transport.connectionLost
        transport.doWrite = self._doWrite
        transport.connectionLost = self._connectionLost

    def take(self, pipe: tuple[int, int], size: int) -> int:
        """
        Send what is in a pipe.

        @return: how much of it was not sent; then the pipe is kept, and its stream pauses.
        """
        self._pipe, self._queued = pipe, size
        try:
            self._move()
        except OSError:
            # Its transport finds out what is wrong.
            pass
        if not self._queued:
            self._pipe = None
            return 0
        transport = self.transport
        transport.startWriting()
        if transport.producer is not None and not transport.producerPaused:
            transport.producerPaused = True
            transport.producer.pauseProducing()
        return self._queued

    def spill(self) -> None:
        """
        Take what is in the pipe out of it, since that is wanted for something else.
        """
        pipe, self._pipe = self._pipe, None
        left, self._queued = self._queued, 0
        while left and pipe is not None:
            data = os.read(pipe[0], left)
            left -= len(data)
            self.transport.write(data)

    def _move(self) -> None:
        pipe = self._pipe
        try:
            while self._queued and pipe is not None:
                self._queued -= os.splice(pipe[0], self.transport.fileno(), self._queued, flags=NOWAIT)
        except BlockingIOError:
            pass

    def _doWrite(self) -> Any:
        """
        In place of that of the transport.
        """
        if self._queued:
            try:
                self._move()
            except OSError:
                return CONNECTION_LOST
            if self._queued:
                return None
            self._drop(isEmpty=True)
        return self._write()

    def _connectionLost(self, reason: Any) -> None:
        """
        In place of that of the transport.
        """
        self._drop(isEmpty=not self._queued)
        self._queued = 0
        self._lost(reason)

    def _drop(self, isEmpty: bool) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._splicer.giveBack(pipe, isEmpty)

    @property
    def room(self) -> int:
        """
        How many bytes it takes now: none if there are some ahead of them, or somebody wants them to wait.
        """
        isReady = self._stream.isClear and not self._queued and _isFree(self.transport)
        return PIPE_SIZE if isReady else 0


def _isFree(transport: Any) -> bool:
    """
    Whether what is sent by the socket of a transport is behind all that was written there.
    """
    return transport.connected and not (
        transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting
    )


def awaitRoom(channel: Any, source: Any) -> bool:
    """
    Read no more from a transport until the peer lets a stream send more, if that is what its bytes wait for.
    """
    if not channel.core.wait(channel, LEAST, partial(readOn, source)):
        return False
    source.stopReading()
    return True


def readOn(source: Any) -> None:
    """
    Read from a transport again, if it is still there.
    """
    if source.connected and not source.disconnecting:
        source.startReading()


class Outlet:
    """
    A socket for what comes on a stream in TLS, which is in memory.
    """

    __slots__ = ("_moved", "_stream", "_transport")

    def __init__(self, stream: Any, transport: Any, moved: Callable[[int], object]) -> None:
        """
        @param moved: called with each count of bytes.
        """
        self._stream = stream
        self._transport = transport
        self._moved = moved

    def take(self, data: bytes | memoryview) -> bool:
        """
        Send something.

        @return: whether it was taken: not if there is something ahead of it, or somebody wants it to wait.
        """
        transport = self._transport
        if not (self._stream.isClear and _isFree(transport)):
            return False
        try:
            sent: int = transport.socket.send(data)
        except OSError:
            # Full, or broken: its transport finds out which.
            sent = 0
        size = len(data)
        if sent < size:
            transport.write(bytes(data[sent:]))
        self._moved(size)
        return True


class _Inward(ABC):
    """
    A socket whose bytes are for a stream: stands where the C{doRead} of its transport was.
    """

    __slots__ = ("_channel", "_moved", "_read", "_transport")

    def __init__(self, channel: Any, transport: Any, moved: Callable[[int], object]) -> None:
        """
        @param moved: called with each count of bytes.
        """
        self._channel = channel
        self._transport = transport
        self._moved = moved
        self._read = transport.doRead
        transport.doRead = self.doRead

    @abstractmethod
    def doRead(self) -> Any:
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """

    def _leave(self) -> None:
        """
        The transport goes on by itself: it has to find out how it ended.
        """
        self._transport.doRead = self._read


class Source(_Inward):
    """
    One that is spliced.  If it is fast, it is left alone until it has a lot: see L{ugate.pace}.
    """

    __slots__ = ("_clock", "_count", "_hurry", "_pace", "_splicer")

    def __init__(
        self,
        clock: IReactorTime,
        splicer: Splicer,
        channel: Any,
        transport: Any,
        moved: Callable[[int], object],
    ) -> None:
        super().__init__(channel, transport, moved)
        self._clock = clock
        self._splicer = splicer
        self._count = 0
        self._pace = Pace(transport.socket, clock.seconds(), 0)
        self._hurry: IDelayedCall | None = None

    def doRead(self) -> Any:
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """
        why = self._turn()
        if why is not None or not self._transport.connected:
            return why
        try:
            self._pace.note(self._clock.seconds(), self._count)
        except OSError:
            # Its transport finds out what is wrong.
            return why
        if self._pace.patient:
            if self._hurry is None:
                self._hurry = self._clock.callLater(LONGEST, self._isLate)
            else:
                self._hurry.reset(LONGEST)
        return why

    def _turn(self) -> Any:
        for number in range(ROUNDS):
            try:
                size = self._splicer.send(self._channel, self._transport.fileno())
            except BlockingIOError:
                return None
            except OSError as error:
                self._leave()
                return self._read() if error.errno == errno.EINVAL else CONNECTION_LOST
            if size > 0:
                self._count += size
                self._moved(size)
                continue
            if not size:
                self._leave()
            elif number or self._splicer.wait(self._channel, self._transport):
                return None
            return self._read()
        return None

    def _isLate(self) -> None:
        """
        What there is has to do.
        """
        self._hurry = None
        try:
            self._pace.hurry()
        except OSError:
            # It is closed, or broken.
            return


class Inlet(_Inward):
    """
    One whose stream is in TLS, and its bytes in memory.
    """

    __slots__ = ("_secure",)

    def __init__(
        self, secure: TLSConnection, channel: Any, transport: Any, moved: Callable[[int], object]
    ) -> None:
        """
        @param secure: the transport of the link.
        """
        super().__init__(channel, transport, moved)
        self._secure = secure

    def doRead(self) -> Any:
        """
        See L{IReadDescriptor<twisted.internet.interfaces.IReadDescriptor>}.
        """
        channel = self._channel
        core = channel.core
        most = min(channel.window, core.window, core.maxFrame, MUCH - HEADER)
        if core.blocked or core.ready or core.out or not channel.isClear or not self._secure.isFree:
            return self._read()
        if most < LEAST:
            return None if awaitRoom(channel, self._transport) else self._read()
        try:
            size = self._secure.take(self._transport.socket, most, HEADER, self._head)
        except BlockingIOError:
            return None
        except OSError:
            # The kernel says so once: whoever asks again would find a clean end.
            self._leave()
            return CONNECTION_LOST
        if not size:
            self._leave()
            return self._read()
        channel.window -= size
        core.window -= size
        core.sent(size)
        self._moved(size)
        return None

    def _head(self, size: int) -> bytes:
        return frameHead(size, DATA, 0, self._channel.id)
