# -*- test-case-name: ugate.test.test_capturerules -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The rules that lead connections to a listener, as nft reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network
from typing import Any

from ugate.modules.capturesection import BOTH, FORWARD, OPEN, OUT, TCP, TPROXY, UDP, CaptureSection, Selection


@dataclass(frozen=True, slots=True)
class Chain:
    """
    Rules in their order.
    """

    name: str
    """What it is called."""

    rules: tuple[str, ...]
    """One each."""

    hook: str = ""
    """Where the kernel begins with it; empty for one that others lead to."""


def networksOf(texts: Iterable[str], version: int) -> list[str]:
    """
    The networks of one family, none of which is within another.
    """
    found: Any = [each for each in map(ip_network, texts) if each.version == version]
    return [str(each) for each in collapse_addresses(found)]


def portsOf(texts: Iterable[str]) -> list[tuple[int, int]]:
    """
    Ranges of ports, of which no two have one in common, or are beside each other.
    """
    found: list[tuple[int, int]] = []
    for low, high in sorted((int(text.partition("-")[0]), int(text.rpartition("-")[2])) for text in texts):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found


def _set(elements: Iterable[str]) -> str:
    return f"{{ {', '.join(elements)} }}"


def _ports(texts: Iterable[str]) -> str:
    return _set(f"{low}" if low == high else f"{low}-{high}" for low, high in portsOf(texts))


def _owners(selection: Selection, verdict: str) -> Iterator[str]:
    if selection.users:
        yield f"meta skuid {_set(selection.users)} {verdict}"
    if selection.groups:
        yield f"meta skgid {_set(selection.groups)} {verdict}"
    for path in selection.cgroups:
        yield f'socket cgroupv2 level {path.count("/") + 1} "{path}" {verdict}'


def _excluded(section: CaptureSection, end: str) -> Iterator[str]:
    exclude = section.exclude
    for version, family in ((4, "ip"), (6, "ip6")):
        networks = networksOf(exclude.networks, version)
        if networks:
            yield f"{family} {end} {_set(networks)} accept"
    if exclude.ports:
        yield f"th dport {_ports(exclude.ports)} accept"


def _included(section: CaptureSection, end: str) -> Iterator[str]:
    include = section.include
    if include.networks:
        for version, family, protocol in ((4, "ip", "ipv4"), (6, "ip6", "ipv6")):
            networks = networksOf(include.networks, version)
            if networks:
                yield f"{family} {end} != {_set(networks)} accept"
            else:
                yield f"meta nfproto {protocol} accept"
    if include.ports:
        yield f"th dport != {_ports(include.ports)} accept"


def _protocols(section: CaptureSection) -> str:
    names = sorted(set(section.protocols))
    return names[0] if len(names) == 1 else _set(names)


def _elsewhere(section: CaptureSection) -> Iterator[str]:
    """
    What stays as it is, wherever it comes from.
    """
    yield f"meta l4proto != {_protocols(section)} accept"
    if not section.ipv6:
        yield "meta nfproto ipv6 accept"


_LATER = "tcp flags & (fin | syn | rst | ack) != syn"
"""All packets of a connection but its first."""

_NOT_REMOTE = (
    "fib daddr type { local, broadcast, anycast, multicast } accept",
    "ip daddr 169.254.0.0/16 accept",
    "ip6 daddr fe80::/10 accept",
)


def _output(section: CaptureSection, mark: int, action: Sequence[str]) -> tuple[str, ...]:
    """
    For what programs of this machine open.
    """
    owners = tuple(_owners(section.include, "goto led"))
    return (
        *_elsewhere(section),
        *((f"meta mark {mark:#x} accept",) if mark else ()),
        *_NOT_REMOTE,
        *_owners(section.exclude, "accept"),
        *_excluded(section, "daddr"),
        *(owners or action),
    )


def _led(section: CaptureSection, action: Sequence[str]) -> tuple[Chain, ...]:
    """
    For those of them that are included by their owner.
    """
    return (Chain("led", tuple(action)),) if section.include.hasOwners else ()


