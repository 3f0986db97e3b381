# -*- test-case-name: ugate.test.test_testinglinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Both ends of links in memory: alone, or for connections of a mesh in memory.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ugate.stream import Principal, StreamInfo
from ugate.testing.links import MemoryLink

WINDOW: Final = 65536
"""Bytes that a stream may send before its reader takes some."""

STREAMS: Final = 100
"""How many streams each side may open at once."""


def _info(peer: str, own: str, name: str) -> StreamInfo:
    return StreamInfo(
        IPv4Address("TCP", peer, 4000),
        IPv4Address("TCP", own, 4000),
        principal=Principal(name, "certificate"),
    )


def linkPair(
    clock: IReactorTime,
    *,
    delay: float = 0.0,
    window: int = WINDOW,
    streams: int = STREAMS,
    client: str = "client",
    server: str = "server",
) -> tuple[MemoryLink, MemoryLink]:
    """
    A link in memory.

    @param clock: a clock of a test; all happens in its turns.
    @param delay: seconds from one end to the other.
    @param window: bytes that a stream may send before its reader takes some.
    @param streams: how many streams each side may open at once.
    @param client: who the server finds that the client is.
    @param server: who the client finds that the server is.
    @return: the end of who connected, and the other one.
    @since: ugate NEXT
    """
    one = MemoryLink(clock, _info("10.0.0.2", "10.0.0.1", server), 1, delay, window, streams)
    two = MemoryLink(clock, _info("10.0.0.1", "10.0.0.2", client), 2, delay, window, streams)
    one.other, two.other = two, one
    return one, two


class MemoryLinks:
    """
    A multiplexing protocol without bytes: a link for every connection both of whose ends C{maker} is given.

    @ivar links: both ends of each, in the order in which they came up.
    @since: ugate NEXT
    """

    def __init__(
        self, clock: IReactorTime, *, delay: float = 0.0, window: int = WINDOW, streams: int = STREAMS
    ) -> None:
        """
        @param clock: as for L{linkPair}.
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
