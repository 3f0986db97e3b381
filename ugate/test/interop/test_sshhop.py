# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} as a hop, with sshd and with itself on the other side.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import tempfile
from pathlib import Path

from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Gateway, freePort, program, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase, poured, serveSSH, summed, to
from ugate.test.interop.targets import StreamServer, echo, readAll, readExactly


class SshdTests(SSHTestCase):
    """
    An sshd of the test's own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.host, self.user = self.key("host"), self.key("user")
        self.authority = self.key("ca")
        self.port, self.sshd = serveSSH(
            self,
            self.host,
            f"AuthorizedKeysFile {self.user}.pub\nTrustedUserCAKeys {self.authority}.pub\n"
            "StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\n",
        )
        self.known = self.write("known", f"[{HOST}]:{self.port} {self._public(self.host)}")

    def _public(self, key: Path) -> str:
        return key.with_suffix(".pub").read_text()

    def using(self, target: int, more: str = "", env: dict[str, str] | None = None) -> Gateway:
        """
        A gateway that sends all through sshd.
        """
        hop = f"ssh:{getpass.getuser()}@{HOST}:{self.port}:known={self.known}{more}"
        return self.ugate(
            *("--state", str(self.directory / "state"), "--route", f"*={hop}"),
            listen=f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{target}",
            env=env,
        )

    def assertCarries(self, gateway: Gateway) -> None:
        """
        It is a way to an echo.
        """
        with socket.create_connection((HOST, gateway.port), DEADLINE) as connection:
            connection.sendall(b"hello")
            self.assertEqual(b"hello", readExactly(connection, 5), gateway.said())
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", readAll(connection))

    def assertRefused(self, gateway: Gateway, text: str) -> None:
        """
        It is none, and the log says why.
        """
        with socket.create_connection((HOST, gateway.port), DEADLINE) as connection:
            try:
                self.assertEqual(b"", connection.recv(1))
            except ConnectionResetError:
                pass
        gateway.waitFor(text)

    def test_ways(self) -> None:
        """
        By a key in a file, by a certificate beside it, by an agent; and by names that are hashed.
        """
        server = StreamServer(self, echo)
        self.assertCarries(self.using(server.port, f":key={self.user}"))
        other = self.key("other")
        gateway = self.using(server.port, f":key={other}")
        self.assertRefused(gateway, "it does not take")
        command = [
            self.keygen,
            "-q",
            "-s",
            str(self.authority),
            "-I",
            "x",
            "-n",
            getpass.getuser(),
            f"{other}.pub",
        ]
        self.assertEqual(0, self.finish(command).returncode)
        self.assertCarries(gateway)
        done = self.finish([self.keygen, "-q", "-H", "-f", str(self.known)])
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("|1|", self.known.read_text())
        self.assertCarries(self.using(server.port, f":key={self.user}"))

    def test_path(self) -> None:
        """
        A UNIX socket that a route leads by sshd is one of that machine, by its words for it.
        """
        folder = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, folder)
        hop = f"ssh:{getpass.getuser()}@{HOST}:{self.port}:known={self.known}:key={self.user}"
        gateway = self.gate(
            f"policy: {{rules: [{{action: allow, target: 'unix:{folder}/*'}}]}}\n"
            f"routes: [{{match: 'unix:*', via: '{hop}'}}, {{match: '*', via: deny}}]\n"
        )
        with socket.socket(socket.AF_UNIX) as served:
            served.bind(f"{folder}/app")
            served.listen()
            served.settimeout(DEADLINE)
            places = {name: f"{folder}/to{name}" for name in ("app", "none")}
            options = [option for name in places for option in ("-L", f"{places[name]}:{folder}/{name}")]
            self.spawn([self.ssh, *self.options(gateway.port), "-N", *options, HOST])
            waitUntil(lambda: os.path.exists(places["none"]), "the client listens")
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(DEADLINE)
                connection.connect(places["app"])
                connection.sendall(b"hello")
                with served.accept()[0] as came:
                    self.assertEqual(b"hello", readExactly(came, 5))
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(DEADLINE)
                connection.connect(places["none"])
                self.assertEqual(b"", connection.recv(1))
        gateway.waitFor(f"unix:{folder}/app via {hop} direct-streamlocal operator: 5 sent")
        gateway.waitFor(f"connection refused (unix:{folder}/none: open failed)")

    def test_agent(self) -> None:
        """
        By a key that an agent keeps.
        """
        agent, add = program("ssh-agent", "openssh-client"), program("ssh-add", "openssh-client")
        where = str(self.directory / "agent")
        self.spawn([agent, "-D", "-a", where])
        waitUntil(lambda: os.path.exists(where), "the agent listens")
        for key in (self.key("other"), self.user):
            self.assertEqual(0, self.finish([add, "-q", str(key)], env={"SSH_AUTH_SOCK": where}).returncode)
        server = StreamServer(self, echo)
        self.assertCarries(self.using(server.port, ":agent=env", {"SSH_AUTH_SOCK": where}))
        self.assertCarries(self.using(server.port, f":agent={where}"))

    def test_hostKeys(self) -> None:
        """
        A server with another key, or a revoked one, is refused; one that a CA certifies is not.
        """
        server = StreamServer(self, echo)
        place = f"[{HOST}]:{self.port}"
        gateway = self.using(server.port, f":key={self.user}")
        self.known.write_text(f"{place} {self._public(self.user)}")
        self.assertRefused(gateway, "and it has to be SHA256:")
        self.known.write_text(f"{place} {self._public(self.host)}@revoked * {self._public(self.host)}")
        self.assertRefused(gateway, "which is revoked")
        self.known.write_text("")
        self.assertRefused(gateway, f"ssh-keyscan -p {self.port} {HOST} >> {self.known}")
        self.known.write_text(f"{place} {self._public(self.host)}")
        self.assertCarries(gateway)

    def test_bulk(self) -> None:
        """
        200 MB each way at once, with every byte in its place; and a server that is not there.
        """
        up, down = StreamServer(self, summed), StreamServer(self, poured)
        pushing, pulling = (self.using(each.port, f":key={self.user}") for each in (up, down))
        self.assertBothWays(lambda: to(pulling.port), lambda: to(pushing.port))
        self.assertRefused(self.using(freePort(), f":key={self.user}"), "connection refused")

    def test_killed(self) -> None:
        """
        When the server dies the streams are cut, and the next ones come when it is back.
        """
        server = StreamServer(self, echo)
        gateway = self.using(server.port, f":key={self.user}")
        with socket.create_connection((HOST, gateway.port), DEADLINE) as connection:
            connection.sendall(b"hello")
            self.assertEqual(b"hello", readExactly(connection, 5))
            done = self.finish(["pkill", "-KILL", "-P", str(self.sshd.pid)])
            self.assertEqual(0, done.returncode)
            try:
                self.assertEqual(b"", connection.recv(1))
            except ConnectionResetError:
                pass
        self.assertCarries(gateway)


class OurselvesTests(SSHTestCase):
    """
    A gateway on either side.
    """

    def test_chain(self) -> None:
        """
        Two gates, one behind the other, each by the key of the identity.
        """
        server = StreamServer(self, echo)
        gates = [self.gate(name=f"gate{number}") for number in range(2)]
        scan = program("ssh-keyscan", "openssh-client")
        lines = [self.finish([scan, "-p", str(gate.port), HOST]).stdout.decode() for gate in gates]
        known = self.write("hosts", "".join(lines))
        chain = " -> ".join(f"ssh:bob@{HOST}:{gate.port}:known={known}" for gate in gates)
        side = self.ugate(
            *("--state", str(self.directory / "side"), "--route", f"*={chain}"),
            listen=f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{server.port}",
        )
        with socket.create_connection((HOST, side.port), DEADLINE) as connection:
            connection.sendall(b"hello")
            self.assertEqual(b"hello", readExactly(connection, 5), side.said())
        side.end()
        gates[0].waitFor(f"-> {HOST}:{gates[1].port} direct-tcpip")
        gates[1].waitFor(f"-> {HOST}:{server.port} direct-tcpip")
