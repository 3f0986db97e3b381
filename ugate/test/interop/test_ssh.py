# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ssh through a gateway, by the lines that it prints for pasting.
"""

from __future__ import annotations

import getpass
import hashlib
import shlex

from ugate.test.interop.processes import HOST, Gateway, freePort, program
from ugate.test.interop.sshpeers import SSHTestCase, serveSSH
from ugate.test.interop.targets import BLOCK


class SshTests(SSHTestCase):
    """
    An sshd of the test's own, and the stock client.
    """

    def setUp(self) -> None:
        super().setUp()
        self.port, _ = serveSSH(
            self,
            self.key("host"),
            f"AuthorizedKeysFile {self.key('user')}.pub\nStrictModes no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\n",
        )

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
