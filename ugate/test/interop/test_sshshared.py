# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
One connection of OpenSSH that many processes share, and that an agent has logged in.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess

from ugate.test.interop.asking import connected
from ugate.test.interop.processes import HOST, accepts, freePort, program, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase, summed, without
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, readAll

MANY = 20
"""Channels at once."""


class SharedTests(SSHTestCase):
    """
    C{ControlMaster}.
    """

    def setUp(self) -> None:
        super().setUp()
        agent, add = program("ssh-agent", "openssh-client"), program("ssh-add", "openssh-client")
        where = str(self.directory / "agent")
        env = {"SSH_AUTH_SOCK": where}
        self.spawn([agent, "-D", "-a", where])
        waitUntil(lambda: os.path.exists(where), "the agent listens")
        keys = [self.key(f"k{number}") for number in range(8)]
        self.assertEqual(0, self.finish([add, "-q", *map(str, keys)], env=env).returncode)
        line = keys[-1].with_suffix(".pub").read_text()
        policy = f"keys: {self.write('keys', line)}, rules: [{{action: allow}}]"
        self.gateway = self.gate(f"policy: {{{policy}}}\n")
        options = self.options(self.gateway.port)
        for each in ("IdentitiesOnly=yes", "PubkeyAuthentication=no"):
            options = without(options, each)
        self.shared = [self.ssh, *options, "-o", f"ControlPath={self.directory}/control"]
        self.spawn([*self.shared, "-A", "-M", "-N", HOST], env=env)
        waitUntil(lambda: self.uses("-O", "check", HOST).returncode == 0, "the master is up")
        self.server = StreamServer(self, summed)

    def uses(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """
        Run another client on the connection.
        """
        return self.finish([*self.shared, *arguments])

    def test_channels(self) -> None:
        """
        An agent whose eighth key is the right one has logged in; twenty processes have a channel each at the
        same time; a forward begins and ends while the connection is up.
        """
        self.assertIn(b"You are k7 (key)", self.uses(HOST).stdout)
        self._many()
        self._forwards()
        lines = waitUntil(lambda: self._carried(MANY + 1), "the lines of all streams")
        self.assertEqual(1, len({each.split()[3] for each in lines}), lines)

    def _carried(self, count: int) -> list[str]:
        said = self.gateway.said().splitlines()
        lines = [each for each in said if "direct-tcpip k7: " in each and each.endswith(", done")]
        return lines if len(lines) == count else []

    def _many(self) -> None:
        command = [*self.shared, "-W", f"{HOST}:{self.server.port}", HOST]
        pipe = subprocess.PIPE
        processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in range(MANY)]
        for number, process in enumerate(processes):
            self.addCleanup(process.kill)
            assert process.stdin is not None
            process.stdin.write(b"%d" % number)
            process.stdin.flush()
        waitUntil(lambda: len(self.server.threads) == MANY, "all have a channel at the same time")
        for number, process in enumerate(processes):
            said, _ = process.communicate(BLOCK, self.limit / 2)
            seen = hashlib.sha256(b"%d" % number + BLOCK).hexdigest()
            self.assertEqual(
                (f"{MEGABYTE + len(str(number))} {seen}".encode(), 0), (said, process.returncode)
            )

    def _forwards(self) -> None:
        local = freePort()
        forward = (f"-L{local}:{HOST}:{self.server.port}", HOST)
        self.assertEqual(0, self.uses("-O", "forward", *forward).returncode)
        with connected(local) as stream:
            stream.shutdown(socket.SHUT_WR)
            self.assertTrue(readAll(stream).startswith(b"0 "))
        self.assertEqual(0, self.uses("-O", "cancel", *forward).returncode)
        self.assertFalse(accepts(local))
