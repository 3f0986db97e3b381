# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What every contestant must say of itself, so that the bench can run it; and the one that is no proxy at all.
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOCKS5 = "socks5"
"""Speaks SOCKS5 on one port."""

FORWARD = "forward"
"""Has a port for each target, and a plain connection instead of a handshake."""

CAPTURED = "captured"
"""Is led there by the kernel, while the load goes straight to the targets."""

NONE = "none"
"""Is not there: the load goes straight to the targets."""

PLAIN = "plain"
"""A front: a port for each target, for contestants that have others as well."""

TLS = "tls"
"""A front: a port for each target that ends TLS."""

SNI = "sni"
"""A front: a port for each target whose TLS passes through unopened, by the name that it asks for."""

RELAY = "relay"
"""A front: the same, led on by a gate to a node without an address, which leads it to the target."""

SSH = "ssh"
"""A front: a port for each target of a client of SSH, which forwards it through the contestant."""

TUN = "tun"
"""A front: a TUN device, whose packets are as long as those of Ethernet."""

TUN_LONG = "tun-9000"
"""A front: the same with long ones."""

DNS = "dns"
"""A front: a port that answers questions of the DNS."""

_LOWEST, _HIGHEST = 10240, 32767
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Hop:
    """
    One instance to start.
    """

    directory: Path
    """Where it may write its config and its log."""

    listen: Mapping[str, int]
    """The ports it listens on: C{socks}, or one for each target by name."""

    onward: Mapping[str, int] = field(default_factory=dict)
    """Where it sends streams: the next one's C{socks} port, or nothing, or a port for each target."""

    front: str = ""
    """One of the fronts above; or nothing, for what the contestant speaks."""

    isFirst: bool = True
    """Whether clients talk to it, and not another instance."""

    targets: Mapping[str, int] = field(default_factory=dict)
    """The targets' own ports by name."""

    @property
    def shared(self) -> Path:
        """A directory that lasts as long as the run."""
        return self.directory.parents[1]

    @property
    def socks(self) -> int:
        """The SOCKS port."""
        return self.listen["socks"]

    @property
    def upstream(self) -> int:
        """The SOCKS port of the next instance, or 0."""
        return self.onward.get("socks", 0)


@dataclass(frozen=True, slots=True)
class Command:
    """
    How to start an instance.
    """

    argv: Sequence[str]
    """The command."""

    env: Mapping[str, str] = field(default_factory=dict)
    """Variables to add to the environment."""

    accepts: bool = True
    """Whether it listens on its ports; or it goes to the next instance, which does."""

    isUp: Callable[[], bool] | None = None
    """Says whether it is up, if it has no ports."""


class Contestant(ABC):
    """
    Something to measure.

    @cvar name: its name in tables and options.
    @cvar speaks: L{SOCKS5}, L{FORWARD}, L{CAPTURED} or L{NONE}.
    @cvar hops: how many instances can be chained.
    @cvar fronts: what else it can be reached by, of those above.
    @cvar leastHops: how many have to be.
    @cvar alone: whether it has a part in the rows of its fronts only.
    @cvar apart: whether it is in a network namespace of its own.
    @cvar peers: how many instances, of the first ones, are not what is measured, but a client that all have.
    @cvar datagrams: whether it takes datagrams by SOCKS5, or is no proxy.
    """

    name: str
    speaks: str
    hops: int = 2
    fronts: Collection[str] = ()
    leastHops: int = 1
    peers: int = 0
    alone: bool = False
    apart: bool = False
    datagrams: bool = False

    @abstractmethod
    def missing(self) -> str:
        """
        @return: why it cannot run here, and what to install; empty if it can.
        """

    @abstractmethod
    def version(self) -> str:
        """
        @return: its version, in one line.
        """

    @abstractmethod
    def command(self, hop: Hop) -> Command:
        """
        Write what config it needs.

        @param hop: the instance to start.
        @return: how to start it.
        """


class Direct(Contestant):
    """
    No proxy: what the machine and the load itself can do.
    """

    name = "direct"
    speaks = NONE
    hops = 1
    datagrams = True

    def missing(self) -> str:
        """
        @return: nothing.
        """
        return ""

    def version(self) -> str:
        """
        @return: a dash.
        """
        return "-"

    def command(self, hop: Hop) -> Command:
        """
        @raise ValueError: always; there is nothing to start.
        """
        raise ValueError("direct has no instance to start")


def freePort() -> int:
    """
    Find a port that nobody listens on.  It lies below the range that outgoing connections take theirs from,
    so that the load cannot take it before the proxy does.

    @return: the port.
    @raise OSError: if none was found.
    """
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, _HIGHEST)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port on 127.0.0.1 between {_LOWEST} and {_HIGHEST}")


def onPath(name: str) -> str:
    """
    Find a program, also where Debian keeps those of the administrator.

    @param name: its name.
    @return: its path, or an empty string.
    """
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin") or ""


def firstLine(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """
    Ask a program for its version.

    @param argv: the command.
    @param env: its whole environment, if not ours.
    @return: the first line it prints that is not empty, or C{unknown}.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = [line.strip() for line in (done.stdout or done.stderr).splitlines() if line.strip()]
    return lines[0] if lines and not done.returncode else "unknown"
