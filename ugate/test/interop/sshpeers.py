# -*- test-case-name: ugate.test.interop.test_sshserver -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
OpenSSH as the peer of a gateway: its client with keys of its own, and its certificates.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.processes import (
    DEADLINE,
    HOST,
    LOOPBACK,
    Child,
    Gateway,
    InteropTestCase,
    accepts,
    freePort,
    program,
    waitUntil,
)
from ugate.test.interop.targets import BLOCK, MEGABYTE, digestOf, readAll

KINDS = ("ed25519", "ecdsa", "rsa")
_SEPARATED = Path("/run/sshd")


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


def digest(connection: socket.socket) -> str:
    """
    The SHA-256 of all that comes.
    """
    seen = hashlib.sha256()
    while data := connection.recv(1 << 18):
        seen.update(data)
    return seen.hexdigest()


def to(port: int) -> socket.socket:
    """
    A connection to a port of this machine.
    """
    return socket.create_connection((HOST, port), DEADLINE)


def package(name: str, distribution: str = "") -> Any:
    """
    A package of others that a test needs.

    @param distribution: what to install, if it has another name.
    @raise SkipTest: it is not here.
    """
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise SkipTest(f"no {name} here: pip install {distribution or name}") from missing


def serveSSH(case: InteropTestCase, host: Path, config: str) -> tuple[int, Child]:
    """
    An sshd of the test's own.

    @return: its port, and it.
    """
    port = freePort()
    return port, case.serve(sshdCommand(case, HOST, port, host, config), port)


def sshdCommand(case: InteropTestCase, address: str, port: int, host: Path, config: str) -> list[str]:
    """
    The command line of an sshd.
    """
    sshd = program("sshd", "openssh-server")
    if os.geteuid() == 0 and not _SEPARATED.exists():
        # What its service makes when it starts.
        _SEPARATED.mkdir(mode=0o755)
        case.addCleanup(_SEPARATED.rmdir)
    head = f"ListenAddress {address}:{port}\nHostKey {host}\nPidFile none\nUsePAM no\n"
    return [sshd, "-D", "-e", "-f", str(case.write("sshd.conf", head + config))]


class SSHTestCase(InteropTestCase):
    """
    A gateway with C{ssh:}, and the stock client.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.ssh = program("ssh", "openssh-client")
        self.keygen = program("ssh-keygen", "openssh-client")

    def key(self, name: str, kind: str = "ed25519") -> Path:
        """
        A key of somebody.
        """
        path = self.directory / name
        done = self.finish([self.keygen, "-q", "-t", kind, "-N", "", "-C", name, "-f", path])
        self.assertEqual(0, done.returncode, done.stderr)
        return path

    def gate(self, more: str = "", name: str = "id") -> Gateway:
        """
        A gateway.
        """
        state = str(self.directory / name)
        return self.ugate("--state", state, config=f"listen: {{main: 'ssh:tcp:0:{LOOPBACK}'}}\n{more}")

    def options(self, port: int, key: Path | None = None, *more: str) -> list[str]:
        """
        Options of the client, which believes whatever key a host has at first.
        """
        known = self.directory / "known"
        return [
            *("-F", "none", "-p", str(port), "-o", f"UserKnownHostsFile={known}"),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
            *("-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes"),
            *(("-i", str(key)) if key else ("-o", "PubkeyAuthentication=no")),
            *more,
        ]

    def asks(self, port: int, *options: str, key: Path | None = None, command: str = "") -> Any:
        """
        Run the client to its end.
        """
        said = [command] if command else []
        return self.finish([self.ssh, *self.options(port, key), *options, f"bob@{HOST}", *said])

    def forwarding(self, port: int, option: str, local: int, *more: str, key: Path | None = None) -> Child:
        """
        A client that listens on this machine, and forwards.
        """
        # It begins to listen in this order, so where the last one does, all do.
        command = [self.ssh, *self.options(port, key), "-N", *more, option, f"bob@{HOST}"]
        child = self.spawn(command, stdin=subprocess.DEVNULL)
        waitUntil(lambda: accepts(local) or child.process.poll() is not None, "the client listens")
        self.assertIsNone(child.process.poll(), child.said())
        return child

    def assertBothWays(self, pull: Callable[[], socket.socket], push: Callable[[], socket.socket]) -> None:
        """
        200 MB each way at once go, with every byte in its place.

        @param pull: connects to L{poured}.
        @param push: connects to L{summed}.
        """
        began = time.monotonic()
        got: list[str] = []
        with pull() as pulled:
            pulling = threading.Thread(target=lambda: got.append(digest(pulled)))
            pulling.start()
            with push() as pushed:
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


def without(options: list[str], value: str) -> list[str]:
    """
    Options of ssh, but for one.
    """
    at = options.index(value)
    return [*options[: at - 1], *options[at + 1 :]]
