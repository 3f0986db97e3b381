# -*- test-case-name: ugate.test.test_sshlink,ugate.test.test_sshlink_answering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A link of many streams in SSH (RFC 4254): C{direct-tcpip} both ways round.

What is below it moves packets: C{sendPacket(number, payload)}, C{sendDisconnect(code, text)} and C{transport}, as
transports of Conch have them; it calls what services of Conch have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.errors import Cause, Phase, ProtocolError, Refused, StringError
from ugate.interfaces import ILink
from ugate.protocols.mux import MuxStream
from ugate.protocols.sshchannel import PACKET, SSHChannel
from ugate.protocols.sshpackets import (
    CHANNEL_FAILURE,
    CHANNEL_REQUEST,
    CHANNEL_SUCCESS,
    CLOSE,
    DATA,
    DIRECT,
    EOF,
    EXTENDED_DATA,
    GLOBAL_REQUEST,
    OPEN,
    OPEN_CONFIRMATION,
    OPEN_FAILURE,
    REQUEST_FAILURE,
    REQUEST_SUCCESS,
    SESSION,
    SHORTAGE,
    U32,
    UNKNOWN_TYPE,
    WINDOW_ADJUST,
    Reader,
    U32x2,
    U32x3,
    asked,
    asks,
    refused,
    refusing,
    string,
    words,
)
from ugate.stream import StreamInfo, Target

HOP: Final = "peer"
"""What refusals name; whoever knows the hop says so instead."""

PROTOCOL: Final = "direct-tcpip"
"""What such a stream was recognized as."""

WINDOW: Final = 1 << 21
"""Bytes that a stream may send before its reader takes some."""

TOTAL: Final = 1 << 27
"""Bytes of windows of one link that may be so large."""

SMALL: Final = 1 << 16
"""The window of the streams beyond that."""

MOST: Final = 1000
"""Streams of one link at once, of either side."""

PATIENCE: Final = 60.0
"""Seconds that a peer has to close a stream that is closed here."""

_KEEPALIVE: Final = b"keepalive@openssh.com"
_DRAINING: Final = b"draining@ugate"
_PROTOCOL_ERROR: Final = 2
_BY_APPLICATION: Final = 11


