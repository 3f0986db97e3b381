# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The relay for flows of datagrams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.dialers import Deny, Fallback, Retry
from ugate.endpoints.direct import Direct
from ugate.endpoints.forward import Forward
from ugate.endpoints.hops import Hop
from ugate.errors import Cause, Refused
from ugate.leg import Leg
from ugate.metering import Meter, Meters
from ugate.posting import Posting, carriesDatagrams, checkCarries
from ugate.protocols.capsules import capsule
from ugate.protocols.mux import MuxStream
from ugate.relay import BRIEF, IDLE_DATAGRAMS, Relay
from ugate.stream import UDP, Target
from ugate.test.datagramfakes import MemoryDatagrams, flowTo
from ugate.test.dialfakes import streamTo


class PostingTests(SynchronousTestCase):
    """
    L{Posting}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.ends: list[str] = []
        self.near, self.far = MemoryDatagrams(), MemoryDatagrams()
        self.legs = Leg(), Leg()
        for flow, leg in zip((self.near, self.far), self.legs, strict=True):
            flow.begin(leg)

    def join(self, meters: Meters | None = None) -> Posting:
        """
        Join them.
        """
        posting = Posting(self.clock, *self.legs, self.ends.append, meters)
        posting.start()
        return posting

    def test_passesOn(self) -> None:
        """
        Each is passed on as it is, both ways, and counted.
        """
        posting = self.join()
        self.clock.advance(5)
        self.near.arrived(b"question")
        self.near.arrived(b"")
        self.far.arrived(b"answer")
        self.assertEqual((self.far.sent, self.near.sent), ([b"question", b""], [b"answer"]))
        self.assertEqual((posting.sent, posting.received, posting.active, posting.dropped), (8, 6, 5.0, 0))

    def test_early(self) -> None:
        """
        What came before goes first.
        """
        self.near.arrived(b"one")
        self.near.arrived(b"two")
        self.join()
        self.near.arrived(b"three")
        self.assertEqual(self.far.sent, [b"one", b"two", b"three"])

    def test_ends(self) -> None:
        """
        When one is over, so is the other.
        """
        self.join()
        self.far.loseConnection()
        self.assertEqual((self.ends, self.near.isClosed), (["done"], True))
        self.near.arrived(b"late")
        self.assertEqual(self.far.sent, [])

    def test_fails(self) -> None:
        """
        The log is told why, if that was a failure; once.
        """
        posting = self.join()
        self.near.lost(OSError("no route"))
        posting.close("again", True)
        self.assertEqual((self.ends, self.far.isClosed), (["no route"], True))

    def test_undelivered(self) -> None:
        """
        What does not get to one side is told to the other, as long as both are up.
        """
        told: list[tuple[str, OSError]] = []
        for name, flow in (("near", self.near), ("far", self.far)):
            self.patch(flow, "undelivered", lambda error, name=name: told.append((name, error)))
        self.join()
        error = OSError("nobody there")
        self.far.fail(error)
        self.near.fail(error)
        self.assertEqual(told, [("near", error), ("far", error)])
        self.far.loseConnection()
        self.far.fail(error)
        self.assertEqual(len(told), 2)

    def test_goneBefore(self) -> None:
        """
        One that was over before is over.
        """
        self.near.abortConnection()
        self.join()
        self.assertEqual(len(self.ends), 1)
        self.assertTrue(self.far.isClosed)
        self.assertIsInstance(self.legs[0].gone and self.legs[0].gone.value, ConnectionAborted)

    def test_limits(self) -> None:
        """
        What is more than a meter lets through is dropped and counted; the other direction is not held up.
        """
        meter = Meter(self.clock, 10_000)
        posting = self.join(Meters(up=meter))
        for _ in range(10):
            self.near.arrived(bytes(1000))
            self.far.arrived(bytes(1000))
        passed = len(self.far.sent)
        self.assertTrue(0 < passed < 5, passed)
        self.assertEqual((posting.dropped, len(self.near.sent)), (10 - passed, 10))
        for _ in range(100):
            self.clock.advance(0.1)
            self.near.arrived(bytes(500))
        self.assertGreater(len(self.far.sent), 80)
        posting.close("done", False)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RelayTests(SynchronousTestCase):
    """
    Flows in the L{Relay}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.relay = Relay(self.clock, 900)
        self.ends: list[str] = []
        self.near = MemoryDatagrams()

    def join(self, port: int, transport: Any = None) -> Any:
        """
        Carry a flow.
        """
        self.near, self.far = MemoryDatagrams(), MemoryDatagrams() if transport is None else transport
        legs = Leg(), Leg()
        self.near.begin(legs[0])
        legs[1].makeConnection(self.far)
        if transport is None:
            self.far.begin(legs[1])
        return self.relay.join(*legs, lambda _, why: self.ends.append(why), None, Target("a", port, UDP))

    def test_idle(self) -> None:
        """
        A flow is over when it was idle for a minute, one to the port of DNS sooner.
        """
        for port, idle in ((443, IDLE_DATAGRAMS), (53, BRIEF)):
            self.ends.clear()
            self.join(port)
            self.clock.pump([idle / 8] * 8)
            self.near.arrived(b"still here")
            self.clock.pump([idle / 8] * 8)
            self.assertEqual(self.ends, [], port)
            self.assertEqual(len(self.relay), 1)
            self.clock.pump([idle / 8] * 2)
            self.assertEqual((self.ends, self.near.isClosed, len(self.relay)), (["idle"], True, 0))

    def test_change(self) -> None:
        """
        Another time holds for the flows that are up.
        """
        self.join(443)
        self.relay.change(900, 8)
        self.clock.pump([1] * 10)
        self.assertEqual(self.ends, ["idle"])

    def test_stop(self) -> None:
        """
        At a shutdown they end.
        """
        self.join(443)
        self.relay.stop()
        self.assertEqual((self.ends, self.clock.getDelayedCalls()), (["shutdown"], []))

    def test_bytes(self) -> None:
        """
        With a transport of bytes on the other side, capsules go there and come from there.
        """
        wire = StringTransport()
        self.join(443, wire)
        self.near.arrived(b"question")
        self.assertEqual(wire.value(), capsule(b"question"))


class CarriesTests(SynchronousTestCase):
    """
    L{checkCarries} and L{carriesDatagrams}.
    """

    def test_dialers(self) -> None:
        """
        A dialer carries what it says, and datagrams only if it says so.
        """
        clock: Any = Clock()
        direct, bytesOnly = Direct(clock), Forward(clock, Hop("forward", "app", 1), Deny())
        flow, stream = flowTo("192.0.2.1", 53), streamTo("192.0.2.1:53")
        for dialer in direct, Deny(), Retry(clock, direct), Fallback(clock, [bytesOnly, direct]):
            checkCarries(dialer, flow)
            checkCarries(dialer, stream)
        for each in bytesOnly, Retry(clock, bytesOnly), Fallback(clock, [bytesOnly]):
            checkCarries(each, stream)
            error = self.assertRaises(Refused, checkCarries, each, flow)
            self.assertIs(error.cause, Cause.UNSUPPORTED)
            self.assertIn("udp:192.0.2.1:53", str(error))

    def test_transports(self) -> None:
        """
        A stream carries datagrams if it was opened for them.
        """
        channel: Any = None
        self.assertTrue(carriesDatagrams(MemoryDatagrams()))
        self.assertTrue(carriesDatagrams(MuxStream(channel, flowTo("a", 1))))
        self.assertFalse(carriesDatagrams(MuxStream(channel, streamTo("a:1"))))
        self.assertFalse(carriesDatagrams(StringTransport()))
