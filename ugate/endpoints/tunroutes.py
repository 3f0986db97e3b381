# -*- test-case-name: ugate.test.test_tunroutes,ugate.test.interop.test_tun -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What leads the traffic of this machine into a TUN device, and lets it be as before: lines for C{ip -batch}.

There are rules for programs that leave it to the kernel which address they come from.  So whoever answers
from an address of this host, as its servers do, is not led away; nor is what has our mark.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any, Final, TypeAlias

from ugate.errors import ListenRefused

Interface: TypeAlias = IPv4Interface | IPv6Interface
Network: TypeAlias = IPv4Network | IPv6Network

PATIENCE: Final = 10.0
"""Seconds that C{ip} may take."""

_NEVER: Final[dict[int, tuple[Network, ...]]] = {
    4: tuple(map(IPv4Network, ("169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"))),
    6: tuple(map(IPv6Network, ("fe80::/10", "ff00::/8"))),
}
"""What is for the neighbours on a link."""

_SHOWN: Final = 300
_SETTINGS: Final = Path("/proc/sys/net/ipv4/conf")


@dataclass(frozen=True, slots=True)
class Way:
    """
    What goes into a device.
    """

    device: str
    """Its name."""

    addresses: tuple[Interface, ...]
    """Its own, at most one of each version, with the networks that they are in."""

    routes: tuple[Network, ...]
    """What is led there."""

    exclude: tuple[Network, ...]
    """What of it is not."""

    mtu: int
    """How long packets may be."""

    table: int
    """The number of the table of routes, and of the first of our rules."""

    forward: tuple[Network, ...] = ()
    """For which other machines' packets, that pass through this one, all that holds, too."""

    @property
    def versions(self) -> tuple[int, ...]:
        """
        Of which it has an address.
        """
        return tuple(address.version for address in self.addresses)


def upLines(way: Way, mark: int, version: int) -> Iterator[str]:
    """
    What is done for one version of IP.

    @param mark: what our own connections are marked with.
    """
    own = next(each for each in way.addresses if each.version == version)
    device, table = way.device, way.table
    last = table + 5
    yield f"link set {device} addrgenmode none"
    yield f"link set {device} up mtu {way.mtu}"
    # Only what comes from there knows the way to its neighbour.
    yield f"address replace {own} dev {device} noprefixroute{' nodad' if version == 6 else ''}"
    yield f"route replace {own.ip + 1} dev {device} table {table}"
    routes = [each for each in way.routes if each.version == version]
    excluded = [each for each in (*way.exclude, *_NEVER[version]) if each.version == version]
    for network in dict.fromkeys(routes):
        yield f"route replace {network} dev {device} table {table}"
    for network in dict.fromkeys(excluded):
        yield f"route replace throw {network} table {table}"
    if any(not each.prefixlen for each in routes):
        # Who is led all away still has neighbours.
        yield f"rule add pref {table} lookup main suppress_prefixlength 0"
    yield f"rule add pref {table + 1} fwmark {mark:#x} goto {last}"
    yield f"rule add pref {table + 2} from {own.ip} iif lo lookup {table}"
    others = [each for each in way.forward if each.version == version]
    if others:
        # What this machine answers itself, and what comes out of the device, is none of theirs.
        for name in ("lo", device):
            yield f"rule add pref {table + 2} iif {name} goto {table + 3}"
    for network in others:
        yield f"rule add pref {table + 2} from {network} lookup {table}"
    if version == 4:
        yield f"rule add pref {table + 3} from 0.0.0.0/32 lookup {table}"
    else:
        yield f"rule add pref {table + 3} from ::/1 goto {last}"
        yield f"rule add pref {table + 3} from 8000::/1 goto {last}"
        yield f"rule add pref {table + 4} lookup {table}"
    yield f"rule add pref {last} nop"


def downLines(way: Way, version: int) -> Iterator[str]:
    """
    What lets it be as before, when the device is gone.
    """
    others = sum(each.version == version for each in way.forward)
    for offset in (0, 1, *[2] * (1 + bool(others) * 2 + others), 3, 3, 4, 5):
        yield f"rule del pref {way.table + offset}"
    yield f"route flush table {way.table}"


