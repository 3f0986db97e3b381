# -*- test-case-name: ugate.test.test_h2core -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A connection of HTTP/2 (RFC 9113), without a socket: bytes come, bytes go.

All frames but C{DATA}, C{WINDOW_UPDATE} and C{GOAWAY} are for the h2 library, which keeps the
states of streams and packs header fields.  It is told of the ends of streams, and never sees their data:
that would be copied several times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, Protocol

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError as H2Error
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings

from ugate.errors import Refused
from ugate.protocols.h2calm import H2Limits, Patience
from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2frames import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Code,
    ConnectionFault,
    FrameReader,
    codeName,
    frameHead,
    goAway,
    number,
    windowUpdate,
)

Fields = list[tuple[bytes, bytes]]

FIRST_WINDOW: Final = 65535
"""That of a connection, whatever its settings say."""

MAX_WINDOW: Final = 2**31 - 1
_FEW_STREAMS: Final = 100
"""How many streams a server may be asked for that has not said how many."""

_MANY: Final = 2**31 - 1
_setting: Final = Struct(">HL")


class H2Events(Protocol):
    """
    What is told of what comes.
    """

    def flush(self) -> None:
        """Send what is to go."""

    def settled(self, isOurs: bool) -> None:
        """The settings of the peer came, or its word on ours."""

    def requested(self, channel: H2Channel, fields: Fields) -> None:
        """The peer opens a stream."""

    def answered(self, channel: H2Channel, fields: Fields) -> None:
        """The peer has answered a stream of ours."""

    def lost(self, channel: H2Channel, code: int | None, text: str) -> None:
        """A stream is over: cleanly, or with a code."""

    def ponged(self, data: bytes) -> None:
        """A ping of ours was answered."""

    def goingAway(self, last: int, code: int, text: str) -> None:
        """The peer looks at no later streams."""

    def accept(self, channel: H2Channel) -> None:
        """Tell the peer that a stream is up."""

    def refuse(self, channel: H2Channel, reason: Refused) -> None:
        """Tell the peer why a stream is not."""


class Control(H2Connection):
    """
    That of the library, with streams counted elsewhere: it would look at all of them for each new one.
    """

    MAX_CLOSED_STREAMS = 4096

    @property
    def open_inbound_streams(self) -> int:
        """None that count."""
        return 0

    @property
    def open_outbound_streams(self) -> int:
        """None that count."""
        return 0

    def ignoreLength(self, stream: int) -> None:
        """
        What is said of the length of a stream does not matter: nobody counts its bytes here.
        """
        state = self.streams.get(stream)
        if state is not None:
            state._expected_content_length = None

    def forget(self, stream: int) -> None:
        """
        A stream is over.
        """
        state = self.streams.pop(stream, None)
        if state is not None:
            self._closed_streams[stream] = state.closed_by

    @property
    def unopened(self) -> int:
        """
        How many streams we could still begin, by their numbers.
        """
        return (self.HIGHEST_ALLOWED_STREAM_ID - self.highest_outbound_stream_id) // 2

    def isClosed(self, stream: int) -> bool:
        """
        Whether a stream has ended both ways.
        """
        state = self.streams.get(stream)
        return state is None or bool(state.closed)

    def isIdle(self, stream: int) -> bool:
        """
        Whether a stream has not been begun by whose it would be.
        """
        ours = stream % 2 == int(self.config.client_side)
        return stream > (self.highest_outbound_stream_id if ours else self.highest_inbound_stream_id)


