# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The transport of SSH with OpenSSH and Dropbear.
"""

from __future__ import annotations

import sys

from ugate.protocols.sshciphers import AEADS, CIPHERS, MACS
from ugate.test.interop.processes import HOST, freePort, program
from ugate.test.interop.sshpeers import SSHTestCase, serveSSH
from ugate.test.interop.targets import BLOCK

_PEERS = (sys.executable, "-m", "ugate.test.interop.sshtransports")
_PAIRS = [
    (cipher.decode(), mac.decode()) for cipher in CIPHERS for mac in (MACS[:1] if cipher in AEADS else MACS)
]


class ServerTests(SSHTestCase):
    """
    Our server.
    """

    def setUp(self) -> None:
        super().setUp()
        host, _ = self.key("host"), self.key("user")
        self.port = freePort()
        self.serve([*_PEERS, "server", str(self.port), str(host), "3000000"], self.port)

    def _ssh(self, cipher: str, mac: str, data: bytes) -> bytes:
        done = self.finish(
            [
                *(
                    program("ssh", "openssh-client"),
                    "-F",
                    "none",
                    "-p",
                    str(self.port),
                    "-c",
                    cipher,
                    "-m",
                    mac,
                ),
                *("-i", f"{self.directory}/user", "-o", f"UserKnownHostsFile={self.directory}/known"),
                *("-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
                *("-o", "RekeyLimit=2M", f"user@{HOST}", "cat"),
            ],
            data,
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""), (cipher, mac))
        return done.stdout

    def test_openssh(self) -> None:
        """
        Each cipher with each MAC, while both sides want new keys all the time.
        """
        for cipher, mac in _PAIRS:
            self.assertTrue(self._ssh(cipher, mac, BLOCK * 4) == BLOCK * 4, (cipher, mac))

    def test_dropbear(self) -> None:
        """
        Dropbear's client.
        """
        client = program("dbclient", "dropbear-bin")
        convert = program("dropbearconvert", "dropbear-bin")
        key = self.directory / "user.db"
        done = self.finish([convert, "openssh", "dropbear", self.directory / "user", key])
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.finish(
            [client, "-y", "-y", "-p", str(self.port), "-i", key, f"user@{HOST}", "cat"], BLOCK
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout == BLOCK)


class ClientTests(SSHTestCase):
    """
    Our client.
    """

    def test_sshd(self) -> None:
        """
        OpenSSH's server accepts our packets with each cipher and MAC, with the first keys and with new ones.
        """
        port, _ = serveSSH(
            self,
            self.key("host"),
            f"Ciphers {','.join(each.decode() for each in CIPHERS)}\n"
            f"MACs {','.join(each.decode() for each in MACS)}\n",
        )
        for cipher, mac in _PAIRS:
            client = self.spawn([*_PEERS, "client", str(port), cipher, mac])
            client.waitFor("accepted")
            client.waitFor("keys curve25519-sha256\naccepted")
            client.end()