@implementer(ILink, IPushProducer)
class SSHLink:
    """
    See L{ILink}.

    @ivar transport: what is below, once that has begun.
    @ivar isHeld: whether the transport has enough for now.
    @ivar mayOpen: asked for each target that the peer wants, before anybody else is; raises L{Refused}.
    @ivar sessions: makes what is above a C{session} of the peer, from its channel; L{None} for no such.
    @since: ugate NEXT
    """

    log = Logger()
    name = b"ssh-connection"
    incoming: Callable[[MuxStream], object] | None = None
    onDraining: Callable[[], object] | None = None
    mayOpen: Callable[[Target], object] | None = None
    sessions: Callable[[SSHChannel], Any] | None = None
    transport: Any = None
    isDraining = isHeld = False
    _isClosed = _isPumping = False

    def __init__(self, clock: IReactorTime, info: StreamInfo) -> None:
        """
        @param clock: for what a peer has to do in time.
        @param info: what is known of the connection, and who the peer has proven to be.
        """
        self.info = info
        self.channels: dict[int, SSHChannel] = {}
        self._next = 0
        self._granted = 0
        self._openings: dict[SSHChannel, tuple[StreamInfo, Deferred[Any]]] = {}
        self._ready: deque[SSHChannel] = deque()
        self._pings: deque[Deferred[None]] = deque()
        self._closing: Deadlines[SSHChannel] = Deadlines(clock, PATIENCE, self._unclosed)
        self._waiting: list[Deferred[str]] = []
        self._why = ""

    def logPrefix(self) -> str:
        """
        For the log of the reactor.
        """
        return "link"

    # Of the transport.

    def serviceStarted(self) -> None:
        """
        Streams may begin.
        """
        self.transport.transport.registerProducer(self, True)

    def serviceStopped(self) -> None:
        """
        The connection is gone.
        """
        self._gone(self._why or getattr(self.transport, "why", "") or "the connection was lost")

    def packetReceived(self, number: int, packet: bytes) -> None:
        """
        A message came.
        """
        if self._isClosed:
            return
        message = _MESSAGES.get(number)
        if message is None:
            self.transport.sendUnimplemented()
            return
        try:
            message(self, Reader(packet))
        except ProtocolError as fault:
            self.log.info("{peer} breaks SSH: {error}", peer=str(self.info), error=str(fault))
            self._leave(_PROTOCOL_ERROR, f"the peer broke SSH: {fault}")

    def send(self, number: int, payload: bytes) -> None:
        """
        Send a message.
        """
        if not self._isClosed:
            self.transport.sendPacket(number, payload)

    def pauseProducing(self) -> None:
        """
        The transport has enough for now.
        """
        self.isHeld = True

    def resumeProducing(self) -> None:
        """
        The transport takes more.
        """
        self.isHeld = False
        self._pump()

    def stopProducing(self) -> None:
        """
        The transport takes no more; why, is said when it is gone.
        """
        self.isHeld = True

    def want(self, channel: SSHChannel) -> None:
        """
        A channel has something to send.
        """
        if not channel.isReady:
            channel.isReady = True
            self._ready.append(channel)
        self._pump()

    def _pump(self) -> None:
        """
        Let channels send, one after another, as long as the transport takes it.
        """
        if self._isPumping:
            return
        self._isPumping = True
        ready = self._ready
        while ready and not (self.isHeld or self._isClosed):
            channel = ready.popleft()
            channel.isReady = False
            channel.sendSome()
            if channel.unsent and channel.window and not channel.isReady:
                channel.isReady = True
                ready.append(channel)
        self._isPumping = False

    # What the peer says.

    def _channel(self, reader: Reader) -> SSHChannel:
        number = reader.number()
        channel = self.channels.get(number)
        if channel is None or not (channel.isUp or channel in self._openings):
            raise ProtocolError(f"channel {number} is not open")
        return channel

    def _asked(self, reader: Reader) -> None:
        kind, remote = reader.string(), reader.number()
        window, packet = reader.number(), reader.number()
        code, text = SHORTAGE, f"more than {MOST} channels"
        try:
            if len(self.channels) >= MOST:
                pass
            elif self.isDraining:
                text = "going away"
            elif kind == DIRECT:
                self._direct(remote, window, packet, reader.rest())
                return
            elif kind == SESSION and self.sessions is not None:
                channel = self._make(remote, window, packet)
                channel.stream = self.sessions(channel)
                channel.accept()
                return
            else:
                code, text = UNKNOWN_TYPE, "unknown channel type"
        except StringError as e:
            code, text = UNKNOWN_TYPE, str(e)
        self._say(remote, code, text)

    def _direct(self, remote: int, window: int, packet: int, data: bytes) -> None:
        target, claim = asked(data)
        base = self.info
        hints = {**base.hints, "originator": claim} if claim else base.hints
        info = base.but(target=target, protocol=PROTOCOL, hints=hints, layers=(*base.layers, "ssh"))
        channel = self._make(remote, window, packet)
        stream = channel.stream = MuxStream(channel, info, True)
        try:
            if self.mayOpen is not None:
                self.mayOpen(target)
            if self.incoming is None:
                raise Refused(Cause.OVERLOADED, Phase.NEGOTIATE, HOP, "nobody takes streams here")
        except Refused as reason:
            self.log.info("{info} refused: {reason}", info=str(info), reason=str(reason))
            stream.refuse(reason)
            return
        self.incoming(stream)

    def _make(self, remote: int, window: int, packet: int) -> SSHChannel:
        channel = self._another()
        try:
            channel.up(remote, window, packet)
        except ProtocolError:
            self._forget(channel)
            raise
        return channel

    def _another(self) -> SSHChannel:
        granted = WINDOW if self._granted + WINDOW <= TOTAL else SMALL
        self._granted += granted
        number, self._next = self._next, (self._next + 1) % (1 << 32)
        channel = self.channels[number] = SSHChannel(self, number, granted)
        return channel

    def _forget(self, channel: SSHChannel) -> None:
        if self.channels.pop(channel.id, None) is not None:
            self._granted -= channel.granted
            self._closing.stop(channel)

    def refuse(self, channel: SSHChannel, reason: Refused) -> None:
        """
        Tell the peer why a stream that it asked for is none.
        """
        channel.stream = None
        self._forget(channel)
        self._say(channel.remote, *refusing(reason))
        self._closeIfDone()

    def _say(self, remote: int, code: int, text: str) -> None:
        self.send(OPEN_FAILURE, U32x2.pack(remote, code) + string(text.encode()) + string(b"en"))

    def _confirmed(self, reader: Reader) -> None:
        channel = self._channel(reader)
        opening = self._openings.pop(channel, None)
        if opening is None:
            raise ProtocolError(f"channel {channel.id} is confirmed twice")
        channel.up(reader.number(), reader.number(), reader.number())
        info, done = opening
        if done.called:
            # Nobody waits for it any more; only now can the peer be told.
            channel.isUp = True
            channel.close()
            return
        stream = channel.stream = MuxStream(channel, info)
        channel.begin()
        done.callback(stream)

    def _failed(self, reader: Reader) -> None:
        channel = self._channel(reader)
        opening = self._openings.pop(channel, None)
        if opening is None:
            raise ProtocolError(f"channel {channel.id} is open, and refused")
        self._forget(channel)
        info, done = opening
        if not done.called:
            done.errback(refused(HOP, info.target, reader.number(), words(reader.string())))
        self._closeIfDone()

    def _adjusted(self, reader: Reader) -> None:
        self._channel(reader).adjusted(reader.number())

    def _data(self, reader: Reader) -> None:
        channel = self._channel(reader)
        data = reader.string()
        channel.came(len(data))
        if channel.stream is not None:
            channel.stream.received(data)

    def _extended(self, reader: Reader) -> None:
        channel = self._channel(reader)
        reader.number()
        size = len(reader.string())
        channel.came(size)
        channel.consumed(size)

    def _ended(self, reader: Reader) -> None:
        channel = self._channel(reader)
        if not channel.ended:
            channel.ended = True
            if channel.stream is not None:
                channel.stream.ended()
            channel.closeIfDone()

    def _closed(self, reader: Reader) -> None:
        """
        With the peer's direction at an end and all of ours said, it is as it should be: many clients close so
        at once.  Else it was cut.
        """
        channel = self._channel(reader)
        whole = channel.ended and not channel.unsent
        channel.close()
        self._forget(channel)
        stream, channel.stream = channel.stream, None
        if stream is not None:
            stream.closed(Failure(ConnectionDone() if whole else ConnectionLost("the peer cut the stream")))
        self._closeIfDone()

    def _requested(self, reader: Reader) -> None:
        channel = self._channel(reader)
        name, wants = reader.string(), reader.truth()
        requested = getattr(channel.stream, "requested", None)
        isGood = requested is not None and requested(name, reader.rest())
        if wants and not channel.isClosing:
            self.send(CHANNEL_SUCCESS if isGood else CHANNEL_FAILURE, U32.pack(channel.remote))
        if isGood:
            channel.stream.answered()

    def _answered(self, reader: Reader) -> None:
        """
        We make no requests of channels.
        """

    def _globally(self, reader: Reader) -> None:
        name, wants = reader.string(), reader.truth()
        if name == _DRAINING:
            self._peerDrains()
        if wants:
            self.send(REQUEST_SUCCESS if name == _KEEPALIVE else REQUEST_FAILURE, b"")

    def _ponged(self, reader: Reader) -> None:
        if not self._pings:
            raise ProtocolError("an answer that nobody has asked for")
        waiting = self._pings.popleft()
        if not waiting.called:
            waiting.callback(None)

    # ILink

    @property
    def streams(self) -> int:
        """
        See L{ILink}.
        """
        return len(self.channels)

    @property
    def room(self) -> int:
        """
        See L{ILink}.
        """
        return 0 if self.isDraining or self._isClosed else max(0, MOST - len(self.channels))

    def open(self, info: StreamInfo) -> Deferred[Any]:
        """
        See L{ILink}.  One that is given up goes away at the other end when that has answered: SSH has no
        words for it before.
        """
        target = info.target
        if target is None:
            return fail(Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, HOP, "the stream names no target"))
        if self._isClosed or self.isDraining:
            why = self._why or "the link is going away"
            return fail(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, why))
        if not self.room:
            many = f"{len(self.channels)} streams are open on the link"
            return fail(Refused(Cause.OVERLOADED, Phase.REMOTE, HOP, many))
        channel = self._another()
        done: Deferred[Any] = Deferred()
        self._openings[channel] = info, done
        head = string(DIRECT) + U32x3.pack(channel.id, channel.granted, PACKET)
        self.send(OPEN, head + asks(target, info))
        return done

    def ping(self) -> Deferred[None]:
        """
        See L{ILink}.
        """
        if self._isClosed:
            return fail(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, self._why))
        waiting: Deferred[None] = Deferred()
        self._pings.append(waiting)
        self.send(GLOBAL_REQUEST, string(_KEEPALIVE) + b"\1")
        return waiting

    def drain(self) -> None:
        """
        See L{ILink}.  Those who do not know the word for it are refused what they ask for.
        """
        if not (self.isDraining or self._isClosed):
            self.isDraining = True
            self.send(GLOBAL_REQUEST, string(_DRAINING) + b"\0")
        self._closeIfDone()

    def _peerDrains(self) -> None:
        if not self.isDraining:
            self.isDraining = True
            if self.onDraining is not None:
                self.onDraining()
        self._closeIfDone()

    def abort(self, reason: str) -> None:
        """
        See L{ILink}.
        """
        self._why = self._why or reason
        if not self._isClosed:
            self._release()
            self.transport.transport.abortConnection()
        self._gone(self._why)

    def whenClosed(self) -> Deferred[str]:
        """
        See L{ILink}.
        """
        waiting: Deferred[str] = Deferred()
        if self._isClosed:
            waiting.callback(self._why)
        else:
            self._waiting.append(waiting)
        return waiting

    # How it ends.

    def closing(self, channel: SSHChannel) -> None:
        """
        We have closed a channel: the peer has to do so, too.
        """
        self._closing.start(channel)

    def _unclosed(self, channel: SSHChannel) -> None:
        self.abort(f"the peer did not close a channel in {PATIENCE:g} s")

    def _closeIfDone(self) -> None:
        if self.isDraining and not (self.channels or self._isClosed):
            self._leave(_BY_APPLICATION, "the last stream of a link that was going away has ended")

    def _release(self) -> None:
        self.transport.transport.unregisterProducer()

    def _leave(self, code: int, why: str) -> None:
        """
        Say why, and close.
        """
        self._why = why
        self._release()
        self.transport.sendDisconnect(code, why.encode()[:100])
        self._gone(why)

    def _gone(self, why: str) -> None:
        if self._isClosed:
            return
        self._isClosed = True
        self._why = why
        self._closing.close()
        self._ready.clear()
        channels, self.channels = self.channels, {}
        openings, self._openings = self._openings, {}
        for info, done in openings.values():
            if not done.called:
                done.errback(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, f"{info.target}, {why}"))
        for channel in channels.values():
            stream, channel.stream = channel.stream, None
            if stream is not None:
                stream.closed(Failure(ConnectionLost(why)))
        pings, self._pings = self._pings, deque()
        for ping in pings:
            if not ping.called:
                ping.errback(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, why))
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(why)


_MESSAGES: Final[dict[int, Callable[[SSHLink, Reader], None]]] = {
    GLOBAL_REQUEST: SSHLink._globally,
    REQUEST_SUCCESS: SSHLink._ponged,
    REQUEST_FAILURE: SSHLink._ponged,
    OPEN: SSHLink._asked,
    OPEN_CONFIRMATION: SSHLink._confirmed,
    OPEN_FAILURE: SSHLink._failed,
    WINDOW_ADJUST: SSHLink._adjusted,
    DATA: SSHLink._data,
    EXTENDED_DATA: SSHLink._extended,
    EOF: SSHLink._ended,
    CLOSE: SSHLink._closed,
    CHANNEL_REQUEST: SSHLink._requested,
    CHANNEL_SUCCESS: SSHLink._answered,
    CHANNEL_FAILURE: SSHLink._answered,
}
"""What to do with each message."""
