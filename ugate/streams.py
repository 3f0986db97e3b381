# -*- test-case-name: ugate.test.test_flows -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is told of streams: of each that is up, of those that were refused, and of all together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ugate.errors import Cause, Phase
from ugate.interfaces import ITenant
from ugate.stream import Principal, StreamInfo


class LiveStream(Protocol):
    """
    A stream that is up or on its way.

    @since: ugate NEXT
    """

    id: int
    """Its number; a later stream has a higher one."""

    info: StreamInfo
    """What is known of it."""

    via: str
    """The way that it takes, in the words of the routes."""

    began: float
    """When it was asked for, by the reactor's clock."""

    owner: ITenant
    """Whose rules it was decided by."""

    @property
    def tenant(self) -> str:
        """The path of that tenant."""

    @property
    def listener(self) -> str:
        """The name of the listener that it came in by."""

    @property
    def wall(self) -> float:
        """When it was asked for, in seconds since 1970."""

    @property
    def state(self) -> str:
        """C{dialing} or C{open}."""

    @property
    def sent(self) -> int:
        """Bytes from who asked to the target, so far."""

    @property
    def received(self) -> int:
        """Bytes from the target to who asked, so far."""

    def close(self, reason: str) -> None:
        """End it now; the reason is for the log."""

    def overdue(self) -> None:
        """Dialing has taken too long."""

    def stop(self) -> None:
        """Dialing shall end now, since all does."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A stream that was not carried, and why.

    @since: ugate NEXT
    """

    wall: float
    """When, in seconds since 1970."""

    tenant: str
    """The path of the tenant whose rules held."""

    listener: str
    """The name of the listener that it came in by."""

    info: StreamInfo
    """What is known of it."""

    cause: Cause
    """The fact that the answer was chosen from."""

    phase: Phase
    """How far it had come."""

    hop: str
    """Where."""

    detail: str
    """What exactly happened there, or empty."""

    nextStep: str
    """What an operator can do about it."""

    @property
    def stream(self) -> str:
        """
        Who asked, and where to.
        """
        return str(self.info)

    @property
    def principal(self) -> str:
        """
        Who it was, or empty.
        """
        return _name(self.info.principal)

    @property
    def protocol(self) -> str:
        """
        What was spoken.
        """
        return self.info.protocol


@dataclass(slots=True)
class Totals:
    """
    What a tenant has done so far.

    @since: ugate NEXT
    """

    opened: int = 0
    """Streams that were carried; those that still are included."""

    refused: int = 0
    """Streams that were not."""

    sent: int = 0
    """Bytes from who asked to the targets."""

    received: int = 0
    """Bytes from the targets to who asked."""

    open: int = 0
    """Streams that are up or on their way now."""


def _name(principal: Principal | None) -> str:
    return "" if principal is None else principal.name
