# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.registry}: peers whose links go away, and come back.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory

from ugate.endpoints.registry import GRACE, MAX_WAITING, PATIENCE, QUIET
from ugate.endpoints.session import Session
from ugate.errors import Cause, Denied, Refused
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.test.test_registry import ONE, TWO, RegistryCase
from ugate.testing import Conversation


class ComingBackTests(RegistryCase):
    """
    Peers whose links go away in good order.
    """

    def ask(self) -> Any:
        """
        A stream that is on its way.
        """
        endpoint = self.registry.endpointFor(INFO.but(target=Target(ONE, 80)))
        connecting = endpoint.connect(Factory.forProtocol(Conversation))
        self.settle()
        return connecting

    def leave(self) -> Session:
        """
        Somebody was there.
        """
        session = self.join(ONE, "printer")
        self.far[session].drain()
        self.settle()
        self.assertTrue(session.isClosed)
        return session

    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.rightNow += seconds
        self.settle()

    def test_waits(self) -> None:
        """
        Streams wait for the next link, and all get it.
        """
        self.leave()
        asking = [self.ask() for _ in range(3)]
        for each in asking:
            self.assertNoResult(each)
        self.join(ONE)
        self.settle()
        for each in asking:
            self.assertTrue(self.successResultOf(each).isOpen)

    def test_waitsForLess(self) -> None:
        """
        They wait as well while its old links have streams still.
        """
        old = self.join(ONE)
        stream = self.connect(ONE)
        old.close()
        asking = self.ask()
        self.assertNoResult(asking)
        self.join(ONE)
        self.settle()
        self.assertTrue(self.successResultOf(asking).isOpen)
        self.assertTrue(stream.isOpen)

    def test_late(self) -> None:
        """
        They wait only so long, and a peer is remembered only so long.
        """
        self.leave()
        asking = self.ask()
        self.advance(PATIENCE)
        refused: Any = self.failureResultOf(asking, Refused).value
        self.assertEqual(
            (Cause.HOST_UNREACHABLE, "its links have gone away, and none came in 5 s"),
            (refused.cause, refused.detail),
        )
        last = self.ask()
        self.advance(GRACE - PATIENCE)
        self.failureResultOf(last, Refused)
        self.assertEqual(0, len(self.registry))
        self.assertRefused(ONE, Cause.HOST_UNREACHABLE)
        self.assertEqual((ONE, "reverse"), self.nodes.told[-1])
        self.join(TWO, "printer")

    def test_nameIsFree(self) -> None:
        """
        Who takes no more streams keeps no name from others by the streams that go on.
        """
        old = self.join(ONE, "printer")
        stream = self.connect(ONE)
        old.close()
        self.advance(GRACE - 1)
        self.assertRaises(Denied, self.join, TWO, "printer")
        self.advance(1)
        self.join(TWO, "printer")
        self.join(ONE)
        self.assertTrue(stream.isOpen)
        stream.abort()
        self.advance(GRACE)
        self.assertEqual(2, len(self.registry))

    def test_comesGoing(self) -> None:
        """
        Who comes with a link that goes away already is not there for long.
        """
        session = self.session()
        session.close()
        self.registry.join(session, ONE)
        self.advance(GRACE)
        self.assertEqual(0, len(self.registry))

    def test_back(self) -> None:
        """
        Who is back is not forgotten.
        """
        self.leave()
        self.join(ONE)
        self.advance(GRACE)
        self.assertEqual(1, len(self.registry))

    def test_givenUp(self) -> None:
        """
        A stream that is given up waits no longer, and only so many wait.
        """
        self.leave()
        asking = [self.ask() for _ in range(MAX_WAITING)]
        self.assertRefused(ONE, Cause.OVERLOADED)
        gone = asking.pop()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        asking.append(self.ask())
        self.assertNoResult(asking[-1])
        self.join(ONE, room=MAX_WAITING)
        self.settle()
        for each in asking:
            opened: Any = self.successResultOf(each)
            self.assertTrue(opened.isOpen)

    def test_retries(self) -> None:
        """
        A stream whose link goes away before it is answered has another one.
        """
        old = self.join(ONE)
        listener: Any = self.servers[old]
        new = self.session()
        endpoint = self.registry.endpointFor(INFO.but(target=Target(ONE, 80)))
        self.far[old].drain()
        connecting = endpoint.connect(Factory.forProtocol(Conversation))
        self.settle()
        self.registry.join(new, ONE)
        self.settle()
        opened: Any = self.successResultOf(connecting)
        self.assertTrue(opened.isOpen)
        self.assertEqual((0, 1), (len(listener.accepted), len(self.servers[new].accepted)))

    def test_retire(self) -> None:
        """
        All links are made anew when somebody else is believed; what is open goes on.
        """
        session = self.join(ONE)
        stream = self.connect(ONE)
        self.registry.retire()
        self.assertTrue(session.isClosing and stream.isOpen)
        asking = self.ask()
        self.assertNoResult(asking)
        self.join(ONE)
        self.settle()
        self.assertTrue(self.successResultOf(asking).isOpen)

    def test_drain(self) -> None:
        """
        At the end links close with their streams, and those that do not are cut; no timer is left.
        """
        session = self.join(ONE)
        stream = self.connect(ONE)
        self.leave()
        drained = self.registry.drain()
        self.assertTrue(session.isClosing)
        self.assertNoResult(drained)
        self.registry.stop()
        self.settle()
        self.successResultOf(drained)
        self.assertFalse(stream.isOpen)
        self.assertEqual([], list(self.registry._leaving))

    def test_dead(self) -> None:
        """
        A link that was quiet is asked before it is used, and one that is dead is passed over; one that was
        heard of is taken first.
        """
        dead = self.join(ONE)
        link: Any = dead.link
        link.stall()
        self.far[dead].stall()
        self.advance(QUIET)
        asking = self.ask()
        self.assertNoResult(asking)
        new = self.join(ONE)
        self.connect(ONE)
        self.connect(ONE)
        self.assertEqual((2, 0), (new.streams, dead.streams))
        self.advance(dead.sessions.limits.pong)
        self.assertTrue(dead.isClosed)
        opened: Any = self.successResultOf(asking)
        self.assertTrue(opened.isOpen)
        self.assertEqual(3, len(self.servers[new].accepted))
