# -*- test-case-name: ugate.test.interop.test_remoteforward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{remoteforward:} at an sshd, which listens for us.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
from pathlib import Path

from ugate.test.interop.processes import DEADLINE, HOST, Gateway, accepts, freePort, hasIPv6, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase, poured, serveSSH, summed, to
from ugate.test.interop.targets import StreamServer, echo, readAll


class SshdTests(SSHTestCase):
    """
    An sshd of the test's own, and a node that publishes there.
    """

    def setUp(self) -> None:
        super().setUp()
        host, self.user = self.key("host"), self.key("user")
        self.config = (
            f"AuthorizedKeysFile {self.user}.pub\nStrictModes no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nPrintMotd no\n"
        )
        self.port, self.sshd = serveSSH(self, host, self.config)
        public = host.with_suffix(".pub").read_text()
        self.known = self.write("known", f"[{HOST}]:{self.port} {public}")

    def node(self, *served: tuple[int, int]) -> Gateway:
        """
        A node that serves these: a port of the sshd, and one of this machine.
        """
        at = ",".join(str(port) for port, _ in served)
        services = "".join(f"  s{port}: {{port: {port}, to: '{HOST}:{to}'}}\n" for port, to in served)
        server = f"{getpass.getuser()}@{HOST}:{self.port}"
        return self.ugate(
            *("--state", str(self.directory / "state")),
            config=(
                f"listen: {{main: 'remoteforward:{server}:at={at}:known={self.known}:key={self.user}'}}\n"
                f"serve:\n{services}policy: {{rules: [{{action: allow, who: 'key:{HOST}'}}]}}\n"
            ),
        )

    def assertEchoes(self, port: int) -> None:
        """
        What is said there comes back, and the end too.
        """
        with socket.create_connection((HOST, port), DEADLINE) as connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(b"hello", readAll(connection))

    def test_again(self) -> None:
        """
        When the process of the connection is killed, the service comes back.
        """
        server, port = StreamServer(self, echo), freePort()
        gateway = self.node((port, server.port))
        gateway.waitFor(f"listens at localhost:{port} for us")
        self.assertEchoes(port)
        for child in _children(self.sshd.pid):
            os.kill(child, signal.SIGKILL)
        waitUntil(lambda: gateway.said().count(f"listens at localhost:{port}") == 2, "it is there again")
        self.assertEchoes(port)

    def test_bulk(self) -> None:
        """
        200 MB each way at once, with every byte in its place.
        """
        up, down = StreamServer(self, summed), StreamServer(self, poured)
        one, two = freePort(), freePort()
        self.node((one, up.port), (two, down.port)).waitFor(f"listens at localhost:{two} for us")
        self.assertBothWays(lambda: to(two), lambda: to(one))

    def test_refused(self) -> None:
        """
        Where the sshd cannot listen, it is asked again until it can.
        """
        server = StreamServer(self, echo)
        taken = [socket.create_server((HOST, 0))]
        port = taken[0].getsockname()[1]
        if hasIPv6():
            taken.append(socket.create_server(("::1", port), family=socket.AF_INET6))
        gateway = self.node((port, server.port))
        gateway.waitFor(f"it does not listen at localhost:{port} for us")
        for each in taken:
            each.close()
        waitUntil(lambda: accepts(port), "the port is there")
        self.assertEchoes(port)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()] if path.exists() else []
