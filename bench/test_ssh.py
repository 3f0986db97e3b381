# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of what the bench and the soak have of SSH.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import cost
from bench.contestants import SSH, Hop
from bench.meter import Meter
from bench.ours import Ugate
from bench.relayed import PlainUgate
from bench.rounds import takesPart
from bench.rows import ASYNCSSH, ROWS, SSH_US, SSHD
from bench.soak.shells import _fill, _trip, sections
from bench.ssh import AsyncSSH, OpenSSH, Server, SSHUgate, client
from bench.stand import Stand

TARGETS = {"sink": 7, "source": 8, "echo": 9}
BEHIND = {"sink": 4, "source": 5, "echo": 6}
BEFORE = {"sink": 1, "source": 2, "echo": 3}

_SPIN = "import time\nwhile time.process_time() < 0.3: pass"


class Running:
    """
    A process, as far as a stand looks at it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid


class ServerTests(SynchronousTestCase):
    """
    Servers behind one client.
    """

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()
        for name in ("client", "host"):
            for suffix in ("", ".pub"):
                (self.place / f"ssh-{name}{suffix}").write_text(f"{name}{suffix}\n")

    def hop(self, name: str, isFirst: bool) -> Hop:
        """
        One of two instances.
        """
        directory = self.place / "round" / name
        directory.mkdir(parents=True)
        if isFirst:
            return Hop(directory, BEFORE, BEHIND, SSH, True, TARGETS)
        return Hop(directory, BEHIND, TARGETS, SSH, False, TARGETS)

    def test_client(self) -> None:
        """It goes to one port of its server, whoever that is, and has a port for each target."""
        for number, server in enumerate((SSHUgate(), AsyncSSH(), OpenSSH())):
            argv = server.command(self.hop(f"first{number}", True)).argv
            self.assertEqual(client(self.place, 6), list(argv[: len(client(self.place, 6))]))
            forwards = [argv[at + 1] for at, each in enumerate(argv) if each == "-L"]
            self.assertEqual([f"127.0.0.1:{n}:127.0.0.1:{n + 6}" for n in (1, 2, 3)], forwards)

    def test_servers(self) -> None:
        """All listen where they should, and let one key in."""
        argv = SSHUgate().command(self.hop("ugate", False)).argv
        found = json.loads(Path(argv[-1]).read_text())
        self.assertEqual("ssh:tcp:6:interface=127.0.0.1", found["listen"]["echo"])
        self.assertEqual(str(self.place / "ssh-client.pub"), found["policy"]["keys"])
        argv = AsyncSSH().command(self.hop("asyncssh", False)).argv
        self.assertEqual(["4", "5", "6"], list(argv[-3:]))
        argv = OpenSSH().command(self.hop("sshd", False)).argv
        text = Path(argv[-1]).read_text()
        self.assertIn("ListenAddress 127.0.0.1:6\n", text)
        self.assertIn(f"AuthorizedKeysFile {self.place / 'ssh-client.pub'}\n", text)

    def test_takesPart(self) -> None:
        """They have rows of their own, and are in no other."""
        for row in ROWS:
            isOurs = row.front == SSH
            for each in (SSHUgate(), AsyncSSH(), OpenSSH()):
                self.assertEqual(isOurs, takesPart(each, row), (each.name, row.key))
            for other in (Ugate(), PlainUgate()):
                self.assertFalse(isOurs and takesPart(other, row))
        self.assertEqual([SSH_US, ASYNCSSH, SSHD], [each.name for each in (SSHUgate, AsyncSSH, OpenSSH)])

    def test_cost(self) -> None:
        """What the client costs does not count, and what processes cost that have ended does."""
        instances: Any = (Running(1), Running(os.getpid()))
        server: Server = OpenSSH()
        stand = Stand(server, instances, (), 0, BEFORE, self.place, Meter(), 0.0, SSH, TARGETS, BEHIND)
        self.assertEqual([os.getpid()], stand.pids)
        before = cost.cpu(stand.pids)
        subprocess.run([sys.executable, "-S", "-c", _SPIN], check=True)
        self.assertGreaterEqual(cost.cpu(stand.pids) - before, 0.25)


class ShellTests(SynchronousTestCase):
    """
    The part of the soak.
    """

    def test_sections(self) -> None:
        """Who has the key gets in."""
        found = sections(22, Path("keys"))
        self.assertEqual("ssh:tcp:22:interface=127.0.0.1", found["listen"]["main"])
        self.assertEqual(("keys", "allow"), (found["policy"]["keys"], found["policy"]["private"]))

    def test_streams(self) -> None:
        """What nobody reads is filled, and waited for no longer than it is told; an echo has to be one."""
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        _fill([near], 0.01)
        self.assertRaises(BlockingIOError, near.send, b"x")
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        other.sendall(b"a message of sixty-four bytes that goes out and comes back again")
        self.assertGreaterEqual(_trip(one), 0)
