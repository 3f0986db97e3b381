# -*- test-case-name: ugate.test.test_testing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A TCP connection in memory: two ends, and a wire each way with a bounded buffer at
either end of it.

It is as strict as a network may be: bytes that were sent are lost when their
sender resets, or closes with bytes unread.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

CAPACITY: Final = 65536
"""Bytes that each of the buffers of a wire holds."""


class Strike(Enum):
    """
    What a fault does to a connection at some point.
    """

    RESET = "reset"
    """Both ends find the connection reset."""

    END = "end"
    """The receiver sees the end of this direction; what is sent later is lost."""


class Hindrance:
    """
    What a fault does to one wire; this one does nothing.

    @since: ugate NEXT
    """

    def room(self, wanted: int) -> int:
        """
        How many bytes may pass now.

        @param wanted: how many could pass.
        """
        return wanted

    def passed(self, count: int) -> None:
        """
        So many have passed.
        """

    def piece(self, wanted: int) -> int:
        """
        How many bytes the receiver may read at once, 1 at least.

        @param wanted: how many it could read.
        """
        return wanted

    def holds(self) -> bool:
        """
        Whether no end and no reset passes now.
        """
        return False

    def strike(self) -> Strike | None:
        """
        What to do to the connection now, told once.
        """
        return None

    def stop(self) -> None:
        """
        The fault is lifted.
        """


class Wire:
    """
    One direction.

    @ivar sent: bytes that have left the sender and not arrived.
    @ivar arrived: bytes that the receiver has not read.
    @ivar carried: how many bytes have arrived in all.
    @ivar ending: whether the sender will send no more.
    @ivar ended: whether the receiver reads the end after C{arrived}.
    @ivar cut: whether what is sent is lost.
    @ivar resetting: whether a reset is on its way.
    """

    __slots__ = ("arrived", "carried", "cut", "ended", "ending", "hindrances", "resetting", "sent")

    def __init__(self) -> None:
        self.sent = bytearray()
        self.arrived = bytearray()
        self.carried = 0
        self.ending = self.ended = self.cut = self.resetting = False
        self.hindrances: list[Hindrance] = []

    def isHeld(self) -> bool:
        """
        Whether ends and resets have to wait.
        """
        return any(each.holds() for each in self.hindrances)

    def move(self) -> bool:
        """
        Let bytes arrive, as far as there is room and no hindrance.
        """
        count = min(len(self.sent), CAPACITY - len(self.arrived))
        for hindrance in self.hindrances:
            count = hindrance.room(count)
        if not count:
            return False
        self.arrived += self.sent[:count]
        del self.sent[:count]
        self.carried += count
        for hindrance in self.hindrances:
            hindrance.passed(count)
        return True


class End:
    """
    One end of a connection, with the ways of a non-blocking socket.

    @ivar out: what this end sends on.
    @ivar into: what this end receives from.
    @ivar isBroken: whether the connection was reset.
    @ivar isClosed: whether this end was closed.
    """

    __slots__ = ("into", "isBroken", "isClosed", "name", "out")

    def __init__(self, name: str, out: Wire, into: Wire) -> None:
        self.name = name
        self.out = out
        self.into = into
        self.isBroken = self.isClosed = False

    @property
    def isReadable(self) -> bool:
        """
        Whether C{receive} has something to say.
        """
        return not self.isClosed and bool(self.into.arrived or self.into.ended or self.isBroken)

    @property
    def isWritable(self) -> bool:
        """
        Whether C{send} takes something, or has to say that it never will.
        """
        return not self.isClosed and (self.isBroken or len(self.out.sent) < CAPACITY)

    def send(self, data: bytes | memoryview) -> int:
        """
        Send bytes.

        @return: how many were taken.
        @raise OSError: the connection was reset, or this direction is ended.
        """
        if self.isClosed or self.isBroken or self.out.ending:
            raise BrokenPipeError(f"{self.name} cannot send any more")
        taken = bytes(data[: CAPACITY - len(self.out.sent)])
        self.out.sent += taken
        return len(taken)

    def receive(self, size: int) -> bytes | None:
        """
        Read bytes.

        @return: L{None} if there are none now; empty at the end.
        @raise OSError: the connection was reset.
        """
        arrived = self.into.arrived
        if arrived:
            size = min(size, len(arrived))
            for hindrance in self.into.hindrances:
                size = hindrance.piece(size)
            data = bytes(arrived[:size])
            del arrived[:size]
            return data
        if self.isBroken:
            raise ConnectionResetError(f"the connection of {self.name} was reset")
        return b"" if self.into.ended else None

    def endSending(self) -> None:
        """
        Let the other end read the end, after what was sent.
        """
        self.out.ending = True

    def close(self, reset: bool = False) -> None:
        """
        Close both directions.

        @param reset: whether to drop what was sent and has not arrived, and let the
            other end find a reset; so it is in any case if there are bytes here that
            nobody has read.
        """
        if self.isClosed:
            return
        self.isClosed = True
        if self.isBroken:
            return
        if reset or self.into.arrived:
            self.out.sent.clear()
            self.out.resetting = True
        else:
            self.out.ending = True

    def breaks(self) -> None:
        """
        A reset has come.
        """
        self.isBroken = True
        self.out.sent.clear()
        self.out.resetting = False


class Connection:
    """
    A connection.

    @ivar source: the name of the host that connected.
    @ivar destination: the name of the host that accepted.
    @ivar client: the end that connected.
    @ivar server: the end that accepted.
    @since: ugate NEXT
    """

    def __init__(self, source: str, destination: str, client: str, server: str) -> None:
        """
        @param source: the name of the host that connects.
        @param destination: the name of the other host.
        @param client: the end that connects, in words.
        @param server: the end that accepts, in words.
        """
        self.source = source
        self.destination = destination
        forth, back = Wire(), Wire()
        self.client = End(client, forth, back)
        self.server = End(server, back, forth)

    @property
    def isOver(self) -> bool:
        """
        Whether both ends are closed.
        """
        return self.client.isClosed and self.server.isClosed

    def isOpenOn(self, host: str) -> bool:
        """
        Whether an end is open on a host; with no name, on any.
        """
        ends = ((self.source, self.client), (self.destination, self.server))
        return any(not end.isClosed and host in ("", name) for name, end in ends)

    def move(self) -> bool:
        """
        Let all go one step on its way.

        @return: whether anything did.
        """
        forth = self._carry(self.client, self.server)
        return self._carry(self.server, self.client) or forth

    def _carry(self, sender: End, receiver: End) -> bool:
        wire = sender.out
        for hindrance in wire.hindrances:
            strike = hindrance.strike()
            if strike is Strike.RESET:
                for end in (sender, receiver):
                    end.breaks()
                return True
            if strike is Strike.END:
                wire.ended = wire.cut = True
                return True
        if wire.isHeld():
            return not receiver.isClosed and wire.move()
        if wire.resetting:
            wire.resetting = False
            receiver.breaks()
            return True
        if wire.cut:
            swallowed = bool(wire.sent)
            wire.sent.clear()
            return swallowed
        if receiver.isClosed:
            return self._unwanted(sender, receiver)
        moved = wire.move()
        if wire.ending and not (wire.sent or wire.ended):
            wire.ended = moved = True
        return moved

    def _unwanted(self, sender: End, receiver: End) -> bool:
        """
        Nobody is there to take anything: what is sent is answered with a reset.
        """
        unwanted = bool(sender.out.sent)
        sender.out.sent.clear()
        if unwanted and not sender.isBroken:
            receiver.out.resetting = True
        return unwanted

    def __str__(self) -> str:
        return f"{self.client.name} -> {self.server.name}"
