# -*- test-case-name: ugate.test.test_serving -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
HTTP with limits: how many connections there may be, how much a request may have, and how long it may take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from ugate.modules.problems import Trouble, sendTrouble

MAX_BODY: Final = 1 << 20
"""How many bytes a request may have in its body."""

DEADLINE: Final = 30.0
"""How many seconds a request may take to come, from when it is waited for."""

LINGER: Final = 2.0
"""How many seconds a client whose body is too large has to read so."""

MAX_CONNECTIONS: Final = 256
"""How many connections one port may have."""

_MAX_FIELDS: Final = 100


class LimitedRequest(Request):
    """
    A request whose body may not be larger than L{MAX_BODY}.
    """

    tooLarge = False
    _got = 0

    def gotLength(self, length: int | None) -> None:
        """
        The head has come.
        """
        if length is not None and length > MAX_BODY:
            self._refuse()
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """
        A part of the body has come.
        """
        self._got += len(data)
        if self.tooLarge:
            return
        if self._got > MAX_BODY:
            self._refuse()
            return
        super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def _refuse(self) -> None:
        self.tooLarge = True
        channel: Any = self.channel
        channel.tooLarge(self)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        All of it has come.
        """
        if not self.tooLarge:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]


class Channel(HTTPChannel):
    """
    A connection on which requests are waited for no longer than L{DEADLINE}, however they trickle in.
    """

    maxHeaders = _MAX_FIELDS
    gone: Callable[[Channel], object] = staticmethod(lambda channel: None)
    _waiting: Any = None

    def connectionMade(self) -> None:
        """
        Somebody is there.
        """
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._wait(DEADLINE)

    def _wait(self, seconds: float | None) -> None:
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        self._waiting = None if seconds is None else self.callLater(seconds, self._late)

    def _late(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def allContentReceived(self) -> None:
        """
        A request is complete: now it is us who take time.
        """
        if not any(request.tooLarge for request in self.requests):
            self._wait(None)
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """
        A request is answered.
        """
        if not request.tooLarge:
            super().requestDone(request)  # type: ignore[no-untyped-call]
            self._wait(DEADLINE)

    def tooLarge(self, request: LimitedRequest) -> None:
        """
        Say so, and hear no more of it; a socket that is closed with unread bytes takes the answer along.
        """
        self.persistent = 0
        request.clientproto = b"HTTP/1.1"
        request.method = request.uri = request.path = b""
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        sendTrouble(request, Trouble(413, f"the body may have {MAX_BODY} bytes"))
        self._wait(LINGER)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        It is over.
        """
        self._wait(None)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.gone(self)


class LimitedSite(Site):
    """
    What serves a tree of resources on one port.

    @since: ugate NEXT
    """

    protocol = Channel  # type: ignore[assignment]
    noisy = False
    displayTracebacks = False

    def __init__(self, resource: Any, reactor: Any) -> None:
        super().__init__(resource, LimitedRequest, timeout=DEADLINE, reactor=reactor)  # type: ignore[no-untyped-call]
        self.channels: set[Channel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Somebody connects: served unless too many are here.
        """
        if len(self.channels) >= MAX_CONNECTIONS:
            return None
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        channel.gone = self.channels.discard
        self.channels.add(channel)
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """
        What L{Channel} speaks, and no more, whatever is installed beside.
        """
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """
        Requests leave no lines: what changes anything says so itself.
        """

    def startFactory(self) -> None:
        """
        Without the access log of L{Site} there is no clock to be kept for it.
        """

    def stopFactory(self) -> None:
        """
        End what is idle; what is being answered may end.
        """
        for channel in list(self.channels):
            if channel.requests:
                channel.persistent = 0
            elif channel.transport is not None:
                channel.transport.loseConnection()
