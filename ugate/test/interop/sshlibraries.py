# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests with other clients than that of OpenSSH have in common: asyncssh, paramiko, ssh2 of node, and
Dropbear.
"""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

from ugate.test.interop.asking import connected
from ugate.test.interop.processes import LOOPBACK, Gateway
from ugate.test.interop.sshpeers import KINDS, SSHTestCase
from ugate.test.interop.targets import BLOCK, StreamServer, readAll, readExactly

DATA = BLOCK * 5
"""What goes to a server."""

ANSWER = hashlib.sha256(DATA).hexdigest().encode() + DATA
"""What comes back."""

NAME = "wiki.bob.example"
"""What bob may publish."""


def connect(target: str) -> bytes:
    """
    How an HTTP proxy is asked for a target.
    """
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()


def proxied(port: int, target: str) -> tuple[bytes, socket.socket]:
    """
    Ask the proxy at a port for a target.

    @return: the status, and the connection.
    """
    connection = connected(port)
    connection.sendall(connect(target))
    head = readExactly(connection, 12)
    while b"\r\n\r\n" not in head:
        head += readExactly(connection, 1)
    return head[9:12], connection


def answered(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: when all has come, says what that was, and much more.
    """
    connection.sendall(hashlib.sha256(readAll(connection)).hexdigest().encode() + DATA)


class LibraryTestCase(SSHTestCase):
    """
    What these have in common: a server, and bob with keys, a certificate and a password.
    """

    def setUp(self) -> None:
        """
        Make the keys.
        """
        super().setUp()
        self.server = StreamServer(self, answered)
        self.keys = [self.key(f"k{kind}", kind) for kind in KINDS]
        self.certified, self.stranger, self.authority = map(self.key, ("certified", "stranger", "ca"))
        command = [self.keygen, "-q", "-s", str(self.authority), "-I", "x", "-n", "bob"]
        command.append(f"{self.certified}.pub")
        self.assertEqual(0, self.finish(command).returncode)

    def publicOf(self, key: Path) -> str:
        """
        The public half of a key, as bob's.
        """
        return " ".join([*key.with_suffix(".pub").read_text().split()[:2], "bob\n"])

    def closedGate(self) -> Gateway:
        """
        A gateway that lets bob in.
        """
        from ugate.tenancy.passwordhashes import PasswordHash

        lines = [*map(self.publicOf, self.keys), f"cert-authority {self.publicOf(self.authority)}"]
        keys = self.write("keys", "".join(lines))
        users = self.write("users", f"bob:{PasswordHash.ofPassword(b'secret', 10)}\n")
        return self.ugate(
            *("--state", str(self.directory / "id")),
            config=f"listen:\n  main: 'ssh:tcp:0:{LOOPBACK}'\n"
            f"  web: {{endpoint: 'connect:tcp:0:{LOOPBACK}', open: true}}\n"
            f"policy: {{keys: {keys}, users: {users}, rules: "
            f"[{{action: allow}}, {{action: allow, target: 'unix:{self.directory}/*.sock'}}]}}\n"
            f"routes: [{{match: {NAME}, via: mesh}}]\n"
            f"nodes: {{bob: {{who: ['key:bob', 'password:bob'], hosts: {NAME}, "
            f"sockets: {self.directory}}}}}\n",
        )

    def visit(self, gateway: Gateway) -> bytes:
        """
        Ask for what bob has published.

        @return: the status, and then the answer.
        """
        status, connection = proxied(gateway.ports["web"], f"{NAME}:80")
        with connection:
            if status == b"200":
                connection.sendall(DATA)
                connection.shutdown(socket.SHUT_WR)
            return status + readAll(connection)

    def assertAnswer(self, got: bytes) -> None:
        """
        It is what the server answers to all that it was sent.
        """
        self.assertEqual((len(ANSWER), True), (len(got), got == ANSWER))

    def assertVisited(self, gateway: Gateway) -> None:
        """
        What bob has published is there, and whole.
        """
        answer = self.visit(gateway)
        self.assertEqual(b"200", answer[:3])
        self.assertAnswer(answer[3:])

    def assertLogged(self, gateway: Gateway) -> None:
        """
        The log has the stream that was carried, and who did not get in.
        """
        gateway.waitFor(f"bob: {len(DATA)} sent, {len(ANSWER)} received")
        gateway.waitFor("'bob' is not let in by a password: nobody has it")
