# -*- test-case-name: ugate.test.test_tenancy_limits,ugate.test.test_tenancy_months -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How much a tenant may use: streams, new streams a second, bytes a second, bytes a month and
memory.  What is used below it counts as well, and what its parent may use is the most.

(How many descriptors the process has is another thing: L{ugate.limits}.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Final, Protocol

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ugate.buffers import Buffers
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import ILimits
from ugate.metering import Meter, Meters
from ugate.tenancy.usage import Usage, Used

USED_UP: Final = "month's bytes used up"
"""Why a stream is cut when its tenant's month has no bytes left."""

_OPENS_BURST: Final = 0.5
"""Seconds whose new streams may come at once after a pause."""


class Limits(Protocol):
    """
    The section C{limits} of a tenant.  L{None} is no limit.
    """

    @property
    def streams(self) -> int | None:
        """Streams at once."""

    @property
    def opens(self) -> int | None:
        """New streams a second."""

    @property
    def up(self) -> int | None:
        """Bytes a second from clients to targets."""

    @property
    def down(self) -> int | None:
        """Bytes a second from targets to clients."""

    @property
    def month(self) -> int | None:
        """Bytes in a calendar month, both ways together."""

    @property
    def buffers(self) -> int | None:
        """Bytes of memory."""


@implementer(ILimits)
class TenantLimits:
    """
    The limits of one tenant, and what it uses of them.

    @ivar path: the tenant's.
    @ivar section: the limits.
    @ivar streams: how many are open, those of all below included.
    @since: ugate NEXT
    """

    __slots__ = (
        "_buffers", "_clock", "_cutting", "_down", "_opens", "_parent", "_stamp", "_up", "_usage", "_used",
        "_usedUp", "path", "section", "streams",
    )  # fmt: skip

    def __init__(
        self,
        clock: IReactorTime,
        section: Limits,
        parent: TenantLimits | None = None,
        *,
        path: str = "root",
        usage: Usage | None = None,
        usedUp: Callable[[TenantLimits], object] | None = None,
    ) -> None:
        """
        @param clock: what tells the time.
        @param parent: those of the tenant above, which hold too.
        @param usage: keeps the bytes of the month; by default the parent's, or else nothing
            outlives this process.
        @param usedUp: called when bytes pass that the month does not have any more: cut the
            streams of this tenant and of all below it, with L{USED_UP}.  By default the parent's.
        """
        self._clock = clock
        self._parent = parent
        self.path = path
        self.section = section
        self.streams = 0
        if parent is None:
            self._usage = Usage() if usage is None else usage
            self._usedUp = usedUp
        else:
            self._usage = parent._usage if usage is None else usage
            self._usedUp = parent._usedUp if usedUp is None else usedUp
        self._stamp = clock.seconds()
        self._opens = _burst(section)
        self._up: Meter | None = None
        self._down: Meter | None = None
        self._buffers: Buffers | None = None
        self._cutting: IDelayedCall | None = None
        self._used: Used | None = None
        if section.month is not None:
            self._used = self._usage.of(path)

    def _chain(self) -> Iterator[TenantLimits]:
        each: TenantLimits | None = self
        while each is not None:
            yield each
            each = each._parent

    def admit(self, hop: str = "") -> None:
        """
        Count one more stream, here and above, until it is told to L{release}.

        @param hop: the stream, as a refusal should name it.
        @raise Refused: a limit is reached, and nothing was counted.
        """
        now = self._clock.seconds()
        for each in self._chain():
            each._check(now, hop)
        for each in self._chain():
            each.streams += 1
            each._opens -= 1

    def release(self) -> None:
        """
        One that was admitted has ended, or never began.
        """
        for each in self._chain():
            each.streams -= 1

    def _check(self, now: float, hop: str) -> None:
        section = self.section
        if section.streams is not None and self.streams >= section.streams:
            refused = self._refused(hop, "streams", f"{self.streams} streams are open", "close some")
            refused.full = self.path
            raise refused
        if section.opens is not None:
            self._refill(now, section.opens)
            if self._opens < 1:
                detail = f"more than {section.opens} new streams a second"
                raise self._refused(hop, "opens", detail, "open fewer at a time")
        if section.month is not None and self._used is not None and sum(self._used.both) >= section.month:
            next_ = datetime.fromtimestamp(self._usage.ends, timezone.utc)
            detail = f"the {section.month} bytes of {self._usage.month} are used up"
            raise self._refused(hop, "month", detail, f"wait until {next_:%Y-%m-%d} (UTC)")
        held = 0 if self._buffers is None else self._buffers.used
        if section.buffers is not None and held >= section.buffers:
            detail = f"streams hold {held} bytes of memory"
            raise self._refused(hop, "buffers", detail, "see whose peers do not read")

    def _refill(self, now: float, rate: int) -> None:
        elapsed = now - self._stamp
        self._stamp = now
        if elapsed > 0:
            self._opens = min(_burst(self.section), self._opens + elapsed * rate)

    def _refused(self, hop: str, name: str, detail: str, step: str) -> Refused:
        return Refused(
            Cause.OVERLOADED,
            Phase.POLICY,
            hop or f"tenant {self.path}",
            f"tenant {self.path}: {detail}",
            f"{step}, or raise limits.{name} of tenant {self.path}",
        )

    @property
    def meters(self) -> Meters | None:
        """
        What a stream that begins now is to be joined with; L{None} if nothing is limited.
        """
        up = down = buffers = False
        for each in self._chain():
            section = each.section
            month = section.month is not None
            up = up or month or section.up is not None
            down = down or month or section.down is not None
            buffers = buffers or section.buffers is not None
        if not (up or down or buffers):
            return None
        return Meters(
            self._meterUp() if up else None,
            self._meterDown() if down else None,
            self.buffers if buffers else None,
        )

    def _meterUp(self) -> Meter:
        if self._up is None:
            above = None if self._parent is None else self._parent._meterUp()
            self._up = Meter(self._clock, self.section.up, above)
            self._up.watch = None if self._used is None else self._wentUp
        return self._up

    def _meterDown(self) -> Meter:
        if self._down is None:
            above = None if self._parent is None else self._parent._meterDown()
            self._down = Meter(self._clock, self.section.down, above)
            self._down.watch = None if self._used is None else self._wentDown
        return self._down

    @property
    def buffers(self) -> Buffers:
        """
        The memory that its streams hold.
        """
        if self._buffers is None:
            above = None if self._parent is None else self._parent.buffers
            self._buffers = Buffers(self.section.buffers, above)
        return self._buffers

    def used(self, up: int, down: int) -> None:
        """
        So many bytes of the month are used, here and above, by what has no meters: those
        tell it themselves.
        """
        for each in self._chain():
            each._count(up, down)

    def _wentUp(self, count: int) -> None:
        self._count(count, 0)

    def _wentDown(self, count: int) -> None:
        self._count(0, count)

    def _count(self, up: int, down: int) -> None:
        month = self.section.month
        if self._used is None or month is None:
            return
        if self._used.add(up, down) >= month and self._cutting is None and self._usedUp is not None:
            # Not from within what moves the bytes.
            self._cutting = self._clock.callLater(0, self._cut)

    def _cut(self) -> None:
        self._cutting = None
        if self._usedUp is not None:
            self._usedUp(self)

    def change(self, section: Limits) -> None:
        """
        From now on other limits hold.  Nothing is forgotten that is used, and no stream is
        cut but for the month's bytes.

        Streams that began when nothing limited their bytes have no meters, and get none.
        """
        if self.section.opens is not None:
            self._refill(self._clock.seconds(), self.section.opens)
        fresh = self.section.opens is None
        self.section = section
        self._stamp = self._clock.seconds()
        self._opens = _burst(section) if fresh else min(self._opens, _burst(section))
        self._used = None if section.month is None else self._usage.of(self.path)
        if self._up is not None:
            self._up.change(section.up)
            self._up.watch = None if self._used is None else self._wentUp
        if self._down is not None:
            self._down.change(section.down)
            self._down.watch = None if self._used is None else self._wentDown
        if self._buffers is not None:
            self._buffers.limit = section.buffers
        self._count(0, 0)

    def stop(self) -> None:
        """
        Forget all timers.  Streams that still wait for their part will get it.
        """
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting = None
        for meter in (self._up, self._down):
            if meter is not None:
                meter.stop()

    def snapshot(self) -> dict[str, dict[str, int | str | None]]:
        """
        What is used, and how much may be; C{allowed} of L{None} is no limit, C{used} of
        L{None} is not counted.  The bytes of C{up} and C{down} are those since the start.
        """
        section = self.section
        opens: int | None = None
        if section.opens is not None:
            self._refill(self._clock.seconds(), section.opens)
            opens = round(_burst(section) - self._opens)
        return {
            "streams": {"used": self.streams, "allowed": section.streams},
            "opens": {"used": opens, "allowed": section.opens},
            "up": {"used": None if self._up is None else self._up.total, "allowed": section.up},
            "down": {"used": None if self._down is None else self._down.total, "allowed": section.down},
            "month": {
                "used": None if self._used is None else sum(self._used.both),
                "allowed": section.month,
                "month": self._usage.month,
            },
            "buffers": {
                "used": None if self._buffers is None else self._buffers.used,
                "allowed": section.buffers,
            },
        }


def _burst(section: Limits) -> float:
    return max(1.0, section.opens * _OPENS_BURST) if section.opens else 0.0
