# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.pool}: streams that share links, and links that fail.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

from ugate.endpoints.pool import SessionKey
from ugate.endpoints.pooldialer import PoolDialer
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo
from ugate.test.muxfakes import INFO
from ugate.test.poolfakes import KEY, PoolCase
from ugate.testing.linkmaker import linkPair


class SharingTests(PoolCase):
    """
    Streams that share links.
    """

    def test_provides(self) -> None:
        """
        It is a dialer, which says how many links there are.
        """
        self.assertTrue(verifyObject(IDialer, self.dialer))
        self.assertIsInstance(self.dialer, PoolDialer)
        self.assertIn("none of which is up", self.dialer.explain(INFO)[0])
        self.auto = True
        self.opened()
        self.assertIn("1 of which are up", self.dialer.explain(INFO)[0])
        self.assertRaises(Refused, self.dialer.endpointFor, INFO.but(target=None))

    def test_one(self) -> None:
        """
        All that come while a link is being made wait for that one, and for no other.
        """
        waiting = [self.connect() for _ in range(3)]
        self.assertEqual((1, [INFO]), (len(self.making), self.askedFor))
        for each in waiting:
            self.assertNoResult(each)
        self.up()
        streams = [self.successResultOf(each) for each in waiting]
        self.assertEqual(3, self.links[0][0].streams)
        streams[1].write(b"hello")
        self.settle()
        self.assertEqual(b"hello", self.server.accepted[1].received)
        self.assertEqual((1, 0, 0), (self.pool.made, self.pool.failed, self.pool.retried))

    def test_another(self) -> None:
        """
        When a link is full, there is another one; and when that is full, no more than there may be.
        """
        self.auto = True
        streams = [self.opened() for _ in range(6)]
        self.assertEqual(2, len(self.links))
        refused = self.assertRefused(self.connect(), Cause.OVERLOADED)
        self.assertIn("2 links", refused.detail)
        # The first is used up before the second, so that this may become idle.
        streams[0].abort()
        streams[5].abort()
        self.settle()
        self.opened()
        self.assertEqual([3, 2], [ours.streams for ours, _ in self.links])

    def test_waitersOfSeveral(self) -> None:
        """
        Those for whom a new link has no room have the next one made.
        """
        waiting = [self.connect() for _ in range(5)]
        self.up()
        self.assertEqual(1, len(self.making))
        self.assertEqual([True] * 3 + [False] * 2, [each.called for each in waiting])
        self.up()
        for each in waiting:
            self.successResultOf(each)

    def test_manyWaiters(self) -> None:
        """
        Only so many wait.
        """
        waiting = [self.connect() for _ in range(6)]
        self.assertIn("6 streams wait", self.assertRefused(self.connect(), Cause.OVERLOADED).detail)
        self.up()
        self.up()
        for each in waiting:
            self.successResultOf(each)

    def test_keys(self) -> None:
        """
        No link is shared by tenants, by who we are, by who they are, or between places.
        """
        self.auto = True
        self.opened()
        for number, change in enumerate(("tenant", "identity", "peer", "place"), 2):
            fields = {name: getattr(KEY, name) for name in ("tenant", "identity", "peer", "place")}
            self.key = SessionKey(**{**fields, change: "other"})
            self.opened()
            self.assertEqual(number, len(self.links))
        self.assertEqual([1] * 5, [ours.streams for ours, _ in self.links])
        self.assertEqual(5, len({state.key for state in self.pool.links()}))

    def test_states(self) -> None:
        """
        What is up can be looked at.
        """
        self.auto = True
        self.opened()
        self.advance(3)
        (state,) = self.pool.links()
        self.assertEqual(
            (KEY, "server", 1, 2, 3.0),
            (state.key, str(state.principal), state.streams, state.room, state.age),
        )


