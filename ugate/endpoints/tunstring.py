# -*- test-case-name: ugate.test.test_tunstring -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{tun:DEVICE}, as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_interface, ip_network
from typing import Any, Final, TypeVar

from ugate.endpoints.captured import SNIFFED, WAIT, Capture
from ugate.endpoints.capturedstring import portsIn
from ugate.endpoints.tun import TunServerEndpoint
from ugate.endpoints.tunflows import PROTOCOL
from ugate.endpoints.tunport import FLOWS
from ugate.endpoints.tunroutes import Interface, Way
from ugate.errors import StringError

ADDRESSES: Final = "10.98.0.1/30,fd98::1/126"
TABLE: Final = 7577
MTU: Final = 1500
MOST_FLOWS: Final = 60_000
MOST_NETWORKS: Final = 256
KEYWORDS: Final = (
    *("addresses", "routes", "exclude", "forward", "mtu", "table", "flows"),
    *("sniff", "by", "wait", "handshake"),
)
_ALL: Final = "0.0.0.0/0,::/0"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")

_T = TypeVar("_T")


def tunFromParts(reactor: Any, args: Sequence[str], own: Mapping[str, str]) -> TunServerEndpoint:
    """
    The endpoint of a string.

    @raise StringError: it cannot be read.
    """
    from ugate.endpoints.servers import _seconds, handshakeOf

    try:
        if len(args) != 1 or not _NAME.fullmatch(args[0]):
            raise StringError("wanted tun:DEVICE, a name of at most 15 letters and digits, as in tun:ugate0")
        for name in own:
            if name not in KEYWORDS:
                raise StringError(f"{name}= is not known; wanted {', '.join(KEYWORDS)}")
        by = own.get("by", "address")
        if by not in ("address", "name"):
            raise StringError(f"by={by}: wanted address or name, which is what streams are carried to")
        ports = portsIn(own["sniff"]) if "sniff" in own else SNIFFED
        capture = Capture(PROTOCOL, ports, by == "name", _seconds("wait", own, WAIT))
        limit = _number("flows", own, FLOWS, 1, MOST_FLOWS)
        way = _way(args[0], own)
        return TunServerEndpoint(reactor, way, capture, deadline=handshakeOf(reactor, own), limit=limit)
    except StringError as error:
        raise StringError(f"tun: {error}") from error


def _way(device: str, own: Mapping[str, str]) -> Way:
    addresses = _listed("addresses", own.get("addresses", ADDRESSES), ip_interface)
    for address in addresses:
        _checkAddress(address)
    versions = [address.version for address in addresses]
    if len(set(versions)) < len(versions):
        raise StringError("addresses=: wanted one of IPv4, one of IPv6, or one of each")
    routes = own.get("routes", "all")
    networks = _listed("routes", _ALL if routes == "all" else routes, ip_network)
    if routes == "all":
        networks = tuple(each for each in networks if each.version in versions)
    exclude = _listed("exclude", own["exclude"], ip_network) if "exclude" in own else ()
    forward = _listed("forward", own["forward"], ip_network) if "forward" in own else ()
    for network in (*networks, *exclude, *forward):
        if network.version not in versions:
            raise StringError(
                f"{network}: addresses= has no address of IPv{network.version} to reach it from"
            )
    for network in forward:
        for address in addresses:
            if network.version == address.version and network.overlaps(address.network):
                raise StringError(
                    f"forward={network}: wanted networks of other machines, and {address} is ours"
                )
    return Way(
        device,
        addresses,
        networks,
        exclude,
        _number("mtu", own, MTU, 1280 if 6 in versions else 576, 65535),
        _number("table", own, TABLE, 1, 30000),
        forward,
    )


def _checkAddress(address: Interface) -> None:
    network = address.network
    peer = address.ip + 1
    if (
        network.prefixlen > network.max_prefixlen - 2
        or peer not in network
        or peer == network.broadcast_address
        or "%" in str(address)
    ):
        raise StringError(
            f"addresses={address}: wanted an address whose next one is in the same network, as 10.98.0.1/30"
        )


def _listed(name: str, text: str, read: Callable[[str], _T]) -> tuple[_T, ...]:
    parts = [each.strip() for each in text.split(",")]
    if len(parts) > MOST_NETWORKS:
        raise StringError(f"{name}=: wanted at most {MOST_NETWORKS}")
    found = []
    for part in parts:
        try:
            found.append(read(part))
        except ValueError as error:
            raise StringError(
                f"{name}={part[:80]}: wanted addresses with commas between, as 10.0.0.0/8,fd00\\:\\:/8"
            ) from error
    return tuple(found)


def _number(name: str, own: Mapping[str, str], default: int, least: int, most: int) -> int:
    text = own.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise StringError(f"{name}={text[:80]}: wanted a number from {least} to {most}")
    return int(text)
