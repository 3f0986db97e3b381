# -*- test-case-name: ugate.test.test_h2link,ugate.test.test_h2link_answering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A stream that we have asked for, until it is answered.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ugate.errors import Cause, Phase, Refused
from ugate.protocols import h2requests
from ugate.protocols.h2channel import H2Channel
from ugate.protocols.h2frames import Code
from ugate.protocols.httpfields import Fields
from ugate.stream import StreamInfo

HOP = "peer"
"""What refusals name; whoever knows the hop says so instead."""


class Opening:
    """
    Stands where the stream of its channel will be.

    @ivar fields: the answer that it was refused with, once there is one.
    """

    __slots__ = ("_text", "channel", "done", "fields", "info")

    def __init__(self, channel: H2Channel, info: StreamInfo, done: Deferred[Any]) -> None:
        """
        @param done: fires with the stream.
        """
        self.channel = channel
        self.info = info
        self.done = done
        self.fields: Fields | None = None
        self._text = b""
        channel.attach(self)

    def received(self, data: bytes) -> None:
        """
        Why it is refused: the beginning of that is enough.
        """
        self._text = (self._text + data)[: h2requests.MAX_REASON]
        if len(self._text) == h2requests.MAX_REASON:
            self.ended()
        else:
            self.channel.consumed(len(data))

    def ended(self) -> None:
        """
        All is said of that.
        """
        self.channel.core.resetStream(self.channel, Code.CANCEL)

    def drained(self) -> None:
        """
        Nothing was written.
        """

    def closed(self, reason: Failure) -> None:
        """
        The link says so to whoever waits.
        """

    def lost(self, code: int | None) -> None:
        """
        It is over, and was never up.
        """
        target = self.info.target
        if self.fields is not None:
            self.done.errback(h2requests.refused(HOP, target, self.fields, self._text))
        else:
            self.done.errback(h2requests.reset(HOP, target, code or 0))

    def gone(self, why: str) -> None:
        """
        The link is over.
        """
        detail = f"{self.info.target}, {why}"
        self.done.errback(Refused(Cause.PEER_CLOSED, Phase.REMOTE, HOP, detail))
