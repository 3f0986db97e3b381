# -*- test-case-name: ugate.test.test_capturesteps -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is done to let the kernel lead connections to a listener, and to let it be as before: commands, in words
and in deed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ugate.errors import UgateError
from ugate.modules.captureiptables import chainNames, hooks, restoreText
from ugate.modules.capturenft import chainsOf, tableText
from ugate.modules.capturesection import BOTH, OPEN, OUT, TPROXY, CaptureSection

LIMIT: Final = 20.0
"""Seconds that a command may take."""

_EVERYWHERE: Final = {4: "0.0.0.0/0", 6: "::/0"}
_SHOWN: Final = 500


class CannotCapture(UgateError):
    """
    The rules cannot be made, or not be removed: the message has what the kernel, or the tool, says.

    @since: ugate NEXT
    """


@dataclass(frozen=True, slots=True)
class Step:
    """
    One command.
    """

    argv: tuple[str, ...]
    """The program and its arguments."""

    text: str = ""
    """What it reads on its standard input."""

    mayFail: bool = False
    """Whether it is no mistake if there is nothing to do for it."""

    def __str__(self) -> str:
        line = shlex.join(self.argv)
        if self.mayFail:
            line += " 2>/dev/null || true"
        return f"{line} <<'END'\n{self.text}END" if self.text else line


def toolFor(section: CaptureSection, find: Callable[[str], str | None] = shutil.which) -> str:
    """
    What makes the rules of a section.

    @param find: where a program is.
    @raise CannotCapture: it is not installed.
    """
    wanted = ("nft", "iptables") if section.tool == "auto" else (section.tool,)
    if section.mode == TPROXY:
        wanted = ("nft",)
    for tool in wanted:
        if find(tool) is not None:
            return tool
    raise CannotCapture(
        f"{' and '.join(wanted)} cannot be found: install nftables"
        + (", or iptables" if len(wanted) > 1 else "")
    )


def checkMark(section: CaptureSection, mark: int) -> None:
    """
    Whether our own connections can be told from those that are led here.

    @param mark: what they are marked with; 0 for nothing.
    @raise CannotCapture: they cannot.
    """
    if section.mode == TPROXY and mark == section.table:
        raise CannotCapture(
            f"node.mark is {mark}, and that marks what is led here: let table be another number"
        )
    if section.direction in (OUT, BOTH) and not mark and not section.exclude.hasOwners:
        raise CannotCapture(
            "our own connections would be captured again, since node.mark is 0: let it (--mark) be something "
            "else, or name the user that ugate runs as in exclude.users (--not-user)"
        )


def tableOf(name: str) -> str:
    """
    What the table of nft is called.
    """
    return f"ugate_{name}"


def _versions(section: CaptureSection) -> tuple[int, ...]:
    return (4, 6) if section.ipv6 else (4,)


def up(name: str, section: CaptureSection, mark: int, tool: str) -> list[Step]:
    """
    What lets the kernel lead connections to the listener, whatever was there under this name.

    @param mark: what our own connections are marked with; 0 for nothing.
    @param tool: C{nft} or C{iptables}.
    """
    if tool == "nft":
        table = tableOf(name)
        # The first two lines remove it if it is there; all three happen at once.
        fresh = f"add table inet {table}\ndelete table inet {table}\n"
        steps = [Step(("nft", "-f", "-"), fresh + tableText(table, chainsOf(section, mark)))]
        return [*routes(section), *steps]
    steps = down(name, section, tool)
    for version, prefix in _iptables(section):
        text = restoreText(name, section, mark, version)
        steps.append(Step((f"{prefix}-restore", "--wait", "10", "--noflush"), text))
    return steps


def down(name: str, section: CaptureSection, tool: str) -> list[Step]:
    """
    What lets all be as before.
    """
    if tool == "nft":
        table = tableOf(name)
        gone = Step(("nft", "-f", "-"), f"add table inet {table}\ndelete table inet {table}\n")
        return [gone, *noRoutes(section)]
    steps = []
    for _, prefix in _iptables(section):
        command = (prefix, "--wait", "10", "--table", "nat")
        chains = chainNames(name, section)
        for hook in hooks(section):
            first = chains[3 * hooks(section).index(hook)]
            steps.append(Step((*command, "-D", hook, "-p", "tcp", "-j", first), mayFail=True))
        steps += [Step((*command, "-F", chain), mayFail=True) for chain in chains]
        steps += [Step((*command, "-X", chain), mayFail=True) for chain in chains]
    return steps


def _iptables(section: CaptureSection) -> Iterator[tuple[int, str]]:
    for version in _versions(section):
        yield version, "iptables" if version == 4 else "ip6tables"


def routes(section: CaptureSection) -> list[Step]:
    """
    What is marked for it stays on this machine, wherever it was to go.
    """
    if section.mode != TPROXY:
        return []
    steps = []
    for version in _versions(section):
        command, table = ("ip", f"-{version}"), str(section.table)
        rule = ("fwmark", table, "lookup", table)
        steps += [
            Step((*command, "rule", "del", *rule), mayFail=True),
            Step((*command, "rule", "add", *rule)),
            Step((*command, "route", "replace", "local", _EVERYWHERE[version], "dev", "lo", "table", table)),
        ]
    return steps


def noRoutes(section: CaptureSection) -> list[Step]:
    """
    It does not any more.
    """
    if section.mode != TPROXY:
        return []
    steps = []
    for version in _versions(section):
        command, table = ("ip", f"-{version}"), str(section.table)
        steps += [
            Step((*command, "rule", "del", "fwmark", table, "lookup", table), mayFail=True),
            Step((*command, "route", "flush", "table", table), mayFail=True),
        ]
    return steps


def take(steps: Iterable[Step]) -> None:
    """
    Do it.

    @raise CannotCapture: one of them failed; those before it are done.
    """
    for step in steps:
        try:
            done = subprocess.run(
                step.argv, input=step.text, capture_output=True, text=True, check=False, timeout=LIMIT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotCapture(f"{shlex.join(step.argv)}: {error}") from error
        if done.returncode and not step.mayFail:
            raise CannotCapture(f"{shlex.join(step.argv)}: {_said(done.stderr)}")


def _said(text: str) -> str:
    said = " ".join(text.split())[:_SHOWN] or "it failed"
    if "Operation not permitted" in said or "Permission denied" in said:
        said += "; it needs root, or CAP_NET_ADMIN"
    return said


def ipv6IsThere() -> bool:
    """
    Whether this machine has IPv6.
    """
    return os.path.exists("/proc/net/if_inet6")


def isOpen(section: CaptureSection) -> bool:
    """
    Whether connections go past ugate while that is not there.
    """
    return section.failure == OPEN
