# -*- test-case-name: ugate.test.test_dnssection -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is in a section C{dns}.  A node knows this from its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from ugate.tenancy.config.texts import (
    DOMAIN_NAME,
    ONE_OR_LIST,
    SECONDS,
    DomainName,
    Hosts,
    Size,
    Way,
)

PORT: Final = 5223
LISTEN: Final = f"127.0.0.1:{PORT}"
_LONGEST: Final = 7 * 86400
_SMALLEST: Final = 8

_Range = Annotated[
    str,
    Meta(min_length=1, extra={"check": "range", "wanted": "an address or a range, as in 10.1.0.0/16"}),
]
_Ttl = Annotated[int, Meta(ge=0, le=_LONGEST, extra=SECONDS)]


class DnsUpstream(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Another server, and how it is reached.
    """

    to: Annotated[
        str,
        Meta(
            min_length=1,
            description="An address or udp:HOST, tcp:HOST, tls:HOST, each maybe with :PORT, or https://HOST/PATH.",
            examples=["192.0.2.53", "tls:dns.example", "https://dns.example/dns-query"],
        ),
    ]
    via: Annotated[Way, Meta(description="The way there, as routes have it.")] = "direct"
    address: Annotated[
        str,
        Meta(
            description="Where it is, if to has a name which shall not be looked up.", examples=["192.0.2.53"]
        ),
    ] = ""
    domains: Annotated[
        tuple[DomainName, ...],
        Meta(
            description="It is asked for these names and all below them, and for no others.",
            examples=["corp.example"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()


class DnsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A resolver.
    """

    listen: Annotated[
        tuple[
            Annotated[
                str, Meta(min_length=1, extra={"check": "target", "wanted": "ADDRESS:PORT, as in [::1]:53"})
            ],
            ...,
        ],
        Meta(
            max_length=8,
            description="Where it listens, on UDP and TCP.",
            examples=[LISTEN],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = (LISTEN,)
    clients: Annotated[
        tuple[_Range, ...],
        Meta(
            description="Who may ask, beside this machine.",
            examples=["10.0.0.0/8"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    upstreams: Annotated[
        tuple[DnsUpstream | Annotated[str, Meta(min_length=1)], ...],
        Meta(
            max_length=32,
            description="Who is asked for what is not known here, best first.",
            extra={"one": True},
        ),
    ] = ()
    hosts: Annotated[
        Mapping[
            Annotated[str, Meta(pattern=f"^{DOMAIN_NAME}$", max_length=253, extra={"wanted": "a name"})],
            Annotated[
                tuple[Annotated[str, Meta(min_length=1, extra={"wanted": "an address"})], ...],
                Meta(min_length=1, max_length=16, extra={"one": True}, extra_json_schema=ONE_OR_LIST),
            ],
        ],
        Meta(description="Names of our own, and their addresses."),
    ] = field(default_factory=dict)
    fake: Annotated[
        tuple[_Range, ...],
        Meta(
            max_length=2,
            description="The ranges of addresses that stand for names alone: of IPv4, IPv6 or both.",
            examples=["198.18.0.0/15", "fd00:fa6e::/64"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    fakeFor: Annotated[
        tuple[Hosts, ...],
        Meta(
            description="Which names do; all, unless given.",
            examples=["*.corp.example"],
            extra={"one": True},
            extra_json_schema=ONE_OR_LIST,
        ),
    ] = ()
    entries: Annotated[int, Meta(ge=0, le=10_000_000, description="How many answers are kept.")] = 10_000
    size: Annotated[Size, Meta(description="How many bytes these may have.")] = 16 << 20
    least: Annotated[_Ttl, Meta(description="Seconds for which an answer is kept, at least.")] = 0
    most: Annotated[_Ttl, Meta(description="Seconds for which an answer is kept, at most.")] = 86400
    negative: Annotated[_Ttl, Meta(description="The same for answers that there is nothing.")] = 3600
    stale: Annotated[
        _Ttl, Meta(description="Seconds for which one that is too old is given if nobody answers.")
    ] = 0
    resolve: Annotated[
        bool, Meta(description="Whether streams of this tenant that go on from here ask it for names.")
    ] = False

    def __post_init__(self) -> None:
        for text in self.listen:
            _addressIn(text.rpartition(":")[0].strip("[]"), "listen")
        for name, numbers in self.hosts.items():
            for number in numbers:
                _addressIn(number, f"hosts.{name}")
        versions = [network.version for network in self.fakeNetworks]
        if len(set(versions)) < len(versions):
            raise ValueError("fake: two ranges of the same family; wanted one of each")
        for network in self.fakeNetworks:
            if network.num_addresses < _SMALLEST:
                raise ValueError(f"fake: {network} has less than {_SMALLEST} addresses")
        if self.fakeFor and not self.fake:
            raise ValueError("fakeFor needs fake, the ranges to take addresses from")
        if self.least > self.most:
            raise ValueError("least is more than most")

    @property
    def fakeNetworks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """
        The ranges of C{fake}.
        """
        return tuple(ip_network(text, strict=False) for text in self.fake)


def _addressIn(text: str, where: str) -> None:
    """
    @raise ValueError: it is no address.
    """
    try:
        ip_address(text)
    except ValueError:
        raise ValueError(f"{where}: {text[:80]!r} is no address; wanted one, as 192.0.2.1 or ::1") from None
