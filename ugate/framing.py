# -*- test-case-name: ugate.test.test_framing,ugate.test.test_framedends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Bulk between a socket and a stream of HTTP/2, inside the kernel: C{splice(2)} moves the payload of C{DATA}
frames, and this process only sees their heads.

It is for links in clear text, with peers that take long frames.  Whoever does not take all at once keeps
the pipe with the rest, so that nobody else waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from socket import MSG_DONTWAIT, MSG_MORE
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger

from ugate.framedends import LEAST, NOWAIT, ROUNDS, Inlet, Outlet, Sink, Source, awaitRoom, readOn
from ugate.framedforward import FrameSink
from ugate.protocols.h2frames import DATA, HEADER, frameHead
from ugate.protocols.mux import MuxStream
from ugate.protocols.negotiate import connectionBelow
from ugate.protocols.tlsconnection import TLSConnection
from ugate.splice import PIPE_SIZE, openPipe

available: Final = hasattr(os, "splice")

_TAIL: Final = 1 << 12
"""Bytes that are left of a frame for which it pays to go on."""

_BEHIND: Final = int(MSG_MORE | MSG_DONTWAIT)
"""For the head of a frame: the rest comes at once.  To put two flags together takes as long as to send it."""

_SPARE: Final = 4
"""Pipes that a link keeps for later."""


