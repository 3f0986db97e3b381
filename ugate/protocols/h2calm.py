# -*- test-case-name: ugate.test.test_h2calm -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How much of what costs us more than it costs the peer is borne on one HTTP/2 connection, and
the sizes of its windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ugate.protocols.h2frames import Code, ConnectionFault
from ugate.protocols.mux import MuxStream


@dataclass(frozen=True, slots=True)
class H2Limits:
    """
    The limits of one connection.

    @since: ugate NEXT
    """

    streams: int = 1000
    """How many streams the peer may have open."""

    headers: int = 32768
    """Bytes of all header fields of one message, unpacked, with 32 for each field."""

    streamWindow: int = 1 << 22
    """Bytes that may come on a stream whose reader keeps up, before it has taken them."""

    firstWindow: int = 1 << 17
    """Bytes that may come on any stream before its reader has taken them."""

    connectionWindow: int = 1 << 24
    """
    Bytes that may come on all streams together beyond the first of each.  Only half is ever promised to
    streams, so that readers who are slow never hold up the others.
    """

    odd: int = 1000
    """How many frames that carry nothing may come at once: settings, pings, priorities, empty ones."""

    oddRate: float = 100.0
    """How many of these may come a second, after that."""

    resets: int = 1000
    """How many streams may be begun and given up at once, before we have answered them."""

    resetRate: float = 50.0
    """How many of these a second, after that."""

    unread: int = 1 << 20
    """Bytes of what is no data, as answers, that may wait for a peer which does not read."""

    handshake: float = 10.0
    """Seconds for the preface, the settings of the peer, and its word on ours."""

    answer: float = 10.0
    """Seconds that a client has to say that it has heard that we go away."""

    goodbye: float = 2.0
    """Seconds that it has to read why we close."""

    def __post_init__(self) -> None:
        most = max(self.streamWindow, self.firstWindow)
        if most > MuxStream.CAP:
            raise ValueError(f"a window of {most} bytes for a stream that keeps no more than {MuxStream.CAP}")


class Patience:
    """
    So many at once, and so many a second.

    @since: ugate NEXT
    """

    __slots__ = ("_burst", "_left", "_rate", "_seconds", "_since", "_what")

    def __init__(self, burst: float, rate: float, seconds: Callable[[], float], what: str) -> None:
        """
        @param burst: how many at once.
        @param rate: how many a second.
        @param seconds: tells the time.
        @param what: what is counted, in words for who has sent too many.
        """
        self._burst = self._left = burst
        self._rate = rate
        self._seconds = seconds
        self._since = seconds()
        self._what = what

    def spend(self) -> None:
        """
        One more came.

        @raise ConnectionFault: it is one too many.
        """
        self._left -= 1
        if self._left >= 0:
            return
        now = self._seconds()
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 0:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"too many {self._what}")

    def earn(self) -> None:
        """
        Something of use was done, which makes up for some of these.
        """
        if self._left < self._burst:
            self._left += 2
