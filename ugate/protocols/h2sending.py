# -*- test-case-name: ugate.test.test_h2core_windows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What one side of a connection in HTTP/2 sends: whose turn it is, and what the peer may send in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final

from h2.settings import SettingCodes

from ugate.protocols.h2blocks import Blocks
from ugate.protocols.h2calm import H2Limits, Patience
from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2control import Control, H2Events
from ugate.protocols.h2frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME,
    PING,
    PREFACE,
    SETTINGS,
    Code,
    ConnectionFault,
    FrameReader,
    frameHead,
    goAway,
    number,
    rstStream,
    windowUpdate,
)
from ugate.protocols.httpfields import Fields

FIRST_WINDOW: Final = 65535
"""That of a connection, whatever its settings say."""

MAX_WINDOW: Final = 2**31 - 1
_FEW_STREAMS: Final = 100
"""How many streams a server may be asked for that has not said how many."""

_setting: Final = Struct(">HL")


class H2Sending(FrameReader):
    """
    One side of a connection: what it knows, and what it sends.

    @ivar out: what is to be sent; whoever sends it empties it.
    @ivar channels: the streams that are up or being opened, by number.
    @ivar window: how many bytes the peer lets us send on all streams together.
    @ivar widest: what that was at most; so much it is again, or half, when the peer has taken all.
    @ivar blocked: whether whoever sends has enough for now.
    @ivar maxFrame: the longest frame that the peer takes.
    @ivar maxStreams: how many streams the peer lets us open.
    @since: ugate NEXT
    """

    isExtended = False
    """Whether the peer may ask for more than bytes in a CONNECT (RFC 8441)."""
    takesExtended = False
    """Whether we may."""

    def __init__(
        self, client: bool, events: H2Events, seconds: Callable[[], float], limits: H2Limits
    ) -> None:
        super().__init__()
        self.client = client
        self.events = events
        self.limits = limits
        self.channels: dict[int, H2Channel] = {}
        self.out: list[bytes | memoryview] = []
        self.window = self.widest = FIRST_WINDOW
        self.waiting: dict[H2Channel, tuple[int, Callable[[], object]]] = {}
        """Who waits for the peer to let them send more."""
        self.firstOut = FIRST_WINDOW
        self.maxFrame = 16384
        self.maxStreams = _FEW_STREAMS
        self.blocked = False
        self.ready: deque[H2Channel] = deque()
        self.theirs = 0
        """How many of the streams are the peer's."""
        self.lastTaken = 0
        """The last stream of the peer's that was looked at."""
        self.draining: int | None = None
        """The last stream of the peer's that is looked at, once that is fixed."""
        self.freed = 0
        """Bytes that the peer may be told that it may send again, on all streams together."""
        self.promised = 0
        """By how much the windows of streams exceed the first ones."""
        self.grantFrom = limits.connectionWindow >> 2
        """From how many on that is worth a frame."""
        self._credit = limits.connectionWindow
        self.reading: H2Channel | None = None
        """Whose data is coming, as long as it is data."""
        self.lastSize = 0
        """How long the last frame of data was."""
        self._ending = 0
        self._depth = 0
        self._pumping = False
        self._preface = b"" if client else PREFACE
        self._greeted = False
        self._odd = Patience(limits.odd, limits.oddRate, seconds, "frames that carry nothing")
        self._resets = Patience(
            limits.resets, limits.resetRate, seconds, "streams that were given up at once"
        )
        self.control = Control(client, limits.headers)
        self.packed: Blocks[tuple[tuple[bytes, bytes], ...], bytes] = Blocks()

    def start(self) -> None:
        """
        Say what we want of the peer.
        """
        limits, control = self.limits, self.control
        control.initiate_connection()
        control.clear_outbound_data_buffer()
        settings = [
            (SettingCodes.INITIAL_WINDOW_SIZE, limits.firstWindow),
            (SettingCodes.MAX_FRAME_SIZE, MAX_FRAME),
            (SettingCodes.MAX_HEADER_LIST_SIZE, limits.headers),
        ]
        if self.client:
            self.out.append(PREFACE)
            settings.append((SettingCodes.ENABLE_PUSH, 0))
        else:
            settings.append((SettingCodes.MAX_CONCURRENT_STREAMS, limits.streams))
            if self.isExtended:
                settings.append((SettingCodes.ENABLE_CONNECT_PROTOCOL, 1))
        body = b"".join(_setting.pack(*each) for each in settings)
        self.out += (frameHead(len(body), SETTINGS, 0, 0), body)
        self.out.append(windowUpdate(0, limits.connectionWindow - FIRST_WINDOW))
        self.flush()

    def collect(self) -> None:
        """
        Take what the library wants to send.
        """
        made = self.control.data_to_send()
        if made:
            self.out.append(made)
            self.flush()

    def open(self, fields: Fields) -> H2Channel:
        """
        Begin a stream.
        """
        control = self.control
        # Of a client: its numbers are odd.
        control.highest_outbound_stream_id = stream = control.highest_outbound_stream_id + 1 | 1
        channel = H2Channel(self, stream, True)
        self.channels[stream] = channel
        self._sendFields(stream, fields)
        self.flush()
        return channel

    def _sendFields(self, stream: int, fields: Fields) -> None:
        key = tuple(fields)
        block = self.packed.known.get(key)
        if block is None:
            block = self.control.encoder.encode(fields)
            if self.packed.passed(block):
                self.packed.learn(key, block)
        size = self.maxFrame
        if len(block) <= size:
            self.out.append(frameHead(len(block), HEADERS, END_HEADERS, stream) + block)
            return
        kind = HEADERS
        for at in range(0, len(block), size):
            piece = block[at : at + size]
            flags = END_HEADERS if at + size >= len(block) else 0
            self.out.append(frameHead(len(piece), kind, flags, stream) + piece)
            kind = CONTINUATION

    def respond(self, channel: H2Channel, fields: Fields, body: bytes | None = None) -> None:
        """
        Answer a stream.

        @param body: all that is said on it, if it is not up.
        """
        if self.channels.get(channel.id) is not channel:
            return
        self._sendFields(channel.id, fields)
        if body is None:
            self.flush()
            channel.up()
            return
        channel.isUp = True
        if len(body) <= min(channel.window, self.window, self.maxFrame):
            self.window -= len(body)
            self.out += (frameHead(len(body), DATA, 0, channel.id), body)
        self.out.append(frameHead(0, DATA, END_STREAM, channel.id))
        channel.finished = True
        if not channel.isOver:
            self.out.append(rstStream(channel.id, Code.NO_ERROR))
        self.flush()
        self._over(channel, None, "refused", not channel.isOver)

    def endStream(self, channel: H2Channel) -> None:
        """
        Nothing more goes on a stream.
        """
        if self.channels.get(channel.id) is not channel:
            return
        channel.finished = True
        self.out.append(frameHead(0, DATA, END_STREAM, channel.id))
        self.flush()
        self._maybeOver(channel)

    def resetStream(self, channel: H2Channel, code: int, text: str = "we ended the stream") -> None:
        """
        End a stream both ways.
        """
        if self.channels.get(channel.id) is not channel:
            return
        isReset = not (channel.isOver and channel.finished)
        if isReset:
            self.out.append(rstStream(channel.id, code))
            self.flush()
        self._over(channel, code, text, isReset)

    def _maybeOver(self, channel: H2Channel) -> None:
        if channel.ended and channel.finished:
            self._over(channel, None, "done", False)

    def _over(self, channel: H2Channel, code: int | None, text: str, isReset: bool) -> None:
        if self.channels.pop(channel.id, None) is None:
            return
        if not channel.isOurs:
            self.theirs -= 1
        self.control.forget(channel.id, isReset)
        channel.drop()
        self.events.lost(channel, code, text)
        if self.freed >= self.grantFrom:
            self.grant()

    def wait(self, channel: H2Channel, least: int, roomier: Callable[[], object]) -> bool:
        """
        Be told when the peer lets a stream send more.

        @param least: how many bytes at once are wanted.
        @param roomier: called once, when that many may be sent, or never will.
        @return: whether that is so: not if they may be sent now, or if it is nothing that the peer has to do.
        """
        # Some tell of what they have taken when that is half of what they let us send.
        if min(self.firstOut, self.widest) < 2 * least or min(channel.window, self.window) >= least:
            return False
        self.waiting[channel] = least, roomier
        return True

    def _roomCame(self, channels: Iterable[H2Channel]) -> None:
        for channel in channels:
            least, roomier = self.waiting[channel]
            if min(channel.window, self.window) >= least or self.firstOut < 2 * least:
                del self.waiting[channel]
                roomier()

    def _provoked(self) -> None:
        """
        The peer made us end a stream, or say no, at once.
        """
        self._resets.spend()

    def _windowCame(self, stream: int, whole: bytes) -> None:
        if len(whole) != 13:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE of another size")
        increment = number(whole, 9) & MAX_WINDOW
        if not stream:
            self.window += increment
            if not increment or self.window > MAX_WINDOW:
                code = Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR
                raise ConnectionFault(code, "the window of the connection by nothing, or to more than 2^31-1")
            self.widest = max(self.widest, self.window)
            self._roomCame(tuple(self.waiting))
            self.pump()
            return
        channel = self.channels.get(stream)
        if channel is None:
            if self.control.isIdle(stream):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of an idle stream")
            return
        channel.window += increment
        if not increment or channel.window > MAX_WINDOW:
            self._provoked()
            code = Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR
            self.resetStream(channel, code, "its window by nothing, or to more than 2^31-1")
            return
        if channel in self.waiting:
            self._roomCame((channel,))
        self.want(channel)
        self.pump()

    def want(self, channel: H2Channel) -> None:
        """
        A stream has something to send, and may have room for it.
        """
        if channel.other is not None:
            channel.other.taken(0)
        if channel.unsent and channel.isUp and channel.window > 0 and not channel.isReady:
            channel.isReady = True
            self.ready.append(channel)

    def pump(self) -> None:
        """
        Send what waits as far as there is room, each stream in its turn.
        """
        if self._pumping:
            return
        self._pumping = True
        try:
            self._sendInTurn()
        finally:
            self._pumping = False

    def _sendInTurn(self) -> None:
        ready = self.ready
        while ready and not self.blocked and self.window > 0:
            channel = ready.popleft()
            channel.isReady = False
            if not channel.unsent or channel.window <= 0:
                continue
            channel.sendSome()
            self.want(channel)
            self.events.flush()
            if not channel.unsent:
                channel.gone()

    def flush(self) -> None:
        """
        Have sent what is to go, unless more is about to come.
        """
        if not self._depth and self.out:
            self.events.flush()

    def sent(self, size: int) -> None:
        """
        Data went: the peer may well say something of its windows.
        """
        if size:
            self._odd.earn()

    def grant(self) -> None:
        """
        Let the peer send more on all streams together, when that is worth a frame.
        """
        if self.freed >= self.grantFrom:
            freed, self.freed = self.freed, 0
            self._credit += freed
            self.out.append(windowUpdate(0, freed))
            self.flush()

    def promise(self, now: int) -> int:
        """
        By how much more a stream may have on its way than it has now: at most twice, so that those which
        begin together grow together.
        """
        limits = self.limits
        spare = (limits.connectionWindow >> 1) - self.promised
        extra = max(0, min(now, limits.streamWindow - now, spare >> 1))
        self.promised += extra
        return extra

    def ping(self, data: bytes) -> None:
        """
        Ask whether the peer is there.
        """
        self.out += (frameHead(8, PING, 0, 0), data)
        self.flush()

    def goAway(self, last: int, code: int, text: str = "") -> None:
        """
        Tell the peer that no stream after that is looked at.
        """
        self.out.append(goAway(last, code, text))
        self.flush()
