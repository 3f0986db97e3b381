# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with the client of OpenSSH.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess

from ugate.test.interop.processes import DEADLINE, HOST, freePort, program, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase, poured, summed, to, without
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, echo


class OpenTests(SSHTestCase):
    """
    On loopback, with nobody who has credentials: whoever is on this machine.
    """

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.gate()
        self.port = self.gateway.port

    def test_status(self) -> None:
        """
        Without a command there is a status, with a terminal too; there is no shell, and no files.
        """
        done = self.asks(self.port)
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        self.assertIn(b"You are operator (local)", done.stdout)
        done = self.asks(self.port, "-tt")
        self.assertEqual(0, done.returncode)
        self.assertIn(b"has no shell.\r\n", done.stdout)
        done = self.asks(self.port, command="cat /etc/passwd")
        self.assertEqual(127, done.returncode)
        self.assertIn(b"there is no such command, and no shell", done.stdout)
        done = self.asks(self.port, command="explain db.example:5432")
        self.assertEqual(0, done.returncode)
        self.assertIn(b"db.example:5432", done.stdout)
        done = self.asks(self.port, "-s", command="sftp")
        self.assertNotEqual(0, done.returncode)

    def test_standardIO(self) -> None:
        """
        C{-W}: what is said goes there, what is answered comes back, and the end goes first.
        """
        server = StreamServer(self, summed)
        data = BLOCK * 8
        done = self.asksWith(data, "-W", f"{HOST}:{server.port}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode(), done.stdout)
        self.gateway.waitFor(f"-> {HOST}:{server.port} direct-tcpip")

    def test_rekeyed(self) -> None:
        """
        Keys are exchanged anew every megabyte, both ways, and not a byte is lost.
        """
        server = StreamServer(self, echo)
        data = BLOCK * 32
        done = self.asksWith(data, "-o", "RekeyLimit=1M", "-W", f"{HOST}:{server.port}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(hashlib.sha256(data).digest(), hashlib.sha256(done.stdout).digest())

    def test_ciphers(self) -> None:
        """
        Ciphers that authenticate, and one that does not, with new keys; strict key exchange is in force. What
        is broken is not offered.
        """
        server = StreamServer(self, echo)
        options = without(self.options(self.port), "LogLevel=ERROR")
        data = BLOCK * 4
        for cipher in ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"):
            command = [self.ssh, "-v", *options, "-o", "RekeyLimit=1M", "-c", cipher]
            done = self.finish([*command, "-W", f"{HOST}:{server.port}", f"bob@{HOST}"], data)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertTrue(done.stdout == data, cipher)
            self.assertIn(f"cipher: {cipher}".encode(), done.stderr)
            self.assertIn(b"server-sig-algs=<ssh-ed25519,", done.stderr)
            self.assertGreater(done.stderr.count(b"SSH2_MSG_NEWKEYS received"), 2)
        done = self.finish([self.ssh, "-vvv", *options, f"bob@{HOST}"])
        self.assertIn(b"will use strict KEX ordering", done.stderr)
        for weak in ("aes128-cbc", "3des-cbc"):
            done = self.finish([self.ssh, *options, "-c", weak, f"bob@{HOST}"])
            self.assertIn(b"no matching cipher found", done.stderr)

    def test_dropbear(self) -> None:
        """
        The client of Dropbear.
        """
        client = program("dbclient", "dropbear-bin")
        server = StreamServer(self, summed)
        command = [client, "-y", "-y", "-p", str(self.port), "-B", f"{HOST}:{server.port}", f"bob@{HOST}"]
        done = self.finish(command, BLOCK, env={"HOME": str(self.directory)})
        self.assertIn(f"{MEGABYTE} {hashlib.sha256(BLOCK).hexdigest()}".encode(), done.stdout, done.stderr)

    def asksWith(self, data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        """
        Run the client with something on its standard input.
        """
        return self.finish([self.ssh, *self.options(self.port), *options, f"bob@{HOST}"], data)

    def test_refused(self) -> None:
        """
        A server that is not there is told by the code for that.
        """
        command = [self.ssh, *without(self.options(self.port), "LogLevel=ERROR")]
        done = self.finish([*command, "-W", f"{HOST}:{freePort()}", HOST])
        self.assertNotEqual(0, done.returncode)
        self.assertIn(b"connect failed: connection refused", done.stderr.lower())

    def test_bulk(self) -> None:
        """
        C{-L}: 200 MB each way at once, with every byte in its place.
        """
        local, other = freePort(), freePort()
        up, down = StreamServer(self, summed), StreamServer(self, poured)
        self.forwarding(self.port, f"-L{local}:{HOST}:{up.port}", local, f"-L{other}:{HOST}:{down.port}")
        self.assertBothWays(lambda: to(other), lambda: to(local))

    def test_stalled(self) -> None:
        """
        Two hundred streams, one of which nobody reads: the others go on, and little is kept.
        """
        local = freePort()
        stuck = StreamServer(self, poured)
        other = StreamServer(self, echo)
        also = freePort()
        self.forwarding(self.port, f"-L{local}:{HOST}:{stuck.port}", local, f"-L{also}:{HOST}:{other.port}")
        stalled = socket.create_connection((HOST, local), DEADLINE)
        self.addCleanup(stalled.close)
        stalled.recv(1)
        before = self.gateway.resident()
        streams = [socket.create_connection((HOST, also), DEADLINE) for _ in range(200)]
        for number, each in enumerate(streams):
            self.addCleanup(each.close)
            each.sendall(b"%d" % number)
        for number, each in enumerate(streams):
            self.assertEqual(b"%d" % number, each.recv(10))
        self.assertLess(self.gateway.resident() - before, 64 << 10)

    def test_socks(self) -> None:
        """
        C{-D}: the client is a SOCKS proxy, whose streams are those of the gateway.
        """
        local = freePort()
        server = StreamServer(self, echo)
        self.forwarding(self.port, f"-D{local}", local)
        with socket.create_connection((HOST, local), DEADLINE) as connection:
            connection.sendall(b"\5\1\0")
            self.assertEqual(b"\5\0", connection.recv(2))
            connection.sendall(b"\5\1\0\1" + socket.inet_aton(HOST) + server.port.to_bytes(2, "big"))
            self.assertEqual(b"\5\0", connection.recv(10)[:2])
            connection.sendall(b"hello")
            self.assertEqual(b"hello", connection.recv(5))

    def test_jump(self) -> None:
        """
        C{-J}: another gateway behind this one.
        """
        second = self.gate(name="other")
        config = self.write(
            "config",
            f"Host *\nUserKnownHostsFile {self.directory}/known\nStrictHostKeyChecking accept-new\n"
            f"BatchMode yes\nLogLevel ERROR\nHostName {HOST}\nUser bob\n"
            f"Host gate\nPort {self.port}\nHost inner\nPort {second.port}\n",
        )
        done = self.finish([self.ssh, "-F", str(config), "-J", "gate", "inner"])
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        self.assertIn(b"You are operator", done.stdout)
        self.gateway.waitFor(f"-> {HOST}:{second.port} direct-tcpip")

    def test_master(self) -> None:
        """
        One connection that others use, and forwards that come later.
        """
        control = str(self.directory / "c")
        server = StreamServer(self, echo)
        local = freePort()
        shared = ["-o", f"ControlPath={control}"]
        self.spawn([self.ssh, *self.options(self.port), *shared, "-M", "-N", f"bob@{HOST}"])
        waitUntil(lambda: self.asks(self.port, *shared, "-O", "check").returncode == 0, "the master is up")
        for _ in range(3):
            self.assertIn(b"operator", self.asks(self.port, *shared).stdout)
        place = f"{local}:{HOST}:{server.port}"
        self.assertEqual(0, self.asks(self.port, *shared, "-O", "forward", "-L", place).returncode)
        with socket.create_connection((HOST, local), DEADLINE) as connection:
            connection.sendall(b"hello")
            self.assertEqual(b"hello", connection.recv(5))
        self.assertEqual(0, self.asks(self.port, *shared, "-O", "cancel", "-L", place).returncode)
