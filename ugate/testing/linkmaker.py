# -*- test-case-name: ugate.test.test_testinglinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Links in memory for connections of a mesh in memory: a multiplexing protocol without bytes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.stream import StreamInfo
from ugate.testing.links import STREAMS, WINDOW, MemoryLink


class MemoryLinks:
    """
    Makes a link of every connection both of whose ends are given to C{maker}.

    @ivar links: both ends of each, in the order in which they came up.
    @since: ugate NEXT
    """

    def __init__(
        self, clock: IReactorTime, *, delay: float = 0.0, window: int = WINDOW, streams: int = STREAMS
    ) -> None:
        """
        @param clock: as for L{ugate.testing.links.linkPair}.
        @param delay: seconds from one end to the other.
        @param window: bytes that a stream may send before its reader takes some.
        @param streams: how many streams each side may open at once.
        """
        self._clock = clock
        self._delay = delay
        self._window = window
        self._streams = streams
        self.waiting: dict[tuple[str, str], _End] = {}
        self.links: list[tuple[MemoryLink, MemoryLink]] = []

    def maker(self, info: StreamInfo) -> tuple[IProtocol, Deferred[Any]]:
        """
        One end: a L{ugate.endpoints.links.LinkMaker}.
        """
        end = _End(self, info)
        return end, end.up

    def meet(self, one: _End, other: _End) -> None:
        """
        Both ends of a connection are there.
        """
        first, second = (
            MemoryLink(self._clock, end.info, number, self._delay, self._window, self._streams)
            for number, end in enumerate((one, other), 1)
        )
        first.other, second.other = second, first
        self.links.append((first, second))
        one.begin(first)
        other.begin(second)


class _End(Protocol):
    """
    One end of a connection.
    """

    link: MemoryLink | None = None

    def __init__(self, links: MemoryLinks, info: StreamInfo) -> None:
        self._links = links
        self.info = info
        self.up: Deferred[Any] = Deferred()

    def connectionMade(self) -> None:
        own, peer = str(self.info.host), str(self.info.peer)
        other = self._links.waiting.pop((peer, own), None)
        if other is None:
            self._links.waiting[own, peer] = self
        else:
            self._links.meet(other, self)

    def begin(self, link: MemoryLink) -> None:
        """
        The link is up.
        """
        self.link = link
        link.whenClosed().addCallback(self._closed)
        self.up.callback(link)

    def _closed(self, why: str) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None
        if self.link is None:
            self._links.waiting.pop((str(self.info.host), str(self.info.peer)), None)
        elif not self.link.isClosed:
            self.link.cut()
