# -*- test-case-name: ugate.test.test_testingfaults -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Faults that are at work, and what they do to whom.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from ugate.testing.faults import Blackhole, DialFault, Fault, LostName, Refuse, WireFault
from ugate.testing.wire import Connection, Hindrance, Wire


class Applied:
    """
    One fault at work.

    @ivar fault: which.
    @ivar hits: how many connections, or lookups, it has been put on; a test that
        finds 0 here has tested nothing.
    @since: ugate NEXT
    """

    def __init__(self, fault: Fault, source: str, destination: str, nth: int | None) -> None:
        """
        @param source: the host that sends, connects, or looks up.
        @param destination: the host that receives, or is connected to.
        @param nth: which connection or lookup from now on, from 1; L{None} for all.
        """
        self.fault = fault
        self.source = source
        self.destination = destination
        self.hits = 0
        self._nth = nth
        self._seen = 0
        self._lifted = False
        self._on: list[tuple[Wire, Hindrance]] = []

    def lift(self) -> None:
        """
        All is well again; what was stalled goes on.
        """
        self._lifted = True
        for wire, hindrance in self._on:
            hindrance.stop()
            wire.hindrances.remove(hindrance)
        self._on.clear()

    def dialed(self, source: str, destination: str) -> bool:
        """
        Somebody connects: is it meant?
        """
        if not isinstance(self.fault, (Refuse, Blackhole)) or (source, destination) != self._pair:
            return False
        return self._counts()

    def lookedUp(self, source: str, name: str) -> bool:
        """
        Somebody looks a name up: is that meant?
        """
        if not isinstance(self.fault, LostName) or (source, name) != (self.source, self.fault.name):
            return False
        return self._counts()

    def connected(self, clock: IReactorTime, connection: Connection) -> None:
        """
        A connection is up: hinder it, if it is meant.
        """
        if not isinstance(self.fault, WireFault):
            return
        if (connection.source, connection.destination) == self._pair:
            # To itself a host sends both ways; that of who connects is meant.
            wire = connection.client.out
        elif (connection.destination, connection.source) == self._pair:
            wire = connection.server.out
        else:
            return
        if self._counts():
            hindrance = self.fault.hindrance(clock)
            wire.hindrances.append(hindrance)
            self._on.append((wire, hindrance))

    @property
    def _pair(self) -> tuple[str, str]:
        return self.source, self.destination

    def _counts(self) -> bool:
        if self._lifted:
            return False
        self._seen += 1
        if self._nth is not None and self._seen != self._nth:
            return False
        self.hits += 1
        return True


class Faults:
    """
    All faults of a mesh.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: for those that depend on time.
        """
        self._clock = clock
        self._all: list[Applied] = []

    def add(self, applied: Applied) -> None:
        """
        From now on.
        """
        self._all.append(applied)

    def onDial(self, source: str, destination: str) -> DialFault | None:
        """
        What becomes of a connection that is being made.
        """
        found: DialFault | None = None
        for applied in self._all:
            if applied.dialed(source, destination) and found is None:
                fault = applied.fault
                assert isinstance(fault, (Refuse, Blackhole))
                found = fault
        return found

    def onLookup(self, source: str, name: str) -> LostName | None:
        """
        What becomes of a lookup.
        """
        found: LostName | None = None
        for applied in self._all:
            if applied.lookedUp(source, name) and found is None:
                assert isinstance(applied.fault, LostName)
                found = applied.fault
        return found

    def onConnection(self, connection: Connection) -> None:
        """
        A connection is up.
        """
        for applied in self._all:
            applied.connected(self._clock, connection)
