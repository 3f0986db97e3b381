# -*- test-case-name: ugate.test.test_leg -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One end of a stream that is carried on: the protocol on either side of a relay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from ugate.buffers import Buffers

EARLY_LIMIT: Final = 65536
"""Bytes kept for a stream whose other end is not up; then its sender is paused."""


@implementer(IHalfCloseableProtocol)
class Leg(Protocol):
    """
    Keeps what arrives until a relay takes over, within L{EARLY_LIMIT}, and
    remembers that the peer has ended.

    The relay then either takes the socket away, or sets C{deliver}, C{ended},
    C{deafened} and C{lost} and is called with what happens.

    @since: ugate NEXT
    """

    deliver: Callable[[bytes], object] | None = None
    """Called with each chunk, once it is set."""

    ended: Callable[[], object] | None = None
    """Called when the peer has ended its direction."""

    deafened: Callable[[], object] | None = None
    """Called when the peer takes no more, also if that is what we asked for."""

    lost: Callable[[Failure], object] | None = None
    """Called when the connection is gone."""

    early: bytes = b""
    """What arrived while nobody was there to take it."""

    buffers: Buffers | None = None
    """Where L{early} is counted, if it is; see L{count}."""

    eof = False
    """Whether the peer has ended its direction."""

    deaf = False
    """Whether the peer takes no more."""

    gone: Failure | None = None
    """Why the connection is gone, if it is."""

    paused = False
    """Whether the peer had to be paused because L{early} was full."""

    def dataReceived(self, data: bytes) -> None:
        """
        Pass it on, or keep it.
        """
        if self.deliver is not None:
            self.deliver(data)
            return
        self.early += data
        if self.buffers is not None:
            self.buffers.hold(len(data))
        if len(self.early) >= EARLY_LIMIT and not self.paused:
            self.paused = True
            assert self.transport is not None
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    @property
    def isFresh(self) -> bool:
        """
        Whether nothing has come yet, and nothing ended.
        """
        return not (self.early or self.eof or self.deaf or self.gone or self.paused or self.buffers)

    def count(self, buffers: Buffers) -> None:
        """
        From now on count there what is kept, until somebody takes it.
        """
        self.buffers = buffers
        buffers.hold(len(self.early))

    def takeEarly(self) -> bytes:
        """
        Give away what was kept.
        """
        early, self.early = self.early, b""
        if self.buffers is not None:
            self.buffers.hold(-len(early))
            self.buffers = None
        return early

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction; the other one may go on.
        """
        self.eof = True
        if self.ended is not None:
            self.ended()

    def writeConnectionLost(self) -> None:
        """
        What we write has been ended: we asked for it, or it is C{stdio} and
        nobody reads there.
        """
        self.deaf = True
        if self.deafened is not None:
            self.deafened()

    def connectionLost(self, reason: Failure = Failure(ConnectionError())) -> None:  # noqa: B008
        """
        The connection is gone.
        """
        self.gone = reason
        if self.lost is not None:
            self.lost(reason)
