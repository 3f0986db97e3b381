# -*- test-case-name: ugate.test.test_capturerules -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The rules that redirect connections to a listener, as iptables-restore reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ugate.modules.capturenft import networksOf, portsOf
from ugate.modules.capturesection import BOTH, FORWARD, OUT, CaptureSection, Selection

_NOT_REMOTE = {4: ("LOCAL", "BROADCAST", "ANYCAST", "MULTICAST"), 6: ("LOCAL", "ANYCAST", "MULTICAST")}
_LINK_LOCAL = {4: "169.254.0.0/16", 6: "fe80::/10"}


def chainOf(name: str, which: str) -> str:
    """
    What a chain is called.
    """
    return f"ugate_{name}_{which}"


def hooks(section: CaptureSection) -> tuple[str, ...]:
    """
    Where the kernel begins.
    """
    before = ("OUTPUT",) if section.direction in (OUT, BOTH) else ()
    return before if section.direction == OUT else (*before, "PREROUTING")


def chainNames(name: str, section: CaptureSection) -> list[str]:
    """
    All chains, those that lead to others first.
    """
    found = []
    for hook in hooks(section):
        short = hook[:3].lower()
        found += [chainOf(name, f"{short}{part}") for part in ("", "_net", "_port")]
    return found


def _owners(selection: Selection) -> Iterator[str]:
    for user in selection.users:
        yield f"-m owner --uid-owner {user}"
    for group in selection.groups:
        yield f"-m owner --gid-owner {group}"
    for path in selection.cgroups:
        yield f"-m cgroup --path {path}"


def _ports(selection: Selection) -> Iterator[str]:
    for low, high in portsOf(selection.ports):
        yield f"-p tcp --dport {low}" if low == high else f"-p tcp --dport {low}:{high}"


def _chains(name: str, section: CaptureSection, mark: int, hook: str, version: int) -> Iterator[str]:
    """
    The rules of one hook: what stays as it is; then, in a chain each, which networks and which ports.
    """
    short = hook[:3].lower()
    first, nets, ports = (chainOf(name, f"{short}{part}") for part in ("", "_net", "_port"))
    isOut = hook == "OUTPUT"
    end = "-d" if isOut or section.direction == FORWARD else "-s"
    out = []
    if isOut:
        if mark:
            out.append(f"-m mark --mark {mark:#x}")
        out += _owners(section.exclude)
    else:
        out.append("-i lo")
    if end == "-d":
        out += [f"-m addrtype --dst-type {kind}" for kind in _NOT_REMOTE[version]]
        out.append(f"-d {_LINK_LOCAL[version]}")
    else:
        out.append("-m addrtype ! --dst-type LOCAL")
    out += [f"{end} {network}" for network in networksOf(section.exclude.networks, version)]
    out += _ports(section.exclude)
    yield from (f"-A {first} {match} -j RETURN" for match in out)
    owners = list(_owners(section.include)) if isOut else []
    yield from (f"-A {first} {match} -g {nets}" for match in owners)
    if not owners:
        yield f"-A {first} -g {nets}"
    if section.include.networks:
        networks = networksOf(section.include.networks, version)
        yield from (f"-A {nets} {end} {network} -g {ports}" for network in networks)
    else:
        yield f"-A {nets} -g {ports}"
    redirect = f"-j REDIRECT --to-ports {section.port}"
    for match in list(_ports(section.include)) or ["-p tcp"]:
        yield f"-A {ports} {match} {redirect}"
    yield f"-A {hook} -p tcp -j {first}"


def restoreText(name: str, section: CaptureSection, mark: int, version: int) -> str:
    """
    All that C{iptables-restore --noflush} needs, or with 6 as the version C{ip6tables-restore}.

    @param mark: what our own connections are marked with; 0 for nothing.
    """
    lines = ["*nat", *(f":{chain} - [0:0]" for chain in chainNames(name, section))]
    for hook in hooks(section):
        lines += _chains(name, section, mark, hook, version)
    return "\n".join([*lines, "COMMIT", ""])
