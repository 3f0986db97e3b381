# -*- test-case-name: ugate.test.test_sshlink,ugate.test.test_sshlink_answering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A link of many streams in SSH (RFC 4254): C{direct-tcpip} both ways round, and C{forwarded-tcpip} to clients.

What is below it moves packets: C{sendPacket(number, payload)}, C{sendDisconnect(code, text)} and
C{transport}, as transports of Conch have them, and registers producers; it calls what services of Conch have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import ILink
from ugate.protocols.sshchannel import PACKET, Cut, SSHChannel
from ugate.protocols.sshchannels import HOP, MOST, PATIENCE, SSHChannels
from ugate.protocols.sshforwards import CANCEL, FORWARD, REQUESTS, SSHForwards, SSHReplies
from ugate.protocols.sshpackets import (
    CHANNEL_FAILURE,
    CHANNEL_REQUEST,
    CHANNEL_SUCCESS,
    CLOSE,
    DATA,
    DATAGRAMS,
    DEBUG,
    DIRECT,
    EOF,
    EXTENDED_DATA,
    FORWARDED,
    FORWARDED_LOCAL,
    GLOBAL_REQUEST,
    LOCAL,
    OPEN,
    OPEN_CONFIRMATION,
    OPEN_FAILURE,
    REQUEST_FAILURE,
    REQUEST_SUCCESS,
    U32,
    WINDOW_ADJUST,
    Reader,
    U32x3,
    asks,
    string,
    words,
)
from ugate.stream import UDP, UNIX, StreamInfo, Target

_KEEPALIVE: Final = b"keepalive@openssh.com"
_DRAINING: Final = b"draining@ugate"
_PROTOCOL_ERROR: Final = 2
_BY_APPLICATION: Final = 11


@implementer(ILink)
class SSHLink(SSHChannels):
    """
    See L{ILink}.

    @ivar forwards: what a client has asked to be listened for, and what alone is opened to it; L{None} on the
        side of the client.
    @since: ugate NEXT
    """

    name = b"ssh-connection"
    protocol = "ssh"
    forwards: SSHForwards | None = None
    onDraining: Callable[[], object] | None = None

    def __init__(self, clock: IReactorTime, info: StreamInfo) -> None:
        """
        @param clock: for what a peer has to do in time.
        @param info: what is known of the connection, and who the peer has proven to be.
        """
        super().__init__(clock, info)
        self._requests: deque[Deferred[bytes | None]] = deque()
        self._waiting: list[Deferred[str]] = []
        self._replies = SSHReplies(self.send)
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
        self.transport.registerProducer(self, True)

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
            self._broken(fault)

    def dataCame(self, payload: memoryview) -> None:
        """
        The message came that most are: data.
        """
        if self._isClosed:
            return
        try:
            self._took(payload)
        except ProtocolError as fault:
            self._broken(fault)

    def _broken(self, fault: ProtocolError) -> None:
        self.log.info("{peer} breaks SSH: {error}", peer=str(self.info), error=str(fault))
        self._leave(_PROTOCOL_ERROR, f"the peer broke SSH: {fault}")

    # What the peer says of the link.

    def _globally(self, reader: Reader) -> None:
        name, wants = reader.string(), reader.truth()
        if name == _DRAINING:
            self._peerDrains()
        if name in REQUESTS and self.forwards is not None:
            answer = self.forwards.requested(name, reader)
        else:
            answer = succeed(b"") if name == _KEEPALIVE else fail(_unknown(name))
        self._replies.add(wants, answer)

    def _denied(self, reader: Reader) -> None:
        self._answers(None)

    def _granted(self, reader: Reader) -> None:
        self._answers(reader.rest())

    def _answers(self, payload: bytes | None) -> None:
        if not self._requests:
            raise ProtocolError("an answer that nobody has asked for")
        waiting = self._requests.popleft()
        if not waiting.called:
            waiting.callback(payload)

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
        kind = DIRECT if self.forwards is None else FORWARDED
        if target.network == UDP:
            if kind == FORWARDED:
                return fail(Refused(Cause.UNSUPPORTED, Phase.REMOTE, HOP, "it takes no datagrams"))
            kind = DATAGRAMS
        if target.network == UNIX:
            kind = LOCAL if kind == DIRECT else FORWARDED_LOCAL
        try:
            asked = asks(target, info) if self.forwards is None else self.forwards.opens(target, info)
        except Refused as refused:
            return fail(refused)
        channel = self._another()
        done: Deferred[Any] = Deferred()
        self._openings[channel] = info, done
        self.send(OPEN, string(kind) + U32x3.pack(channel.id, channel.granted, PACKET) + asked)
        return done

    def ping(self) -> Deferred[None]:
        """
        See L{ILink}.
        """
        return self._request(_KEEPALIVE).addCallback(lambda _: None)

    def _request(self, name: bytes, payload: bytes = b"") -> Deferred[Any]:
        """
        Ask for something that is not of a stream.

        @return: what the answer says; L{None} for no.
        """
        if self._isClosed:
            return fail(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, self._why))
        waiting: Deferred[Any] = Deferred()
        self._requests.append(waiting)
        self.send(GLOBAL_REQUEST, string(name) + b"\1" + payload)
        return waiting

    def listen(self, host: str, port: int, to: Target | None = None) -> Deferred[Target]:
        """
        Let the server listen for us (RFC 4254, 7.1): what comes there is opened here.

        @param port: 0 for any.
        @param to: where such streams want to go; unless given, where it listens.
        @return: where it listens; fails with L{Refused}.
        """
        at = string(host.encode()) + U32.pack(port)
        return self._request(FORWARD, at).addCallback(self._listens, host, port, to)

    def _listens(self, payload: bytes | None, host: str, port: int, to: Target | None) -> Target:
        if payload is None:
            raise Refused(Cause.DENIED, Phase.REMOTE, HOP, f"it does not listen at {host}:{port} for us")
        try:
            at = Target(host, port or Reader(payload).number())
        except ProtocolError as error:
            raise Refused(
                Cause.PEER_MISBEHAVED, Phase.REMOTE, HOP, f"where does it listen? {error}"
            ) from error
        self.listening[at] = to or at
        return at

    def unlisten(self, at: Target) -> Deferred[None]:
        """
        Let it listen there no more.
        """
        self.listening.pop(at, None)
        return self._request(CANCEL, string(at.host.encode()) + U32.pack(at.port)).addCallback(lambda _: None)

    def tell(self, text: str) -> None:
        """
        Say something to the people at the other end, if they listen: C{ssh -v}.
        """
        self.send(DEBUG, b"\1" + string(text.encode()) + string(b""))

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

    def _unclosed(self, channel: SSHChannel) -> None:
        self.abort(f"the peer did not close a channel in {PATIENCE:g} s")

    def _closeIfDone(self) -> None:
        if self.isDraining and not (self.channels or self._isClosed):
            self._leave(_BY_APPLICATION, "the last stream of a link that was going away has ended")

    def _release(self) -> None:
        self.transport.unregisterProducer()

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
                stream.closed(Failure(Cut(why)))
        requests, self._requests = self._requests, deque()
        for request in requests:
            if not request.called:
                request.errback(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, why))
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(why)


def _unknown(name: bytes) -> Refused:
    return Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, HOP, f"a request that is not known: {words(name)}")


_MESSAGES: Final[dict[int, Callable[[SSHLink, Reader], None]]] = {
    GLOBAL_REQUEST: SSHLink._globally,
    REQUEST_SUCCESS: SSHLink._granted,
    REQUEST_FAILURE: SSHLink._denied,
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
