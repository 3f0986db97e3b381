# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Both ends of a link, whatever protocol multiplexes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Refused
from ugate.protocols.mux import MuxStream
from ugate.stream import StreamInfo, Target
from ugate.testing import Conversation

TARGET = Target("db.example", 5432)
BULK = bytes(range(256)) * 8192
"""Two megabytes."""

STEPS = 100_000
"""More than any of these takes."""


class LinkCase(SynchronousTestCase, ABC):
    """
    A link that is up, and streams on it.

    @cvar streams: how many streams the client may open at once, 1000 at least.
    @cvar bothOpen: whether the server may open streams as well.
    @cvar causes: those that a refusal still has at the other end.
    @cvar held: bytes of a stream whose reader has stopped that both ends together may keep.
    """

    streams = 1000
    bothOpen = True
    causes: tuple[Cause, ...] = (Cause.DENIED, Cause.CONNECTION_REFUSED)
    held = 1 << 21

    client: Any
    server: Any

    @abstractmethod
    def makeLinks(self) -> tuple[Any, Any]:
        """
        The two ends of a link that is up: of who connected, and the other one.
        """

    @abstractmethod
    def step(self) -> bool:
        """
        Let something happen.

        @return: whether anything did.
        """

    def setUp(self) -> None:
        """
        A link.
        """
        self.client, self.server = self.makeLinks()
        self.accepted: list[Conversation] = []
        self.settle()

    def settle(self) -> None:
        """
        Let everything happen.
        """
        for _ in range(STEPS):
            if not self.step():
                return
        self.fail("it never comes to rest")

    def info(self, target: Target = TARGET) -> StreamInfo:
        """
        A stream to there.
        """
        info: StreamInfo = self.client.info
        return info.but(target=target)

    def accept(self, stream: MuxStream) -> None:
        """
        What serves streams: accept each.
        """
        conversation = Conversation()
        self.accepted.append(conversation)
        stream.accept()
        stream.begin(conversation)

    def opening(self, link: Any = None, target: Target = TARGET) -> Conversation:
        """
        Open a stream.
        """
        conversation = Conversation()
        opened: Deferred[MuxStream] = (self.client if link is None else link).open(self.info(target))
        opened.addCallbacks(lambda stream: stream.begin(conversation), conversation.failed)
        return conversation

    def pair(self) -> tuple[Conversation, Conversation]:
        """
        Both ends of another stream.
        """
        self.server.incoming = self.accept
        ours = self.opening()
        self.settle()
        self.assertTrue(ours.isOpen, ours.failure)
        return ours, self.accepted[-1]

    def assertRefused(self, conversation: Conversation, *causes: Cause) -> Refused:
        """
        It was refused.
        """
        self.settle()
        self.assertIsNotNone(conversation.failure, "it is still waiting, or was accepted")
        assert conversation.failure is not None
        refused = conversation.failure.value
        assert isinstance(refused, Refused), conversation.failure
        self.assertIn(refused.cause, causes)
        return refused
