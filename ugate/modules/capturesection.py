# -*- test-case-name: ugate.test.test_capturesection -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is in a section C{capture}: which connections the kernel leads to a listener.  A node knows this from
its start.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from ugate.tenancy.config.texts import ONE_OR_LIST

OUT: Final = "out"
IN: Final = "in"
BOTH: Final = "both"
FORWARD: Final = "forward"
TPROXY: Final = "tproxy"
TCP: Final = "tcp"
UDP: Final = "udp"
OPEN: Final = "open"

NAME: Final = "^[A-Za-z][A-Za-z0-9_]{0,11}$"
"""The name of a section: tables and chains of the firewall are called by it."""

MOST: Final = 256
"""Entries in a list."""

_PORT: Final = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"


def _list(pattern: str, wanted: str, example: str, description: str) -> Any:
    each = Annotated[str, Meta(pattern=pattern, examples=[example], extra={"wanted": wanted})]
    return Annotated[
        tuple[each, ...],
        Meta(max_length=MOST, description=description, extra={"one": True}, extra_json_schema=ONE_OR_LIST),
    ]


_Ports: Any = _list(
    f"^{_PORT}(-{_PORT})?$", "a port, or FROM-TO", "8000-8099", "Ports that connections go to."
)
_Networks: Any = _list(
    "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
    "an address or a network",
    "10.0.0.0/8",
    "Where the other end is: who connections go to; with in, who they come from.",
)
_Owners: Any = _list(
    "^([0-9]{1,10}|[a-z_][a-z0-9_-]{0,31})$",
    "a name or a number",
    "1337",
    "Whose programs make the connections; only with out.",
)
_Cgroups: Any = _list(
    "^[A-Za-z0-9_.@:-]+(/[A-Za-z0-9_.@:-]+){0,15}$",
    "the path of a control group below /sys/fs/cgroup",
    "system.slice/app.service",
    "Control groups of version 2 with such programs; they have to be there.",
)


class Selection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Some connections.
    """

    ports: _Ports = ()
    networks: _Networks = ()
    users: _Owners = ()
    groups: _Owners = ()
    cgroups: _Cgroups = ()

    def __post_init__(self) -> None:
        for text in self.networks:
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(f"the network {text!r}: {error}") from error
        for text in self.ports:
            first, _, last = text.partition("-")
            if last and int(first) > int(last):
                raise ValueError(f"the ports {text}: the first is above the last")

    @property
    def hasOwners(self) -> bool:
        """
        Whether it looks at whose connections they are.
        """
        return bool(self.users or self.groups or self.cgroups)


class CaptureSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which connections the kernel leads to a listener of ours.
    """

    direction: Annotated[
        Literal["out", "in", "forward", "both"],
        Meta(
            description="out: what programs of this machine open; in: what comes to it; both; forward: what "
            "would pass through it to others."
        ),
    ] = "out"
    mode: Annotated[
        Literal["redirect", "tproxy"],
        Meta(description="How they are led there, which is the prefix of that listener, too."),
    ] = "redirect"
    protocols: Annotated[
        tuple[Literal["tcp", "udp"], ...],
        Meta(
            min_length=1,
            max_length=2,
            description="What is led there: connections, or with tproxy datagrams, too.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ("tcp",)
    port: Annotated[int, Meta(ge=1, le=65535, description="The port of that listener.")] = 15001
    failure: Annotated[
        Literal["closed", "open"],
        Meta(
            description="What becomes of them while ugate is not there: they are refused, or go past it as "
            "without these rules."
        ),
    ] = "closed"
    include: Annotated[
        Selection,
        Meta(description="Only these; of what is left out, all. With in and both there have to be ports."),
    ] = Selection()
    exclude: Annotated[Selection, Meta(description="Not these.")] = Selection()
    ipv6: Annotated[bool, Meta(description="Whether those of IPv6, too.")] = True
    table: Annotated[
        int,
        Meta(
            ge=1,
            le=0x7FFFFFFF,
            description="With tproxy, the number of a routing table, and of the mark that leads there.",
        ),
    ] = 7567
    tool: Annotated[
        Literal["auto", "nft", "iptables"],
        Meta(description="What makes the rules; auto is nft if that is installed, else iptables."),
    ] = "auto"

    def __post_init__(self) -> None:
        if self.direction in (IN, BOTH) and not self.include.ports:
            raise ValueError(
                f"direction {self.direction} without include.ports would lead all that comes here to ugate, "
                "logins by ssh as well; wanted the ports"
            )
        if self.direction in (IN, FORWARD) and (self.include.hasOwners or self.exclude.hasOwners):
            raise ValueError(
                f"with direction {self.direction} nobody knows whose program it is; wanted no users, groups "
                "or cgroups"
            )
        if UDP in self.protocols and self.mode != TPROXY:
            raise ValueError(
                "datagrams cannot be redirected, since nobody would know where to; wanted mode tproxy"
            )
        if self.mode == TPROXY and self.tool == "iptables":
            raise ValueError(
                "with mode tproxy iptables would let connections hang while nobody listens; wanted tool nft"
            )
