# -*- test-case-name: ugate.test.test_sshlink,ugate.test.test_sshstreams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which of the streams of an SSH connection sends next, and when none may.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ugate.protocols.sshchannel import SSHChannel


class SSHTurns:
    """
    Has channels send in turns; a producer of the transport.

    @ivar transport: what is below, once that has begun.
    @ivar isHeld: whether nothing may be sent for now.
    @since: ugate NEXT
    """

    transport: Any = None
    isHeld = False
    _isFull = _isExchanging = False
    _isClosed = _isPumping = False

    def __init__(self) -> None:
        self._ready: deque[SSHChannel] = deque()
        self._unread = 0

    def pauseProducing(self) -> None:
        """
        The transport has enough for now.
        """
        self._isFull = self.isHeld = True

    def resumeProducing(self) -> None:
        """
        The transport takes more.
        """
        self._isFull = False
        self._goOn()

    def stopProducing(self) -> None:
        """
        The transport takes no more; why, is said when it is gone.
        """
        self._isFull = self.isHeld = True

    def exchanging(self, isSo: bool) -> None:
        """
        Keys are exchanged, or were: in the meantime nothing may be sent, and would only be kept.
        """
        self._isExchanging = isSo
        self._goOn()

    def _goOn(self) -> None:
        self.isHeld = self._isFull or self._isExchanging
        if not self.isHeld:
            self._unread = 0
            self._pump()

    def want(self, channel: SSHChannel) -> None:
        """
        A channel has something to send.
        """
        if not channel.isReady:
            channel.isReady = True
            self._ready.append(channel)
        self._pump()

    def _pump(self) -> None:
        """
        Let channels send, one after another, as long as the transport takes it.
        """
        if self._isPumping or not self._ready:
            return
        self._isPumping = True
        try:
            self.transport.together(self._sendAll)
        finally:
            self._isPumping = False

    def _sendAll(self) -> None:
        ready = self._ready
        while ready and not (self.isHeld or self._isClosed):
            channel = ready.popleft()
            channel.isReady = False
            channel.sendSome()
            if channel.unsent and channel.window and not channel.isReady:
                channel.isReady = True
                ready.append(channel)
