# -*- test-case-name: ugate.test.test_sshchannel,ugate.test.test_sshlink -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One stream of an SSH connection: its windows, and what waits for them (RFC 4254, 5).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from twisted.internet.error import ConnectionLost

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import IChannel
from ugate.protocols.muxwriting import takePieces
from ugate.protocols.sshpackets import (
    CLOSE,
    DATA,
    EOF,
    OPEN_CONFIRMATION,
    U32,
    WINDOW_ADJUST,
    U32x2,
    U32x4,
)

if TYPE_CHECKING:
    from ugate.protocols.sshchannels import SSHChannels

PACKET: Final = 1 << 16
"""Bytes of data in one packet, either way."""

TURN: Final = 1 << 18
"""Bytes that one stream may send before others have their turn."""

PACKETS: Final = 64
"""Packets that are as many: a peer may want them to be small."""

_MAX_WINDOW: Final = (1 << 32) - 1


class Cut(ConnectionLost):
    """
    A channel is gone before both of its directions had ended.

    @since: ugate NEXT
    """

    def __str__(self) -> str:
        """
        Why, without the words of Twisted.
        """
        return str(self.args[0])


@implementer(IChannel)
class SSHChannel:
    """
    See L{IChannel}.

    @ivar id: its number here.
    @ivar remote: its number there, once it is up or the peer has asked for it.
    @ivar stream: what is above it, once there is something.
    @ivar unsent: bytes that wait.
    @ivar granted: the window that its peer had at first.
    @ivar isClosing: whether we have said that it is closed.
    @ivar isReady: whether the link has it among those that may send.
    @since: ugate NEXT
    """

    __slots__ = (
        "_finishing",
        "_queue",
        "_taken",
        "credit",
        "ended",
        "finished",
        "granted",
        "id",
        "isClosing",
        "isReady",
        "isUp",
        "link",
        "packet",
        "remote",
        "stream",
        "unsent",
        "window",
    )

    def __init__(self, link: SSHChannels, id: int, granted: int) -> None:
        self.link = link
        self.id = id
        self.remote = 0
        self.stream: Any = None
        self.window = self.packet = 0
        self.credit = self.granted = granted
        self.unsent = self._taken = 0
        self.isUp = self.isClosing = self.isReady = False
        self.ended = self.finished = self._finishing = False
        self._queue: deque[bytes | memoryview] = deque()

    def up(self, remote: int, window: int, packet: int) -> None:
        """
        What the peer has said of it.

        @raise ProtocolError: it lets nobody send anything.
        """
        if not packet:
            raise ProtocolError("a channel for packets of no bytes")
        self.remote, self.window, self.packet = remote, window, min(packet, PACKET)

    def begin(self) -> None:
        """
        It is up: what was written may go.
        """
        self.isUp = True
        self._want()

    # What comes.

    def came(self, size: int) -> None:
        """
        So many bytes are here.

        @raise ProtocolError: nobody had asked for them.
        """
        if size > self.credit or size > PACKET or self.ended or not self.isUp:
            raise ProtocolError(f"{size} bytes that channel {self.id} has no window for")
        self.credit -= size

    def consumed(self, count: int) -> None:
        """
        See L{IChannel}.
        """
        self._taken += count
        if self._taken >= self.granted >> 1 and self.isUp and not (self.ended or self.isClosing):
            more, self._taken = self._taken, 0
            self.credit += more
            self.link.send(WINDOW_ADJUST, U32x2.pack(self.remote, more))

    def adjusted(self, count: int) -> None:
        """
        The peer lets us send more.

        @raise ProtocolError: that is more than there can be.
        """
        self.window += count
        if self.window > _MAX_WINDOW:
            raise ProtocolError(f"a window of {self.window} bytes for channel {self.id}")
        self._want()

    # What goes.

    def write(self, data: bytes) -> None:
        """
        See L{IChannel}.
        """
        size = len(data)
        if not size or self._finishing or self.isClosing:
            return
        link = self.link
        if self.isUp and not (self.unsent or link.isHeld) and size <= self.window and size <= self.packet:
            self.window -= size
            link.send(DATA, U32x2.pack(self.remote, size), data)
            return
        self._queue.append(data)
        self.unsent += size
        self._want()

    def _want(self) -> None:
        if not self.isUp or self.isClosing:
            return
        if self.unsent and self.window:
            self.link.want(self)
        elif self._finishing and not self.unsent:
            self._end()

    def sendSome(self) -> None:
        """
        Send a turn's worth of what waits.
        """
        size = min(self.unsent, self.window, TURN, self.packet * PACKETS)
        if size and not (self.isClosing or self.link.isHeld):
            self.window -= size
            self.unsent -= size
            pieces = takePieces(self._queue, size)
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.link.transport.sendData(self.remote, memoryview(data), self.packet)
        if self.unsent or self.isClosing:
            return
        if self._finishing:
            self._end()
        if self.stream is not None:
            self.stream.drained()

    def finish(self) -> None:
        """
        See L{IChannel}.
        """
        if not self._finishing:
            self._finishing = True
            self._want()

    def _end(self) -> None:
        if not self.finished:
            self.finished = True
            # Mostly it is closed, too, and one write wakes the peer once.
            self.link.transport.together(self._sendEnd)

    def _sendEnd(self) -> None:
        self.link.send(EOF, U32.pack(self.remote))
        self.closeIfDone()

    def closeIfDone(self) -> None:
        """
        With both directions at an end, it is closed.
        """
        if self.finished and self.ended:
            self.close()

    def close(self) -> None:
        """
        Say that it is closed; the peer says so too, and then it is gone.
        """
        if self.isClosing:
            return
        self.isClosing = True
        self._queue.clear()
        self.unsent = 0
        self.link.send(CLOSE, U32.pack(self.remote))
        self.link.closing(self)

    def reset(self) -> None:
        """
        See L{IChannel}.
        """
        self.stream = None
        if self.isUp:
            self.close()
        else:
            self.refuse(Refused(Cause.GENERAL, Phase.REMOTE, "peer"))

    def accept(self) -> None:
        """
        See L{IChannel}.
        """
        self.link.send(OPEN_CONFIRMATION, U32x4.pack(self.remote, self.id, self.granted, PACKET))
        self.begin()

    def refuse(self, reason: Refused) -> None:
        """
        See L{IChannel}.
        """
        self.link.refuse(self, reason)
