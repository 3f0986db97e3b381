# -*- test-case-name: ugate.test.test_httpexchange,ugate.test.test_httpexchange_requests -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One request through a forward proxy, and its response.
"""

from __future__ import annotations

from typing import Final
from typing import Protocol as Shape

import h11

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.httpfields import trailers
from ugate.protocols.httphead import forwardFields
from ugate.protocols.httpreply import Reply, refusal
from ugate.protocols.httpupstream import Upstream
from ugate.stream import StreamInfo

MAX_DISCARD: Final = 1 << 20
"""How many bytes of content are read for nothing, so that the client reads its answer (L{int})."""

_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))


class Client(Shape):
    """
    The connection that the request came on.
    """

    def send(self, data: bytes) -> None:
        """
        Send bytes of the response.
        """

    def keptFor(self, info: StreamInfo) -> Upstream | None:
        """
        The stream of an earlier request, if it serves for this one.
        """

    def dial(self, info: StreamInfo, asker: Exchange) -> None:
        """
        Open a stream in place of the kept one; C{setUpstream} comes first.
        """

    def pump(self) -> None:
        """
        There may be a place again for what the client sends.
        """

    def drain(self) -> None:
        """
        The rest of the request goes nowhere: give the client a deadline for it.
        """

    def finished(self) -> None:
        """
        The request and the response are over.
        """

    def startTunnel(self, upstream: Upstream) -> None:
        """
        The response was sent, and what follows are only bytes.
        """

    def close(self) -> None:
        """
        Close after what was sent.
        """

    def abort(self) -> None:
        """
        Close so that the client sees that the response is not whole.
        """


class Exchange:
    """
    A request on its way to a target, and the response on its way back.

    @ivar method: of the request.
    @ivar isAnswered: whether the head of the final response has gone to the client.
    @ivar isDone: whether the whole response has.
    @since: ugate NEXT
    """

    def __init__(self, client: Client, conn: h11.Connection, request: h11.Request) -> None:
        """
        @param client: who asks.
        @param conn: has just read the head of the request, and writes the response.
        @param request: as it came.
        """
        self.isAnswered = False
        self.isDone = False
        self._client = client
        self._conn = conn
        self._method = request.method
        self._version = request.http_version
        self._info: StreamInfo | None = None
        self._request: h11.Request | None = None
        self._upstream: Upstream | None = None
        self._isWaiting = True
        self._hasContent = False
        self._discarded: int | None = None

    @property
    def isRequestOver(self) -> bool:
        """
        Has the whole request come?
        """
        return self._conn.their_state is not h11.SEND_BODY

    @property
    def canTake(self) -> bool:
        """
        Is there a place for more of the request?
        """
        if self._discarded is not None:
            return True
        return not self._isWaiting and self._upstream is not None and not self._upstream.full

    # The request

    def forward(self, info: StreamInfo, request: h11.Request | None) -> None:
        """
        Take the request to its target.

        @param info: with the target.
        @param request: as it goes there; L{None} for a C{CONNECT}.
        """
        self._info = info
        self._request = request
        kept = self._client.keptFor(info) if request is not None else None
        if kept is None:
            self._client.dial(info, self)
        else:
            kept.reuse(self)
            self._upstream = kept
            self._ask(kept)

    def setUpstream(self, upstream: Upstream) -> None:
        """
        This stream is being opened.
        """
        self._upstream = upstream

    def targetReady(self) -> None:
        """
        The stream is up.
        """
        upstream = self._upstream
        if upstream is None:
            return
        if self._request is None:
            response = h11.Response(status_code=200, headers=[], reason="Connection established")
            self._client.send(self._conn.send(response))
            self._client.startTunnel(upstream)
        else:
            self._ask(upstream)
            self._client.pump()

    def _ask(self, upstream: Upstream) -> None:
        """
        Send the head, and the end if the request has no more.
        """
        self._isWaiting = False
        if self._request is not None:
            upstream.send(self._request)
            if self.isRequestOver:
                upstream.send(h11.EndOfMessage())

    def content(self, event: h11.Data) -> None:
        """
        Send content of the request.
        """
        if self._discarded is None:
            self._hasContent = True
            if self._upstream is not None and self._upstream.send(event):
                return
            self._discard()
        self._discarded = (self._discarded or 0) + len(event.data)
        if self._discarded > MAX_DISCARD:
            self._client.close()

    def contentEnd(self, event: h11.EndOfMessage) -> None:
        """
        Send the end of the request.
        """
        isDone = self.isDone
        if self._discarded is None and self._upstream is not None:
            fields = trailers(event.headers.raw_items()) if event.headers else []
            self._upstream.send(h11.EndOfMessage(headers=fields))
        # If it was the end that the target has answered, that is seen to already.
        if isDone:
            self._client.finished()

    def _discard(self) -> None:
        """
        Nobody takes the rest of the request.
        """
        self._discarded = 0
        self._client.drain()

    # The response

    def answer(self, reply: Reply, last: bool = False) -> None:
        """
        Give a final response of our own.

        @param last: whether the connection ends with it.
        """
        conn = self._conn
        # It may send the content or leave it: nobody knows where a next request would begin.
        unsure = conn.they_are_waiting_for_100_continue
        fields = reply.header(close=unsure or last)
        data = conn.send(h11.Response(status_code=reply.status, headers=fields, reason=reply.phrase))
        if reply.body and self._method != b"HEAD":
            data += conn.send(h11.Data(data=reply.body))
        self._client.send(data + conn.send(h11.EndOfMessage()))
        self.isAnswered = self.isDone = True
        if unsure:
            self._client.close()
        elif self.isRequestOver:
            self._client.finished()
        else:
            self._discard()
            self._client.pump()

    def targetEvent(self, event: h11.Event) -> None:
        """
        A part of the response from the target.
        """
        if isinstance(event, h11.InformationalResponse):
            self._informed(event)
        elif isinstance(event, h11.Response):
            self.isAnswered = True
            fields = forwardFields(event, self._version)
            response = h11.Response(status_code=event.status_code, headers=fields, reason=event.reason)
            self._client.send(self._conn.send(response))
        elif isinstance(event, h11.Data):
            self._client.send(self._conn.send(event))
        elif isinstance(event, h11.EndOfMessage):
            fields = trailers(event.headers.raw_items()) if self._version >= b"1.1" else []
            self._client.send(self._conn.send(h11.EndOfMessage(headers=fields)))
            self.isDone = True
            if self.isRequestOver:
                self._client.finished()

    def _informed(self, event: h11.InformationalResponse) -> None:
        """
        A response before the final one.  HTTP/1.0 knows none of these.
        """
        if event.status_code == 101 and not self.isRequestOver:
            self._misbehaved("it changed the protocol in the middle of a request")
        elif self._version >= b"1.1":
            fields = forwardFields(event, self._version)
            response = h11.InformationalResponse(
                status_code=event.status_code, headers=fields, reason=event.reason
            )
            self._client.send(self._conn.send(response))
            if event.status_code == 101 and self._upstream is not None:
                self._client.startTunnel(self._upstream)

    def _misbehaved(self, detail: str) -> None:
        """
        Give up the target.
        """
        if self._upstream is not None and self._info is not None:
            self._upstream.close(clean=False)
            where = str(self._info.target)
            self.targetFailed(Refused(Cause.PEER_MISBEHAVED, Phase.REMOTE, where, detail))

    def targetFailed(self, reason: Refused) -> None:
        """
        There is no response, or no more of it.
        """
        upstream, self._upstream = self._upstream, None
        if self.isDone:
            if self._discarded is None:
                self._discard()
                self._client.pump()
        elif self.isAnswered:
            self._client.abort()
        elif upstream is not None and self._info is not None and self._mayRetry(upstream):
            self._isWaiting = True
            self._client.dial(self._info, self)
        else:
            self._isWaiting = False
            self.answer(refusal(reason))

    def _mayRetry(self, upstream: Upstream) -> bool:
        """
        Was it only that an idle stream was closed just when the request was made?
        On a new stream there is no such excuse, so there is one retry at most.
        """
        return (
            upstream.isReused and upstream.isSilent and not self._hasContent and self._method in _IDEMPOTENT
        )

    def targetFull(self, full: bool) -> None:
        """
        Whether the target takes more of the request.
        """
        if not full:
            self._client.pump()
