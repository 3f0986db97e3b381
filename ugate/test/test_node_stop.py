# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How a node ends: it stops to listen, waits for streams, and cuts what is left; and how
it ends with the one stream of standard input and output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from ugate import listeners as listenersModule
from ugate.errors import Denied
from ugate.node import Node
from ugate.tenancy.config.schema import Listener
from ugate.test.nodefakes import HELLO, REQUEST, Line, NodeCase

LOCAL = "auto:tcp:1080:interface=127.0.0.1"


class StopTests(NodeCase):
    """
    L{Node.stopService}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.cuts: list[Callable[[], None]] = []

    def node(self, **settings: Any) -> Node:
        """
        A node that listens on one port.
        """
        return self.start(self.config({"main": LOCAL}, **settings), draining=self.cuts.append)

    def test_nothing(self) -> None:
        """
        Without streams it has stopped at once, and has nothing left.
        """
        node = self.node()
        with capturedLogs() as events:
            self.successResultOf(node.stopService())
        self.assertFalse(self.reactor.ports[0].listening)
        self.assertEqual((node.ports, node.running, self.cuts, events), ({}, 0, [], []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_waits(self) -> None:
        """
        It waits for the streams, which go on, and for those that were just asked for.
        """
        node = self.node(drain=30.0)
        line, target = self.stream(node)
        asking = self.client(node)
        asking.say(HELLO)
        asking.say(REQUEST)
        with capturedLogs() as events:
            stopped = node.stopService()
            self.assertEqual(formatEvent(events[-1]), "open streams: 2; they have 30 s to end")
        self.assertFalse(self.reactor.ports[0].listening)
        self.assertEqual(len(self.cuts), 1)
        late = self.target()
        self.assertEqual(asking.value()[:2], b"\x05\x00")
        self.reactor.pump([1] * 10)
        line.say(b"still here")
        self.assertTrue(target.value().endswith(b"still here"))
        for each in (target, late):
            each.loseConnection()
            each.settle()
        self.assertNoResult(stopped)
        # Not before the clients have read all of it.
        self.reactor.advance(10)
        self.assertNoResult(stopped)
        for each in (line, asking):
            self.assertEqual((each.disconnecting, each.disconnected), (True, False))
            each.settle()
        self.reactor.advance(0.2)
        self.successResultOf(stopped)

    def test_cuts(self) -> None:
        """
        After its time it cuts what is left, and says how many.
        """
        node = self.node(drain=3.0)
        line, target = self.stream(node)
        asking = self.client(node)
        asking.say(HELLO)
        asking.say(REQUEST)
        with capturedLogs() as events:
            stopped = node.stopService()
            self.reactor.pump([0.1] * 29)
            self.assertNoResult(stopped)
            self.reactor.advance(0.11)
        self.successResultOf(stopped)
        self.assertTrue(line.disconnected and target.disconnected)
        said = [formatEvent(event) for event in events]
        self.assertIn("streams cut after 3.0 s: 2", said)
        self.assertEqual(len([each for each in said if "this gateway is being stopped" in each]), 1)
        self.assertEqual(len([each for each in said if each.endswith(", shutdown")]), 1)
        self.assertEqual(asking.value()[:1], b"\x05")
        self.assertEqual(len(node.flows), 0)
        self.reactor.advance(2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_noTime(self) -> None:
        """
        With no time for it, it cuts at once.
        """
        node = self.node(drain=0.0)
        line, target = self.stream(node)
        self.successResultOf(node.stopService())
        self.assertTrue(line.disconnected and target.disconnected)
        self.assertEqual((self.cuts, self.reactor.getDelayedCalls()), ([], []))

    def test_cutShort(self) -> None:
        """
        Somebody may not want to wait any longer.
        """
        node = self.node(drain=30.0)
        line, target = self.stream(node)
        stopped = node.stopService()
        self.reactor.advance(1)
        self.assertNoResult(stopped)
        (cut,) = self.cuts
        cut()
        self.successResultOf(stopped)
        self.assertTrue(line.disconnected and target.disconnected)
        cut()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_nothingNew(self) -> None:
        """
        A client that is connected already and asks for a stream after the end gets none.
        """
        node = self.node()
        line = self.client(node)
        line.say(HELLO)
        self.successResultOf(node.stopService())
        self.assertEqual(line.say(REQUEST)[:2], b"\x05\x01")
        self.assertEqual(self.reactor.tcpClients, [])

    def test_slowPort(self) -> None:
        """
        It has stopped when its ports have, too; streams do not get more time by that.
        """
        node = self.node(drain=1.0)
        line, _ = self.stream(node)
        port = self.reactor.ports[0]
        port.stops = Deferred()
        stopped = node.stopService()
        self.reactor.pump([0.5] * 3)
        self.assertTrue(line.disconnected)
        self.assertNoResult(stopped)
        port.stops.callback(None)
        self.successResultOf(stopped)

    def test_brokenPort(self) -> None:
        """
        A port that cannot stop is told, and holds nothing up.
        """
        node = self.node()
        port = self.reactor.ports[0]
        port.stops = Deferred()
        stopped = node.stopService()
        port.stops.errback(ZeroDivisionError())
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_again(self) -> None:
        """
        A node that has stopped leaves nothing behind for one after it.
        """
        for _ in range(2):
            node = self.node()
            self.stream(node)
            self.cuts.clear()
            stopped = node.stopService()
            self.cuts[0]()
            self.successResultOf(stopped)


class FakeStdio(Line):
    """
    A connection on standard input and output; C{over} is the node's.
    """

    def __init__(self, protocol: Any, reactor: Any, over: Callable[[], object]) -> None:
        super().__init__()
        self.over = over
        self.protocol = protocol
        protocol.makeConnection(self)

    def settle(self) -> None:
        """
        Do what was asked for, and tell.
        """
        before = self.gone
        super().settle()
        if self.gone and not before:
            self.over()


class StdioTests(NodeCase):
    """
    A node that serves its own standard input and output.
    """

    def setUp(self) -> None:
        super().setUp()
        self.made: list[FakeStdio] = []

        def serveOnce(endpoint: endpoints.StandardIOEndpoint, over: Callable[[], object]) -> None:
            def make(protocol: Any, reactor: Any) -> FakeStdio:
                self.made.append(FakeStdio(protocol, reactor, over))
                return self.made[-1]

            replaced: Any = endpoint
            replaced._stdio = make

        self.patch(listenersModule, "serveOnce", serveOnce)

    def one(self, text: str, more: dict[str, str | Listener] | None = None) -> tuple[Node, FakeStdio]:
        """
        A node with such a listener.
        """
        node = self.start(self.config({"main": text, **(more or {})}))
        return node, self.made[0]

    def test_ends(self) -> None:
        """
        When its stream has ended, nobody else can come, and the process ends.
        """
        node, stdio = self.one("socks:stdio:")
        self.assertTrue(node.stdio)
        self.assertEqual(stdio.say(HELLO), b"\x05\x00")
        stdio.say(REQUEST)
        target = self.target()
        self.assertEqual(stdio.say(b"hello"), b"")
        self.assertEqual(target.value(), b"hello")
        target.loseConnection()
        target.settle()
        self.reactor.advance(0)
        self.assertFalse(self.reactor.hasStopped)
        stdio.settle()
        self.reactor.advance(0)
        self.assertTrue(self.reactor.hasStopped)

    def test_refused(self) -> None:
        """
        Also when it came to nothing.
        """
        _, stdio = self.one("forward:stdio:to=203.0.113.9\\:80")
        self.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(Denied("x")))
        stdio.settle()
        self.reactor.advance(0)
        self.assertTrue(self.reactor.hasStopped)

    def test_noStream(self) -> None:
        """
        Also when there never was a stream.
        """
        for said in (b"", HELLO, b"nonsense"):
            self.setUp()
            _, stdio = self.one("auto:stdio:")
            if said:
                stdio.say(said)
            stdio.loseConnection()
            stdio.settle()
            self.reactor.advance(0)
            self.assertTrue(self.reactor.hasStopped, said)

    def test_beforeTheStart(self) -> None:
        """
        Also when it was over before the reactor ran.
        """
        node = Node(self.reactor, self.config({"main": "socks:stdio:"}), threads=0)
        node.privilegedStartService()
        self.made[0].loseConnection()
        self.made[0].settle()
        node.startService()
        self.assertFalse(self.reactor.hasStopped)
        self.reactor.advance(0)
        self.assertTrue(self.reactor.hasStopped)

    def test_notAlone(self) -> None:
        """
        But not as long as it listens elsewhere.
        """
        _, stdio = self.one("socks:stdio:", {"other": LOCAL})
        stdio.loseConnection()
        stdio.settle()
        self.reactor.advance(0)
        self.assertFalse(self.reactor.hasStopped)

    def test_stoppedAlready(self) -> None:
        """
        Nor is it stopped twice, when a signal was first.
        """
        node, stdio = self.one("forward:stdio:to=203.0.113.9\\:80")
        target = self.target()
        stopped = node.stopService()
        stdio.loseConnection()
        stdio.settle()
        target.settle()
        self.reactor.advance(1)
        self.successResultOf(stopped)
        self.assertFalse(self.reactor.hasStopped)

    def test_othersDoNotCount(self) -> None:
        """
        Without such a listener there is none.
        """
        self.assertFalse(self.start(self.config({"main": LOCAL})).stdio)
        self.assertEqual(self.made, [])
