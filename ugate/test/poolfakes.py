# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of the pool share: one whose links come up when the test says so.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from ugate.endpoints.pool import PoolLimits, SessionKey, SessionPool
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Refused
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo
from ugate.test.muxfakes import INFO
from ugate.test.sessionfakes import Settling
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.links import MemoryLink
from ugate.testing.turns import MeshClock

KEY = SessionKey("root", "us", "them", "h2connect:gate:443")

LIMITS = PoolLimits(
    links=5, each=2, waiting=6, idle=60.0, ping=25.0, pong=2.0, quiet=10.0, open=8.0, attempts=3
)


class PoolCase(Settling):
    """
    A pool whose links come up when the test says so.
    """

    limits = LIMITS

    def setUp(self) -> None:
        """
        An empty one.
        """
        self.clock = MeshClock()
        self.pool = SessionPool(self.clock, self.limits)
        self.key = KEY
        self.dialer = self.pool.dialer(lambda info: self.key, self.make)
        self.making: list[Deferred[Any]] = []
        self.askedFor: list[StreamInfo] = []
        self.links: list[tuple[MemoryLink, MemoryLink]] = []
        self.server = Conversations()
        self.room = 3
        self.auto = False

    def make(self, info: StreamInfo) -> Deferred[Any]:
        """
        What makes links.
        """
        self.askedFor.append(info)
        making: Deferred[Any] = Deferred()
        self.making.append(making)
        if self.auto:
            self.up()
        return making

    def up(self) -> MemoryLink:
        """
        The next link is up.

        @return: our end.
        """
        ours, theirs = linkPair(self.clock, streams=self.room)
        self.links.append((ours, theirs))
        other = Session(
            self.clock, theirs, sessions=Sessions(self.clock, SessionLimits(idle=None, ping=None))
        )
        other.listener(accepts=True).listen(self.server)
        self.making.pop(0).callback(ours)
        self.settle()
        return ours

    def upAndCut(self) -> None:
        """
        The next link comes up, and is cut before a stream is answered.
        """
        ours, theirs = linkPair(self.clock)
        theirs.incoming = lambda stream: None
        self.making.pop(0).callback(ours)
        self.settle()
        ours.cut()
        self.settle()

    def connect(self, dialer: IDialer | None = None) -> Deferred[Any]:
        """
        Open a stream.
        """
        endpoint = (self.dialer if dialer is None else dialer).endpointFor(INFO)
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Conversation))
        self.settle()
        return connecting

    def opened(self) -> Conversation:
        """
        One that comes up at once.
        """
        conversation = self.successResultOf(self.connect())
        assert isinstance(conversation, Conversation)
        return conversation

    def assertRefused(self, connecting: Deferred[Any], cause: Cause) -> Refused:
        """
        It was refused.
        """
        refused = self.failureResultOf(connecting, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual((cause, KEY.place), (refused.cause, refused.hop))
        return refused
