# -*- test-case-name: ugate.test.test_pump -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Two sockets that feed each other: what there is to know of them.  L{ugate.pump}
moves the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from typing import Any, Protocol

from ugate.buffers import Buffers
from ugate.errors import Refused
from ugate.interfaces import Detached
from ugate.lending import Bulk
from ugate.shares import Share


class Ends(Protocol):
    """
    What can end a joined pair.
    """

    def end(self, joined: Joined, reason: str, abort: bool) -> None:
        """See L{ugate.pump.Pump.end}."""


class Side:
    """
    One socket of a joined pair, and what came from it.

    @since: ugate NEXT
    """

    __slots__ = (
        "burst", "copyOnly", "count", "eof", "fd", "flow", "lent", "mask", "other", "out", "owes",
        "recv", "send", "share", "socket", "tick",
    )  # fmt: skip

    flow: Joined
    other: Side

    def __init__(self, detached: Detached) -> None:
        self.socket: Any = detached.socket
        """A socket, or TLS on one."""
        self.fd = detached.socket.fileno()
        self.recv: Callable[[int, int], Any] = detached.socket.recv
        self.send = detached.socket.send
        self.out = detached.unsent
        """Bytes for this socket that the kernel did not take yet."""
        self.count = 0
        """Bytes that came from it."""
        self.eof = False
        self.mask = 0
        """What the epoll waits for; 0 when the descriptor is not registered."""
        self.tick = 0
        """The quarter second in which bytes last came."""
        self.burst = 0
        """Bytes that came in that quarter second."""
        self.lent: Bulk | None = None
        self.copyOnly = False
        """Set when the kernel cannot splice from here."""
        self.owes = False
        """Whether something else has to be sent than C{out}: what TLS has to say, an end for one."""
        self.share: Share | None = None
        """What it has in a meter, if there is one."""


class Joined:
    """
    Two sockets that feed each other.

    @since: ugate NEXT
    """

    __slots__ = ("_pump", "a", "b", "buffers", "ending", "finished", "inTLS", "refusal")

    def __init__(self, pump: Ends, a: Side, b: Side, finished: Callable[[str], object]) -> None:
        self._pump = pump
        self.a = a
        self.b = b
        self.finished = finished
        self.ending: tuple[str, bool] | None = None
        self.inTLS = not (isinstance(a.socket, socket) and isinstance(b.socket, socket))
        """Whether it is TLS on either side."""
        self.refusal: Refused | None = None
        """Why the target did not want it after all, if it said so."""
        self.buffers: Buffers | None = None
        """Where the bytes are counted that it holds, if they are."""

    @property
    def sent(self) -> int:
        """Bytes from the first to the second."""
        return self.a.count + (self.a.lent.count if self.a.lent else 0)

    @property
    def received(self) -> int:
        """Bytes from the second to the first."""
        return self.b.count + (self.b.lent.count if self.b.lent else 0)

    @property
    def active(self) -> float:
        """When bytes last moved, by the reactor's clock, to a quarter second."""
        lent = [side.lent.active for side in (self.a, self.b) if side.lent]
        return max(self.a.tick / 4, self.b.tick / 4, *lent)

    def close(self, reason: str, abort: bool) -> None:
        """
        End it.

        @param reason: for the log of the stream.
        @param abort: whether to reset both sockets.
        """
        self._pump.end(self, reason, abort)