class FailingTests(PoolCase):
    """
    Links that do not come up, or go away.
    """

    def test_refused(self) -> None:
        """
        All that wait for a link hear why there is none; the next one tries again.
        """
        waiting = [self.connect() for _ in range(3)]
        self.making.pop().errback(ConnectionRefusedError())
        for each in waiting:
            self.assertRefused(each, Cause.CONNECTION_REFUSED)
        self.assertEqual((0, 1, 0), (self.pool.made, self.pool.failed, self.pool.count(KEY)))
        again = self.connect()
        self.up()
        self.successResultOf(again)

    def test_refusedAtOnce(self) -> None:
        """
        The same if there is no way there at all.
        """

        def make(info: StreamInfo) -> Deferred[Any]:
            raise Refused(Cause.UNSUPPORTED, Phase.TLS, KEY.place, "we have no identity")

        self.assertRefused(self.connect(self.pool.dialer(lambda info: KEY, make)), Cause.UNSUPPORTED)
        self.assertEqual({}, self.pool._groups)

    def test_cancel(self) -> None:
        """
        Who waits no longer is not waited with; when nobody does, the link is not made.
        """
        first, second = self.connect(), self.connect()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertFalse(self.making[0].called)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertTrue(self.making[0].called)
        self.assertEqual((0, {}), (self.pool.failed, self.pool._groups))

    def test_stubborn(self) -> None:
        """
        A link that comes up when nobody wants it any more is closed.
        """
        ours, _ = linkPair(self.clock)
        making: Deferred[Any] = Deferred(lambda making: making.callback(ours))
        connecting = self.connect(self.pool.dialer(lambda info: KEY, lambda info: making))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(ours.isClosed)
        self.assertEqual({}, self.pool._groups)

    def test_retried(self) -> None:
        """
        A stream whose link goes away before it is answered tries another one.
        """
        self.auto = True
        self.opened()
        self.links[0][0].stall()
        connecting = self.connect()
        self.assertNoResult(connecting)
        self.links[0][0].cut()
        self.settle()
        self.assertTrue(self.successResultOf(connecting).isOpen)
        self.assertEqual((2, 1), (len(self.links), self.pool.retried))

    def test_retriedAsOften(self) -> None:
        """
        It tries no more links if the first of them was there than if it had to be made.
        """
        self.auto = True
        self.opened()
        self.auto = False
        self.links[0][0].stall()
        connecting = self.connect()
        self.links[0][0].cut()
        self.settle()
        for _ in range(2):
            self.assertNoResult(connecting)
            self.upAndCut()
        self.assertRefused(connecting, Cause.PEER_CLOSED)
        self.assertEqual(([], 2), (self.making, self.pool.retried))

    def test_cancelledOnReady(self) -> None:
        """
        A stream that is not wanted any more does not try another link.
        """
        self.auto = True
        self.opened()
        self.links[0][0].stall()
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting)
        self.assertEqual(([], 0), (self.making, self.pool.retried))

    def test_retriedSome(self) -> None:
        """
        But not forever.
        """
        connecting = self.connect()
        for _ in range(3):
            self.assertNoResult(connecting)
            self.room = 3
            self.upAndCut()
        self.assertRefused(connecting, Cause.PEER_CLOSED)
        self.assertEqual(([], 2), (self.making, self.pool.retried))

    def test_notRetried(self) -> None:
        """
        What the peer refuses is refused.
        """
        connecting = self.connect()
        ours, theirs = linkPair(self.clock)
        theirs.incoming = lambda stream: stream.refuse(Refused(Cause.PEER_CLOSED, Phase.REMOTE, "db"))
        self.making.pop(0).callback(ours)
        self.settle()
        self.assertRefused(connecting, Cause.PEER_CLOSED)
        self.assertEqual(0, self.pool.retried)

    def test_goneTellsWhy(self) -> None:
        """
        Streams of a link that goes away hear why.
        """
        self.auto = True
        stream = self.opened()
        self.links[0][1].abort("that is all")
        self.settle()
        assert stream.lost is not None
        self.assertIn("the peer cut the link", stream.lost.getErrorMessage())
        self.assertEqual([], self.pool.links())

    def test_drainedByPeer(self) -> None:
        """
        A link that the peer lets go is used for nothing new, and does not count.
        """
        self.auto = True
        for _ in range(4):
            self.opened()
            self.links[-1][1].drain()
            self.settle()
        self.assertEqual(4, len(self.links))
        self.assertEqual([1] * 4, [ours.streams for ours, _ in self.links])
