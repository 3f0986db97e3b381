# -*- test-case-name: ugate.test.test_sshsession -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a person sees who has no streams in mind: C{ssh gate}, and C{ssh gate COMMAND}.  There is no shell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.python.failure import Failure

from ugate.protocols.sshchannel import SSHChannel
from ugate.protocols.sshpackets import CHANNEL_REQUEST, U32, Reader, string, words

_HARMLESS: Final = frozenset((b"pty-req", b"env", b"window-change", b"signal"))
_LONGEST: Final = 4096
"""Bytes of a command."""

Answer = Callable[[str], tuple[str, int]]
"""What a command says, and its exit status; the empty one is what is said to whoever gives none."""


class SSHSession:
    """
    Stands where the stream of a channel would be.

    @since: ugate NEXT
    """

    def __init__(self, channel: SSHChannel, answer: Answer) -> None:
        """
        @param channel: what moves its bytes.
        @param answer: the commands.
        """
        self._channel = channel
        self._answer = answer
        self._command: str | None = None
        self._status: int | None = None
        self._isTerminal = False

    def requested(self, name: bytes, data: bytes) -> bool:
        """
        The client wants something.

        @return: whether that can be.
        """
        if name in _HARMLESS:
            self._isTerminal = self._isTerminal or name == b"pty-req"
            return True
        if name not in (b"shell", b"exec") or self._command is not None:
            return False
        line = Reader(data).string() if name == b"exec" else b""
        if len(line) > _LONGEST:
            return False
        self._command = words(line)
        return True

    def answered(self) -> None:
        """
        The client was told that it can be: do it.
        """
        if self._command is None or self._status is not None:
            return
        text, self._status = self._answer(self._command)
        if self._isTerminal:
            text = text.replace("\n", "\r\n")
        self._channel.write(text.encode())
        if not self._channel.unsent:
            self.drained()

    def received(self, data: bytes) -> None:
        """
        Nobody here reads what is typed.
        """
        self._channel.consumed(len(data))

    def ended(self) -> None:
        """
        Nothing more is typed.
        """

    def drained(self) -> None:
        """
        All is said.
        """
        channel, status = self._channel, self._status
        if status is None or channel.isClosing or channel.finished:
            return
        ends = string(b"exit-status") + b"\0" + U32.pack(status)
        channel.link.send(CHANNEL_REQUEST, U32.pack(channel.remote) + ends)
        channel.finish()
        channel.close()

    def closed(self, reason: Failure) -> None:
        """
        It is over.
        """
