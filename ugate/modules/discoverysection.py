# -*- test-case-name: ugate.test.test_discoverysection -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is in a section C{discovery}.  A node knows this from its start.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Final

from msgspec import Meta, Struct

from ugate.tenancy.config.texts import ONE_OR_LIST, SECONDS

PORT: Final = 5227
GROUPS: Final = ("ff02::5227", "224.0.0.250")
_NETWORKS: Final = IPv4Network("224.0.0.0/24"), IPv6Network("ff02::/16")
"""Groups whose datagrams no router passes on."""


class DiscoverySection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    How nodes on the same link find each other.
    """

    announce: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    pattern="^[a-z][a-z0-9]{0,31}:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|"
                    "[1-5][0-9]{4}|[1-9][0-9]{0,3})$",
                    examples=["connect:15008"],
                    extra={"wanted": "TRANSPORT:PORT, as in connect:15008"},
                ),
            ],
            ...,
        ],
        Meta(
            max_length=8,
            description="How others may reach us: transports, and the ports of our listeners. With none, "
            "nothing is sent.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    interfaces: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    pattern="^[^\\s/]{1,15}$",
                    examples=["eth0"],
                    extra={"wanted": "the name of a network interface"},
                ),
            ],
            ...,
        ],
        Meta(
            description="The network interfaces; with none, all but loopback.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    groups: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            max_length=2,
            description="The multicast groups: one of ff02::/16, one of 224.0.0.0/24, or both.",
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = GROUPS
    port: Annotated[int, Meta(ge=1, le=65535, description="The UDP port of the groups.")] = PORT
    interval: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="Seconds from one announcement to the next; each is good for three times that.",
            extra=SECONDS,
        ),
    ] = 120.0
    nodes: Annotated[int, Meta(ge=1, le=4096, description="How many nodes are remembered.")] = 256
    trusted: Annotated[
        bool,
        Meta(
            description="Whether only nodes are learned that the configuration names, or whose keys "
            "trust.pins or trust.known has."
        ),
    ] = False

    def __post_init__(self) -> None:
        kinds = [_kindOf(each) for each in self.groups]
        if len(set(kinds)) < len(kinds):
            raise ValueError("it has two groups of the same family; wanted one of each")


def _kindOf(group: str) -> int:
    """
    @raise ValueError: it is no group that stays on its link.
    """
    try:
        address = ip_address(group)
    except ValueError:
        address = None
    if address is None or not any(address in network for network in _NETWORKS):
        raise ValueError(
            f"the group {group!r}; wanted one of ff02::/16 or 224.0.0.0/24, which stay on a link"
        )
    return address.version
