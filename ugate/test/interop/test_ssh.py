# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ssh through a gateway, by the lines that it prints for pasting.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shlex
from pathlib import Path

from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, freePort, program
from ugate.test.interop.targets import BLOCK

_SEPARATED = Path("/run/sshd")


class SshTests(InteropTestCase):
    """
    An sshd of the test's own, and the stock client.
    """

    def setUp(self) -> None:
        super().setUp()
        self.ssh = program("ssh", "openssh-client")
        sshd = program("sshd", "openssh-server")
        keygen = program("ssh-keygen", "openssh-client")
        for name in ("host", "user"):
            done = self.finish([keygen, "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name])
            self.assertEqual(done.returncode, 0, done.stderr)
        if os.geteuid() == 0 and not _SEPARATED.exists():
            # What its service makes when it starts.
            _SEPARATED.mkdir(mode=0o755)
            self.addCleanup(_SEPARATED.rmdir)
        self.port = freePort()
        config = self.write(
            "sshd.conf",
            f"ListenAddress {HOST}:{self.port}\nHostKey {self.directory}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.directory}/user.pub\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\n",
        )
        self.serve([sshd, "-D", "-e", "-f", config], self.port)

    def _options(self, proxy: str) -> list[str]:
        return [
            *("-F", "none", "-p", str(self.port), "-i", f"{self.directory}/user"),
            *("-o", f"UserKnownHostsFile={self.directory}/known", "-o", "StrictHostKeyChecking=accept-new"),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"),
            *("-o", proxy, f"{getpass.getuser()}@{HOST}"),
        ]

    def _check(self, proxy: str) -> None:
        data = BLOCK * 4
        done = self.finish([self.ssh, *self._options(proxy), "sha256sum; echo over"], data)
        self.assertEqual((done.returncode, done.stderr), (0, b""), proxy)
        self.assertEqual(done.stdout.split(), [hashlib.sha256(data).hexdigest().encode(), b"-", b"over"])
        done = self.finish([self.ssh, *self._options(proxy), "head -c 3000000 /dev/zero; exit 7"])
        self.assertEqual((done.returncode, len(done.stdout)), (7, 3000000), proxy)

    def _printed(self, gateway: Gateway) -> str:
        """
        The ProxyCommand of the line that the gateway printed.
        """
        lines = [line for line in gateway.waitFor("ssh -o ").splitlines() if line.startswith("  ssh ")]
        words = shlex.split(lines[0])
        self.assertEqual((words[:2], words[3:]), (["ssh", "-o"], ["user@example.com"]))
        return words[2]

    def test_ncat(self) -> None:
        """
        The line that is printed where there is ncat.
        """
        program("ncat")
        gateway = self.ugate()
        printed = self._printed(gateway)
        self.assertIn("ncat --proxy", printed)
        self._check(printed)
        gateway.waitFor(f"-> {HOST}:{self.port} socks5")

    def test_ourselves(self) -> None:
        """
        The line that is printed where there is no ncat: another gateway, on standard input and output.
        """
        empty = self.directory / "bin"
        empty.mkdir()
        gateway = self.ugate(env={"PATH": str(empty)})
        printed = self._printed(gateway)
        self.assertIn("forward:stdio:to=%h\\:%p", printed)
        self._check(printed)
        gateway.waitFor(f"-> {HOST}:{self.port} socks5")

    def test_noSuchPort(self) -> None:
        """
        A server that is not there: ssh ends, and says that the connection was closed.
        """
        empty = self.directory / "bin"
        empty.mkdir()
        gateway = self.ugate(env={"PATH": str(empty)})
        self.port = freePort()
        done = self.finish([self.ssh, *self._options(self._printed(gateway)), "true"])
        self.assertEqual(done.returncode, 255)

    def test_recognized(self) -> None:
        """
        ssh without a ProxyCommand to the port of the gateway itself, which knows the protocol and a place for
        it.
        """
        gateway = self.ugate(listen=f"auto:tcp:0:interface={HOST}:ssh={HOST}\\:{self.port}")
        self.port = gateway.port
        self._check("ProxyCommand=none")
        gateway.waitFor(" ssh operator: ")
