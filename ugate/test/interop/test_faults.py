# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What goes wrong between nodes: one is killed, a wire goes dead, somebody does not read.
"""

from __future__ import annotations

import hashlib
import socket
import time

from ugate.test.interop.asking import connected
from ugate.test.interop.meshes import MeshTestCase
from ugate.test.interop.processes import HOST, LOOPBACK, waitUntil
from ugate.test.interop.taps import Tap
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, readExactly

SIZE = 50
"""Megabytes."""


class FaultTests(MeshTestCase):
    """
    Alice has two links of HTTP/2 to bob, by two wires, and bob leads to a server.
    """

    def setUp(self) -> None:
        super().setUp()
        for name in ("alice", "bob"):
            self.key(name)
        self.wires = [Tap(self), Tap(self)]

    def ways(self) -> None:
        """
        Start both.
        """
        self.server = StreamServer(self, talk)
        self.startBob()
        ports = "".join(f"  w{n}: 'forward:tcp:0:{LOOPBACK}:to=w{n}.example\\:80'\n" for n in (0, 1))
        hops = "".join(
            f"  - {{match: w{n}.example, via: 'h2connect:{HOST}:{wire.port}:name={self.keys['bob']}'}}\n"
            for n, wire in enumerate(self.wires)
        )
        self.alice = self.node("alice", f"listen:\n{ports}routes:\n{hops}")

    def startBob(self) -> None:
        """
        Start bob, or another process of his.
        """
        rule = f"{{action: allow, who: 'certificate:{self.keys['alice']}'}}"
        self.bob = self.node(
            "bob",
            f"listen: {{mesh: 'h2connect:mtls:tcp:0:{LOOPBACK}'}}\n"
            f"trust: {{pins: {self.keys['alice']}}}\npolicy: {{rules: [{rule}]}}\n"
            f"routes: [{{match: '*.example', via: 'forward:{HOST}:{self.server.port}'}}]\n",
        )
        for wire in self.wires:
            wire.to = self.bob.ports["mesh"]

    def through(self, number: int) -> socket.socket:
        """
        A stream by one of the wires, that works.
        """
        stream = connected(self.alice.ports[f"w{number}"])
        self.addCleanup(stream.close)
        stream.sendall(b"hello")
        self.assertEqual(b"hello", readExactly(stream, 5), self.alice.said())
        return stream

    def lost(self, stream: socket.socket, seconds: float = 30.0) -> None:
        """
        A stream is cut, and does not end as one that is whole.
        """
        stream.settimeout(seconds)
        with self.assertRaises(ConnectionResetError):
            while stream.recv(MEGABYTE):
                pass
            self.fail("it ended as if that was all")

    def test_killed(self) -> None:
        """
        Bob is killed in the middle of 50 MB, one way and the other: both clients find a reset, alice's log
        says why, no descriptor is left, and another bob in his place is used.
        """
        self.ways()
        self.through(0).close()
        waitUntil(lambda: ", done" in self.alice.said(), "the first stream ended")
        before = self.alice.descriptors()
        reads, writes = self.through(0), self.through(0)
        reads.sendall(b"send!")
        writes.sendall(b"count")
        writes.sendall(BLOCK * 10)
        readExactly(reads, 10 * MEGABYTE)
        self.bob.kill()
        self.lost(reads)
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            for _ in range(SIZE):
                writes.sendall(BLOCK)
        for each in (reads, writes):
            each.close()
        lines = waitUntil(lambda: self.flows(2), "two lines in the log")
        for line in lines:
            self.assertIn(f"via h2connect:{HOST}:{self.wires[0].port}", line)
            self.assertIn("lost", line)
        waitUntil(lambda: self.alice.descriptors() <= before, f"{before} descriptors again")
        self.startBob()
        self.through(0)

    def flows(self, count: int) -> list[str]:
        """
        The lines of alice's log about streams that did not end well, if there are as many.
        """
        lines = [
            each for each in self.alice.said().splitlines() if ".example:80 " in each and ", done" not in each
        ]
        return lines if len(lines) == count else []

    def test_dead(self) -> None:
        """
        One wire goes dead and nobody is told: within the time for a ping and its answer its stream is cut,
        and another finds a new link when it is healed.  Meanwhile somebody on the other wire does not read:
        he holds up nobody, costs no more memory than windows, is not cut, and gets all in the end.
        """
        self.ways()
        held, other = self.through(0), self.through(1)
        slow = self.through(1)
        slow.sendall(b"send!")
        resident = self.alice.resident(), self.bob.resident()
        self.wires[0].hold()
        began = time.monotonic()
        self.lost(held, 75)
        self.assertGreater(time.monotonic() - began, 5)
        (line,) = waitUntil(lambda: self.flows(1), "a line in the log")
        self.assertIn("no answer to a ping in 10 s", line)
        other.sendall(b"hello")
        self.assertEqual(b"hello", readExactly(other, 5))
        for gateway, size in zip((self.alice, self.bob), resident, strict=True):
            self.assertLess(gateway.resident() - size, 32 << 10)
        self.wires[0].heal()
        self.through(0)
        digest = hashlib.sha256()
        for _ in range(SIZE):
            digest.update(readExactly(slow, MEGABYTE))
        self.assertEqual(hashlib.sha256(BLOCK * SIZE).digest(), digest.digest())


def talk(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: send back what comes, or 50 MB, or nothing, if that is wanted.
    """
    connection.settimeout(None)
    while data := connection.recv(65536):
        if data.startswith(b"count"):
            while connection.recv(65536):
                pass
        elif data == b"send!":
            for _ in range(SIZE):
                connection.sendall(BLOCK)
        else:
            connection.sendall(data)
