# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with the client of OpenSSH.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
import time
from pathlib import Path

from ugate.test.interop.processes import DEADLINE, HOST, freePort, program, waitUntil
from ugate.test.interop.sshpeers import KINDS, SSHTestCase
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, digestOf, echo, readAll

BULK = 200
"""Megabytes."""


def summed(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: says, when all has come, how much and what that was.
    """
    seen, size = hashlib.sha256(), 0
    while data := connection.recv(1 << 18):
        seen.update(data)
        size += len(data)
    connection.sendall(f"{size} {seen.hexdigest()}".encode())


def poured(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: much, and then the end.
    """
    for _ in range(BULK):
        connection.sendall(BLOCK)
    connection.shutdown(socket.SHUT_WR)


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
        options = _without(self.options(self.port), "LogLevel=ERROR")
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
        command = [self.ssh, *_without(self.options(self.port), "LogLevel=ERROR")]
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
        began = time.monotonic()
        with socket.create_connection((HOST, other), DEADLINE) as pulled:
            got: list[str] = []
            pulling = threading.Thread(target=lambda: got.append(_digest(pulled)))
            pulling.start()
            with socket.create_connection((HOST, local), DEADLINE) as pushed:
                for _ in range(BULK):
                    pushed.sendall(BLOCK)
                pushed.shutdown(socket.SHUT_WR)
                said = readAll(pushed)
            pulling.join(self.limit)
        took = time.monotonic() - began
        wanted = digestOf(BULK * MEGABYTE)
        self.assertEqual(f"{BULK * MEGABYTE} {wanted}".encode(), said)
        self.assertEqual([wanted], got)
        print(f"200 MB each way at once in {took:.2f} s")

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


class KeyTests(SSHTestCase):
    """
    Those who have to log in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server = StreamServer(self, echo)

    def policy_(self, keys: str, rules: str = "[{action: allow, who: 'key:bob'}]") -> str:
        """
        The section, with a file of keys.
        """
        return f"policy: {{keys: {self.write('keys', keys)}, rules: {rules}}}\n"

    def test_keys(self) -> None:
        """
        Keys of each type let in, by who is in the file; nobody else does.
        """
        keys = {kind: self.key(f"k{kind}", kind) for kind in KINDS}
        stranger = self.key("stranger")
        lines = [(self.directory / f"k{kind}.pub").read_text().replace(f"k{kind}", "bob") for kind in KINDS]
        gateway = self.gate(self.policy_("".join(lines)))
        for key in keys.values():
            done = self.asks(gateway.port, key=key)
            self.assertEqual((0, b""), (done.returncode, done.stderr))
            self.assertIn(b"You are bob (key)", done.stdout)
            done = self.asks(gateway.port, "-W", f"{HOST}:{self.server.port}", key=key)
            self.assertEqual(0, done.returncode)
        for nobody in (stranger, None):
            done = self.asks(gateway.port, key=nobody)
            self.assertEqual(255, done.returncode)
            self.assertIn(b"Permission denied (publickey,password)", done.stderr)

    def test_options(self) -> None:
        """
        What stands in front of a key holds: where it may go, and until when.
        """
        key, old = self.key("bob"), self.key("old")
        public, other = (each.with_suffix(".pub").read_text() for each in (key, old))
        gateway = self.gate(
            self.policy_(f'permitopen="{HOST}:{self.server.port}" {public}expiry-time="20200101" {other}')
        )
        self.assertEqual(0, self.asks(gateway.port, "-W", f"{HOST}:{self.server.port}", key=key).returncode)
        self.assertNotEqual(0, self.asks(gateway.port, "-W", f"{HOST}:{freePort()}", key=key).returncode)
        gateway.waitFor("the key is not good for it")
        self.assertEqual(255, self.asks(gateway.port, key=old).returncode)

    def test_policy(self) -> None:
        """
        The rules hold, as for every other stream.
        """
        key = self.key("bob")
        rules = f"[{{action: allow, who: 'key:bob', target: '{HOST}:1'}}]"
        gateway = self.gate(self.policy_(key.with_suffix(".pub").read_text(), rules))
        done = self.finish(
            [
                self.ssh,
                *_without(self.options(gateway.port, key), "LogLevel=ERROR"),
                *("-W", f"{HOST}:{self.server.port}", HOST),
            ]
        )
        self.assertIn(b"administratively prohibited: denied by policy", done.stderr)
        done = self.asks(gateway.port, key=key, command=f"explain {HOST}:{self.server.port}")
        self.assertEqual(1, done.returncode)

    def test_password(self) -> None:
        """
        A password lets in, and a wrong one does not.
        """
        from ugate.tenancy.passwordhashes import PasswordHash

        users = self.write("users", f"bob:{PasswordHash.ofPassword(b'secret', 10)}\n")
        gateway = self.gate(f"policy: {{users: {users}, rules: [{{action: allow}}]}}\n")
        for word, status in (("secret", 0), ("wrong", 255)):
            asking = self.write("ask", f"#!/bin/sh\necho {word}\n", 0o700)
            command = [self.ssh, *_without(self.options(gateway.port), "BatchMode=yes")]
            done = self.finish(
                [*command, "-o", "NumberOfPasswordPrompts=1", f"bob@{HOST}"],
                env={"SSH_ASKPASS": str(asking), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
            )
            self.assertEqual(status, done.returncode, done.stderr)
        gateway.waitFor("'bob' is not let in by a password")


class CertificateTests(SSHTestCase):
    """
    Users and hosts that a CA certifies.
    """

    def setUp(self) -> None:
        super().setUp()
        self.authority = self.key("ca")
        self.bob = self.key("bob")
        public = self.authority.with_suffix(".pub").read_text()
        keys = self.write("keys", f"cert-authority {public}")
        self.revoked = self.write("revoked", "")
        self.gateway = self.gate(
            f"policy: {{keys: {keys}, revoked: {self.revoked}, "
            "rules: [{action: allow, who: 'certificate:bob'}]}\n"
        )

    def certify(self, *options: str, authority: Path | None = None) -> None:
        """
        Certify bob's key.
        """
        command = [self.keygen, "-q", "-s", str(authority or self.authority), "-I", "bob at work", *options]
        done = self.finish([*command, str(self.bob.with_suffix(".pub"))])
        self.assertEqual(0, done.returncode, done.stderr)

    def assertRefused(self, text: str) -> None:
        """
        There is no way in, and the log says why.
        """
        self.assertEqual(255, self.asks(self.gateway.port, key=self.bob).returncode)
        self.gateway.waitFor(f"'bob' is not let in: the certificate 'bob at work': {text}")

    def test_good(self) -> None:
        """
        A certificate lets in, as whom it is for, and streams go where the rules say.
        """
        server = StreamServer(self, echo)
        self.certify("-n", "bob", "-V", "-1m:+5m", "-O", "source-address=127.0.0.0/8")
        self.assertIn(b"You are bob (certificate)", self.asks(self.gateway.port, key=self.bob).stdout)
        done = self.asks(self.gateway.port, "-W", f"{HOST}:{server.port}", key=self.bob)
        self.assertEqual(0, done.returncode)
        self.certify("-n", "bob", "-O", "no-port-forwarding")
        done = self.asks(self.gateway.port, "-W", f"{HOST}:{server.port}", key=self.bob)
        self.assertNotEqual(0, done.returncode)

    def test_refused(self) -> None:
        """
        Another name, another time, another CA, a demand that nobody knows: none lets in.
        """
        self.certify("-n", "alice")
        self.assertRefused("it is for alice, and not for bob")
        self.certify("-n", "bob", "-V", "-2d:-1d")
        self.assertRefused("it has ended")
        self.certify("-n", "bob", "-V", "+1d:+2d")
        self.assertRefused("it is not good yet")
        self.certify("-n", "bob", "-O", "force-command=id")
        self.assertRefused("it demands force-command")
        self.certify("-n", "bob", "-O", "source-address=10.0.0.0/8")
        self.assertRefused("it is not good at 127.0.0.1")
        self.certify("-n", "bob", "-h")
        self.certify("-n", "bob", authority=self.key("other"))
        self.assertRefused("it is of no CA that is believed")

    def test_revoked(self) -> None:
        """
        What ssh-keygen writes of what is revoked holds at once.
        """
        self.certify("-n", "bob", "-z", "77")
        self.assertEqual(0, self.asks(self.gateway.port, key=self.bob).returncode)
        serials = self.write("serials", "serial: 70-80\n")
        authority = self.authority.with_suffix(".pub")
        done = self.finish([self.keygen, "-q", "-k", "-f", self.revoked, "-s", authority, serials])
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRefused("it is revoked")

    def test_host(self) -> None:
        """
        The gateway shows its certificate as a host, to whom believes only that.
        """
        scan = program("ssh-keyscan", "openssh-client")
        found = self.finish([scan, "-p", str(self.gateway.port), HOST]).stdout.decode().splitlines()
        line = next(each for each in found if not each.startswith("#"))
        public = self.write("gate.pub", line.split(" ", 1)[1])
        command = [self.keygen, "-q", "-s", str(self.authority), "-I", "gate", "-h", "-n", HOST, str(public)]
        self.assertEqual(0, self.finish(command).returncode)
        self.certify("-n", "bob")
        certificate = self.directory / "gate-cert.pub"
        (self.directory / "id" / "ssh-host-cert.pub").write_bytes(certificate.read_bytes())
        known = self.write("cas", f"@cert-authority * {self.authority.with_suffix('.pub').read_text()}")
        options = ("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes")
        command = [self.ssh, *options, *self.options(self.gateway.port, self.bob), f"bob@{HOST}"]
        done = self.finish(command)
        self.assertEqual(0, done.returncode, done.stderr)


def _without(options: list[str], value: str) -> list[str]:
    at = options.index(value)
    return [*options[: at - 1], *options[at + 1 :]]


def _digest(connection: socket.socket) -> str:
    seen = hashlib.sha256()
    while data := connection.recv(1 << 18):
        seen.update(data)
    return seen.hexdigest()
