# -*- test-case-name: ugate.test.test_mux -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The half of a stream that is written to: bytes, and who produces them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.interfaces import IPullProducer

from ugate.interfaces import IChannel

FULL: Final = 65536
"""Unsent bytes from which on a producer is paused."""


@implementer(IPullProducer)
class Cutting:
    """
    Cuts a stream when all that was written is sent.

    @since: ugate NEXT
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def resumeProducing(self) -> None:
        """
        Nothing waits.
        """
        self._stream.abortConnection()

    def stopProducing(self) -> None:
        """
        It is gone.
        """


class Writing(ABC):
    """
    Writes to a channel, no faster than it sends.

    @ivar isPending: whether nothing may be written yet.
    @since: ugate NEXT
    """

    isPending = False
    _channel: IChannel | None
    """L{None} once it is gone."""
    _isFinishing = _isFinished = False
    """Whether this direction is to end, and nothing is written any more."""
    _producer: Any = None
    _isStreaming = False
    _isHeld = False
    """Whether a push producer is paused."""
    _isPulling = False
    """Whether a pull producer is being called."""
    _hasWritten = False
    """Whether it wrote something then."""

    @abstractmethod
    def _finish(self) -> None:
        """
        End this direction if it is to end, and nobody produces any more.
        """

    @abstractmethod
    def _turn(self) -> None:
        """
        Tell the protocol what there is to tell.
        """

    @abstractmethod
    def _broken(self) -> None:
        """
        Whoever was called has just failed.
        """

    # ITransport

    def write(self, data: bytes) -> None:
        """
        See L{ITransport}.

        @raise RuntimeError: it was not accepted.
        """
        if self.isPending:
            raise RuntimeError(f"{self}: accept() or refuse() comes before anything is written")
        channel = self._channel
        if channel is None or self._isFinished or not data:
            return
        self._hasWritten = True
        channel.write(data)
        if self._producer is None:
            return
        if not self._isStreaming:
            self._pull()
        elif channel.unsent > FULL:
            self._hold()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See L{ITransport}.
        """
        self.write(b"".join(iovec))

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{IConsumer}.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self}: {self._producer} is registered and has not ended")
        if self._channel is None:
            producer.stopProducing()
            return
        self._producer = producer
        self._isStreaming = streaming
        self._isHeld = False
        self._hold()
        self._pull()

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        self._producer = None
        if self._isFinishing:
            self._finish()
            self._turn()

    def _hold(self) -> None:
        """
        Pause a push producer that is ahead of the link.
        """
        if (
            self._isStreaming
            and not self._isHeld
            and self._channel is not None
            and self._channel.unsent > FULL
        ):
            self._isHeld = True
            self._producer.pauseProducing()

    def _pull(self) -> None:
        """
        Have a pull producer write as long as that goes out at once.
        """
        if self._isPulling:
            return
        self._isPulling = True
        try:
            while (
                self._producer is not None
                and not self._isStreaming
                and self._channel is not None
                and not self._channel.unsent
            ):
                self._hasWritten = False
                self._calling(self._producer.resumeProducing)
                if not self._hasWritten:
                    break
        finally:
            self._isPulling = False

    def _calling(self, call: Callable[[], object]) -> None:
        """
        Call a producer; what goes wrong in it is no matter of the link.
        """
        try:
            call()
        except Exception:
            self._broken()

    def _goOn(self) -> None:
        """
        All is sent that was written.
        """
        if self._producer is None or not self._isStreaming:
            self._pull()
        elif self._isHeld:
            self._isHeld = False
            self._calling(self._producer.resumeProducing)

    def _stopProducer(self) -> None:
        """
        Nobody wants any more of it.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            self._calling(producer.stopProducing)


def takePieces(queue: deque[bytes | memoryview], size: int) -> list[bytes | memoryview]:
    """
    The first bytes of what waits, not joined.

    @param size: how many, no more than there are.
    """
    pieces: list[bytes | memoryview] = []
    while size:
        piece = queue.popleft()
        if len(piece) > size:
            view = memoryview(piece)
            queue.appendleft(view[size:])
            piece = view[:size]
        size -= len(piece)
        pieces.append(piece)
    return pieces
