# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.pool}: when links are given up.
"""

from __future__ import annotations

from collections.abc import Callable

from ugate.endpoints.pool import SessionKey
from ugate.errors import Cause
from ugate.stream import Target
from ugate.test.muxfakes import INFO
from ugate.test.poolfakes import KEY, PoolCase


class HealthTests(PoolCase):
    """
    Links that are idle, quiet or dead.
    """

    def test_idle(self) -> None:
        """
        A link without streams is closed after a time.
        """
        self.auto = True
        stream = self.opened()
        self.advance(100)
        self.assertEqual(1, len(self.pool.links()))
        stream.close()
        self.server.last.close()
        self.advance(59)
        self.assertEqual(1, len(self.pool.links()))
        self.advance(2)
        self.assertEqual(([], {}), (self.pool.links(), self.pool._groups))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_askedBeforeUse(self) -> None:
        """
        A link that was quiet for long is asked before it is used; one that does not answer is given up.
        """
        self.auto = True
        stream = self.opened()
        self.advance(11)
        self.opened()
        self.assertEqual(1, len(self.links))
        self.advance(11)
        self.links[0][1].stall()
        waiting = [self.connect(), self.connect()]
        self.advance(1.75)
        for each in waiting:
            self.assertNoResult(each)
        self.advance(0.5)
        for each in waiting:
            self.assertTrue(self.successResultOf(each).isOpen)
        self.assertEqual(2, len(self.links))
        self.assertEqual(2, self.links[1][0].streams)
        assert stream.lost is not None
        self.assertIn("no answer to a ping", stream.lost.getErrorMessage())

    def test_askedSometimes(self) -> None:
        """
        All are asked from time to time.
        """
        self.auto = True
        self.opened()
        self.links[0][1].stall()
        self.advance(28)
        self.assertEqual([], self.pool.links())

    def test_allLinks(self) -> None:
        """
        There are only so many in all: an idle one has to go for another, and if none is idle there is none.
        """
        self.auto = True
        streams = []
        for number in range(5):
            self.key = SessionKey(str(number), "", "", KEY.place)
            streams.append(self.opened())
        self.key = KEY
        self.assertIn("5 links", self.assertRefused(self.connect(), Cause.OVERLOADED).detail)
        self.assertEqual(5, len(self.pool.links()))
        streams[2].abort()
        self.settle()
        self.opened()
        self.assertEqual(["0", "1", "3", "4", "root"], [state.key.tenant for state in self.pool.links()])


class IdentityTests(PoolCase):
    """
    When we are somebody else.
    """

    def setUp(self) -> None:
        """
        An identity that changes when it is told to.
        """
        super().setUp()
        self.callbacks: list[Callable[[], object]] = []
        self.stopFollowing = self.pool.follow("root", self)  # type: ignore[arg-type]

    def changed(self, callback: Callable[[], object]) -> Callable[[], None]:
        """
        As that of an identity.
        """
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def test_changed(self) -> None:
        """
        New streams use new links; old ones close with their streams.  Those of other tenants stay.
        """
        self.auto = True
        old = self.opened()
        self.key = SessionKey("alice", "us", "them", KEY.place)
        other = self.opened()
        self.key = KEY
        self.callbacks[0]()
        self.settle()
        self.opened()
        self.assertEqual(3, len(self.links))
        self.assertTrue(old.isOpen and other.isOpen)
        old.close()
        self.server.accepted[0].close()
        self.settle()
        self.assertEqual([True, False, False], [ours.isClosed for ours, _ in self.links])
        self.stopFollowing()
        self.assertEqual([], self.callbacks)

    def test_changedMeanwhile(self) -> None:
        """
        A link that is being made when it happens is made anew.
        """
        connecting = self.connect()
        self.callbacks[0]()
        self.up()
        self.assertNoResult(connecting)
        self.assertTrue(self.links[0][0].isClosed)
        self.up()
        self.assertTrue(self.successResultOf(connecting).isOpen)


class StopTests(PoolCase):
    """
    The end of a pool.
    """

    def test_drain(self) -> None:
        """
        It opens nothing more, and is done when the last stream is.
        """
        self.auto = True
        stream = self.opened()
        self.auto = False
        self.key = SessionKey("alice", "us", "them", KEY.place)
        waiting = self.connect()
        draining = self.pool.drain()
        self.settle()
        self.assertRefused(waiting, Cause.OVERLOADED)
        self.assertRefused(self.connect(), Cause.OVERLOADED)
        self.assertNoResult(draining)
        stream.close()
        self.server.last.close()
        self.settle()
        self.successResultOf(draining)
        self.assertEqual({}, self.pool._groups)

    def test_stop(self) -> None:
        """
        It can be cut.
        """
        self.auto = True
        stream = self.opened()
        self.pool.stop()
        self.settle()
        assert stream.lost is not None
        self.assertIn("being stopped", stream.lost.getErrorMessage())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(Target("db", 5432), INFO.target)