def loosen(device: str, base: Path = _SETTINGS) -> None:
    """
    Let packets out of a device that come from elsewhere than routes lead to by it: where a machine looks at
    that (RFC 3704), it need only know some way to there.

    @raise ListenRefused: it may not be changed.
    """
    try:
        all, own = (int((base / name / "rp_filter").read_text()) for name in ("all", device))
        wanted = 2 if all else 0
        if max(all, own) != wanted:
            (base / device / "rp_filter").write_text(str(wanted))
    except (OSError, ValueError) as error:
        raise ListenRefused(
            f"answers for other machines cannot leave {device}: {error}; let it write "
            f"net.ipv4.conf.{device}.rp_filter, or leave out forward="
        ) from error


def _script(way: Way) -> str:
    """
    For a shell, which does this when its standard input ends.
    """
    lines = ["cat > /dev/null"]
    for version in way.versions:
        text = "\n".join(downLines(way, version))
        lines.append(f"printf '%s\\n' {shlex.quote(text)} | ip -{version} -force -batch - 2> /dev/null")
    return "\n".join(lines)


class Routes:
    """
    The routes and rules of a device, as long as this is there: a shell that waits for the end of this process
    removes them, however it ends.

    @since: ugate NEXT
    """

    def __init__(
        self,
        way: Way,
        mark: int,
        *,
        loosen: Callable[[str], object] = loosen,
        run: Callable[..., Any] = subprocess.run,
        spawn: Callable[..., Any] = subprocess.Popen,
    ) -> None:
        """
        @param mark: what our own connections are marked with.
        @param loosen: lets answers for others out of a device.
        @param run: runs a program to its end.
        @param spawn: starts one.
        """
        self._way = way
        self._mark = mark
        self._loosen = loosen
        self._run = run
        self._spawn = spawn
        self._process: Any = None

    def up(self) -> None:
        """
        Make them.

        @raise ListenRefused: they cannot be, and why; then none is there.
        """
        way = self._way
        self._checkFree()
        # What somebody left behind who was ended together with his shell.
        self._batch("sh", "-c", _script(way), lines=())
        try:
            self._process = self._spawn(
                ("sh", "-c", _script(way)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ListenRefused(f"sh cannot be started: {error}") from error
        for version in way.versions:
            lines = upLines(way, self._mark, version)
            said = self._batch("ip", f"-{version}", "-batch", "-", lines=lines)
            if said is not None:
                self.down()
                step = (
                    f"; without IPv6, let it be addresses={way.addresses[0]}"
                    if len(way.addresses) > 1
                    else ""
                )
                raise ListenRefused(
                    f"the routes of {way.device} (IPv{version}) cannot be set: "
                    f"{said or 'ip says nothing'}{step if version == 6 else ''}"
                )
        if any(each.version == 4 for each in way.forward):
            try:
                self._loosen(way.device)
            except ListenRefused:
                self.down()
                raise

    def _checkFree(self) -> None:
        """
        @raise ListenRefused: there is a device already that has our table.
        """
        table = self._way.table
        for version in self._way.versions:
            found = self._ask("ip", f"-{version}", "route", "show", "table", str(table))
            other = None if isinstance(found, str) else re.search(r" dev (\S+)", found.stdout)
            if other is not None:
                raise ListenRefused(
                    f"the routing table {table} has routes of {other[1]}: give this device another table=, "
                    "a few numbers apart"
                )

    def _ask(self, *argv: str, text: str = "") -> Any:
        """
        @return: what came of a program; or in words, why it did not run.
        """
        try:
            return self._run(argv, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE)
        except FileNotFoundError:
            return f"there is no program {argv[0]}: install iproute2"
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)

    def _batch(self, *argv: str, lines: Any) -> str | None:
        """
        @return: what it says against it; L{None} if it did it.
        """
        done = self._ask(*argv, text="".join(f"{line}\n" for line in lines))
        if isinstance(done, str):
            return done
        return " ".join(done.stderr.split())[:_SHOWN] if done.returncode else None

    def down(self) -> None:
        """
        Remove them.
        """
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.stdin.close()
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
