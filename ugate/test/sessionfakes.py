# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of sessions share: one on both ends of a link in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Refused
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.turns import MeshClock

LIMITS = SessionLimits(
    streams=3, pending=2, open=5.0, answer=4.0, linger=3.0, idle=100.0, ping=20.0, pong=2.0
)


class Settling(SynchronousTestCase):
    """
    What happens by a clock.
    """

    clock: MeshClock

    def settle(self) -> None:
        """
        Let happen what needs no time.
        """
        while self.clock.runDue():
            pass

    def advance(self, seconds: float) -> None:
        """
        Let time pass, a quarter of a second at once.
        """
        for _ in range(round(seconds * 4)):
            self.clock.rightNow += 0.25
            self.settle()


class SessionCase(Settling):
    """
    A session on both ends of a link in memory.
    """

    limits = LIMITS

    def setUp(self) -> None:
        """
        Both.
        """
        self.clock = MeshClock()
        self.links = linkPair(self.clock)
        self.ours, self.theirs = (
            Session(self.clock, link, sessions=Sessions(self.clock, self.limits)) for link in self.links
        )
        self.server = Conversations()

    def listen(self, target: Target | None = None, factory: Any = None, accepts: bool = True) -> Any:
        """
        Listen on their end.
        """
        endpoint = self.theirs.listener(target, accepts)
        return self.successResultOf(endpoint.listen(self.server if factory is None else factory))

    def connect(self, target: Target | None = INFO.target, factory: Any = None) -> Any:
        """
        Dial on our end.

        @return: the Deferred.
        """
        info = self.ours.link.info.but(target=target)
        connecting = self.ours.endpointFor(info).connect(
            Factory.forProtocol(Conversation) if factory is None else factory
        )
        self.settle()
        return connecting

    def assertRefused(self, connecting: Any, cause: Cause) -> Refused:
        """
        It was refused.
        """
        refused = self.failureResultOf(connecting, Refused).value
        assert isinstance(refused, Refused)
        self.assertIs(cause, refused.cause)
        self.assertEqual(self.ours.hop, refused.hop)
        return refused
