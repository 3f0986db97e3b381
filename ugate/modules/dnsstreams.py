# -*- test-case-name: ugate.test.test_dnsstreams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Servers of the DNS that are asked on a stream: in clear (RFC 7766) or in TLS (RFC 7858).
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import randbelow
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, ProtocolError, Refused, UgateError
from ugate.protocols.dnsframes import Frames, framed
from ugate.protocols.dnswire import Asked

IDLE: Final = 10.0
"""Seconds after which a connection is closed on which nothing is waited for."""

MAX_UNANSWERED: Final = 256
"""Questions that wait for answers on one connection."""

MAX_WAITING: Final = 256
"""Questions that wait for the connection."""

_IDS: Final = 1 << 16


class Connection(Protocol):
    """
    One connection: many questions, whose answers come in any order.

    @ivar waiting: what was asked and not answered, by its number.
    @ivar hasAnswered: whether it was of use already.
    """

    def __init__(self, server: StreamServer) -> None:
        self.server = server
        self._frames = Frames()
        self.waiting: dict[int, tuple[Asked, Deferred[bytes]]] = {}
        self.hasAnswered = False

    def ask(self, asked: Asked, answered: Deferred[bytes]) -> None:
        """
        Send a question.
        """
        number = randbelow(_IDS)
        while number in self.waiting:
            number = randbelow(_IDS)
        self.waiting[number] = asked, answered
        transport: Any = self.transport
        transport.write(framed(asked.wire(number, self.server.isPadded)))

    def dataReceived(self, data: bytes) -> None:
        """
        Answers come.
        """
        try:
            for message in self._frames.receive(data):
                self._received(message)
        except ProtocolError:
            self.abort()

    def _received(self, message: bytes) -> None:
        number = int.from_bytes(message[:2], "big")
        asked, answered = self.waiting.get(number, (None, None))
        if asked is None or answered is None or not asked.isAnsweredBy(message):
            # Nobody has asked that.
            return
        del self.waiting[number]
        self.answered(answered, message)

    def answered(self, answered: Deferred[bytes], result: bytes | Refused) -> None:
        """
        There is an answer, or it is known that there is none.
        """
        self.hasAnswered = True
        self.server.touched()
        self.server.settled(self)
        if answered.called:
            return
        if isinstance(result, Refused):
            answered.errback(result)
        else:
            answered.callback(result)

    def abort(self) -> None:
        """
        It is of no use any more.
        """
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        It is over.
        """
        self.server.lost(self)


class _Connections(Factory):
    noisy = False

    def __init__(self, server: StreamServer) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return self._server.makes(self._server)


class StreamServer:
    """
    A server that is asked on one connection, which is made when there is something to ask.

    @ivar title: what it is called.
    @ivar isPadded: whether questions are made to look alike.
    @since: ugate NEXT
    """

    def __init__(
        self,
        clock: Any,
        title: str,
        endpoint: Callable[[], IStreamClientEndpoint],
        *,
        isPadded: bool = False,
        makes: Callable[[StreamServer], Connection] = Connection,
    ) -> None:
        """
        @param endpoint: makes what connects to it.
        @param makes: makes what speaks on a connection.
        """
        self.makes = makes
        self.title = title
        self.isPadded = isPadded
        self._clock = clock
        self._endpoint = endpoint
        self._dial: Deferred[Any] | None = None
        self._connection: Connection | None = None
        self._queue: list[tuple[Asked, Deferred[bytes]]] = []
        self._idle: IDelayedCall | None = None

    def ask(self, asked: Asked) -> Deferred[bytes]:
        """
        See L{ugate.modules.dnsforwarding.Server.ask}.
        """
        connection = self._connection
        full = MAX_WAITING if connection is None else MAX_UNANSWERED
        if len(self._queue if connection is None else connection.waiting) >= full:
            return fail(self.refused(Cause.OVERLOADED, f"{full} questions wait for answers"))
        # What is cancelled still has its number: the answer may come, and must not be taken for another one.
        answered: Deferred[bytes] = Deferred()
        if connection is not None:
            if not connection.waiting:
                self.touched()
            connection.ask(asked, answered)
        else:
            self._queue.append((asked, answered))
            self._connect()
        return answered

    def _connect(self) -> None:
        if self._dial is not None:
            return
        try:
            self._dial = dial = self._endpoint().connect(_Connections(self))
        except UgateError:
            self._failed(Failure())
            return
        dial.addCallbacks(self._connected, self._failed)

    def _connected(self, connection: Connection) -> None:
        self._dial = None
        self._connection = connection
        queue, self._queue = self._queue, []
        for asked, answered in queue:
            if not answered.called:
                connection.ask(asked, answered)
        self.touched()

    def _failed(self, failure: Failure) -> None:
        self._dial = None
        queue, self._queue = self._queue, []
        for _, answered in queue:
            if not answered.called:
                answered.errback(failure)

    def touched(self) -> None:
        """
        The connection is used.
        """
        if self._idle is not None and self._idle.active():
            self._idle.reset(IDLE)
        else:
            self._idle = self._clock.callLater(IDLE, self._isIdle)

    def _isIdle(self) -> None:
        if self._connection is not None:
            # Whatever still waits there has waited too long.
            self._connection.abort()

    def lost(self, connection: Connection) -> None:
        """
        A connection is over.
        """
        if self._connection is connection:
            self._connection = None
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        waiting = [each for each in connection.waiting.values() if not each[1].called]
        if connection.hasAnswered and waiting:
            # Servers close connections as they like: what crossed with that is asked anew (RFC 7766, 6.2.4).
            self._queue += waiting
            self._connect()
            return
        for _, answered in waiting:
            if not answered.called:
                answered.errback(self.refused(Cause.PEER_CLOSED, "before it answered"))

    def refused(self, cause: Cause, detail: str) -> Refused:
        """
        What to fail with.
        """
        return Refused(cause, Phase.REMOTE, self.title, detail)

    def leave(self, connection: Connection) -> None:
        """
        Ask on another connection from now on; what waits on this one may still be answered.
        """
        if self._connection is connection:
            self._connection = None
        self.settled(connection)

    def settled(self, connection: Connection) -> None:
        """
        Close a connection on which nothing waits and nothing more is asked.
        """
        if self._connection is not connection and not connection.waiting:
            connection.abort()

    def stop(self) -> None:
        """
        Close it.
        """
        if self._dial is not None:
            self._dial.cancel()
        if self._connection is not None:
            self._connection.hasAnswered = False
            self._connection.abort()
