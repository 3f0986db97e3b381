# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What people do through gates to machines behind them: copy files, clone repositories, reach a whole network.
"""

from __future__ import annotations

import getpass
import hashlib
import random
import sys
from pathlib import Path

from ugate.test.interop.namespaces import Host, hosts
from ugate.test.interop.processes import HOST, Gateway, program, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase, package, serveSSH, sshdCommand
from ugate.test.interop.targets import BLOCK

COPIED = 100
"""Megabytes of the file that is copied."""

_NETWORK = "10.91.8"


class JumpTestCase(SSHTestCase):
    """
    What these have in common: an sshd behind gates, and a configuration for C{ssh} that knows them.
    """

    def setUp(self) -> None:
        """
        Make the keys.
        """
        super().setUp()
        self.user = self.key("user")
        self.host = self.key("host")

    def sshd(self) -> str:
        """
        The configuration of an sshd that takes the key.
        """
        return (
            f"AuthorizedKeysFile {self.user}.pub\nStrictModes no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nPrintMotd no\nSubsystem sftp internal-sftp\n"
        )

    def client(self, **places: tuple[str, int]) -> str:
        """
        A file with the places of hosts, by their names.
        """
        lines = [
            *("Host *", f"IdentityFile {self.user}", "IdentitiesOnly yes", f"User {getpass.getuser()}"),
            *(f"UserKnownHostsFile {self.directory}/known", "StrictHostKeyChecking accept-new"),
            *("BatchMode yes", "LogLevel ERROR", "RekeyLimit 16M"),
        ]
        for name, (address, port) in places.items():
            lines += [f"Host {name}", f"HostName {address}", f"Port {port}"]
        return str(self.write("config", "\n".join([*lines, ""])))


class FileTests(JumpTestCase):
    """
    On loopback, two gates one behind the other.
    """

    limit = 300.0

    def setUp(self) -> None:
        super().setUp()
        self.port, _ = serveSSH(self, self.host, self.sshd())
        self.gates = [self.gate(name=f"gate{number}") for number in (1, 2)]
        places = {f"gate{number}": (HOST, gate.port) for number, gate in enumerate(self.gates, 1)}
        self.config = self.client(**places, inner=(HOST, self.port))

    def test_files(self) -> None:
        """
        A file is copied there and back again, with new keys of all connections every 16 MB; a repository is
        cloned by C{-J}, and what is changed in it pushed by C{-W}.
        """
        self._copies()
        self._clones()
        ways = zip(self.gates, (self.gates[1].port, self.port), strict=True)
        carried = [(gate, f"-> {HOST}:{port} direct-tcpip") for gate, port in ways]
        waitUntil(lambda: all(gate.said().count(way) == 4 for gate, way in carried), "four streams each")

    def _copies(self) -> None:
        scp = program("scp", "openssh-client")
        here, there, back = (self.directory / name for name in ("here", "there", "back"))
        with here.open("wb") as file:
            for _ in range(COPIED):
                file.write(BLOCK)
        command = [scp, "-q", "-F", self.config, "-J", "gate1,gate2"]
        for each in ((here, f"inner:{there}"), (f"inner:{there}", back)):
            done = self.finish([*command, *each])
            self.assertEqual((0, b""), (done.returncode, done.stderr))
        wanted, *got = (_digest(each) for each in (here, there, back))
        self.assertEqual([wanted, wanted], got)

    def _clones(self) -> None:
        bare, clone = self.directory / "bare", self.directory / "clone"
        self._git("init", "-q", "--bare", "-b", "main", str(bare))
        first = self.directory / "first"
        self._git("init", "-q", "-b", "main", str(first))
        for number in range(200):
            (first / f"{number}").write_bytes(random.Random(number).randbytes(50_000))
        self._commit(first)
        self._git("-C", str(first), "push", "-q", str(bare), "main")
        ssh = f"{self.ssh} -F {self.config}"
        url = f"ssh://inner{bare}"
        self._git("clone", "-q", url, str(clone), by=f"{ssh} -J gate1,gate2")
        self._git("-C", str(clone), "fsck", "--full", "--strict")
        self.assertEqual(self._git("-C", str(first), "rev-parse", "HEAD"), self._head(clone))
        (clone / "more").write_bytes(BLOCK)
        self._commit(clone)
        proxy = f"{ssh} -o ProxyCommand='{ssh} -J gate1 -W %h:%p gate2'"
        self._git("-C", str(clone), "push", "-q", "origin", "main", by=proxy)
        self.assertEqual(self._head(clone), self._git("-C", str(bare), "rev-parse", "main"))

    def _head(self, repository: Path) -> bytes:
        return self._git("-C", str(repository), "rev-parse", "HEAD")

    def _commit(self, repository: Path) -> None:
        self._git("-C", str(repository), "add", ".")
        self._git("-C", str(repository), "commit", "-q", "-m", "more")

    def _git(self, *arguments: str, by: str = "false") -> bytes:
        env = {"HOME": str(self.directory), "GIT_CONFIG_NOSYSTEM": "1", "GIT_SSH_COMMAND": by}
        who = ("-c", "user.name=bob", "-c", "user.email=bob@example.com")
        done = self.finish([program("git"), *who, *arguments], env=env)
        self.assertEqual((0, b""), (done.returncode, done.stderr), arguments)
        return done.stdout


class NetworkTests(JumpTestCase):
    """
    A laptop, a gate, and a machine in a network of its own behind it.
    """

    def test_sshuttle(self) -> None:
        """
        With sshuttle a program on the laptop reaches a server there, as if it was in that network.
        """
        package("sshuttle")
        curl, _ = program("curl"), program("nft", "nftables")
        found = hosts(self, ("laptop", "gate", "inner"), ipv6=False)
        laptop, inner = found["laptop"], found["inner"]
        # From there the laptop is reached, but not the other way.
        inner.ip("address", "add", f"{_NETWORK}.1/32", "dev", "lo")
        laptop.ip("route", "add", "unreachable", inner.ipv4)
        laptop.ip("route", "add", "default", "via", found["gate"].ipv4)
        (self.directory / "web").mkdir()
        (self.directory / "web" / "file").write_bytes(BLOCK * 4)
        web = [sys.executable, "-m", "http.server", "80", "--bind", f"{_NETWORK}.1", "-d"]
        self.spawn(inner.inside(*web, str(self.directory / "web")))
        sshd = self.spawn(inner.inside(*sshdCommand(self, inner.ipv4, 22, self.host, self.sshd())))
        sshd.waitFor("Server listening")
        gateway = self._gate(found["gate"])
        config = self.client(gate=(found["gate"].ipv4, gateway.port))
        command = [sys.executable, "-m", "sshuttle", "--method", "nft", "--python", sys.executable]
        command += ["-e", f"{self.ssh} -F {config} -J gate", "-r", inner.ipv4, f"{_NETWORK}.0/24"]
        get = laptop.inside(curl, "-s", "--max-time", "20", f"http://{_NETWORK}.1/file")
        self.assertNotEqual(0, self.finish([*get, "--connect-timeout", "1"]).returncode)
        shuttle = self.spawn(laptop.inside(*command))
        shuttle.waitFor("Connected")
        done = self.finish(get)
        self.assertTrue(done.stdout == BLOCK * 4, (done, shuttle.said()))
        shuttle.end()
        gateway.waitFor(f"-> {inner.ipv4}:22 direct-tcpip")

    def _gate(self, host: Host) -> Gateway:
        keys = self.write("keys", self.user.with_suffix(".pub").read_text())
        return self.ugate(
            *("--state", str(self.directory / "id")),
            config=f"listen: {{main: 'ssh:tcp:0:interface={host.ipv4}'}}\n"
            f"policy: {{keys: {keys}, rules: [{{action: allow, who: 'key:user', target: '*:22'}}]}}\n",
            inside=host.inside,
        )


def _digest(path: Path) -> str:
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            seen.update(data)
    return seen.hexdigest()