def _arriving(section: CaptureSection) -> tuple[str, ...]:
    """
    For what comes from other machines.
    """
    if section.direction == FORWARD:
        return (*_NOT_REMOTE, *_excluded(section, "daddr"), *_included(section, "daddr"))
    here = "fib daddr type != local accept"
    return (here, *_excluded(section, "saddr"), *_included(section, "saddr"))


def redirectChains(section: CaptureSection, mark: int) -> tuple[Chain, ...]:
    """
    The chains of mode redirect.
    """
    action = f"meta l4proto tcp redirect to :{section.port}"
    chains: tuple[Chain, ...] = ()
    if section.direction in (OUT, BOTH):
        led = (*_included(section, "daddr"), action)
        hook = "type nat hook output priority -100; policy accept;"
        chains = (*_led(section, led), Chain("output", _output(section, mark, led), hook))
    if section.direction != OUT:
        rules = (*_elsewhere(section), 'iifname "lo" accept', *_arriving(section), action)
        chains = (
            *chains,
            Chain("prerouting", rules, "type nat hook prerouting priority -100; policy accept;"),
        )
    return chains


def tproxyChains(section: CaptureSection, mark: int) -> tuple[Chain, ...]:
    """
    The chains of mode tproxy.  Only the first packet of a connection can be led elsewhere; its others are
    known by its socket, or, where they are sent, by the mark of the connection.
    """
    table, port = section.table, section.port
    steer = f"meta mark set {table} accept"
    kinds = f"meta l4proto {_protocols(section)}"
    action = [f"meta nfproto ipv4 {kinds} tproxy ip to 127.0.0.1:{port} {steer}"]
    if section.ipv6:
        action.append(f"meta nfproto ipv6 {kinds} tproxy ip6 to [::1]:{port} {steer}")
    if section.failure != OPEN:
        # The kernel comes so far only if nobody listens. Datagrams of this machine it then refuses itself.
        refusals = {
            TCP: "meta l4proto tcp reject with tcp reset",
            UDP: 'iifname != "lo" meta l4proto udp reject',
        }
        action += [refusals[each] for each in sorted(set(section.protocols))]
    chains: list[Chain] = [Chain("here", tuple(action))]
    local = []
    if section.direction in (OUT, BOTH):
        led = (
            *_included(section, "daddr"),
            f"ct state new ct mark set {table}",
            f"ct mark {table} ct direction original meta mark set {table}",
        )
        hook = "type route hook output priority -150; policy accept;"
        chains += [*_led(section, led), Chain("output", _output(section, mark, led), hook)]
        local = [f'iifname "lo" meta mark {table} goto here']
    rules = [
        *_elsewhere(section),
        *((f"{_LATER} socket transparent 1 {steer}", f"{_LATER} accept") if TCP in section.protocols else ()),
        *local,
        'iifname "lo" accept',
    ]
    if section.direction != OUT:
        rules += [*_arriving(section), "goto here"]
    chains.append(
        Chain("prerouting", tuple(rules), "type filter hook prerouting priority -150; policy accept;")
    )
    return tuple(chains)


def chainsOf(section: CaptureSection, mark: int) -> tuple[Chain, ...]:
    """
    The chains of a section.

    @param mark: what our own connections are marked with; 0 for nothing.
    """
    return (tproxyChains if section.mode == TPROXY else redirectChains)(section, mark)


def tableText(name: str, chains: Iterable[Chain]) -> str:
    """
    A table, as people read it.
    """
    lines = [f"table inet {name} {{"]
    for chain in chains:
        lines.append(f"    chain {chain.name} {{")
        lines += [f"        {line}" for line in (*filter(None, (chain.hook,)), *chain.rules)]
        lines.append("    }")
    return "\n".join([*lines, "}", ""])


def ownedTable(name: str, chains: Iterable[Chain]) -> str:
    """
    A table in one line that the kernel removes as soon as whoever has made it is gone.
    """
    parts = [f"table inet {name} {{ flags owner;"]
    for chain in chains:
        rules = "".join(f" {rule};" for rule in chain.rules)
        parts.append(f"chain {chain.name} {{ {chain.hook}{rules} }};")
    return " ".join([*parts, "}", ""]).rstrip() + "\n"
