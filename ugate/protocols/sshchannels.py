# -*- test-case-name: ugate.test.test_sshlink,ugate.test.test_sshlink_answering,ugate.test.test_sshstreams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The streams of an SSH connection, and what its peer says of them (RFC 4254, 5).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.deadlines import Deadlines
from ugate.errors import Cause, Denied, Phase, ProtocolError, Refused, StringError
from ugate.protocols.mux import MuxStream
from ugate.protocols.sshchannel import Cut, SSHChannel
from ugate.protocols.sshpackets import (
    CHANNEL_FAILURE,
    CHANNEL_SUCCESS,
    CONNECT_FAILED,
    DATAGRAMS,
    DIRECT,
    FORWARDED,
    LOCAL,
    OPEN_FAILURE,
    SESSION,
    SHORTAGE,
    U32,
    UNKNOWN_TYPE,
    Reader,
    U32x2,
    asked,
    askedPath,
    refused,
    refusing,
    string,
    words,
)
from ugate.protocols.sshturns import SSHTurns
from ugate.stream import UDP, StreamInfo, Target

HOP: Final = "peer"
"""What refusals name; whoever knows the hop says so instead."""

PROTOCOL: Final = "direct-tcpip"
"""What such a stream was recognized as."""

TO_PATH: Final = "direct-streamlocal"
"""The same of one to a UNIX socket."""

BACKWARD: Final = "forwarded-tcpip"
"""The same of one that came to where a server listens for us."""

WINDOW: Final = 1 << 21
"""Bytes that a stream may send before its reader takes some."""

TOTAL: Final = 1 << 27
"""Bytes of windows of one link that may be so large."""

SMALL: Final = 1 << 16
"""The window of the streams beyond that."""

MOST: Final = 1000
"""Streams of one link at once, of either side."""

UNREAD: Final = 10_000
"""Answers to a peer that reads none of them."""

PATIENCE: Final = 60.0
"""Seconds that a peer has to close a stream that is closed here."""


