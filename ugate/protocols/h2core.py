# -*- test-case-name: ugate.test.test_h2core,ugate.test.test_h2core_windows,ugate.test.test_h2calm -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A connection of HTTP/2 (RFC 9113), without a socket: bytes come, bytes go.

All frames but C{DATA}, C{WINDOW_UPDATE} and C{GOAWAY} are for the h2 library, which keeps the
states of streams and packs header fields.  It is told of the ends of streams, and never sees their data:
that would be copied several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import h2.events
from h2.exceptions import ProtocolError as H2Error
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2forward import passedOn
from ugate.protocols.h2frames import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Code,
    ConnectionFault,
    codeName,
    frameHead,
    number,
)
from ugate.protocols.h2sending import MAX_WINDOW, H2Sending


class H2Core(H2Sending):
    """
    One side of a connection, whole: what comes is given to it.

    @since: ugate NEXT
    """

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
        if event.remote_reset and channel.other is not None:
            channel.other.code = passedOn(code)
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


def _drop(piece: bytes) -> None:
    """
    What came on a stream that takes nothing.
    """
