# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The flows of one socket that hears many peers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.flowtable import QUIET, Flow, FlowTable, MadeWay
from ugate.errors import Cause, Phase, Refused
from ugate.leg import Leg
from ugate.test.datagramfakes import HERE, PEER

DENIED = Refused(Cause.DENIED, Phase.POLICY, "x")


class Refusing(Leg):
    """
    It is refused at once.
    """

    def connectionMade(self) -> None:
        self.transport.refuse(DENIED)  # type: ignore[union-attr]


class FlowTableTests(SynchronousTestCase):
    """
    L{FlowTable}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.table: FlowTable[Flow] = FlowTable(self.clock, 3)

    def add(self, key: str, isUp: bool = True) -> Flow:
        """
        One more flow.
        """
        flow = Flow(self.table, key, PEER, HERE)
        self.table.begin(flow, Factory.forProtocol(Leg))
        if isUp:
            flow.accept()
        return flow

    def hear(self, *flows: Flow) -> None:
        """
        A second later, their peers send something.
        """
        self.clock.advance(1)
        for flow in flows:
            flow.seen = self.clock.seconds()

    def keys(self) -> set[Any]:
        """
        Who is there.
        """
        return {flow.key for flow in self.table}

    def test_makesWay(self) -> None:
        """
        With one more than there may be, the one whose peer was silent for longest goes, and is told why.
        """
        a, b, c = map(self.add, "abc")
        self.hear(a)
        self.hear(c)
        self.add("d")
        self.assertEqual((self.keys(), self.table.made), ({"a", "c", "d"}, 1))
        leg: Any = b
        self.assertTrue(leg.isClosed)
        self.hear(c)
        self.add("e")
        self.assertEqual(self.keys(), {"c", "d", "e"})

    def test_reason(self) -> None:
        """
        Its protocol hears that it made way.
        """
        a = self.add("a")
        protocol: Any = a._protocol
        for key in "bcd":
            self.add(key)
        self.assertIsInstance(protocol.gone.value, MadeWay)
        self.assertIn("3 flows", protocol.gone.getErrorMessage())

    def test_flood(self) -> None:
        """
        Many new ones do not push out who is heard all the time, and never are there more than there may be.
        """
        alive = self.add("alive")
        for number in range(1000):
            self.hear(alive)
            self.add(f"spoofed {number}")
            self.assertLessEqual(len(self.table), 3)
        self.assertIn("alive", self.keys())
        self.assertFalse(alive.isClosed)

    def test_over(self) -> None:
        """
        One that was up is forgotten when it is over.
        """
        self.add("a").loseConnection()
        self.assertEqual(self.keys(), set())
        self.assertIs(self.table.get("a"), None)

    def test_quiet(self) -> None:
        """
        One that was refused is remembered for a while, so that its peer is not asked about again for each
        datagram.
        """
        flow = self.add("a", isUp=False)
        flow.refuse(DENIED)
        self.clock.advance(QUIET - 1)
        self.assertIs(self.table.get("a"), flow)
        flow.arrived(b"again")
        self.assertEqual(flow.dropped, 1)
        self.clock.advance(1)
        self.assertIs(self.table.get("a"), None)
        self.add("b", isUp=False).abortConnection()
        for key in "cde":
            self.add(key)
        self.assertEqual((self.keys(), self.table.made), ({"b", "c", "d", "e"}, 0))
        self.clock.advance(QUIET)
        self.assertEqual(self.keys(), {"c", "d", "e"})

    def test_refused(self) -> None:
        """
        Those that are refused at once, however many, take nobody's place, and not more of them are remembered
        than there may be others.
        """
        for key in "abc":
            self.add(key)
        for key in "defg":
            flow = Flow(self.table, key, PEER, HERE)
            self.table.begin(flow, Factory.forProtocol(Refusing))
            self.assertTrue(flow.isClosed)
        self.table.refuse(Flow(self.table, "h", PEER, HERE))
        self.assertEqual((self.keys(), self.table.made), (set("abcfgh"), 0))
        self.clock.advance(QUIET)
        self.assertEqual(self.keys(), set("abc"))

    def test_failed(self) -> None:
        """
        One whose protocol fails is no matter of the others.
        """
        factory: Any = Factory.forProtocol(Leg)
        bad, good = Flow(self.table, "a", PEER, HERE), self.add("b")
        factory.buildProtocol = lambda addr: None
        self.table.begin(bad, factory)
        self.assertTrue(bad.isClosed)
        good.receive(lambda datagrams: 1 / 0)
        later = self.add("c")
        self.table.deliver({good: [b"x"], later: [b"x"]})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((good.isClosed, later.isClosed), (True, False))

    def test_lower(self) -> None:
        """
        With a lower limit, the next one makes all go that are too many.
        """
        for key in "abc":
            self.add(key)
        self.table.limit = 1
        self.add("d")
        self.assertEqual(self.keys(), {"d"})

    def test_close(self) -> None:
        """
        At the end all are over, and no timer is left.
        """
        flows = [self.add("a"), self.add("b", isUp=False)]
        flows[1].loseConnection()
        self.table.close()
        self.assertTrue(all(flow.isClosed for flow in flows))
        self.assertEqual((len(self.table), self.clock.getDelayedCalls()), (0, []))