@implementer(IPushProducer)
class SSHChannels(SSHTurns, ABC):
    """
    All but how a link begins and ends.

    @ivar info: what is known of the connection.
    @ivar channels: those that are up, or asked for, or not yet closed by the peer.
    @ivar mayOpen: asked for each target that the peer wants, before anybody else is; raises L{Refused}.
    @ivar listening: where the server listens for us, and where streams want to go that come there.
    @ivar sessions: makes what is above a C{session} of the peer, from its channel; L{None} for no such.
    @since: ugate NEXT
    """

    log = Logger()
    incoming: Callable[[MuxStream], object] | None = None
    mayOpen: Callable[[Target], object] | None = None
    sessions: Callable[[SSHChannel], Any] | None = None
    isDraining = False

    def __init__(self, clock: IReactorTime, info: StreamInfo) -> None:
        """
        @param clock: for what a peer has to do in time.
        @param info: what is known of the connection, and who the peer has proven to be.
        """
        super().__init__()
        self.info = info
        self.channels: dict[int, SSHChannel] = {}
        self.listening: dict[Target, Target] = {}
        self._next = 0
        self._large = 0
        self._openings: dict[SSHChannel, tuple[StreamInfo, Deferred[Any]]] = {}
        self._closing: Deadlines[SSHChannel] = Deadlines(clock, PATIENCE, self._unclosed)

    @abstractmethod
    def abort(self, reason: str) -> None:
        """
        See L{ugate.interfaces.ILink.abort}.
        """

    @abstractmethod
    def _unclosed(self, channel: SSHChannel) -> None:
        """
        The peer did not close a channel in time.
        """

    @abstractmethod
    def _closeIfDone(self) -> None:
        """
        A channel is gone, perhaps the last.
        """

    # What we send.

    def send(self, number: int, payload: bytes, *more: bytes | memoryview) -> None:
        """
        Send a message, whose payload may be in pieces.  Data waits for the transport; what a peer makes us
        say beside it does not, and there is an end to that.
        """
        if self._isClosed:
            return
        if self.isHeld:
            self._unread += 1
            if self._unread > UNREAD:
                self.abort(f"the peer reads nothing of {UNREAD} answers")
                return
        self.transport.sendPacket(number, payload, *more)

    def closing(self, channel: SSHChannel) -> None:
        """
        We have closed a channel: the peer has to do so, too.
        """
        self._closing.start(channel)

    # What the peer says.

    def _channel(self, reader: Reader) -> SSHChannel:
        number = reader.number()
        channel = self.channels.get(number)
        if channel is None or not channel.isUp:
            raise ProtocolError(f"channel {number} is not open")
        return channel

    def _opening(self, reader: Reader) -> SSHChannel:
        number = reader.number()
        channel = self.channels.get(number)
        if channel not in self._openings:
            raise ProtocolError(f"channel {number} is not waited for")
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
                self._stream(remote, window, packet, asked(reader.rest()), PROTOCOL)
                return
            elif kind == DATAGRAMS:
                place, claim = asked(reader.rest())
                flow = Target(place.host, place.port, UDP)
                self._stream(remote, window, packet, (flow, claim), PROTOCOL)
                return
            elif kind == FORWARDED and self.listening:
                self._stream(remote, window, packet, asked(reader.rest()), BACKWARD)
                return
            elif kind == SESSION and self.sessions is not None:
                channel = self._make(remote, window, packet)
                channel.stream = self.sessions(channel)
                channel.accept()
                return
            elif kind == LOCAL:
                self._stream(remote, window, packet, (askedPath(reader.rest()), ""), TO_PATH)
                return
            else:
                code, text = UNKNOWN_TYPE, "unknown channel type"
        except StringError as e:
            code, text = CONNECT_FAILED, str(e)
        self._say(remote, code, text)

    def _stream(
        self, remote: int, window: int, packet: int, wanted: tuple[Target, str], protocol: str
    ) -> None:
        asked, claim = wanted
        target = self.listening.get(asked, asked) if protocol == BACKWARD else asked
        base = self.info
        hints = {**base.hints, "originator": claim} if claim else base.hints
        info = base.but(target=target, protocol=protocol, hints=hints, layers=(*base.layers, "ssh"))
        channel = self._make(remote, window, packet)
        stream = channel.stream = MuxStream(channel, info, True)
        try:
            if protocol == BACKWARD and asked not in self.listening:
                raise Denied(HOP, f"nothing was asked for at {asked}")
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
        granted = WINDOW if self._large * WINDOW < TOTAL else SMALL
        self._large += granted == WINDOW
        number, self._next = self._next, (self._next + 1) % (1 << 32)
        channel = self.channels[number] = SSHChannel(self, number, granted)
        return channel

    def _forget(self, channel: SSHChannel) -> None:
        if self.channels.pop(channel.id, None) is not None:
            self._large -= channel.granted == WINDOW
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
        channel = self._opening(reader)
        channel.up(reader.number(), reader.number(), reader.number())
        info, done = self._openings.pop(channel)
        if done.called:
            # Nobody waits for it any more; only now can the peer be told.
            channel.isUp = True
            channel.close()
            return
        stream = channel.stream = MuxStream(channel, info)
        channel.begin()
        done.callback(stream)

    def _failed(self, reader: Reader) -> None:
        channel = self._opening(reader)
        code, text = reader.number(), words(reader.string())
        self._forget(channel)
        info, done = self._openings.pop(channel)
        if not done.called:
            done.errback(refused(HOP, info.target, code, text))
        self._closeIfDone()

    def _adjusted(self, reader: Reader) -> None:
        self._channel(reader).adjusted(reader.number())

    def _data(self, reader: Reader) -> None:
        self._took(memoryview(reader.rest()))

    def _took(self, payload: memoryview) -> None:
        if len(payload) < U32x2.size:
            raise ProtocolError("a packet that is cut off")
        number, size = U32x2.unpack_from(payload)
        channel = self.channels.get(number)
        if channel is None or not channel.isUp:
            raise ProtocolError(f"channel {number} is not open")
        data = payload[8 : 8 + size]
        if len(data) != size:
            raise ProtocolError("a packet that is cut off")
        channel.came(size)
        if channel.stream is not None:
            channel.stream.received(bytes(data))

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
        whole = (channel.ended or self.transport.omitsEOF) and not channel.unsent
        channel.close()
        self._forget(channel)
        stream, channel.stream = channel.stream, None
        if stream is not None:
            stream.closed(Failure(ConnectionDone() if whole else Cut("the peer cut the stream")))
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
        self.log.info("{peer} answers what nobody has asked it", peer=str(self.info))
