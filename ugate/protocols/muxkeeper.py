# -*- test-case-name: ugate.test.test_session -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who looks after the streams of a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ugate.protocols.mux import MuxStream


class Keeper(Protocol):
    """
    Whoever counts streams, and has a clock for those that take their time.
    """

    def answered(self, stream: MuxStream) -> None:
        """It was accepted or refused, or is gone before that."""

    def closing(self, stream: MuxStream) -> None:
        """It is closed here, and waits for its peer."""

    def over(self, stream: MuxStream) -> None:
        """Nothing of it is on the link any more."""
