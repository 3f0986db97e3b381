# -*- test-case-name: ugate.test.test_httpupstream,ugate.test.test_httpupstream_streams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The side of a forward proxy that faces the target: requests go out on one stream,
one after the other, and their responses come back as events.
"""

from __future__ import annotations

from typing import Protocol as Shape

import h11

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.httphead import MAX_HEAD, whyResponse
from ugate.protocols.httpstream import HttpStream
from ugate.stream import StreamInfo


class Asker(Shape):
    """
    Who has a request for the target.
    """

    def targetReady(self) -> None:
        """
        The stream is up: now the request may go.
        """

    def targetEvent(self, event: h11.Event) -> None:
        """
        A part of the response.
        """

    def targetFailed(self, reason: Refused) -> None:
        """
        The target is gone: what is missing of the response does not come, and
        what is left of the request goes nowhere.
        """

    def targetFull(self, full: bool) -> None:
        """
        Send no more of the request, or go on.
        """


class TunnelEnd(Shape):
    """
    Who has only bytes for the target, and takes only bytes from it.
    """

    def targetData(self, data: bytes) -> None:
        """
        Bytes from the target.
        """

    def targetEnded(self) -> None:
        """
        The target sends no more.
        """

    def targetLost(self) -> None:
        """
        The target is gone.  Unless it ended before, bytes may be missing.
        """

    def targetFull(self, full: bool) -> None:
        """
        Send no more, or go on.
        """


class Upstream:
    """
    A stream to one target, on which requests are made one after the other.

    It tells of a failure only while a request is under way: between requests
    C{isReusable} turns false.

    @ivar info: what the stream was opened with.
    @ivar full: whether the target takes no more bytes for now.
    @ivar isReused: whether a request before this one was answered on it.
    @ivar isSilent: whether not one byte of the response has come.
    @since: ugate NEXT
    """

    def __init__(self, info: StreamInfo, host: IAddress, clock: IReactorTime, asker: Asker) -> None:
        """
        @param info: with the target, and who asks.
        @param host: the address that the client is connected to.
        @param clock: for the calls that have to come later.
        @param asker: who makes the first request.
        """
        self.info = info
        self.full = False
        self.isReused = False
        self.isSilent = True
        self._asker = asker
        self._tunnel: TunnelEnd | None = None
        self._conn = h11.Connection(h11.CLIENT, MAX_HEAD)
        self._stream = HttpStream(info, host, clock, self)
        self._isOpen = True
        self._isBusy = True
        self._ended = False

    def open(self, factory: IProtocolFactory) -> None:
        """
        Have the stream carried on: C{targetReady} or C{targetFailed} follows.

        @param factory: builds what carries it.
        """
        protocol = factory.buildProtocol(self.info)
        if protocol is None:
            self.streamRefused(Refused(Cause.OVERLOADED, Phase.POLICY, str(self.info.target)))
        else:
            self._stream.start(protocol)

    # Requests

    @property
    def isReusable(self) -> bool:
        """
        Can a next request go on this stream?
        """
        return self._isOpen and not self._isBusy

    def reuse(self, asker: Asker) -> None:
        """
        Make a next request.

        @param asker: who makes it.
        """
        self._asker = asker
        self._isBusy = True

    def send(self, event: h11.Event) -> bool:
        """
        Send a part of a request.

        @return: whether it went; a target that is gone, or broken, takes no more.
        """
        if not self._isOpen or self._conn.our_state in (h11.DONE, h11.MUST_CLOSE, h11.ERROR):
            return False
        data = self._conn.send(event)
        if data:
            self._stream.deliver(data)
        return True

    def done(self) -> None:
        """
        The request and its response are at their ends: keep the stream for a next
        one if it can take that, else close it.
        """
        conn = self._conn
        if not (self._isOpen and self._isBusy):
            return
        over = conn.our_state is h11.DONE and conn.their_state is h11.DONE
        if self._ended or not over or conn.trailing_data[0]:
            self.close()
            return
        conn.start_next_cycle()
        self._isBusy = False
        self.isReused = self.isSilent = True

    def tunnel(self, end: TunnelEnd) -> bytes:
        """
        From here on there are only bytes.

        @param end: who takes them.
        @return: those that have come already.
        """
        self._tunnel = end
        return self._conn.trailing_data[0]

    def sendRaw(self, data: bytes) -> None:
        """
        Send bytes of a tunnel.
        """
        self._stream.deliver(data)

    def sendEnd(self) -> None:
        """
        There will be no more bytes of a tunnel in this direction.
        """
        self._stream.deliverEnd()

    def hold(self, held: bool) -> None:
        """
        Ask for no more of the response, or for more.
        """
        self._stream.hold(held)

    def close(self, clean: bool = True) -> None:
        """
        End the stream; the asker hears no more of it.

        @param clean: false if the request was cut short.
        """
        if self._isOpen:
            self._isOpen = self._isBusy = False
            self._stream.close(None if clean else ConnectionAborted())

    # StreamOwner

    def streamAccepted(self) -> None:
        """
        The target is reached.
        """
        self._asker.targetReady()

    def streamRefused(self, reason: Refused) -> None:
        """
        It is not.
        """
        self._isOpen = False
        self._asker.targetFailed(reason)

    def streamData(self, data: bytes) -> None:
        """
        Bytes of a response, or of a tunnel.
        """
        if self._tunnel is not None:
            self._tunnel.targetData(data)
        elif not self._isBusy or self._conn.our_state is h11.IDLE:
            # Nobody has asked: what a server says before it closes an idle
            # connection must never be taken for the next response.
            if self._isBusy:
                self._fail(Cause.PEER_MISBEHAVED, "it answered before it was asked")
            else:
                self.close()
        else:
            self.isSilent = False
            self._conn.receive_data(data)
            self._read()

    def streamEnded(self) -> None:
        """
        The target sends no more.
        """
        if self._ended:
            return
        self._ended = True
        if self._tunnel is not None:
            self._tunnel.targetEnded()
        elif not self._isBusy:
            self.close()
        else:
            self._conn.receive_data(b"")
            self._read()

    def streamLost(self, clean: bool) -> None:
        """
        The stream is gone: a response that only its end delimits is whole if that
        end was clean.
        """
        if clean and self._isBusy:
            self.streamEnded()
        wasOpen, self._isOpen = self._isOpen, False
        if wasOpen and self._isBusy:
            self._isBusy = False
            if self._tunnel is not None:
                self._tunnel.targetLost()
            else:
                self._asker.targetFailed(self._reason(Cause.PEER_CLOSED, ""))

    def streamFull(self, full: bool) -> None:
        """
        Whether the target takes more.
        """
        self.full = full
        (self._tunnel or self._asker).targetFull(full)

    def _read(self) -> None:
        """
        Pass on what has come.
        """
        while self._isOpen and self._isBusy and self._tunnel is None:
            try:
                event = self._conn.next_event()
            except h11.RemoteProtocolError as e:
                if self._ended:
                    self._fail(Cause.PEER_CLOSED, "" if self.isSilent else "in the middle of a response")
                else:
                    self._fail(Cause.PEER_MISBEHAVED, whyResponse(e))
                return
            if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
                return
            self._asker.targetEvent(event)
            if isinstance(event, h11.EndOfMessage):
                return

    def _fail(self, cause: Cause, detail: str) -> None:
        """
        Give up this target.
        """
        self.close(clean=False)
        self._asker.targetFailed(self._reason(cause, detail))

    def _reason(self, cause: Cause, detail: str) -> Refused:
        """
        A failure of this target, in words.
        """
        return Refused(cause, Phase.REMOTE, str(self.info.target), detail)