class H2Core(FrameReader):
    """
    One side of a connection.

    @ivar out: what is to be sent; whoever sends it empties it.
    @ivar channels: the streams that are up or being opened, by number.
    @ivar window: how many bytes the peer lets us send on all streams together.
    @ivar blocked: whether whoever sends has enough for now.
    @ivar maxFrame: the longest frame that the peer takes.
    @ivar maxStreams: how many streams the peer lets us open.
    @since: ugate NEXT
    """

    def __init__(
        self, client: bool, events: H2Events, seconds: Callable[[], float], limits: H2Limits
    ) -> None:
        super().__init__()
        self.client = client
        self.events = events
        self.limits = limits
        self.channels: dict[int, H2Channel] = {}
        self.out: list[bytes | memoryview] = []
        self.window = FIRST_WINDOW
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
        self._resets = Patience(limits.resets, limits.resetRate, seconds, "streams that were given up at once")
        self.control = Control(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )

    def start(self) -> None:
        """
        Say what we want of the peer.
        """
        limits, control = self.limits, self.control
        control.local_settings = Settings(
            client=self.client,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: _MANY,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        control.max_inbound_frame_size = MAX_FRAME
        control.decoder.max_header_list_size = limits.headers
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
        body = b"".join(_setting.pack(*each) for each in settings)
        self.out += (frameHead(len(body), SETTINGS, 0, 0), body)
        self.out.append(windowUpdate(0, limits.connectionWindow - FIRST_WINDOW))
        self.flush()

    # What comes.

    def receive(self, data: bytes) -> None:
        """
        Take what came; what is above hears of it at once.

        @raise ConnectionFault: the peer did what ends the connection.
        """
        if self._preface:
            data = self._readPreface(data)
        self._depth += 1
        try:
            self.feed(data)
        finally:
            self._depth -= 1
        self.grant()
        self.flush()

    def _readPreface(self, data: bytes) -> bytes:
        wanted = self._preface
        size = min(len(wanted), len(data))
        if data[:size] != wanted[:size]:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "it does not begin as HTTP/2 does")
        self._preface = wanted[size:]
        if not self._preface:
            self.control.receive_data(PREFACE)
        return data[size:]

    def splicedTo(self, channel: H2Channel, count: int) -> None:
        """
        So many bytes of data came, and its reader has them already.

        @raise ConnectionFault: see L{receive}.
        """
        self.freed += count
        channel.taken(count)
        self._depth += 1
        try:
            self.passed(count)
        finally:
            self._depth -= 1
        self.grant()
        self.flush()

    def dataBegins(self, stream: int, size: int, padding: int, flags: int) -> Callable[[bytes], object]:
        """
        See L{FrameReader.dataBegins}.
        """
        self._credit -= size
        if self._credit < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more data than the window of the connection")
        self._ending = 0
        self.reading = None
        self.lastSize = size
        channel = self.channels.get(stream)
        if channel is None or channel.ended or not channel.mayRead:
            # The library knows what is wrong with it.
            self.freed += size
            self._provoked()
            self._tell(frameHead(0, DATA, 0, stream))
            return _drop
        channel.credit -= size
        if channel.credit < 0:
            self.freed += size
            self._provoked()
            self.resetStream(channel, Code.FLOW_CONTROL_ERROR, "more data than its window")
            return _drop
        if flags & END_STREAM:
            self._ending = stream
        elif size > padding:
            self._odd.earn()
        else:
            self._odd.spend()
        if padding:
            self.freed += padding
            channel.taken(padding)
        else:
            self.reading = channel
        return channel.came

    def dataEnds(self) -> None:
        """
        See L{FrameReader.dataEnds}.
        """
        self.reading = None
        stream = self._ending
        if stream and stream in self.channels:
            self._tell(frameHead(0, DATA, END_STREAM, stream))

    def frame(self, kind: int, flags: int, stream: int, whole: bytes) -> None:
        """
        See L{FrameReader.frame}.
        """
        if not self._greeted:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "its first frame is not SETTINGS")
            self._greeted = True
        if kind not in (HEADERS, RST_STREAM, GOAWAY):
            self._odd.spend()
        if kind == WINDOW_UPDATE:
            self._windowCame(stream, whole)
        elif kind == GOAWAY:
            self._goAwayCame(stream, whole)
        elif kind <= 9:
            if kind == RST_STREAM and stream and self.control.isIdle(stream):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "RST_STREAM of an idle stream")
            if kind == PRIORITY:
                self._checkPriority(stream, whole)
                return
            self._tell(whole)

    def _checkPriority(self, stream: int, whole: bytes) -> None:
        if not stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY of no stream")
        if len(whole) != 14:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PRIORITY of another size")

    def _tell(self, whole: bytes) -> None:
        """
        Let the library see a frame.
        """
        try:
            events = self.control.receive_data(whole)
        except StreamClosedError as error:
            self.control.clear_outbound_data_buffer()
            raise ConnectionFault(Code.STREAM_CLOSED, "a frame of a stream that is closed") from error
        except H2Error as error:
            self.control.clear_outbound_data_buffer()
            # What follows may be what a field says.
            text = str(error).partition(":")[0].partition("'")[0].removesuffix(" b").strip()
            raise ConnectionFault(int(error.error_code), text) from error
        self.collect()
        for event in events:
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)

    def collect(self) -> None:
        """
        Take what the library wants to send.
        """
        made = self.control.data_to_send()
        if made:
            self.out.append(made)
            self.flush()

    def _settingsCame(self, event: Any) -> None:
        control = self.control
        first = int(control.remote_settings.initial_window_size)
        delta, self.firstOut = first - self.firstOut, first
        self.maxFrame = control.max_outbound_frame_size
        changed = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
        if changed is not None:
            self.maxStreams = changed.new_value
        for channel in tuple(self.channels.values()) if delta else ():
            channel.window += delta
            if channel.window > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window of more than 2^31-1")
            self.want(channel)
        self.events.settled(False)
        self.pump()

    def _acknowledged(self, event: Any) -> None:
        self.events.settled(True)

    def _requested(self, event: Any) -> None:
        stream = event.stream_id
        self.control.ignoreLength(stream)
        if self.draining is not None and stream > self.draining:
            self._refuseStream(stream)
            return
        self.lastTaken = stream
        if self.theirs >= self.limits.streams:
            self._provoked()
            self._refuseStream(stream)
            return
        channel = H2Channel(self, stream, False)
        self.channels[stream] = channel
        self.theirs += 1
        self.events.requested(channel, event.headers)

    def _refuseStream(self, stream: int) -> None:
        self.control.reset_stream(stream, Code.REFUSED_STREAM)
        self.control.forget(stream)
        self.collect()

    def _answered(self, event: Any) -> None:
        self.control.ignoreLength(event.stream_id)
        channel = self.channels.get(event.stream_id)
        if channel is not None:
            channel.mayRead = True
            self.events.answered(channel, event.headers)

    def _endedByPeer(self, event: Any) -> None:
        channel = self.channels.get(event.stream_id)
        if channel is None:
            return
        channel.ended = True
        if channel.stream is not None:
            channel.stream.ended()
        self._maybeOver(channel)

    def _resetByPeer(self, event: Any) -> None:
        channel = self.channels.get(event.stream_id)
        if channel is None:
            return
        if event.remote_reset and not channel.isUp and not channel.isOurs:
            self._resets.spend()
        code = int(event.error_code)
        clean = code == Code.NO_ERROR and channel.ended and channel.isUp and not channel.unsent
        whose = "the peer" if event.remote_reset else "we"
        self._over(channel, None if clean else code, f"{whose} ended the stream with {codeName(code)}")

    def _ponged(self, event: Any) -> None:
        self.events.ponged(event.ping_data)

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
        self.want(channel)
        self.pump()

    def _goAwayCame(self, stream: int, whole: bytes) -> None:
        if stream or len(whole) < 17:
            code = Code.PROTOCOL_ERROR if stream else Code.FRAME_SIZE_ERROR
            raise ConnectionFault(code, "GOAWAY of a stream, or too short")
        last, code = number(whole, 9) & MAX_WINDOW, number(whole, 13)
        said = "".join(c for c in whole[17:217].decode("utf-8", "replace") if c.isprintable())
        self.maxStreams = 0
        self.events.goingAway(last, code, said)

    # What goes.

    def open(self, fields: Fields) -> H2Channel:
        """
        Begin a stream.
        """
        stream = self.control.get_next_available_stream_id()
        self.control.send_headers(stream, fields)
        channel = H2Channel(self, stream, True)
        self.channels[stream] = channel
        self.collect()
        return channel

    def respond(self, channel: H2Channel, fields: Fields, body: bytes | None = None) -> None:
        """
        Answer a stream.

        @param body: all that is said on it, if it is not up.
        """
        if self.channels.get(channel.id) is not channel:
            return
        self.control.send_headers(channel.id, fields)
        self.collect()
        if body is None:
            channel.up()
            return
        channel.isUp = True
        if len(body) <= min(channel.window, self.window, self.maxFrame):
            self.window -= len(body)
            self.out += (frameHead(len(body), DATA, 0, channel.id), body)
        self.control.end_stream(channel.id)
        self.collect()
        channel.finished = True
        # Our own knowledge of its end may still be on its way here.
        if not self.control.isClosed(channel.id):
            self.control.reset_stream(channel.id, Code.NO_ERROR)
            self.collect()
        self._over(channel, None, "refused")

    def endStream(self, channel: H2Channel) -> None:
        """
        Nothing more goes on a stream.
        """
        if self.channels.get(channel.id) is not channel:
            return
        channel.finished = True
        self.control.end_stream(channel.id)
        self.collect()
        self._maybeOver(channel)

    def resetStream(self, channel: H2Channel, code: int, text: str = "we ended the stream") -> None:
        """
        End a stream both ways.
        """
        if self.channels.get(channel.id) is not channel:
            return
        if not self.control.isClosed(channel.id):
            self.control.reset_stream(channel.id, code)
            self.collect()
        self._over(channel, code, text)

    def _maybeOver(self, channel: H2Channel) -> None:
        if channel.ended and channel.finished:
            self._over(channel, None, "done")

    def _over(self, channel: H2Channel, code: int | None, text: str) -> None:
        if self.channels.pop(channel.id, None) is None:
            return
        if not channel.isOurs:
            self.theirs -= 1
        self.control.forget(channel.id)
        channel.drop()
        self.events.lost(channel, code, text)
        self.grant()

    def want(self, channel: H2Channel) -> None:
        """
        A stream has something to send, and may have room for it.
        """
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
        self._pumping = False

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
        if self.freed >= self.limits.connectionWindow >> 2:
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


_HANDLERS: Final[dict[type, Callable[[H2Core, Any], None]]] = {
    h2.events.RemoteSettingsChanged: H2Core._settingsCame,
    h2.events.SettingsAcknowledged: H2Core._acknowledged,
    h2.events.RequestReceived: H2Core._requested,
    h2.events.ResponseReceived: H2Core._answered,
    h2.events.StreamEnded: H2Core._endedByPeer,
    h2.events.StreamReset: H2Core._resetByPeer,
    h2.events.PingAckReceived: H2Core._ponged,
}


def _drop(piece: bytes) -> None:
    """
    What came on a stream that takes nothing.
    """
