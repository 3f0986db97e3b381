# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.pool}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.pool import PoolDialer, PoolLimits, SessionKey, SessionPool
from ugate.endpoints.session import Session
from ugate.endpoints.sessions import SessionLimits, Sessions
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo, Target
from ugate.test.muxfakes import INFO
from ugate.testing import Conversation, Conversations
from ugate.testing.linkmaker import linkPair
from ugate.testing.links import MemoryLink
from ugate.testing.turns import MeshClock

KEY = SessionKey("root", "us", "them", "h2connect:gate:443")
LIMITS = PoolLimits(
    links=5, each=2, waiting=6, idle=60.0, ping=25.0, pong=2.0, quiet=10.0, open=8.0, attempts=3
)


class PoolCase(SynchronousTestCase):
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

    def settle(self) -> None:
        """
        Let happen what needs no time.
        """
        while self.clock.runDue():
            pass

    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        for _ in range(round(seconds * 4)):
            self.clock.rightNow += 0.25
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

    def test_retriedSome(self) -> None:
        """
        But not forever.
        """
        connecting = self.connect()
        for _ in range(3):
            self.assertNoResult(connecting)
            self.room = 3
            ours, theirs = linkPair(self.clock)
            theirs.incoming = lambda stream: None
            self.making.pop(0).callback(ours)
            self.settle()
            ours.cut()
            self.settle()
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
