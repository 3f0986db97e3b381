# -*- test-case-name: ugate.test.test_httpchannel,ugate.test.test_httpchannel_login -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A client's connection apart from what is said on it: its one deadline, its pauses
and its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol

from ugate.protocols.httptunnel import ClientTransport

LINGER: Final = 2.0
"""How long a client may send on after an error ended its connection (L{float}, seconds)."""

MAX_LINGER: Final = 1 << 20
"""How many bytes it may send then (L{int})."""


FLUSH: Final = 60.0
"""How long a client may take to read the last bytes written to it (L{float}, seconds)."""


class HttpConnection(Protocol):
    """
    A connection that is closed at once, or aborted, or left to a client that has
    yet to read why it ends.

    @ivar clock: for what comes later.
    @ivar isClosing: whether there will be no more requests.
    @ivar isPaused: whether we read no more from the client for now.
    @since: ugate NEXT
    """

    transport: ClientTransport  # type: ignore[assignment]

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: for the deadline.
        """
        self.clock = clock
        self.isClosing = False
        self.isPaused = False
        self._timer: IDelayedCall | None = None
        self._lingered = 0

    def stopped(self, clean: bool) -> None:
        """
        The connection comes to its end: let go of what belongs to it.

        @param clean: false if something was cut short.
        """

    def arm(self, seconds: float, action: Callable[[], None]) -> None:
        """
        Set the one deadline.
        """
        self.disarm()
        self._timer = self.clock.callLater(seconds, action)

    def disarm(self) -> None:
        """
        There is no deadline.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def pause(self, paused: bool) -> None:
        """
        Stop reading from the client, or go on.
        """
        if paused != self.isPaused:
            self.isPaused = paused
            if paused:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()

    def send(self, data: bytes) -> None:
        """
        Send to the client.
        """
        if data and not self.isClosing:
            self.transport.write(data)

    def stop(self, clean: bool) -> None:
        """
        There will be no more requests.
        """
        self.isClosing = True
        self.disarm()
        self.stopped(clean)

    def linger(self) -> None:
        """
        Close when the client has read the answer.  To close while it still sends
        would reset the connection, and lose the answer.
        """
        self.stop(clean=True)
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        self.pause(False)
        self.arm(LINGER, self._flush)

    def _flush(self) -> None:
        """
        Close when the client has what was written, or takes too long for that.
        """
        self.arm(FLUSH, self.transport.abortConnection)
        self.transport.loseConnection()

    def discard(self, data: bytes) -> None:
        """
        The client sends on while it is left to read the answer.
        """
        self._lingered += len(data)
        if self._lingered > MAX_LINGER:
            self._flush()

    def close(self) -> None:
        """
        Close after what was sent.
        """
        if not self.isClosing:
            self.stop(clean=True)
            # A transport with a paused producer would wait for more of it, and not close.
            self.transport.unregisterProducer()
            self._flush()

    def abort(self) -> None:
        """
        Close so that the client sees that something is missing.
        """
        if not self.isClosing:
            self.stop(clean=False)
            self.transport.abortConnection()
