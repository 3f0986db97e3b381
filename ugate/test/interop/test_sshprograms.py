# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with the clients of Dropbear, PuTTY and sing-box, that is, of Go.
"""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

from ugate.test.interop.peers import singBox
from ugate.test.interop.processes import DEADLINE, HOST, accepts, freePort, program, waitUntil
from ugate.test.interop.sshlibraries import ANSWER, DATA, NAME, LibraryTestCase, proxied
from ugate.test.interop.targets import StreamServer, readAll, readExactly


class ProgramTests(LibraryTestCase):
    """
    By each kind of key, and a password, they get in; what they send and get is whole.
    """

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.closedGate()
        self.local = freePort()
        self.forward = f"{self.local}:{HOST}:{self.server.port}"

    def assertForwards(self, command: list[str | Path]) -> None:
        """
        What listens at our port leads to the server.
        """
        self.spawn(command, env={"HOME": str(self.directory)})
        waitUntil(lambda: accepts(self.local), "it listens")
        with socket.create_connection((HOST, self.local), DEADLINE) as connection:
            connection.sendall(DATA)
            connection.shutdown(socket.SHUT_WR)
            self.assertAnswer(readAll(connection))
        self.gateway.waitFor(f"bob: {len(DATA)} sent, ")

    def assertStatus(self, command: list[str | Path], means: str) -> None:
        """
        It gets in.
        """
        env = {"HOME": str(self.directory), "DROPBEAR_PASSWORD": "secret"}
        done = self.finish([*command, f"bob@{HOST}", "status"], env=env)
        self.assertIn(f"You are bob ({means})".encode(), done.stdout, done.stderr)

    def test_dropbear(self) -> None:
        """
        C{dbclient}, which reads keys of its own kind alone.
        """
        convert = program("dropbearconvert", "dropbear-bin")
        common = [program("dbclient", "dropbear-bin"), "-y", "-y", "-p", str(self.gateway.port)]
        for key in self.keys:
            done = self.finish([convert, "openssh", "dropbear", key, f"{key}.db"])
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertStatus([*common, "-i", f"{key}.db"], "key")
        self.assertStatus([*common], "password")
        self.assertForwards([*common, "-i", f"{self.keys[0]}.db", "-N", "-L", self.forward, f"bob@{HOST}"])

    def test_putty(self) -> None:
        """
        C{plink}, which has certificates, too, and publishes.
        """
        convert = program("puttygen", "putty-tools")
        known = self._hostKey()
        common = [program("plink", "putty-tools"), "-batch", "-noagent", "-P", str(self.gateway.port)]
        common += ["-hostkey", known]
        for key in (*self.keys, self.certified):
            done = self.finish([convert, key, "-O", "private", "-o", f"{key}.ppk"])
            self.assertEqual(0, done.returncode, done.stderr)
        for key in self.keys:
            self.assertStatus([*common, "-i", f"{key}.ppk"], "key")
        certified = ["-i", f"{self.certified}.ppk", "-cert", f"{self.certified}-cert.pub"]
        self.assertStatus([*common, *certified], "certificate")
        self.assertStatus([*common, "-pwfile", self.write("word", "secret\n")], "password")
        publish = ["-R", f"{NAME}:80:{HOST}:{self.server.port}"]
        common += ["-i", f"{self.keys[0]}.ppk", "-N", *publish, "-L", self.forward, f"bob@{HOST}"]
        self.assertForwards([*common])
        self.assertVisited(self.gateway)

    def test_singBox(self) -> None:
        """
        sing-box with an outbound of SSH, which closes a channel where others end one direction.
        """

        def serve(connection: socket.socket) -> None:
            sent = readExactly(connection, len(DATA))
            connection.sendall(hashlib.sha256(sent).hexdigest().encode() + DATA)

        server = StreamServer(self, serve)
        for key in self.keys:
            outbound = {"type": "ssh", "server": HOST, "server_port": self.gateway.port, "user": "bob"}
            proxy = singBox(self, {**outbound, "private_key_path": str(key)})
            _, connection = proxied(proxy, f"{HOST}:{server.port}")
            with connection:
                connection.sendall(DATA)
                self.assertAnswer(readAll(connection))
        self.gateway.waitFor(f"bob: {len(DATA)} sent, {len(ANSWER)} received")

    def _hostKey(self) -> str:
        scan = program("ssh-keyscan", "openssh-client")
        found = self.finish([scan, "-t", "ecdsa", "-p", str(self.gateway.port), HOST]).stdout
        done = self.finish([self.keygen, "-l", "-f", "-"], found)
        return done.stdout.decode().split()[1]
