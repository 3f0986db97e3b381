# -*- test-case-name: bench.test_ssh -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Servers of SSH behind the client of OpenSSH, which has a port for each target (C{ssh -L}): ugate's C{ssh:},
asyncssh, and OpenSSH's own.

All let one ed25519 key in, and speak the same cipher.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from abc import abstractmethod
from pathlib import Path

from bench.contestants import FORWARD, SSH, Command, Contestant, Hop, firstLine, onPath
from bench.dial import HOST
from bench.ours import Ugate, twistd

_CIPHER = "aes128-gcm@openssh.com"
_SEPARATED = Path("/run/sshd")
_ENTRY = "echo"
"""Of the ports that a server listens on, the one that clients take."""


def key(directory: Path, name: str) -> Path:
    """
    A key, made when it is first asked for; what is public of it is beside it, in C{.pub}.

    @param directory: where it is kept.
    @param name: whose it is.
    @return: its file.
    """
    path = directory / f"ssh-{name}"
    if not path.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(argv, capture_output=True, check=True)
    return path


def client(shared: Path, port: int) -> list[str]:
    """
    The client of OpenSSH, up to what it shall do.

    @param shared: where keys are.
    @param port: of the server.
    @return: the beginning of a command.
    """
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
    options += ["IdentitiesOnly=yes", "ExitOnForwardFailure=yes", f"Ciphers={_CIPHER}"]
    said = [each for option in options for each in ("-o", option)]
    where = ["-p", str(port), "-l", getpass.getuser(), "-i", str(key(shared, "client"))]
    return [onPath("ssh"), "-F", "none", *said, *where]


def policy(keys: Path) -> dict[str, object]:
    """
    @param keys: a file of public keys.
    @return: ugate's policy: who has one of them may go to this machine.
    """
    return {
        "keys": str(keys),
        "rules": [{"action": "allow", "who": "key:*"}],
        "private": "allow",
    }


class Server(Contestant):
    """
    One server, and the client before it.
    """

    speaks = FORWARD
    fronts = (SSH,)
    leastHops = 2
    peers = 1
    alone = True

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return "" if onPath("ssh") else "no ssh program: apt install openssh-client"

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        if not hop.isFirst:
            return self.server(hop)
        argv = client(hop.shared, hop.onward[_ENTRY])
        for name, port in hop.listen.items():
            argv += ["-L", f"{HOST}:{port}:{HOST}:{hop.targets[name]}"]
        return Command([*argv, "-N", HOST])

    @abstractmethod
    def server(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """


class SSHUgate(Server, Ugate):
    """
    C{ssh:}.
    """

    name = "ugate-ssh"
    fronts = Server.fronts

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return Server.missing(self) or Ugate.missing(self)

    def server(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        sections = {
            "node": {"flows": "quiet"},
            "policy": policy(key(hop.shared, "client").with_suffix(".pub")),
            "listen": {name: f"ssh:tcp:{port}:interface={HOST}" for name, port in hop.listen.items()},
        }
        config = hop.directory / "ugate.json"
        config.write_text(json.dumps(sections), encoding="utf-8")
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate"]
        return Command([*argv, "--state", str(hop.directory / "state"), "--config", str(config)])


class AsyncSSH(Server):
    """
    asyncssh, with a small server around it: L{bench.asyncsshd}.
    """

    name = "asyncssh"

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return super().missing() or (
            "" if importlib.util.find_spec("asyncssh") else "no asyncssh: pip install asyncssh"
        )

    def version(self) -> str:
        """
        @return: its version.
        """
        return importlib.metadata.version("asyncssh")

    def server(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        mine, theirs = key(hop.shared, "host"), key(hop.shared, "client").with_suffix(".pub")
        ports = [str(port) for port in hop.listen.values()]
        return Command([sys.executable, "-m", "bench.asyncsshd", str(mine), str(theirs), *ports])


class OpenSSH(Server):
    """
    OpenSSH's server.
    """

    name = "sshd"

    def missing(self) -> str:
        """
        @return: why it cannot run.
        """
        return super().missing() or ("" if onPath("sshd") else "no sshd program: apt install openssh-server")

    def version(self) -> str:
        """
        @return: that of the client, which is of the same package.
        """
        done = subprocess.run([onPath("ssh"), "-V"], capture_output=True, text=True, check=False)
        return done.stderr.split(",")[0].strip() or firstLine([onPath("ssh"), "-V"])

    def server(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        if os.geteuid() == 0:
            # What its service makes when it starts.
            _SEPARATED.mkdir(mode=0o755, exist_ok=True)
        lines = [f"ListenAddress {HOST}:{port}" for port in hop.listen.values()]
        lines += [f"HostKey {key(hop.shared, 'host')}", "PidFile none", "UsePAM no", "StrictModes no"]
        lines += [f"AuthorizedKeysFile {key(hop.shared, 'client').with_suffix('.pub')}", "MaxStartups 1000"]
        config = hop.directory / "sshd.conf"
        config.write_text("\n".join(lines) + "\n")
        return Command([onPath("sshd"), "-D", "-e", "-f", str(config)])
