# -*- test-case-name: ugate.test.test_mux,ugate.test.test_muxends -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the protocol of a stream is told, one thing after another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.protocols.muxwriting import Writing


class Telling(Writing):
    """
    Tells a protocol of bytes and of ends, in the order in which they came, and never while it is being
    called.

    @ivar disconnecting: whether it is to close, or closed.
    @since: ugate NEXT
    """

    _log = Logger()

    disconnecting = False
    _protocol: Any = None
    _isHalf = False
    """Whether the protocol knows of directions that end one by one."""
    _isBusy = False
    """Whether the protocol is being called."""
    _isPaused = False
    _kept: deque[bytes]
    """What came and nobody has taken yet."""
    _held = 0
    """How many bytes that are."""
    _isEnded = _isEndTold = False
    """Of what the peer sends."""
    _isFinishTold = False
    """Whether it knows that what we send has ended."""
    _why: Failure | None = None
    """Once it is gone."""
    _isOver = False
    """Whether the protocol knows that it is gone."""

    @abstractmethod
    def loseConnection(self) -> None:
        """
        Close after what was written.
        """

    @abstractmethod
    def _cut(self, reason: Failure) -> None:
        """
        Close at once.
        """

    def _forget(self) -> None:
        """
        Nobody wants what is kept.
        """
        self._kept.clear()
        self._held = 0
        self._isEndTold = True

    def _broken(self) -> None:
        failure = Failure()
        self._log.failure("{stream}: its protocol failed", failure, stream=self)
        self._forget()
        self._cut(failure)

    def _turn(self) -> None:
        """
        Tell the protocol all that there is to tell, one after another.
        """
        if self._isBusy or self._protocol is None:
            return
        if not (self._kept or self._isEnded or self._isFinished or self._why is not None):
            return
        self._isBusy = True
        more = True
        while more:
            try:
                more = self._tell(self._protocol)
            except Exception:
                self._broken()
        self._isBusy = False

    def _tell(self, protocol: Any) -> bool:
        """
        Tell it the next thing.

        @return: whether there may be more.
        """
        if self._isOver:
            return False
        if self._kept and not self._isPaused:
            data = self._kept.popleft()
            self._held -= len(data)
            protocol.dataReceived(data)
            if self._channel is not None:
                self._channel.consumed(len(data))
            return True
        if self._isEnded and not (self._isEndTold or self._kept or self._isPaused):
            self._isEndTold = True
            if self._isHalf:
                protocol.readConnectionLost()
            else:
                self._loseBoth()
            return True
        if self._isFinished and not self._isFinishTold and self._isAllSent:
            self._isFinishTold = True
            if self._isHalf and not self.disconnecting:
                protocol.writeConnectionLost()
            return True
        if self._why is None or self._kept or (self._isEnded and not self._isEndTold):
            return False
        self._isOver = True
        protocol.connectionLost(self._why)
        # Each of them has the other, and nobody else would part them.
        self._protocol = None
        return False

    @property
    def _isAllSent(self) -> bool:
        return self._channel is not None and not self._channel.unsent

    def _loseBoth(self) -> None:
        """
        The peer has ended, and the protocol does not know of halves.
        """
        self._stopProducer()
        self.loseConnection()
