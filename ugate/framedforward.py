# -*- test-case-name: ugate.test.test_framedforward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Bulk of a stream that comes by one connection of HTTP/2 and goes on by another, without a copy: out of one
frame into a pipe, and from there into another frame.  See L{ugate.framing}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Onward(Protocol):
    """
    What splices for the link on which it goes on.
    """

    def room(self, channel: Any) -> int:
        """See L{ugate.framing.LinkSplicer.room}."""

    def frame(self, channel: Any, pipe: tuple[int, int], size: int) -> tuple[int, int] | None:
        """See L{ugate.framing.LinkSplicer.frame}."""


class Back(Protocol):
    """
    What splices for the link on which it comes.
    """

    def giveBack(self, pipe: tuple[int, int], isEmpty: bool) -> None:
        """See L{ugate.framing.LinkSplicer.giveBack}."""


class FrameSink:
    """
    A stream of another connection, for what comes on one: stands where a L{ugate.framedends.Sink} may.
    """

    __slots__ = ("_back", "_channel", "_onward", "_stream", "moved")

    def __init__(
        self, back: Back, stream: Any, onward: Onward, channel: Any, moved: Callable[[int], object]
    ) -> None:
        """
        @param stream: the transport on which it comes.
        @param channel: that on which it goes on.
        @param moved: called with each count of bytes.
        """
        self._back = back
        self._stream = stream
        self._onward = onward
        self._channel = channel
        self.moved = moved

    @property
    def room(self) -> int:
        """
        How many bytes it takes now.
        """
        return self._onward.room(self._channel) if self._stream.isClear else 0

    def take(self, pipe: tuple[int, int], size: int) -> int:
        """
        Send what is in a pipe.

        @return: how much of it is not sent yet; then the pipe is kept, for an empty one that is given back.
        """
        empty = self._onward.frame(self._channel, pipe, size)
        if empty is None:
            return 0
        self._back.giveBack(empty, isEmpty=True)
        return size
