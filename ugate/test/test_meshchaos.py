# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Many streams, faults and accidents at once, drawn by lot: what holds for each of them
holds for all together.
"""

from __future__ import annotations

from random import Random

from ugate.test.meshes import WAYS, Asking, MeshCase
from ugate.testing import Applied, Blackhole, Fault, Refuse, Reset, SlowReader, SplitWrites, Stall

SEEDS = range(60)
LONG = 2000.0
TURNS = 200_000


class ChaosTests(MeshCase):
    """
    Each seed is another day on which all goes wrong.
    """

    def setUp(self) -> None:
        self.applied: list[Applied] = []
        self.asking: list[Asking] = []

    def draw(self, random: Random) -> None:
        """
        A chain, and up to three faults on it.
        """
        self.build(random.choice((1, 2, 3)), random.choice(("socks", "connect", "socks4")))
        self.applied.clear()
        self.asking.clear()
        hosts = ["alice", *self.gates, "db"]
        for _ in range(random.choice((0, 1, 2, 3))):
            place = random.randrange(len(hosts) - 1)
            source, destination = hosts[place], hosts[place + 1]
            after = random.choice((0, 3, 10, 50, 500, 5000, 70_000))
            faults: tuple[Fault, ...] = (
                Reset(after),
                Stall(after),
                SlowReader(random.choice((20, 50, 5000))),
                SplitWrites(random.choice((1, 7, 4000)), seed=after),
                Refuse(),
                Blackhole(),
            )
            fault = random.choice(faults)
            if not isinstance(fault, (Refuse, Blackhole)) and random.random() < 0.5:
                source, destination = destination, source
            self.applied.append(
                self.mesh.apply(fault, source, destination, random.choice((None, None, 1, 2)))
            )

    def happen(self, random: Random, body: bytes) -> None:
        """
        Something: a new stream, or somebody goes away, or reads no more, or a fault
        is lifted.
        """
        what = random.random()
        streams = [asking for asking in self.asking if asking.isOpen]
        if what < 0.55:
            self.asking.append(self.ask(random.choice(list(WAYS)), body))
        elif what < 0.65 and streams:
            random.choice(streams).abort()
        elif what < 0.75 and streams:
            random.choice(streams).pause()
        elif what < 0.85 and self.echoes.made:
            random.choice(self.echoes.made).cut()
        elif self.applied:
            random.choice(self.applied).lift()
        if random.random() < 0.8:
            self.mesh.flush(TURNS)
        if random.random() < 0.3:
            self.mesh.advance(random.choice((0.1, 1, 7, 30)), TURNS)

    def test_chaos(self) -> None:
        """
        What arrives is right, what ends cleanly is whole, and in the end all is gone.
        """
        for seed in SEEDS:
            random = Random(seed)
            self.draw(random)
            body = random.randbytes(random.choice((0, 10, 3000, 20_000)))
            for _ in range(random.randrange(1, 8)):
                self.happen(random, body)
            self.mesh.advance(LONG, TURNS)
            self.assertDone(seed)
            for asking in self.asking:
                self.assertTrue(asking.isPrefix, seed)
                self.assertFalse(asking.failure is None and asking.isClean and not asking.isWhole, seed)
                if asking.isOpen:
                    asking.abort()
            for applied in self.applied:
                applied.lift()
            for echo in self.echoes.made:
                echo.cut()
            self.mesh.advance(LONG, TURNS)
            self.assertEqual([], self.mesh.connections(), seed)
            self.assertEqual([], list(self.mesh.host("alice").reactor.getDelayedCalls()), seed)
