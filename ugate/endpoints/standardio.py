# -*- test-case-name: ugate.test.test_standardio -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Standard input and output as a connection that ends as others do.

Twisted's C{StandardIO} cannot be aborted, keeps its output open after a
half-close, and tells nobody of its end when it is closed after one.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet._posixstdio import StandardIO
from twisted.internet.endpoints import StandardIOEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure


class Stdio(StandardIO):
    """
    One connection on standard input and output.

    @since: ugate NEXT
    """

    _halfClosed = False

    def __init__(
        self,
        protocol: Any,
        stdin: int = 0,
        stdout: int = 1,
        reactor: Any = None,
        *,
        over: Callable[[], object],
    ) -> None:
        """
        @param protocol: what the connection is for.
        @param stdin: the descriptor to read from.
        @param stdout: the descriptor to write to; after its end it leads nowhere.
        @param reactor: what waits for both.
        @param over: called once, after the protocol has lost the connection.
        """
        self._clock = reactor
        self._output = stdout
        self._over = over
        super().__init__(protocol, stdin, stdout, reactor)

    def loseWriteConnection(self) -> None:
        """
        Tell who reads our output, after what was written, that nothing more will come.
        """
        self._halfClosed = True
        super().loseWriteConnection()  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """
        End both directions, after what was written.
        """
        if self.disconnected or self.disconnecting:
            return
        super().loseConnection()  # type: ignore[no-untyped-call]
        if self._writer is None:
            self._clock.callLater(0, self._end, ConnectionDone())

    def abortConnection(self) -> None:
        """
        End both directions, and drop what is not yet written.
        """
        if not self.disconnected:
            self.loseConnection()
            self._clock.callLater(0, self._end, ConnectionAborted())

    def _end(self, reason: Exception) -> None:
        if not self.disconnected:
            self.connectionLost(Failure(reason))

    def connectionLost(self, reason: Failure) -> None:
        """
        Both directions are at their end.
        """
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._over()

    def _writeConnectionLost(self, reason: Failure) -> None:
        if self._halfClosed or self.disconnecting:
            endOutput(self._output)
            super()._writeConnectionLost(reason)
        else:
            # Nobody reads what we say, so nobody waits for it.
            self.connectionLost(reason)


def endOutput(descriptor: int) -> None:
    """
    Let who reads this output see its end.  The descriptor stays open, so that no
    other file gets its number and what is printed by mistake.
    """
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        # Standard input may be the same socket.
        with socket.socket(fileno=os.dup(descriptor)) as output:
            output.shutdown(socket.SHUT_WR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def serveOnce(endpoint: StandardIOEndpoint, over: Callable[[], object]) -> None:
    """
    Let an endpoint make its one connection in our way.

    @param over: called when it has ended.
    """
    endpoint._stdio = partial(Stdio, over=over)  # type: ignore[assignment]
