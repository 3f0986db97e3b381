# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Every fault on every link, for every protocol: nothing hangs, no byte is lost that no
fault took, and what was cut does not look as if it were whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from ugate.test.meshes import WAYS, Asking, MeshCase, connect, forward, socks4a, socks5
from ugate.testing import (
    Applied,
    Fault,
    HalfClose,
    Reset,
    SlowReader,
    SplitWrites,
    Stall,
)

BODY = bytes(range(256)) * 12
PLACES = (0, 1, 5, 9, 20, 100, 2000)
"""Bytes that arrive before a fault: in the handshakes, and later."""

REQUESTS = (connect, forward, socks4a, socks5)

LONG = 200.0
"""Seconds that are more than all deadlines together."""


class StreamFaultTests(MeshCase):
    """
    Faults of streams of bytes.
    """

    def links(self) -> Iterator[tuple[str, str]]:
        """
        All links of two gateways, each in both directions.
        """
        for near, far in pairwise(("alice", "gate1", "gate2", "db")):
            yield near, far
            yield far, near

    def eachCase(self, *faults: Fault) -> Iterator[tuple[Applied, Asking, str]]:
        """
        Each fault on each link in each protocol: applied, and the stream begun.
        """
        for source, destination in self.links():
            self.build(2)
            for fault in faults:
                for way in WAYS:
                    applied = self.mesh.apply(fault, source, destination)
                    yield applied, self.ask(way, BODY), f"{fault} {source} -> {destination} {way}"
                    applied.lift()

    def assertReleased(self, applied: Applied, asking: Asking, case: str) -> None:
        """
        After all deadlines the gateways hold nothing, whatever their peers hold; when
        these are gone too, nothing is left at all.
        """
        self.mesh.advance(LONG)
        self.assertDone(case)
        self.assertTrue(asking.isPrefix, case)
        applied.lift()
        if asking.isOpen:
            asking.abort()
        for echo in self.echoes.made:
            echo.cut()
        self.mesh.flush()
        self.assertEqual([], self.mesh.connections(), case)
        self.mesh.advance(LONG)
        timers = [str(call) for call in self.mesh.host("gate1").reactor.getDelayedCalls()]
        self.assertEqual([], timers, case)

    def test_reset(self) -> None:
        """
        A reset anywhere is a refusal, or a reset; unless all had come before.
        """
        for applied, asking, case in self.eachCase(*(Reset(after) for after in PLACES)):
            self.mesh.flush()
            self.assertDone(case)
            self.assertTrue(asking.isOver, case)
            self.assertFalse(asking.isClean and not asking.isWhole, case)
            self.assertReleased(applied, asking, case)

    def test_stall(self) -> None:
        """
        What stalls is cut at a deadline, and that is seen where it can be.
        """
        for applied, asking, case in self.eachCase(*(Stall(after) for after in PLACES)):
            self.mesh.advance(LONG)
            self.assertFalse(asking.isClean and not asking.isWhole, case)
            self.assertReleased(applied, asking, case)

    def test_stallThatPasses(self) -> None:
        """
        When it goes on in time, nothing is missing.
        """
        for applied, asking, case in self.eachCase(*(Stall(after) for after in PLACES)):
            self.mesh.advance(5)
            applied.lift()
            self.mesh.flush()
            self.assertWell(asking, case)

    def test_halfClose(self) -> None:
        """
        A direction that ends too early ends the handshake, or that direction.
        """
        for applied, asking, case in self.eachCase(*(HalfClose(after) for after in PLACES)):
            self.mesh.flush()
            self.assertTrue(asking.isOver, case)
            self.assertDone(case)
            self.assertReleased(applied, asking, case)

    def test_slowReader(self) -> None:
        """
        All arrives, only later.
        """
        for applied, asking, case in self.eachCase(SlowReader(400)):
            self.mesh.advance(30)
            self.assertEqual((1, True), (applied.hits, asking.isWhole), case)
            self.assertWell(asking, case)

    def test_splitWrites(self) -> None:
        """
        All arrives, in pieces.
        """
        for applied, asking, case in self.eachCase(SplitWrites(), SplitWrites(700, seed=3)):
            self.mesh.flush()
            self.assertEqual(1, applied.hits, case)
            self.assertWell(asking, case)

    def test_trickle(self) -> None:
        """
        Who says its request a byte at a time has no longer for it than others.
        """
        for way in WAYS:
            self.build(2)
            self.mesh.apply(SlowReader(1), "alice", "gate1")
            asking = self.ask(way)
            self.mesh.advance(15 if way == "connect" else 30)
            if way == "connect":
                # The others are short enough.
                self.assertTrue(asking.isOver, way)
                self.assertDone(way)


class GarbageTests(MeshCase):
    """
    Clients that speak no protocol, or nearly one.
    """

    def test_garbage(self) -> None:
        """
        Whatever a client says, nothing breaks and nothing stays.
        """
        self.build(2)
        random = Random(5432)
        for _ in range(300):
            said = bytearray(random.choice(REQUESTS)("db") + random.randbytes(random.choice((0, 10, 5000))))
            for _ in range(random.choice((0, 1, 3, 30))):
                said[random.randrange(min(len(said), 100))] = random.choice(b"\x00\x05\xff\r\n /:A\x04")
            del said[random.choice((len(said), random.randrange(len(said)))) :]
            half = random.random() < 0.3
            near = self.mesh.client("alice").connect("tcp:gate1:1080", bytes(said), half)
            self.mesh.flush()
            if random.random() < 0.5:
                near.abort()
        self.mesh.advance(LONG)
        self.assertDone()


class TwoFaultTests(MeshCase):
    """
    Faults of some connections only.
    """

    def test_nth(self) -> None:
        """
        A connection that breaks does not break another.
        """
        self.build(2)
        self.mesh.apply(Reset(after=20), "gate1", "gate2", nth=2)
        asking = []
        for _ in range(3):
            asking.append(self.ask("socks5", BODY))
            self.mesh.flush()
        self.assertWell(asking[0])
        self.assertWell(asking[2])
        self.assertFalse(asking[1].isClean)
