# -*- test-case-name: ugate.test.test_h2link,ugate.test.test_h2link_answering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A link of many streams in HTTP/2: C{CONNECT} both ways round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILink
from ugate.protocols import h2requests
from ugate.protocols.h2calm import H2Limits
from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2core import H2Core
from ugate.protocols.h2frames import Code, ConnectionFault, codeName
from ugate.protocols.h2opening import HOP, Opening
from ugate.protocols.h2sending import MAX_WINDOW
from ugate.protocols.h2wire import H2Wire, lostWords
from ugate.protocols.httpfields import Fields
from ugate.protocols.httpreply import Unserved
from ugate.protocols.mux import MuxStream
from ugate.protocols.sockets import endWriting
from ugate.stream import StreamInfo

if TYPE_CHECKING:
    from ugate.protocols.websockettunnels import Tunnels

_DRAIN: Final = b"ugate-go"


@implementer(ILink)
class H2Link(H2Wire):
    """
    See L{ILink}.

    @ivar ready: fires with the link when the settings of the peer came; fails with L{Refused}.
    @since: ugate NEXT
    """

    log = Logger()
    protocol = "h2"
    incoming: Callable[[MuxStream], object] | None = None
    onDraining: Callable[[], object] | None = None
    isDraining = _hasSaid = False

    def __init__(
        self,
        clock: IReactorTime,
        info: StreamInfo,
        client: bool,
        limits: H2Limits | None = None,
        tunnels: Tunnels | None = None,
        asking: h2requests.Asking | None = None,
    ) -> None:
        """
        @param clock: for the deadlines.
        @param info: what is known of the connection.
        @param client: whether we connected.
        @param tunnels: what takes streams in WebSocket, if any.
        @param asking: how we ask for streams, if not by a plain C{CONNECT}.
        """
        limits = limits or H2Limits()
        super().__init__(clock, limits)
        self.info = info
        self.ready: Deferred[ILink] = Deferred(lambda _: self.abort("nobody waits for it any more"))
        self._client = client
        self.core = H2Core(client, self, clock.seconds, limits)
        self._tunnels = tunnels
        self.core.isExtended = not client
        self._asking = asking or h2requests.Connects()
        self._requests = h2requests.Asked(info, tunnels)
        self._openings: dict[int, Opening] = {}
        self._pings: dict[bytes, Deferred[None]] = {}
        self._asked = 0
        self._waiting: list[Deferred[str]] = []
        self._why = ""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is gone.
        """
        self._gone(self._why or lostWords(reason.value))

    # Of the core.

    def settled(self, isOurs: bool) -> None:
        """
        The settings of the peer came, or its word on ours.
        """
        if isOurs:
            self._ours = True
        else:
            self._theirs = True
            if not self.ready.called:
                self.ready.callback(self)
        if self._ours and self._theirs and not self._isLeaving:
            self._rest()

    def requested(self, channel: H2Channel, fields: Fields) -> None:
        """
        The peer opens a stream.
        """
        try:
            info = self._requests.info(fields)
        except Unserved as e:
            self.core.respond(channel, *h2requests.answer(e.reply))
            return
        incoming = self.incoming
        if incoming is None:
            reason = Refused(Cause.OVERLOADED, Phase.NEGOTIATE, HOP, "nobody takes streams here")
            self.core.respond(channel, *h2requests.refusing(reason))
            return
        stream = MuxStream(channel, info, True)
        channel.attach(stream)
        incoming(stream if self._tunnels is None else self._tunnels.within(stream))

    def accept(self, channel: H2Channel) -> None:
        """
        Tell the peer that a stream is up.
        """
        self.core.respond(channel, h2requests.accepting(channel.stream.info))

    def refuse(self, channel: H2Channel, reason: Refused) -> None:
        """
        Tell the peer why a stream is not.
        """
        self.core.respond(channel, *h2requests.refusing(reason))

    def answered(self, channel: H2Channel, fields: Fields) -> None:
        """
        The peer has answered a stream of ours.
        """
        opening = self._openings.get(channel.id)
        if opening is None:
            return
        if not 200 <= h2requests.status(fields) < 300:
            opening.fields = fields
            return
        del self._openings[channel.id]
        try:
            info = self._asking.heard(opening.info, fields, HOP)
        except Refused:
            self.core.resetStream(channel, Code.CANCEL)
            opening.done.errback()
            return
        stream = MuxStream(channel, info)
        channel.attach(stream)
        channel.up()
        opening.done.callback(stream)

    def lost(self, channel: H2Channel, code: int | None, text: str) -> None:
        """
        A stream is over.
        """
        opening = self._openings.pop(channel.id, None)
        if opening is not None:
            opening.lost(code)
        elif channel.stream is not None:
            channel.stream.closed(connectionDone if code is None else Failure(ConnectionLost(text)))
        self._closeIfDone()

    def ponged(self, data: bytes) -> None:
        """
        A ping of ours was answered.
        """
        if data == _DRAIN and self._hasSaid and self.core.draining is None:
            self._drainFrom(self.core.lastTaken)
        waiting = self._pings.pop(data, None)
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def goingAway(self, last: int, code: int, text: str) -> None:
        """
        The peer looks at no later streams.
        """
        if code and not self._why:
            said = f"{codeName(code)}: {text}" if text else codeName(code)
            self._why = f"the peer went away with {said}"
            self.log.info("{peer}: {why}", peer=str(self.info), why=self._why)
        for opening in [each for number, each in self._openings.items() if number > last]:
            self.core.resetStream(opening.channel, Code.REFUSED_STREAM)
        if not self.isDraining:
            self.isDraining = True
            if self.onDraining is not None:
                self.onDraining()
        self._closeIfDone()

    # ILink

    @property
    def streams(self) -> int:
        """
        See L{ILink}.
        """
        return len(self.core.channels)

    @property
    def room(self) -> int:
        """
        See L{ILink}.
        """
        core = self.core
        if not self._client or self.isDraining or self._isClosed or self._isLeaving or not self._theirs:
            return 0
        room, unopened = core.maxStreams - len(core.channels), core.control.unopened
        return 0 if room < 0 else room if room < unopened else unopened

    def open(self, info: StreamInfo) -> Deferred[Any]:
        """
        See L{ILink}.
        """
        try:
            if self.room <= 0:
                raise self._noRoom()
            channel = self.core.open(self._asking.request(info, HOP, self.info, self.core.takesExtended))
        except Refused:
            return fail(Failure())
        done: Deferred[Any] = Deferred(lambda _: self._giveUp(channel))
        self._openings[channel.id] = Opening(channel, info, done)
        return done

    def ping(self) -> Deferred[None]:
        """
        See L{ILink}.
        """
        if self._isClosed or self._isLeaving:
            return fail(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, self._why))
        self._asked += 1
        data = b"%8d" % (self._asked % 10**8)
        waiting = self._pings[data] = Deferred(lambda _: None)
        self.core.ping(data)
        return waiting

    def drain(self) -> None:
        """
        See L{ILink}.  A client that is about to ask for one more is not refused it: what it has asked for
        before it heard of this is served.
        """
        if self._hasSaid or self._isClosed:
            return
        self.isDraining = self._hasSaid = True
        if self._client or self.transport is None:
            self._drainFrom(0)
            return
        self.core.goAway(MAX_WINDOW, Code.NO_ERROR, "going away")
        self.core.ping(_DRAIN)
        self._after(self._limits.answer, self._drainLate)

    def abort(self, reason: str) -> None:
        """
        See L{ILink}.
        """
        self._why = self._why or reason
        transport: Any = self.transport
        if transport is not None and not self._isClosed:
            transport.abortConnection()
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

    def _noRoom(self) -> Refused:
        if self._isClosed or self.isDraining or self._isLeaving:
            return Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, self._why or "the link is going away")
        if not self._client:
            step = "let the other side open streams"
            return Refused(Cause.UNSUPPORTED, Phase.REMOTE, HOP, "a server of HTTP/2 opens none", step)
        many = f"{self.core.maxStreams} streams are open on the link"
        return Refused(Cause.OVERLOADED, Phase.REMOTE, HOP, many)

    def _giveUp(self, channel: H2Channel) -> None:
        self._openings.pop(channel.id, None)
        channel.stream = None
        self.core.resetStream(channel, Code.CANCEL)

    def _drainFrom(self, last: int) -> None:
        self.core.draining = last
        self.core.goAway(last, Code.NO_ERROR)
        self._closeIfDone()

    def _drainLate(self) -> None:
        """
        The peer may not have heard that we go away, and has had its time.
        """
        if self.core.draining is None:
            self._drainFrom(self.core.lastTaken)

    def _closeIfDone(self) -> None:
        isSaid = self._client or self.core.draining is not None
        if self.isDraining and isSaid and not (self.core.channels or self._isLeaving or self._isClosed):
            self._leave(self._why or "the last stream of a link that was going away has ended")

    def _broke(self, fault: ConnectionFault) -> None:
        """
        The peer did what ends the connection: say so, here and there.
        """
        self.log.info(
            "{peer} {broke} HTTP/2, {code}: {error}",
            peer=str(self.info),
            broke="floods us in" if fault.code == Code.ENHANCE_YOUR_CALM else "breaks",
            code=codeName(fault.code),
            error=str(fault),
        )
        self._why = f"the peer broke HTTP/2: {fault}"
        self.core.goAway(self.core.lastTaken, fault.code, str(fault)[:100])
        self._leave(self._why)

    def _leave(self, why: str) -> None:
        """
        Close, when what was written is sent; the peer has not for ever.
        """
        self._why = why
        self._isLeaving = True
        transport: Any = self.transport
        self._after(self._limits.goodbye, transport.abortConnection)
        transport.unregisterProducer()
        # With bytes unread, to close would be to reset, and the peer would not hear why.
        endWriting(transport)
        self._endStreams(why)

    def _gone(self, why: str) -> None:
        if self._isClosed:
            return
        self._isClosed = True
        self._why = why
        splicer, self.splicer = self.splicer, None
        if splicer is not None:
            splicer.close()
        self._rest()
        self._endStreams(why)
        if not self.ready.called:
            self.ready.errback(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, why))
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(why)

    def _endStreams(self, why: str) -> None:
        channels, self.core.channels = self.core.channels, {}
        self.core.ready.clear()
        for number, channel in channels.items():
            channel.drop()
            opening = self._openings.pop(number, None)
            if opening is not None:
                opening.gone(why)
            elif channel.stream is not None:
                channel.stream.closed(Failure(ConnectionLost(why)))
        pings, self._pings = self._pings, {}
        for ping in pings.values():
            if not ping.called:
                ping.errback(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, why))


def linkMaker(
    clock: IReactorTime,
    client: bool,
    limits: H2Limits | None = None,
    tunnels: Tunnels | None = None,
    asking: h2requests.Asking | None = None,
) -> Callable[[StreamInfo], tuple[H2Link, Deferred[ILink]]]:
    """
    Makes the protocols of connections, one each, with what fires when a link is up.

    @since: ugate NEXT
    """

    def make(info: StreamInfo) -> tuple[H2Link, Deferred[ILink]]:
        link = H2Link(clock, info, client, limits, tunnels, asking)
        return link, link.ready

    return make
