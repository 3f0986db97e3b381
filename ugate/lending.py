# -*- test-case-name: ugate.test.test_splicingprocess,ugate.test.test_pump_bulk -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who moves bulk: another process, or threads of this one where there can be none.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from socket import socket
from typing import Any, Final, TypeAlias

from twisted.logger import Logger

from ugate import splice, splicing, splicingprocess
from ugate.poll import SocketReactor
from ugate.slots import UNLIMITED

Bulk: TypeAlias = splice.Direction | splicingprocess.Lent
"""A direction while others move it."""

COPY_ONLY: Final = (errno.EINVAL, splice.NO_ROOM)
"""Why a direction comes back that has moved nothing: it cannot be spliced, or there is no pipe for it."""

LOST: Final = errno.EOWNERDEAD
"""Why a direction comes back whose process died."""


class Lender:
    """
    Lends directions, and starts whom it lends them to when that is first needed.

    @since: ugate NEXT
    """

    _log = Logger()

    def __init__(
        self, reactor: SocketReactor, threads: int, process: bool, returned: Callable[[Any], object]
    ) -> None:
        """
        @param reactor: what tells the time, and waits for what comes back.
        @param threads: how many may splice; with 0, or without splice(2), nothing is lent.
        @param process: whether they may be those of another process.
        @param returned: called in the reactor's thread with each direction that ended,
            broke, went quiet or was recalled; L{settle} it then.
        """
        self._reactor = reactor
        self._threads = threads
        self._process = process and splicingprocess.available
        self._returned = returned
        self._splicers: splicing.Splicers | splicingprocess.SplicingProcess | None = None
        self.lends = bool(threads) and splice.available
        """Whether anything is lent at all."""

    def lend(self, source: socket, sink: socket, allowed: int = UNLIMITED) -> Bulk:
        """
        Let somebody else move what comes from one socket to the other.

        @param allowed: how many bytes at first.
        @raise OSError: there is no room.
        """
        splicers: Any = self._splicers or self._start()
        direction: Bulk = splicers.direction(source, sink)
        direction.allowed = allowed
        try:
            splicers.lend(direction)
        except OSError:
            direction.closePipe()
            raise
        return direction

    def recall(self, direction: Bulk) -> None:
        """
        Ask for a direction back, whatever its sockets do.  It comes as those do that ended.
        """
        splicers: Any = self._splicers
        splicers.recall(direction)

    def settle(self, direction: Bulk) -> None:
        """
        Note that a direction came back; its numbers may be those of another from now on.
        """
        splicers: Any = self._splicers
        splicers.settle(direction)

    def _start(self) -> splicing.Splicers | splicingprocess.SplicingProcess:
        reactor = self._reactor
        if self._process:
            try:
                self._splicers = process = splicingprocess.SplicingProcess(
                    self._threads, reactor.seconds, self._returned, self._died
                )
            except OSError as error:
                self._process = False
                self._log.warn("bulk stays in this process, since another cannot start: {error}", error=error)
            else:
                reactor.addReader(process)
                return process
        self._splicers = threads = splicing.Splicers(
            self._threads, reactor.seconds, lambda d: reactor.callFromThread(self._returned, d)
        )
        return threads

    def _died(self) -> None:
        """
        The process is gone; threads of this one do it from now on.
        """
        process, self._splicers, self._process = self._splicers, None, False
        assert isinstance(process, splicingprocess.SplicingProcess)
        self._reactor.removeReader(process)
        process.close()
        self._log.error("the process that moved bulk died, and so did the streams it had; threads go on")

    def stop(self) -> None:
        """
        End whoever moves bulk; what was lent is for the caller to L{settle}, before L{close}.
        """
        splicers = self._splicers
        if isinstance(splicers, splicingprocess.SplicingProcess):
            self._reactor.removeReader(splicers)
        if splicers is not None:
            splicers.stop()

    def close(self) -> None:
        """
        Give back what is left.
        """
        if self._splicers is not None:
            self._splicers.close()
