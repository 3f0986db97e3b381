# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that are kept ready, and the streams that take them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints import ready
from ugate.endpoints.ready import AGE, CONFIRM, EVERY, GRACE, MAX_EACH, PATIENCE, Ready, Waiting
from ugate.endpoints.readydialer import ReadyDialer
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.interfaces import MeshNode
from ugate.protocols.readywire import ASK, BEGIN, GO, THERE, frame
from ugate.tenancy.nodes import Nodes
from ugate.test.dialfakes import CLIENT, LISTENER, Recorders, streamTo
from ugate.test.test_nodes import BOB, EVE


class Wire(StringTransport):
    """
    The transport of a connection, which tells its protocol when it is cut.
    """

    inner: Any = None
    isCut = False

    @property
    def peer(self) -> Any:
        """
        Who is there.
        """
        return self.getPeer()

    def abortConnection(self) -> None:
        if not self.isCut:
            self.isCut = True
            self.inner.connectionLost(Failure(ConnectionError()))


class Objecting:
    """
    A table of nodes that has something against those that leave.
    """

    error: Exception

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes

    def learn(self, node: MeshNode) -> None:
        if node.expires is not None:
            raise self.error
        self.nodes.learn(node)


class ReadyTests(SynchronousTestCase):
    """
    The connections of two nodes.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.nodes = Nodes(self.clock)
        self.ready = Ready(self.clock, self.nodes)
        self.recorders = Recorders()
        self.error: Refused | None = None

    def believe(self) -> None:
        """
        Believe it still, or not.
        """
        if self.error is not None:
            raise self.error

    def keep(self, keyid: str = BOB) -> Wire:
        """
        A node keeps one more.
        """
        wire = Wire(LISTENER, CLIENT)
        wire.inner = Waiting(self.ready, keyid, self.believe)
        wire.inner.makeConnection(wire)
        return wire

    def stream(self, keyid: str = BOB) -> Any:
        """
        A stream wants one.
        """
        return ReadyDialer(self.ready, keyid).endpointFor(streamTo("bob:443")).connect(self.recorders)

    def test_go(self) -> None:
        """
        The stream begins when the node has taken it; what it says with that is the stream's.
        """
        old, new = self.keep(), self.keep()
        stream = self.stream()
        self.assertEqual((old.value(), new.value()[:1]), (b"", GO))
        self.assertIn(str(CLIENT.port).encode(), new.value())
        self.assertNoResult(stream)
        new.inner.dataReceived(frame(THERE) + frame(BEGIN) + b"bytes")
        self.assertIs(self.successResultOf(stream), self.recorders.made[0])
        self.assertIs(new.inner, self.recorders.made[0])
        self.assertEqual(self.recorders.made[0].got, b"bytes")
        self.assertEqual(self.ready.count(BOB), 1)

    def test_dead(self) -> None:
        """
        One that is lost, or says nothing, is passed over: the stream tries the next.
        """
        good, silent, lost = self.keep(), self.keep(), self.keep()
        stream = self.stream()
        lost.abortConnection()
        self.assertEqual(silent.value()[:1], GO)
        self.clock.advance(CONFIRM)
        self.assertTrue(silent.isCut)
        self.assertEqual(good.value()[:1], GO)
        good.inner.dataReceived(frame(BEGIN))
        self.successResultOf(stream)

    def test_wait(self) -> None:
        """
        With none ready a stream waits for the next one; those who came first go first.
        """
        first, second = self.stream(), self.stream()
        wire = self.keep()
        wire.inner.dataReceived(frame(BEGIN))
        self.successResultOf(first)
        self.assertNoResult(second)
        self.clock.advance(PATIENCE)
        refused = self.failureResultOf(second, Refused).value
        self.assertIs(refused.cause, Cause.HOST_UNREACHABLE)
        self.assertIn(f"made none in {PATIENCE:g} s", refused.detail)
        # Nobody is left who would take one.
        self.keep()
        self.assertEqual(self.ready.count(BOB), 1)

    def test_cancelled(self) -> None:
        """
        A client that goes away takes none, and cuts the one that it had.
        """
        stream = self.stream()
        stream.cancel()
        self.failureResultOf(stream, CancelledError)
        wire = self.keep()
        stream = self.stream()
        stream.cancel()
        self.failureResultOf(stream, CancelledError)
        self.assertTrue(wire.isCut)

    def test_limits(self) -> None:
        """
        A node's newest are kept; beyond what all may have, a node that has none is refused; so are streams.
        """
        wires = [self.keep() for _ in range(MAX_EACH + 1)]
        self.assertEqual([each.isCut for each in wires], [True] + [False] * MAX_EACH)
        self.assertEqual(self.ready.count(BOB), MAX_EACH)
        self.ready.checkRoom(EVE)
        self.patch(ready, "MAX_READY", MAX_EACH)
        self.assertIs(self.assertRaises(Refused, self.ready.checkRoom, EVE).cause, Cause.OVERLOADED)
        self.ready.checkRoom(BOB)
        # It was not asked in time.
        self.assertTrue(self.keep(EVE).isCut)
        self.assertEqual((self.ready.count(EVE), self.ready.count(BOB)), (0, MAX_EACH))
        self.patch(ready, "MAX_WAITING", 1)
        self.stream(EVE)
        self.assertIs(self.failureResultOf(self.stream(EVE), Refused).value.cause, Cause.OVERLOADED)

    def test_asked(self) -> None:
        """
        A connection is asked again and again, and is of no use once it does not answer, or is old.
        """
        silent, good = self.keep(), self.keep()
        for _ in range(int(AGE / EVERY) - 1):
            self.clock.advance(EVERY)
            self.assertEqual(good.value(), frame(ASK))
            good.clear()
            good.inner.dataReceived(frame(THERE))
        self.assertTrue(silent.isCut)
        self.assertFalse(good.isCut)
        self.clock.advance(EVERY)
        self.assertTrue(good.isCut)

    def test_believed(self) -> None:
        """
        Who is believed no more is cut off.
        """
        wire = self.keep()
        self.error = Denied("bob", "revoked")
        self.clock.advance(EVERY)
        self.assertTrue(wire.isCut)

    def test_rude(self) -> None:
        """
        Who says something else is cut.
        """
        for said in (b"\x00\x00\x00", frame(BEGIN), frame(THERE, b"x"), b"L\xff\xff"):
            wire = self.keep()
            wire.inner.dataReceived(said)
            self.assertTrue(wire.isCut, said)

    def test_nodes(self) -> None:
        """
        A node is known while it keeps some, and for a while after it.
        """
        wire = self.keep()
        node = self.nodes.find(BOB)
        assert node is not None
        self.assertEqual((node.source, node.addresses[0].transport), ("ready", "ready"))
        wire.abortConnection()
        self.assertIsNotNone(self.nodes.find(BOB))
        self.clock.advance(GRACE)
        self.assertIsNone(self.nodes.find(BOB))
        self.keep()
        self.clock.advance(GRACE)
        self.assertIsNotNone(self.nodes.find(BOB))

    def test_nodesTaken(self) -> None:
        """
        One that a stream waited for is kept no more: its node is known only for a while.
        """
        stream = self.stream()
        self.keep().inner.dataReceived(frame(BEGIN))
        self.successResultOf(stream)
        self.clock.advance(GRACE / 2)
        self.assertIsNotNone(self.nodes.find(BOB))
        self.clock.advance(GRACE / 2)
        self.assertIsNone(self.nodes.find(BOB))

    def test_leavingTrouble(self) -> None:
        """
        Whatever the table of nodes has against one that keeps none now: its stream begins, another that it
        breaks is told so, and it is gone after a while.
        """
        table = Objecting(self.nodes)
        self.ready = Ready(self.clock, table)
        for error in (Refused(Cause.OVERLOADED, Phase.CONNECT, "x", "full"), ValueError("x")):
            table.error = error
            stream = self.stream()
            self.keep().inner.dataReceived(frame(BEGIN))
            self.successResultOf(stream)
            wire = self.keep()
            broken = self.stream()
            wire.abortConnection()
            self.clock.pump([PATIENCE, GRACE])
            self.failureResultOf(broken, Refused)
            self.assertEqual({}, self.ready._known)
        self.assertTrue(self.flushLoggedErrors(ValueError))

    def test_explain(self) -> None:
        """
        It says how many there are.
        """
        self.keep()
        said = ReadyDialer(self.ready, BOB).explain(streamTo("bob:443"))
        self.assertEqual(said, ["by one of 1 connections that the node keeps ready here, as it is"])
