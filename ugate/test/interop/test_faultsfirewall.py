# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What goes wrong between nodes: a firewall cuts them, for a while or for good.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

from ugate.tenancy.keyids import hostOf
from ugate.test.interop.meshes import MeshTestCase
from ugate.test.interop.namespaces import Host, hosts
from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Child, Gateway, program, waitUntil
from ugate.test.interop.targets import BLOCK, MEGABYTE, digestOf

SIZE = 50
"""Megabytes."""

_RULES = "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }"
_NOTHING_OUT = "; add chain inet cut out { type filter hook output priority 0; policy drop; }"


class FirewallTests(MeshTestCase):
    """
    Alice and bob are hosts on one link, with one link of HTTP/2 between them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.nft = program("nft", "nftables")
        self.hosts = hosts(self, ("alice", "bob"), ipv6=False)
        for name in self.hosts:
            self.key(name)
        (self.directory / "body").write_bytes(BLOCK * SIZE)

    def start(self, name: str, config: str) -> Gateway:
        """
        Start a node on its host.
        """
        state = ("--state", str(self.directory / name))
        return self.ugate(*state, config=config, inside=self.hosts[name].inside)

    def download(self) -> tuple[Gateway, Child]:
        """
        Alice's node, and a client on her host that gets 50 MB from a server on that of bob, not too fast.
        """
        bob = self.hosts["bob"]
        web = (sys.executable, "-u", "-m", "http.server", "8080", "--bind", HOST, "-d", str(self.directory))
        self.spawn(bob.inside(*web)).waitFor("Serving HTTP")
        self.startBob()
        gateway = self.start(
            "alice",
            f"listen: {{main: 'socks:tcp:1080:{LOOPBACK}'}}\n"
            f"routes: [{{match: '*', via: 'h2connect:{bob.ipv4}:15008:name={self.keys['bob']}'}}]\n",
        )
        return gateway, self.client()

    def startBob(self) -> None:
        """
        Start bob, or another process of his.
        """
        self.bob = self.start(
            "bob",
            f"listen: {{mesh: 'h2connect:mtls:tcp:15008'}}\ntrust: {{pins: {self.keys['alice']}}}\n"
            f"serve: {{web: {{port: 80, to: '{HOST}:8080'}}}}\n"
            f"policy: {{rules: [{{action: allow, who: 'certificate:{self.keys['alice']}'}}]}}\n",
        )

    def client(self) -> Child:
        """
        Get it.
        """
        url = f"http://{hostOf(self.keys['bob'])}/body"
        options = ("-sS", "-x", f"socks5h://{HOST}:1080", "--limit-rate", "20M", "-o", str(self.got), url)
        return self.spawn(self.hosts["alice"].inside(program("curl"), *options))

    @property
    def got(self) -> Path:
        """
        What the client has written.
        """
        return self.directory / "got"

    def size(self) -> int:
        """
        How much that is.
        """
        return self.got.stat().st_size if self.got.exists() else 0

    def filter(self, host: Host, rules: str) -> None:
        """
        Tell a host what it drops.
        """
        subprocess.run(host.inside(self.nft, rules), check=True, timeout=DEADLINE)

    def test_healed(self) -> None:
        """
        It drops all packets in the middle of 50 MB, and lets them pass again: nothing is lost, and the log
        has one line, of a whole stream.
        """
        gateway, client = self.download()
        waitUntil(lambda: self.size() > MEGABYTE, "a beginning")
        self.filter(self.hosts["bob"], _RULES)
        # What was on its way arrives, and then nothing does.
        before = -1
        while before != self.size():
            before = self.size()
            time.sleep(1)
        self.assertIsNone(client.process.poll(), client.said())
        self.assertLess(before, SIZE * MEGABYTE)
        self.filter(self.hosts["bob"], "delete table inet cut")
        self.assertEqual(0, client.wait(60), client.said())
        self.assertEqual(digestOf(SIZE * MEGABYTE), hashlib.sha256(self.got.read_bytes()).hexdigest())
        waitUntil(lambda: ", done" in gateway.said(), "a line of the log")
        lines = [line for line in gateway.said().splitlines() if " -> " in line]
        self.assertEqual(1, len(lines), lines)

    def test_halfOpen(self) -> None:
        """
        It drops all packets from now on, and bob's process ends meanwhile: nobody tells alice.  Within the
        time for a ping and its answer her client is cut, and the log says why; when bob is back, a new link
        is made.
        """
        gateway, client = self.download()
        waitUntil(lambda: self.size() > MEGABYTE, "a beginning")
        self.filter(self.hosts["bob"], _RULES + _NOTHING_OUT)
        self.bob.kill()
        self.assertNotEqual(0, client.wait(75), client.said())
        self.assertLess(self.size(), SIZE * MEGABYTE)
        (line,) = [each for each in gateway.said().splitlines() if " -> " in each]
        self.assertIn("no answer to a ping in 10 s", line)
        self.filter(self.hosts["bob"], "delete table inet cut")
        self.startBob()
        again = self.client()
        self.assertEqual(0, again.wait(60), again.said() + gateway.said())
        self.assertEqual(digestOf(SIZE * MEGABYTE), hashlib.sha256(self.got.read_bytes()).hexdigest())
