# -*- test-case-name: ugate.test.test_h2core,ugate.test.test_h2core_windows,ugate.test.test_h2states -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A connection of HTTP/2 (RFC 9113), without a socket: bytes come, bytes go.

What is out of the ordinary is for the h2 library, and all that is of the connection but its windows
and C{GOAWAY}.  It keeps no streams: it is told what one is like before it is given a frame of it, and says
what is wrong with that.  C{DATA}, C{RST_STREAM} and header blocks that it has seen before need no more than
a look at the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import h2.events
from h2.exceptions import ProtocolError as H2Error
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

from ugate.protocols.h2blocks import Blocks
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2control import H2Events
from ugate.protocols.h2forward import passedOn
from ugate.protocols.h2frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER,
    HEADERS,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Code,
    ConnectionFault,
    codeName,
    frameHead,
    number,
    rstStream,
)
from ugate.protocols.h2sending import MAX_WINDOW, H2Sending
from ugate.protocols.httpfields import Fields


class H2Core(H2Sending):
    """
    One side of a connection, whole: what comes is given to it.

    @since: ugate NEXT
    """

    _fresh = b""
    """A header block that may be remembered, if it begins a stream or answers one."""

    def __init__(
        self, client: bool, events: H2Events, seconds: Callable[[], float], limits: H2Limits
    ) -> None:
        super().__init__(client, events, seconds, limits)
        self._met: Blocks[bytes, Fields] = Blocks()

    def receive(self, data: bytes | memoryview) -> None:
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
        if self.freed >= self.grantFrom:
            self.grant()
        if self.out:
            self.flush()

    def _readPreface(self, data: bytes | memoryview) -> bytes | memoryview:
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

    def dataBegins(
        self, stream: int, size: int, padding: int, flags: int
    ) -> Callable[[bytes | memoryview], object]:
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
            self._tell(frameHead(0, DATA, 0, stream), stream)
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
        channel = self.channels.get(stream) if stream else None
        if channel is not None:
            self._ended(channel)

    def frame(self, kind: int, flags: int, stream: int, whole: bytes) -> None:
        """
        See L{FrameReader.frame}.
        """
        if not self._greeted:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "its first frame is not SETTINGS")
            self._greeted = True
        if kind == HEADERS:
            if flags != END_HEADERS or not self._isMet(stream, whole[HEADER:]):
                self._fieldsCame(flags, stream, whole)
            return
        if kind == RST_STREAM:
            self._resetCame(stream, whole)
            return
        self._odd.spend()
        if kind == GOAWAY:
            self._goAwayCame(stream, whole)
        elif kind == WINDOW_UPDATE:
            self._windowCame(stream, whole)
        elif kind == PRIORITY:
            self._checkPriority(stream, whole)
        elif kind in (CONTINUATION, PUSH_PROMISE):
            self._fieldsCame(0, stream, whole)
        elif kind < CONTINUATION:
            self._tell(whole, stream)

    def _isMet(self, stream: int, block: bytes) -> bool:
        """
        Take a header block that began or answered a stream before, if it does so again.
        """
        fields = self._met.known.get(block)
        if fields is None:
            return False
        if self.client:
            channel = self.channels.get(stream)
            if channel is None or channel.mayRead:
                return False
            self._answeredBy(channel, fields)
            return True
        control = self.control
        if not stream & 1 or stream <= control.highest_inbound_stream_id:
            return False
        control.highest_inbound_stream_id = stream
        self._begun(stream, fields, False)
        return True

    def _fieldsCame(self, flags: int, stream: int, whole: bytes) -> None:
        """
        Have the library look at a frame of header fields.
        """
        block = whole[HEADER:] if flags == END_HEADERS else b"\0"
        self._fresh = block if self._met.passed(block) else b""
        try:
            self._tell(whole, stream)
        finally:
            self._fresh = b""

    def _resetCame(self, stream: int, whole: bytes) -> None:
        channel = self.channels.get(stream)
        if channel is not None and len(whole) == HEADER + 4:
            self._wasReset(channel, number(whole, HEADER), True)
            return
        if stream and self.control.isIdle(stream):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "RST_STREAM of an idle stream")
        self._tell(whole, stream)

    def _checkPriority(self, stream: int, whole: bytes) -> None:
        if not stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY of no stream")
        if len(whole) != 14:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PRIORITY of another size")

    def _tell(self, whole: bytes, stream: int) -> None:
        """
        Let the library see a frame.
        """
        control = self.control
        channel = self.channels.get(stream)
        if channel is not None:
            control.restore(channel)
        try:
            events = control.receive_data(whole)
        except StreamClosedError as error:
            control.clear_outbound_data_buffer()
            raise ConnectionFault(Code.STREAM_CLOSED, "a frame of a stream that is closed") from error
        except H2Error as error:
            control.clear_outbound_data_buffer()
            # What follows may be what a field says.
            text = str(error).partition(":")[0].partition("'")[0].removesuffix(" b").strip()
            raise ConnectionFault(int(error.error_code), text) from error
        control.streams.clear()
        self.collect()
        for event in events:
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)

    def _settingsCame(self, event: Any) -> None:
        control = self.control
        control.settled()
        self.packed.clear()
        first = int(control.remote_settings.initial_window_size)
        delta, self.firstOut = first - self.firstOut, first
        self.maxFrame = control.max_outbound_frame_size
        self.takesExtended = bool(control.remote_settings.enable_connect_protocol)
        changed = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
        if changed is not None:
            self.maxStreams = changed.new_value
        for channel in tuple(self.channels.values()) if delta else ():
            channel.window += delta
            if channel.window > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window of more than 2^31-1")
            self.want(channel)
        self._roomCame(tuple(self.waiting))
        self.events.settled(False)
        self.pump()

    def _acknowledged(self, event: Any) -> None:
        self.events.settled(True)

    def _requested(self, event: Any) -> None:
        if self._fresh:
            self._met.learn(self._fresh, event.headers)
        self._begun(event.stream_id, event.headers, event.stream_ended is not None)

    def _begun(self, stream: int, fields: Fields, isOver: bool) -> None:
        if self.draining is not None and stream > self.draining:
            self._refuseStream(stream)
            return
        self.lastTaken = stream
        if self.theirs >= self.limits.streams:
            self._provoked()
            self._refuseStream(stream)
            return
        channel = H2Channel(self, stream, False)
        channel.isOver = isOver
        self.channels[stream] = channel
        self.theirs += 1
        self.events.requested(channel, fields)

    def _refuseStream(self, stream: int) -> None:
        self.control.forget(stream, True)
        self.out.append(rstStream(stream, Code.REFUSED_STREAM))
        self.flush()

    def _answered(self, event: Any) -> None:
        if self._fresh:
            self._met.learn(self._fresh, event.headers)
        channel = self.channels.get(event.stream_id)
        if channel is not None:
            channel.isOver = event.stream_ended is not None
            self._answeredBy(channel, event.headers)

    def _answeredBy(self, channel: H2Channel, fields: Fields) -> None:
        channel.mayRead = True
        self.events.answered(channel, fields)

    def _endedByPeer(self, event: Any) -> None:
        channel = self.channels.get(event.stream_id)
        if channel is not None:
            self._ended(channel)

    def _ended(self, channel: H2Channel) -> None:
        channel.ended = channel.isOver = True
        if channel.finished:
            # That it is over says that, too.
            self._over(channel, None, "done", False)
        elif channel.stream is not None:
            channel.stream.ended()

    def _resetByPeer(self, event: Any) -> None:
        channel = self.channels.get(event.stream_id)
        if channel is not None:
            self._wasReset(channel, int(event.error_code), event.remote_reset)

    def _wasReset(self, channel: H2Channel, code: int, isRemote: bool) -> None:
        if isRemote and not channel.isUp and not channel.isOurs:
            self._resets.spend()
        if isRemote and channel.other is not None:
            channel.other.code = passedOn(code)
        clean = code == Code.NO_ERROR and channel.ended and channel.isUp and not channel.unsent
        whose = "the peer" if isRemote else "we"
        text = f"{whose} ended the stream with {codeName(code)}"
        self._over(channel, None if clean else code, text, True)

    def _ponged(self, event: Any) -> None:
        self.events.ponged(event.ping_data)

    def _goAwayCame(self, stream: int, whole: bytes) -> None:
        if stream or len(whole) < 17:
            code = Code.PROTOCOL_ERROR if stream else Code.FRAME_SIZE_ERROR
            raise ConnectionFault(code, "GOAWAY of a stream, or too short")
        last, why = number(whole, 9) & MAX_WINDOW, number(whole, 13)
        said = "".join(c for c in whole[17:217].decode("utf-8", "replace") if c.isprintable())
        self.maxStreams = 0
        self.events.goingAway(last, why, said)


_HANDLERS: Final[dict[type, Callable[[H2Core, Any], None]]] = {
    h2.events.RemoteSettingsChanged: H2Core._settingsCame,
    h2.events.SettingsAcknowledged: H2Core._acknowledged,
    h2.events.RequestReceived: H2Core._requested,
    h2.events.ResponseReceived: H2Core._answered,
    h2.events.StreamEnded: H2Core._endedByPeer,
    h2.events.StreamReset: H2Core._resetByPeer,
    h2.events.PingAckReceived: H2Core._ponged,
}


def _drop(piece: bytes | memoryview) -> None:
    """
    What came on a stream that takes nothing.
    """
