# -*- test-case-name: ugate.test.test_h2core,ugate.test.test_h2core_windows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One stream of an HTTP/2 connection: its windows, and what waits for them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from ugate.errors import Refused
from ugate.interfaces import IChannel
from ugate.protocols.h2frames import DATA, Code, frameHead, windowUpdate
from ugate.protocols.muxwriting import takePieces

if TYPE_CHECKING:
    from ugate.protocols.h2sending import H2Sending

TURN: Final = 1 << 18
"""Bytes that one stream may send before others have their turn."""

SHORT: Final = 1024
"""Bytes that are put behind the head of their frame: to send two pieces takes longer."""


@implementer(IChannel)
class H2Channel:
    """
    See L{IChannel}.

    @ivar id: its number.
    @ivar stream: what is above it, once there is something.
    @ivar window: how many bytes the peer lets us send.
    @ivar credit: how many bytes we let the peer send.
    @ivar unread: how many bytes its reader has not taken.
    @ivar mayRead: whether data may come.
    @ivar isOurs: whether we opened it.
    @ivar other: the stream of another connection that it is joined with: see L{ugate.protocols.h2forward}.
    @ivar code: what it is reset with, if that one was reset with it.
    @ivar isOver: whether the peer sends no more, though what is above may not have been told.
    @ivar sink: the L{ugate.framing.Sink} of what comes, if it is to be spliced there.
    @ivar outlet: the L{ugate.framedends.Outlet} of what comes in TLS, if it has one.
    @since: ugate NEXT
    """

    __slots__ = (
        "_finishing",
        "_queue",
        "_taken",
        "code",
        "core",
        "credit",
        "ended",
        "finished",
        "id",
        "isOurs",
        "isOver",
        "isReady",
        "isUp",
        "mayRead",
        "other",
        "outlet",
        "promised",
        "received",
        "sink",
        "stream",
        "unread",
        "unsent",
        "window",
    )

    def __init__(self, core: H2Sending, id: int, isOurs: bool) -> None:
        self.core = core
        self.id = id
        self.isOurs = isOurs
        self.stream: Any = None
        self.received: Any = None
        self.window = core.firstOut
        self.credit = self.promised = core.limits.firstWindow
        self.unread = self.unsent = self._taken = 0
        self.mayRead = not isOurs
        self.isUp = False
        self.ended = self.finished = self._finishing = self.isOver = False
        self.isReady = False
        self.other: H2Channel | None = None
        self.code: int | None = None
        self.sink: Any = None
        self.outlet: Any = None
        self._queue: deque[bytes | memoryview] = deque()

    def attach(self, stream: Any) -> None:
        """
        What comes goes there from now on.
        """
        self.stream = stream
        self.received = stream.received

    # What comes.

    def came(self, data: bytes | memoryview) -> None:
        """
        A piece of data came.  What exceeds the first window of a stream counts for the connection
        until the reader has it.
        """
        core = self.core
        size = len(data)
        if self.outlet is not None and self.outlet.take(data):
            core.freed += size
            self.taken(size)
            return
        self.unread += size
        over = self.unread - core.limits.firstWindow
        if over < size:
            core.freed += size if over <= 0 else size - over
        if self.received is None:
            self.consumed(size)
        else:
            self.received(data if type(data) is bytes else bytes(data))

    def consumed(self, count: int) -> None:
        """
        See L{IChannel}.
        """
        core = self.core
        over = self.unread - core.limits.firstWindow
        self.unread -= count
        if over > 0:
            core.freed += min(over, count)
        self.taken(count)
        if core.freed >= core.grantFrom:
            core.grant()

    def taken(self, count: int) -> None:
        """
        The peer may send so many bytes again, and is told so when that is worth a frame.
        """
        self._taken += count
        if self._taken >= self.promised >> 1:
            self.grant()

    def grant(self) -> None:
        """
        Let the peer send more, when that is worth a frame.  What goes to another connection has to fit into
        the window there: what exceeds that could only wait here, and is a first window at most.
        """
        core, other = self.core, self.other
        if self.ended or core.channels.get(self.id) is not self:
            return
        out = self.promised - self._taken
        most = mayHave = self.promised
        if other is not None:
            out += other.unsent
            mayHave = core.limits.firstWindow + max(0, min(other.window, other.core.window))
            most = min(most, mayHave)
        if most - out < most >> 1:
            return
        if not self.unread and (other is None or (mayHave > most and not other.unsent)):
            # Its reader keeps up, and so may have more on its way.
            extra = core.promise(self.promised)
            self.promised += extra
            self._taken += extra
            most = self.promised if other is None else min(self.promised, mayHave)
        more = most - out
        self._taken -= more
        self.credit += more
        core.out.append(windowUpdate(self.id, more))
        core.flush()

    # What goes.

    def write(self, data: bytes) -> None:
        """
        See L{IChannel}.
        """
        core = self.core
        size = len(data)
        if (
            self.isUp
            and not (self.unsent or core.blocked or core.ready or self._finishing)
            and size <= self.window
            and size <= core.window
            and size <= core.maxFrame
        ):
            if size:
                self.window -= size
                core.window -= size
                core.sent(size)
                head = frameHead(size, DATA, 0, self.id)
                if size <= SHORT:
                    core.out.append(head + data)
                else:
                    core.out += (head, data)
                core.flush()
            return
        if not size or self._finishing or self.finished:
            return
        self._queue.append(data)
        self.unsent += size
        core.want(self)
        core.pump()

    def sendSome(self) -> None:
        """
        Send a turn's worth of what waits.
        """
        core = self.core
        allowed = min(self.unsent, self.window, core.window, TURN)
        self.window -= allowed
        core.window -= allowed
        self.unsent -= allowed
        whole = not self.unsent
        while allowed:
            size = min(allowed, core.maxFrame)
            allowed -= size
            core.out.append(frameHead(size, DATA, 0, self.id))
            core.out += takePieces(self._queue, size)
            # A window of some bytes, and again one of some bytes, is not use but abuse.
            core.sent(size if whole or size > 1024 else 0)

    @property
    def isClear(self) -> bool:
        """
        Whether nothing is ahead of what is written now.
        """
        return self.isUp and not (self.unsent or self._finishing)

    def gone(self) -> None:
        """
        What waited is sent: say so.
        """
        if self._finishing and not self.finished:
            self.core.endStream(self)
        elif self.stream is not None:
            self.stream.drained()

    def finish(self) -> None:
        """
        See L{IChannel}.
        """
        if self._finishing or self.finished:
            return
        self._finishing = True
        if self.isUp and not self.unsent:
            self.core.endStream(self)

    def up(self) -> None:
        """
        The other side has answered, or we have: what was written may go.
        """
        self.isUp = True
        if self.unsent:
            self.core.want(self)
            self.core.pump()
        elif self._finishing:
            self.core.endStream(self)

    def drop(self) -> None:
        """
        Forget what waits; its bytes that nobody read no longer count.
        """
        over = self.unread - self.core.limits.firstWindow
        if over > 0:
            self.core.freed += over
        self.core.promised -= self.promised - self.core.limits.firstWindow
        self.promised = self.core.limits.firstWindow
        self.unread = self.unsent = 0
        self.isUp, self.finished = False, True
        # The rest of a frame may still come, and be counted as read.
        self.received = None
        self.sink = self.outlet = None
        if self.other is not None:
            self.other.other = None
            self.other = None
        waits = self.core.waiting.pop(self, None)
        if waits is not None:
            waits[1]()
        self._queue.clear()

    def reset(self) -> None:
        """
        See L{IChannel}.
        """
        code = Code.CANCEL if self.isOurs and not self.isUp else Code.CONNECT_ERROR
        self.core.resetStream(self, code if self.code is None else self.code)

    def accept(self) -> None:
        """
        See L{IChannel}.
        """
        self.core.events.accept(self)

    def refuse(self, reason: Refused) -> None:
        """
        See L{IChannel}.
        """
        self.core.events.refuse(self, reason)
