# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.pump} and L{ugate.copying}: whatever two peers do, in any order, each
gets what the other sent, or the beginning of it and an error.
"""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from twisted.internet import tcp

from ugate import pump, splicing, splicingprocess
from ugate.copying import Copying
from ugate.leg import Leg
from ugate.metering import TICK, Meter, Meters
from ugate.poll import asSocketReactor
from ugate.pump import Pump
from ugate.test.socketfakes import Peer, SocketTestCase
from ugate.test.splicefakes import QUIET, noise

DATA = noise(1 << 22)

SIZES = st.one_of(st.integers(0, 2000), st.integers(0, 200_000))
ACTS = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(
            st.tuples(st.just("send"), SIZES),
            st.tuples(st.just("read"), SIZES),
            st.tuples(st.sampled_from(["turn", "end", "rest", "reset"]), st.just(0)),
            st.tuples(st.sampled_from(["turn", "send"]), st.just(300_000)),
        ),
    ),
    max_size=25,
)


class Talker:
    """
    A peer, and what it has said.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.said = 0
        self.isEnded = False
        self.isGone = False
        peer.limit = 0

    def act(self, what: str, size: int) -> None:
        """
        Do one thing, if it still can.
        """
        if self.isGone:
            return
        if what == "send" and not self.isEnded and self.said + size <= len(DATA):
            self.peer.give(DATA[self.said : self.said + size])
            self.said += size
        elif what == "read":
            self.peer.limit = (self.peer.limit or 0) + size
        elif what == "end" and not self.isEnded:
            self.isEnded = True
            self.peer.give(b"", end=True)
        elif what == "reset":
            self.isGone = True
            self.peer.reset()


class RandomTestCase(SocketTestCase):
    """
    Two peers that do anything.
    """

    def join(self) -> tuple[Peer, Peer, list[str]]:
        """
        Join two connections.

        @return: the peers, and where the reason goes.
        """
        raise AssertionError("no test case by itself")

    def quiet(self) -> None:
        """
        Time passes.
        """

    def play(self, acts: list[tuple[bool, tuple[str, int]]]) -> None:
        """
        Let them do all that, and then end whatever is left.
        """
        first, second, reasons = self.join()
        talkers = Talker(first), Talker(second)
        for isSecond, (what, size) in acts:
            if what == "turn":
                self.turn(0)
            elif what == "rest":
                self.turn(0)
                self.quiet()
            else:
                talkers[isSecond].act(what, size)
        for talker in talkers:
            talker.act("end", 0)
            talker.peer.limit = None
        self.until(lambda: reasons, "the end")
        self.until(lambda: all(not talker.peer.mask for talker in talkers), "the ends")
        self.check(*talkers)
        self.check(*reversed(talkers))
        cut = any(talker.isGone for talker in talkers)
        self.assertEqual(len(reasons), 1)
        self.assertTrue(cut or reasons == ["done"], reasons)
        self.peers.clear()
        for talker in talkers:
            talker.peer.close()

    def check(self, sender: Talker, receiver: Talker) -> None:
        """
        Look at what came of one direction.
        """
        got = receiver.peer.got
        self.assertLessEqual(len(got), sender.said)
        self.assertTrue(got == DATA[: len(got)], "other bytes arrived than were sent")
        if not (sender.isGone or receiver.isGone):
            self.assertEqual((len(got), receiver.peer.broken), (sender.said, None))
        if receiver.peer.ended:
            self.assertTrue(sender.isEnded, "a cut was told as a clean end")
            self.assertEqual(len(got), sender.said)


class PumpTestCase(RandomTestCase):
    """
    With sockets to give.
    """

    threads = 2
    process = False
    meters: Meters | None = None

    def setUp(self) -> None:
        super().setUp()
        self.patch(splicing, "_IDLE", QUIET)
        self.patch(pump, "BULK", 100_000)
        self._pump = Pump(asSocketReactor(self.reactor), self.threads, self.process)

    def stop(self) -> None:
        self._pump.stop()

    def join(self) -> tuple[Peer, Peer, list[str]]:
        reasons: list[str] = []
        one, a = self.detached(buffers=8192)
        two, b = self.detached()
        self._pump.join(a, b, b"", b"", reasons.append, self.meters)
        return one, two, reasons

    def quiet(self) -> None:
        self.reactor.advance(QUIET * 2)


class PumpTests(PumpTestCase):
    """
    With threads of this process, or none.
    """

    @settings(max_examples=60)
    @given(ACTS)
    def test_anything(self, acts: list[tuple[bool, tuple[str, int]]]) -> None:
        """
        With threads for bulk.
        """
        self.play(acts)

    @settings(max_examples=40)
    @given(ACTS)
    def test_withoutThreads(self, acts: list[tuple[bool, tuple[str, int]]]) -> None:
        """
        With none.
        """
        self._pump._lender.lends = False
        self.play(acts)


class MeteredTests(PumpTestCase):
    """
    With rates that hold it up now and then.
    """

    def setUp(self) -> None:
        super().setUp()
        self.top = Meter(self.reactor, 8_000_000)
        self.meters = Meters(Meter(self.reactor, None, self.top), Meter(self.reactor, 2_000_000, self.top))

    def stop(self) -> None:
        super().stop()
        self.top.stop()

    def turn(self, timeout: float = 0.005) -> bool:
        self.reactor.advance(TICK)
        return super().turn(timeout)

    @settings(max_examples=50)
    @given(ACTS)
    def test_anything(self, acts: list[tuple[bool, tuple[str, int]]]) -> None:
        """
        It only takes longer.
        """
        self.play(acts)


class ProcessTests(PumpTestCase):
    """
    With those of another process.
    """

    process = True
    skip = None if splicingprocess.available else "this system cannot lend to another process"

    @settings(max_examples=60)
    @given(ACTS)
    def test_anything(self, acts: list[tuple[bool, tuple[str, int]]]) -> None:
        """
        It is no different.
        """
        self.play(acts)


class CopyTests(RandomTestCase):
    """
    With transports of Twisted's.
    """

    def join(self) -> tuple[Peer, Peer, list[str]]:
        reasons: list[str] = []
        peers: list[Peer] = []
        legs = Leg(), Leg()
        for leg, buffers in zip(legs, (8192, 0), strict=True):
            peer, near = self.detached(buffers=buffers)
            connection: Any = tcp.Connection(near.socket, leg, self.reactor)
            connection.connected = 1
            connection.startReading()
            leg.makeConnection(connection)
            peers.append(peer)
        Copying(self.reactor, *legs, reasons.append).start()
        return peers[0], peers[1], reasons

    def stop(self) -> None:
        # A transport whose peer has gone already closes a turn after the stream has ended.
        self.until(lambda: not (self.reactor.getReaders() or self.reactor.getWriters()), "the closing")

    @settings(max_examples=40)
    @given(ACTS)
    @example([(False, ("send", 1)), (True, ("reset", 0))])
    def test_anything(self, acts: list[tuple[bool, tuple[str, int]]]) -> None:
        """
        The same.
        """
        self.play(acts)
