# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with the client of Dropbear, as small machines have it.
"""

from __future__ import annotations

import socket

from ugate.test.interop.processes import DEADLINE, HOST, accepts, freePort, program, waitUntil
from ugate.test.interop.sshlibraries import DATA, LibraryTestCase
from ugate.test.interop.targets import readAll


class DropbearTests(LibraryTestCase):
    """
    C{dbclient -L}.
    """

    def test_client(self) -> None:
        """
        By each kind of key and a password it gets in; what it sends and gets is whole.
        """
        client = program("dbclient", "dropbear-bin")
        convert = program("dropbearconvert", "dropbear-bin")
        gateway = self.closedGate()
        local = freePort()
        common = [client, "-y", "-y", "-p", str(gateway.port)]
        forward = ["-N", "-L", f"{local}:{HOST}:{self.server.port}"]
        env = {"HOME": str(self.directory), "DROPBEAR_PASSWORD": "secret"}
        for key in self.keys:
            # It reads no others.
            converted = f"{key}.db"
            done = self.finish([convert, "openssh", "dropbear", key, converted])
            self.assertEqual(0, done.returncode, done.stderr)
            done = self.finish([*common, "-i", converted, f"bob@{HOST}", "status"], env=env)
            self.assertIn(b"You are bob (key)", done.stdout, done.stderr)
        done = self.finish([*common, f"bob@{HOST}", "status"], env=env)
        self.assertIn(b"You are bob (password)", done.stdout, done.stderr)
        self.spawn([*common, "-i", f"{self.keys[0]}.db", *forward, f"bob@{HOST}"], env=env)
        waitUntil(lambda: accepts(local), "it listens")
        with socket.create_connection((HOST, local), DEADLINE) as connection:
            connection.sendall(DATA)
            connection.shutdown(socket.SHUT_WR)
            self.assertAnswer(readAll(connection))
        gateway.waitFor(f"bob: {len(DATA)} sent, ")
