# -*- test-case-name: ugate.test.test_testinglinks -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The streams of a link in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IChannel
from ugate.protocols.mux import MuxStream

if TYPE_CHECKING:
    from ugate.testing.links import MemoryLink


def refused(cause: Cause, detail: str) -> Refused:
    return Refused(cause, Phase.REMOTE, "peer", detail)


@implementer(IChannel)
class MemoryChannel:
    """
    One stream of a link in memory, seen from one of its ends.

    @ivar stream: what is above it; L{None} until the peer has accepted it.
    @since: ugate NEXT
    """

    stream: MuxStream | None = None
    opening: Deferred[Any] | None = None
    finishing = isSent = isReceived = isQueued = False

    def __init__(self, link: MemoryLink, number: int, window: int) -> None:
        self._link = link
        self.number = number
        self.window = window
        self.waiting = bytearray()

    @property
    def unsent(self) -> int:
        """
        See L{IChannel}.
        """
        return len(self.waiting)

    def write(self, data: bytes) -> None:
        """
        See L{IChannel.write}.
        """
        if not self.finishing:
            self.waiting += data
            self._link.wants(self)

    def finish(self) -> None:
        """
        See L{IChannel.finish}.
        """
        self.finishing = True
        self._link.wants(self)

    def consumed(self, count: int) -> None:
        """
        See L{IChannel.consumed}.
        """
        self._link.send("window", self.number, count)

    def reset(self) -> None:
        """
        See L{IChannel.reset}.
        """
        self._link.send("reset", self.number, None)
        self._link.forget(self)

    def accept(self) -> None:
        """
        See L{IChannel.accept}.
        """
        self._link.send("accept", self.number, None)

    def refuse(self, reason: Refused) -> None:
        """
        See L{IChannel.refuse}.
        """
        self._link.send("refuse", self.number, reason)
        self._link.forget(self)

    def gone(self, reason: Failure) -> None:
        """
        Tell whoever waits for it, or has it.
        """
        opening, self.opening = self.opening, None
        if opening is not None:
            error = reason.value
            known = isinstance(error, Refused)
            opening.errback(error if known else refused(Cause.PEER_CLOSED, str(error)))
        elif self.stream is not None:
            self.stream.closed(reason)

    @property
    def isReady(self) -> bool:
        """
        Whether there is something to send that may be sent.
        """
        if self.isSent or self.opening is not None:
            return False
        return bool(self.waiting and self.window) or (self.finishing and not self.waiting)