class LinkSplicer:
    """
    What splices for the streams of one link.

    @ivar isBusy: whether a frame is begun, and nothing else may be sent.
    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(self, link: Any) -> None:
        """
        @param link: an L{H2Link<ugate.protocols.h2link.H2Link>} with a socket of its own.
        @raise OSError: no descriptors are left.
        """
        self._link = link
        self._core = link.core
        self._below: Any = link.bare
        self._out = openPipe()
        try:
            self._in = openPipe()
        except OSError:
            _close(self._out)
            raise
        self._head = b""
        self._queued = 0
        self._waiting: list[Any] = []
        """Transports that are not read from until the link takes more."""
        self._spare: list[tuple[int, int]] = []
        self._write = self._below.doWrite
        self._below.doWrite = self._doWrite
        self._below.doRead = self._doRead

    def close(self) -> None:
        """
        The link is gone.
        """
        for pipe in (self._out, self._in, *self._spare):
            _close(pipe)
        self._spare.clear()
        self._readOn()
        self._below = self._link = self._core = self._write = None

    @property
    def isBusy(self) -> bool:
        """
        See L{LinkSplicer}.
        """
        return bool(self._head or self._queued)

    # From a socket to the link.

    def send(self, channel: Any, source: int) -> int:
        """
        Make a frame of what a socket has.

        @return: how many bytes; 0 at its end; -1 if that cannot be now.
        @raise BlockingIOError: it has nothing.
        @raise OSError: it cannot be spliced from, or broke.
        """
        most = self.room(channel)
        if most < LEAST:
            return -1
        size = os.splice(source, self._out[1], most, flags=NOWAIT)
        if size:
            self._begin(channel, size)
        return size

    def room(self, channel: Any) -> int:
        """
        How long a frame of a stream may be that is sent now; 0 or less for none.
        """
        core, below = self._core, self._below
        if core is None or core.blocked or core.ready or core.out or not channel.isClear:
            return 0
        if not below.connected or below.dataBuffer or below._tempDataBuffer or below.disconnecting:
            return 0
        most: int = min(channel.window, core.window, core.maxFrame, PIPE_SIZE)
        return most

    def frame(self, channel: Any, pipe: tuple[int, int], size: int) -> tuple[int, int] | None:
        """
        Send a frame of what is in a pipe, for which there is L{room}.

        @return: an empty pipe, if the other one is needed for what could not be sent at once.
        """
        ours, self._out = self._out, pipe
        self._begin(channel, size)
        if self._queued:
            return ours
        self._out = ours
        return None

    def _begin(self, channel: Any, size: int) -> None:
        core = self._core
        channel.window -= size
        core.window -= size
        core.sent(size)
        self._head, self._queued = frameHead(size, DATA, 0, channel.id), size
        try:
            self._move()
        except OSError:
            # The link finds out what is wrong with its socket.
            pass
        if self.isBusy:
            core.blocked = True
            self._below.startWriting()

    def _move(self) -> None:
        """
        Send of the frame what can be sent now.
        """
        below = self._below.socket
        try:
            if self._head:
                self._head = self._head[below.send(self._head, _BEHIND) :]
            while self._queued and not self._head:
                self._queued -= os.splice(self._out[0], below.fileno(), self._queued, flags=NOWAIT)
        except BlockingIOError:
            pass

    def _doWrite(self) -> Any:
        """
        In place of that of the transport.
        """
        if self.isBusy:
            try:
                self._move()
            except OSError:
                return CONNECTION_LOST
            if self.isBusy:
                return None
            self._core.blocked = False
            self._link.flush()
            self._core.pump()
            self._readOn()
            if self._core is None or self.isBusy:
                return None
        return self._write()

    def wait(self, channel: Any, source: Any) -> bool:
        """
        Read no more from a transport until the link takes more, or the peer does, if that is what its bytes
        wait for.
        """
        core = self._core
        if core is None or not channel.isClear:
            return False
        if self.isBusy:
            source.stopReading()
            self._waiting.append(source)
            return True
        return not (core.blocked or core.ready or core.out) and awaitRoom(channel, source)

    def _readOn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for source in waiting:
            readOn(source)

    # From the link to a socket.

    def _doRead(self) -> Any:
        """
        In place of that of the transport.
        """
        below, core = self._below, self._core
        for _ in range(ROUNDS):
            channel = core.reading
            try:
                if (
                    channel is not None
                    and core.left >= (_TAIL if core.lastSize >= LEAST else LEAST)
                    and channel.sink is not None
                    and (room := channel.sink.room) >= LEAST
                ):
                    size = os.splice(below.fileno(), self._in[1], min(core.left, room), flags=NOWAIT)
                    if not size:
                        return CONNECTION_DONE
                    self._deliver(channel, size)
                else:
                    data = below.socket.recv(self._wanted())
                    if not data:
                        return CONNECTION_DONE
                    self._link.dataReceived(data)
            except BlockingIOError:
                return None
            except OSError:
                return CONNECTION_LOST
            if self._core is None or not below.connected:
                return None
        return None

    def _wanted(self) -> int:
        """
        How much to receive.  After a long frame, and what is left of it, there may be another one, of which
        only the head is wanted here.
        """
        core = self._core
        isNear = core.lastSize >= LEAST and core.left < _TAIL and (core.left or core.isBetween)
        size: int = core.left + HEADER if isNear else self._below.bufferSize
        return size

    def _deliver(self, channel: Any, size: int) -> None:
        """
        Give a socket what is in the pipe.
        """
        sink = channel.sink
        sink.moved(size)
        if sink.take(self._in, size):
            # The pipe is the sink's until it is empty.
            try:
                self._in = self._spare.pop() if self._spare else openPipe()
            except OSError:
                sink.spill()
        self._link.passed(channel, size)

    def giveBack(self, pipe: tuple[int, int], isEmpty: bool) -> None:
        """
        A sink needs a pipe no longer.
        """
        if isEmpty and self._core is not None and len(self._spare) < _SPARE:
            self._spare.append(pipe)
        else:
            _close(pipe)


def _close(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.close(end)


def _linkOf(stream: Any) -> Any:
    """
    The link of a stream, if that is one of HTTP/2.

    @param stream: a L{MuxStream<ugate.protocols.mux.MuxStream>}, or any transport.
    """
    # Wrappers of Twisted's claim to be what they wrap, and TLS is one.
    channel = stream.channel if isinstance(stream, MuxStream) else None
    return getattr(getattr(channel, "core", None), "events", None)


def splicerFor(stream: Any) -> LinkSplicer | None:
    """
    What splices for the link of a stream, if that can be spliced.

    @param stream: see L{_linkOf}.
    """
    link = _linkOf(stream)
    if not available or link is None or link.bare is None:
        return None
    if link.splicer is None:
        try:
            link.splicer = LinkSplicer(link)
        except OSError:
            return None
    splicer: LinkSplicer = link.splicer
    return splicer


def _secureBelow(stream: Any) -> TLSConnection | None:
    """
    The transport of the link of a stream, if that is TLS and right above a socket.
    """
    link = _linkOf(stream)
    secure: TLSConnection | None = None if link is None else link.secure
    return secure


def lend(clock: IReactorTime, source: Any, sink: Any, moved: Callable[[int], object]) -> bool:
    """
    Let the kernel move what comes from a transport to another, as far as it can.

    @param clock: tells how fast a source is, and when it has been left alone for long enough.
    @param moved: called with each count of bytes that went that way, and not through their protocols.
    @return: whether one of the two is such a stream, and the other another one, or a bare socket.
    """
    bare = connectionBelow(source)
    if bare is not None:
        secure = _secureBelow(sink)
        if secure is not None:
            Inlet(secure, sink.channel, bare, moved)
            return True
        splicer = splicerFor(sink)
        if splicer is not None:
            Source(clock, splicer, sink.channel, bare, moved)
            return True
        return False
    bare = connectionBelow(sink)
    if bare is not None and _secureBelow(source) is not None:
        source.channel.outlet = Outlet(source, bare, moved)
        return True
    onward = splicerFor(sink) if bare is None else None
    splicer = splicerFor(source) if bare is not None or onward is not None else None
    if splicer is None:
        return False
    if onward is not None:
        source.channel.sink = FrameSink(splicer, source, onward, sink.channel, moved)
    else:
        source.channel.sink = Sink(splicer, source, bare, moved)
    return True
