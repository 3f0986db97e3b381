# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A stream through two gates, each by another protocol: the recipe, with somebody on each wire.
"""

from __future__ import annotations

import re
import socket
import threading

from twisted.trial.unittest import SkipTest

from ugate.tenancy.keyids import hostOf
from ugate.test.docpages import listing
from ugate.test.interop.meshes import MeshTestCase
from ugate.test.interop.processes import HOST, Gateway
from ugate.test.interop.taps import Tap
from ugate.test.interop.targets import StreamServer, echo, readAll, readExactly

MARKER = b"the rabbit went down this very hole; "
BULK = MARKER * 40000


class HopsTests(MeshTestCase):
    """
    Alice, two gates and bob; C{wires} are those before the first gate, the second, bob, and his server.
    """

    def setUp(self) -> None:
        super().setUp()
        for name in ("alice", "gateone", "gatetwo", "bob", "evie"):
            self.key(name)
        self.wires = [Tap(self) for _ in range(4)]
        self.places = {
            "gate1.example:15008": f"{HOST}:{self.wires[0].port}",
            "gate2.example:15443": f"{HOST}:{self.wires[1].port}",
            "bob.example:15008": f"{HOST}:{self.wires[2].port}",
            "127.0.0.1:8080": f"{HOST}:{self.wires[3].port}",
        }
        self.wires[3].to = StreamServer(self, echo).port
        self.bob = self.placed("bob", "bob", self.wires[2])
        self.gates = [
            self.placed("gateone", "hops-gate1", self.wires[0]),
            self.placed("gatetwo", "hops-gate2", self.wires[1]),
        ]
        self.host = hostOf(self.keys["bob"])

    def placed(self, name: str, config: str, wire: Tap) -> Gateway:
        """
        Start a node at the end of a wire.
        """
        gateway = self.node(name, f"{config}.yaml", self.places)
        wire.to = gateway.ports["mesh"]
        return gateway

    def asking(self, name: str = "alice") -> Gateway:
        """
        Start who asks, or somebody else with the same configuration.
        """
        return self.node(name, "hops-alice.yaml", self.places)

    def carried(self, stream: socket.socket) -> None:
        """
        All comes back.
        """
        sending = threading.Thread(target=stream.sendall, args=(BULK,))
        sending.start()
        self.assertEqual(BULK, readExactly(stream, len(BULK)))
        sending.join()

    def test_unread(self) -> None:
        """
        What is sent is on no wire before bob's own, and in the memory of neither gate; the end of one
        direction passes.
        """
        alice = self.asking()
        stream = self.stream(alice, self.host, 80)
        self.carried(stream)
        for wire in self.wires[:3]:
            seen = wire.seen()
            self.assertGreater(len(seen), 2 * len(BULK))
            self.assertNotIn(MARKER, seen)
        self.assertIn(MARKER, self.wires[3].seen())
        # Whoever is asked for a node has its name in clear only inside of TLS.
        self.assertNotIn(self.keys["bob"].lower().encode(), self.wires[0].seen().lower())
        found = [MARKER in self.memory(each) for each in (alice, *self.gates)]
        self.assertEqual([True, False, False], found)
        stream.shutdown(socket.SHUT_WR)
        self.assertEqual(b"", readAll(stream))

    def memory(self, gateway: Gateway) -> bytes:
        """
        All that a process could write to.
        """
        parts = []
        try:
            with (
                open(f"/proc/{gateway.pid}/maps") as maps,
                open(f"/proc/{gateway.pid}/mem", "rb", 0) as memory,
            ):
                for line in maps:
                    found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                    if found:
                        first, last = (int(each, 16) for each in found.groups())
                        memory.seek(first)
                        parts.append(memory.read(last - first))
        except PermissionError as error:
            raise SkipTest(f"the memory of other processes cannot be read here: {error}") from error
        return b"".join(parts)

    def test_outsider(self) -> None:
        """
        Who has alice's configuration and not her key is not let in by the first gate; the second one hears
        of nobody.
        """
        evie = self.asking("evie")
        self.stream(evie, self.host, 80, 1)
        self.gates[0].waitFor(f"its key {self.keys['evie']} is not pinned")
        self.assertEqual(b"", self.wires[1].seen())

    def test_impostor(self) -> None:
        """
        A node behind the first gate that has the configuration of the second one, and not its key, gets no
        byte; nor does one in the place of bob.
        """
        alice = self.asking()
        for number, config in ((1, "hops-gate2"), (2, "bob")):
            wire = self.wires[number]
            before = wire.to
            copy = self.placed("evie", config, wire)
            self.stream(alice, self.host, 80, 1)
            alice.waitFor(f"its key is {self.keys['evie']}, and not that of this name")
            self.assertNotIn(" -> ", copy.said())
            wire.to = before
        self.carried(self.stream(alice, self.host, 80))

    def test_elsewhere(self) -> None:
        """
        Each gate leads alice to the next one only, and bob to what he serves.
        """
        more = "  - {match: away.example, via: gate1}\n  - {match: far.example, via: gate2}\n"
        alice = self.node("alice", listing("hops-alice.yaml") + more, self.places)
        for host, gateway, text in (
            ("away.example", self.gates[0], "away.example:80"),
            ("far.example", self.gates[1], "far.example:80"),
        ):
            self.stream(alice, host, 80, 2)
            self.assertIn("refused", gateway.waitFor(text))
        self.stream(alice, self.host, 8080, 2)
        self.bob.waitFor("serves nothing on port 8080")
