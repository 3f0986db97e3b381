# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
UNIX sockets of a gate, with the client of OpenSSH.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from ugate.test.interop.processes import DEADLINE, HOST, freePort, waitUntil
from ugate.test.interop.targets import StreamServer, echo, readAll
from ugate.test.interop.test_sshpublishing import WIKI, PublishingCase


class PathTests(PublishingCase):
    """
    By C{-L} and by C{-R}.
    """

    def served(self, name: str) -> socket.socket:
        """
        A UNIX socket of the gate's machine, and so of the client's.
        """
        served = socket.socket(socket.AF_UNIX)
        self.addCleanup(served.close)
        served.bind(f"{self.folder}/{name}")
        served.listen()
        served.settimeout(DEADLINE)
        return served

    def assertLeads(self, place: str | int, served: socket.socket) -> None:
        """
        What connects to a port, or a path, gets to a socket, both ways and to the end.
        """
        address: Any = (HOST, place) if isinstance(place, int) else place
        with socket.socket(socket.AF_UNIX if address is place else socket.AF_INET) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(address)
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            with served.accept()[0] as came:
                self.assertEqual(b"hello", readAll(came))
                came.sendall(b"welcome")
            self.assertEqual(b"welcome", readAll(connection))

    def test_paths(self) -> None:
        """
        A UNIX socket may be on either side of C{-L}; of the gate those that a rule names.
        """
        (self.folder / "served").mkdir()
        mine, app = self.served("mine"), self.served("served/app")
        os.symlink(self.folder / "served/app", self.folder / "served/link")
        here, there, port, links, denied = f"{self.folder}/here", f"{self.folder}/there", *ports(3)
        child = self.publish(
            f"{WIKI}:80:{self.folder}/mine",
            *("-L", f"{here}:{WIKI}:80", "-L", f"{there}:{self.folder}/served/app"),
            *("-L", f"{port}:{self.folder}/served/app", "-L", f"{links}:{self.folder}/served/link"),
            *("-L", f"{denied}:{self.folder}/mine"),
        )
        self.assertLeads(here, mine)
        self.assertLeads(there, app)
        self.assertLeads(port, app)
        self.gateway.waitFor(f"-> unix:{self.folder}/served/app direct-streamlocal bob: 5 sent, 7 received")
        for other, why in (
            (links, "by a symbolic link"),
            (denied, "no rule in policy.rules names that UNIX"),
        ):
            with socket.create_connection((HOST, other), DEADLINE) as connection:
                self.assertEqual(b"", connection.recv(1))
            self.gateway.waitFor(why)
        child.waitFor("open failed: administratively prohibited: denied by policy")

    def test_sockets(self) -> None:
        """
        C{-R /PATH}: the gate has a UNIX socket, for itself alone, until that is cancelled or the client is
        gone. A file that is there stays; a socket that was left does not.
        """
        mine, path, other = self.served("mine"), self.folder / "x.sock", self.folder / "y.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        other.write_text("precious")
        control = ["-o", f"ControlPath={self.directory}/c"]
        child = self.publish(f"{path}:{self.folder}/mine", "-M", *control)
        self.assertLeads(str(path), mine)
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        self.gateway.waitFor(f"-> unix:{path} via mesh forward anyone: 5 sent, 7 received")
        for place, why in (
            (other, "there is a file already"),
            (self.folder / "served/z", "is not given to bob"),
        ):
            refused = self.client("-R", f"{place}:{HOST}:1")
            self.assertEqual(255, refused.wait())
            self.assertRegex(refused.said(), f"unix:{place} is not published: .*{why}")
        self.assertEqual("precious", other.read_text())

        def ask(*options: str) -> Any:
            return self.asks(self.port, *control, *options, key=self.keys["bob"])

        self.assertIn(f"You publish unix:{path}.".encode(), ask().stdout)
        self.assertEqual(0, ask("-O", "cancel", "-R", f"{path}:{self.folder}/mine").returncode)
        waitUntil(lambda: not path.exists(), "the socket is gone")
        tcp = StreamServer(self, echo)
        self.assertEqual(0, ask("-O", "forward", "-R", f"{path}:{HOST}:{tcp.port}").returncode)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(str(path))
            connection.sendall(b"hello")
            self.assertEqual(b"hello", connection.recv(5))
        child.kill()
        waitUntil(lambda: not path.exists(), "the socket is gone")


def ports(count: int) -> list[int]:
    """
    Some that are free.
    """
    return [freePort() for _ in range(count)]
