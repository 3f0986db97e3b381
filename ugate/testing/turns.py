# -*- test-case-name: ugate.test.test_testing,ugate.test.test_testingturns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a reactor does in a turn, for all hosts of a mesh together: the calls that are
due, the bytes that move, the transports that can read or write.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import qual

from ugate.errors import UgateError
from ugate.testing.wire import Connection

_NAMED: Final = 5
"""How many culprits an error names."""


class MeshError(UgateError):
    """
    The mesh cannot do what it was asked: the message says what and why.

    @since: ugate NEXT
    """


class NeverQuiet(MeshError):
    """
    Something in the mesh goes on and on: the message names the connections on which
    bytes still move, and the calls that are due again and again.

    @since: ugate NEXT
    """


class MeshClock(Clock):
    """
    A clock that runs what is due as a reactor does: what that schedules has its
    turn later, even with no delay.
    """

    _log = Logger()

    def runDue(self) -> bool:
        """
        Run what is due now.  What a call raises is logged, as a reactor does.

        @return: whether there was anything.
        """
        due: list[Any] = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            # One of those before it may have cancelled or moved it.
            if call.active() and call.getTime() <= self.rightNow:
                self.calls.remove(call)
                call.called = 1
                try:
                    call.func(*call.args, **call.kw)
                except Exception:
                    self._log.failure("a delayed call failed: {call}", call=qual(call.func))
        return bool(due)

    def nextTime(self) -> float | None:
        """
        When the next call is due, in the seconds of this clock.
        """
        return min((call.getTime() for call in self.calls), default=None)

    def dueNames(self) -> list[str]:
        """
        What is due now, for an error.
        """
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        return [f"a call of {getattr(call.func, '__qualname__', call.func)}" for call in due[:_NAMED]]


class Turns:
    """
    The turns of a mesh.  To a transport it is what a reactor is to a real one.

    @ivar clock: the time of all hosts.
    @ivar connections: those of which at least one end is open.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.clock = MeshClock()
        self.connections: dict[Connection, None] = {}
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}
        self._busy: list[Connection] = []

    def callLater(self, delay: float, call: Any, *args: Any, **kw: Any) -> IDelayedCall:
        """
        As a reactor.
        """
        return self.clock.callLater(delay, call, *args, **kw)

    def addReader(self, reader: Any) -> None:
        """
        As a reactor.
        """
        self._readers[reader] = None

    def removeReader(self, reader: Any) -> None:
        """
        As a reactor.
        """
        self._readers.pop(reader, None)

    def addWriter(self, writer: Any) -> None:
        """
        As a reactor.
        """
        self._writers[writer] = None

    def removeWriter(self, writer: Any) -> None:
        """
        As a reactor.
        """
        self._writers.pop(writer, None)

    def flush(self, limit: int) -> None:
        """
        Take turns until nothing happens.

        @param limit: how many at most.
        @raise NeverQuiet: something happens still.
        """
        for _ in range(limit):
            if not self._turn():
                return
        still = [f"bytes move on {connection}" for connection in self._busy[:_NAMED]]
        culprits = "; ".join(still + self.clock.dueNames()) or "transports that read or write nothing"
        raise NeverQuiet(
            f"not quiet after {limit} turns: {culprits}. If that is no endless loop,"
            " allow more of them: flush(turns=...)"
        )

    def advance(self, seconds: float, limit: int) -> None:
        """
        Let time pass, and stop at each moment at which a call is due.

        @param limit: how many turns each moment may take, and how many moments.
        @raise NeverQuiet: one of them takes more, or there are more.
        """
        until = self.clock.rightNow + seconds
        self.flush(limit)
        for _ in range(limit):
            moment = self.clock.nextTime()
            if moment is None or moment > until:
                self.clock.rightNow = until
                return
            self.clock.rightNow = max(moment, self.clock.rightNow)
            self.flush(limit)
        raise NeverQuiet(
            f"more than {limit} moments in {seconds:g} s at which calls were due; if that is right,"
            " advance by less at once"
        )

    def _turn(self) -> bool:
        busy = self.clock.runDue()
        self._busy = [connection for connection in tuple(self.connections) if connection.move()]
        for connection in tuple(self.connections):
            if connection.isOver:
                del self.connections[connection]
        busy = busy or bool(self._busy)
        for reader in tuple(self._readers):
            if reader in self._readers and reader.end.isReadable:
                busy = True
                self._run(reader, reader.doRead)
        for writer in tuple(self._writers):
            if writer in self._writers and writer.end.isWritable:
                busy = True
                self._run(writer, writer.doWrite)
        return busy

    def _run(self, transport: Any, call: Any) -> None:
        """
        Let a transport read or write, and tell it what came of that.
        """
        try:
            why = call()
        except Exception as error:
            self._log.failure("the protocol of {transport} failed", transport=str(transport))
            why = error
        if not why:
            return
        self.removeReader(transport)
        ended = isinstance(why, ConnectionDone)
        if ended and call == transport.doRead:
            transport.readConnectionLost(Failure(CONNECTION_DONE))
            return
        self.removeWriter(transport)
        transport.connectionLost(Failure(why))
