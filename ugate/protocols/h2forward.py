# -*- test-case-name: ugate.test.test_h2forward,ugate.test.test_h2forward_windows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A stream of HTTP/2 that comes by one connection and goes on by another.

Both ends of it stay the transports that they are, with their legs, their ends and whoever looks after
them.  Only its data take the short way, from one frame into the next; and the windows of both connections
become one from end to end: a peer may send what the other one lets us send on, and a first window more.
So whoever does not read at the far end stops who sends, and not much waits on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2frames import Code
from ugate.protocols.mux import MuxStream
from ugate.protocols.muxwriting import FULL

_OF_STREAMS: Final = frozenset({Code.INTERNAL_ERROR, Code.CANCEL, Code.CONNECT_ERROR, Code.ENHANCE_YOUR_CALM})
"""Codes that are about a stream, and not about the connection that one hop of it has."""


def passedOn(code: int) -> int:
    """
    What a stream is reset with, when that which it is joined with was reset with a code: the same, unless
    that speaks of what happened between two neighbours.  Never with what could pass for a good end.
    """
    return code if code in _OF_STREAMS or code > max(Code) else Code.CONNECT_ERROR


class H2Forward:
    """
    One direction of such a stream.

    @since: ugate NEXT
    """

    __slots__ = ("_channel", "_consumed", "_moved", "_sink", "_source")

    def __init__(self, source: Any, sink: Any, moved: Callable[[int], object]) -> None:
        """
        @param source: the L{MuxStream<ugate.protocols.mux.MuxStream>} on which data come.
        @param sink: the one to which they go.
        @param moved: called with each count of bytes that went this way, and not through the protocols
            of the two.
        """
        self._source = source
        self._sink = sink
        self._consumed = source.channel.consumed
        self._channel = sink.channel
        self._moved = moved

    def received(self, data: bytes) -> None:
        """
        A piece of data came.
        """
        if not self._source.isClear:
            # Somebody wants it to wait.
            self._source.received(data)
            return
        size = len(data)
        channel = self._channel
        if channel.unsent + size <= FULL:
            channel.write(data)
        else:
            # It may be enough to have us wait.
            self._sink.write(data)
        self._moved(size)
        self._consumed(size)


def forward(a: Any, b: Any, there: Callable[[int], object], back: Callable[[int], object]) -> bool:
    """
    Join two transports, if both are streams of HTTP/2: their data go past their protocols, in order with
    what these have been given.

    @param there: called with each count of bytes that went from C{a} to C{b} this way.
    @param back: the same for those from C{b} to C{a}.
    @return: whether both are such streams.
    @since: ugate NEXT
    """
    # Wrappers of Twisted's claim to be what they wrap, and TLS is one.
    if not (isinstance(a, MuxStream) and isinstance(b, MuxStream)):
        return False
    one, two = a.channel, b.channel
    if not (isinstance(one, H2Channel) and isinstance(two, H2Channel)):
        return False
    one.other, two.other = two, one
    one.received = H2Forward(a, b, there).received
    two.received = H2Forward(b, a, back).received
    return True
