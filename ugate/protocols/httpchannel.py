# -*- test-case-name: ugate.test.test_httpchannel,ugate.test.test_httpchannel_deadlines -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One client of a forward proxy: its requests, one after the other, and the
responses that it gets (RFC 9110, 7.6; RFC 9112, 9.3).
"""

from __future__ import annotations

from typing import Final

import h11
from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.interfaces import IPending
from ugate.protocols.httpconnection import HttpConnection
from ugate.protocols.httpexchange import Exchange
from ugate.protocols.httphead import MAX_HEAD, checkFraming, problem, route
from ugate.protocols.httplogin import ProxyLogin
from ugate.protocols.httpreply import Unserved
from ugate.protocols.httptunnel import Tunnel
from ugate.protocols.httpupstream import Upstream
from ugate.stream import Principal, StreamInfo

_OVER: Final = (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR, h11.SWITCHED_PROTOCOL)


@implementer(IPushProducer, IHalfCloseableProtocol)
class HttpForward(HttpConnection):
    """
    The protocol on a client's connection.  As a producer it is the one of the
    bytes that go to the client.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        info: StreamInfo,
        inner: IProtocolFactory,
        clock: IReactorTime,
        login: ProxyLogin,
        idleTimeout: float,
        headTimeout: float,
    ) -> None:
        """
        @param info: what is known of the client.
        @param inner: builds what carries the streams on, one for each target.
        @param clock: for the deadlines.
        @param login: who makes a request.
        @param idleTimeout: how long the connection may rest between requests, in seconds.
        @param headTimeout: how long a head may take from its first byte on, in seconds.
        """
        HttpConnection.__init__(self, clock)
        self._info = info
        self._inner = inner
        self._login = login
        self._idleTimeout = idleTimeout
        self._headTimeout = headTimeout
        self._conn = h11.Connection(h11.SERVER, MAX_HEAD)
        self._exchange: Exchange | None = None
        self._upstream: Upstream | None = None
        self._tunnel: Tunnel | None = None
        self._begun = False  # a head has begun
        self._pumping = False
        self._full = False  # the client reads no more from us
        self._ended = False  # the client sends no more

    # From the client's transport

    def connectionMade(self) -> None:
        """
        There is nothing to wait for: each request gets its own answer.
        """
        pending = IPending(self.transport, None)
        if pending is not None:
            pending.accept()
        self.transport.registerProducer(self, True)
        self._begin(b"")

    def dataReceived(self, data: bytes) -> None:
        """
        More of the requests, or of a tunnel.
        """
        if self._tunnel is not None:
            self._tunnel.dataReceived(data)
            return
        if self.isClosing:
            self.discard(data)
            return
        if self._exchange is None and not self._begun:
            # Empty lines before a request are to be ignored (RFC 9112, 2.2).
            data = data.lstrip(b"\r\n")
            if not data:
                return
            self._begun = True
            self.arm(self._headTimeout, self._headLate)
        self._conn.receive_data(data)
        self.pump()

    def readConnectionLost(self) -> None:
        """
        The client sends no more; it still gets the responses to what it has sent.
        """
        self._ended = True
        if self._tunnel is not None:
            self._tunnel.readConnectionLost()
        elif self.isClosing:
            self.transport.loseConnection()
        else:
            self._conn.receive_data(b"")
            self.pump()

    def writeConnectionLost(self) -> None:
        """
        Our direction is ended, as was asked for.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client is gone.
        """
        ended = self._tunnel is not None and reason.check(ConnectionDone) is not None
        self.stop(clean=self._exchange is None or ended)

    def pauseProducing(self) -> None:
        """
        The client does not read as fast as its target sends.
        """
        self._full = True
        if self._upstream is not None:
            self._upstream.hold(True)

    def resumeProducing(self) -> None:
        """
        The client takes more.
        """
        self._full = False
        if self._upstream is not None:
            self._upstream.hold(False)
        self.pump()

    def stopProducing(self) -> None:
        """
        The client's transport is gone; C{connectionLost} does the rest.
        """

    # Requests

    def _begin(self, data: bytes) -> None:
        """
        Wait for a next request.

        @param data: what has come of it.
        """
        self._exchange = None
        self._conn = h11.Connection(h11.SERVER, MAX_HEAD)
        data = data.lstrip(b"\r\n")
        self._begun = bool(data)
        if data:
            self._conn.receive_data(data)
            self.arm(self._headTimeout, self._headLate)
        else:
            self.arm(self._idleTimeout, self.close)
        if self._ended:
            self._conn.receive_data(b"")
        if data or self._ended or self.isPaused:
            # Never from inside a call of what carries the stream.
            self.clock.callLater(0, self.pump)

    def _canRead(self) -> bool:
        """
        Is there a place for what the client sends next?
        """
        if self.isClosing or self._tunnel is not None or self._conn.their_state in _OVER:
            return False
        return not self._full if self._exchange is None else self._exchange.canTake

    def pump(self) -> None:
        """
        Take what has come from the client, as far as there is a place for it, and
        let it send more or not.
        """
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._canRead() and self._next():
                pass
        finally:
            self._pumping = False
        self._regulate()

    def _next(self) -> bool:
        """
        Take one event.

        @return: whether there was one.
        """
        exchange = self._exchange
        try:
            event = self._conn.next_event()
        except h11.RemoteProtocolError as e:
            self._malformed(problem(e))
            return False
        if isinstance(event, h11.Request):
            self._requested(event)
        elif isinstance(event, h11.Data) and exchange is not None:
            exchange.content(event)
        elif isinstance(event, h11.EndOfMessage) and exchange is not None:
            exchange.contentEnd(event)
        elif isinstance(event, h11.ConnectionClosed):
            if exchange is None:
                self.close()
            return False
        else:
            return False
        return True

    def stopped(self, clean: bool) -> None:
        """
        There will be no more requests.
        """
        self._drop(clean)

    def _drop(self, clean: bool) -> None:
        """
        Close the stream to the target.
        """
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close(clean)

    def _headLate(self) -> None:
        """
        The head of a request takes too long.
        """
        self._malformed(Unserved(408, f"A request has {self._headTimeout:g} seconds for its head."))

    def _regulate(self) -> None:
        """
        Read from the client unless there are bytes of it that nobody can take yet.
        With none of them we read on, to hear when it goes away.
        """
        if self.isClosing or self._tunnel is not None:
            return
        exchange = self._exchange
        stuck = not self._canRead() or (exchange is not None and exchange.isRequestOver)
        self.pause(stuck and bool(self._conn.trailing_data[0]))

    def _requested(self, request: h11.Request) -> None:
        """
        The head of a request.
        """
        self.disarm()
        exchange = self._exchange = Exchange(self, self._conn, request)
        try:
            checkFraming(request)
        except Unserved as e:
            self._malformed(e)
            return
        try:
            who = self._login.check(request.headers.raw_items())
            if isinstance(who, Deferred):
                who.addCallback(self._loggedIn, request, exchange)
                who.addErrback(self._turnedAway, exchange)
                who.addErrback(self._broken)
            else:
                exchange.forward(*route(request, self._info.but(principal=who)))
        except Unserved as e:
            exchange.answer(e.reply, self._login.isSpent)

    def _loggedIn(self, principal: Principal, request: h11.Request, exchange: Exchange) -> None:
        """
        The login of a request is good.

        @raise Unserved: but the request is not.
        """
        if not self.isClosing:
            exchange.forward(*route(request, self._info.but(principal=principal)))
            self.pump()

    def _turnedAway(self, failure: Failure, exchange: Exchange) -> Failure | None:
        """
        The login of a request is not good, or the request is not.
        """
        error = failure.value
        if not isinstance(error, Unserved):
            return failure
        if not self.isClosing:
            exchange.answer(error.reply, self._login.isSpent)
            self.pump()
        return None

    def _broken(self, failure: Failure) -> None:
        """
        An error of our own.
        """
        self.log.failure("While a request of {client} was forwarded", failure, client=str(self._info))
        self.abort()

    def _malformed(self, error: Unserved) -> None:
        """
        What the client sends cannot be read any further.
        """
        exchange = self._exchange
        if exchange is None and self._ended:
            self.close()
            return
        self.log.info("{client}: {problem}", client=str(self._info), problem=str(error))
        if exchange is not None and exchange.isAnswered and not exchange.isDone:
            self.abort()
            return
        self._drop(clean=exchange is None or exchange.isDone)
        if exchange is None or not exchange.isDone:
            reply = error.reply
            response = h11.Response(
                status_code=reply.status, headers=reply.header(close=True), reason=reply.phrase
            )
            self.send(self._conn.send(response) + reply.body)
        self.linger()

    # For the exchange

    def keptFor(self, info: StreamInfo) -> Upstream | None:
        """
        The stream of the last request, if it leads to the same target for the
        same principal.
        """
        kept = self._upstream
        return kept if kept is not None and kept.isReusable and kept.info == info else None

    def dial(self, info: StreamInfo, asker: Exchange) -> None:
        """
        Open another stream.
        """
        self._drop(clean=True)
        upstream = self._upstream = Upstream(info, self._info.host, self.clock, asker)
        asker.setUpstream(upstream)
        if self._full:
            upstream.hold(True)
        upstream.open(self._inner)

    def drain(self) -> None:
        """
        The rest of the request goes nowhere: it has as long as a head has.
        """
        self.arm(self._headTimeout, self.close)

    def finished(self) -> None:
        """
        Go on with the next request, or close if there is none.
        """
        self.disarm()
        if self.isClosing:
            return
        if self._upstream is not None:
            self._upstream.done()
        conn = self._conn
        if conn.our_state is h11.DONE and conn.their_state is h11.DONE:
            self._begin(conn.trailing_data[0])
        else:
            self.close()

    def startTunnel(self, upstream: Upstream) -> None:
        """
        From here on there are only bytes.
        """
        self.disarm()
        tunnel = self._tunnel = Tunnel(self.transport, upstream)
        if not upstream.full:
            self.pause(False)
        tunnel.start(self._conn.trailing_data[0])
        if self._ended:
            tunnel.readConnectionLost()
