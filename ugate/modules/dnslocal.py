# -*- test-case-name: ugate.test.test_dnslocal -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Names that are answered here: those of the section, of this machine and of the mesh, and those that get an
address that is made up.  What of these is not known is not asked of others, who have no business with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Final

import dns.exception
import dns.name
import dns.rdatatype
import dns.reversename

from ugate.interfaces import MeshNode
from ugate.modules.dnssection import DnsSection
from ugate.modules.hosts import Hosts
from ugate.protocols.dnsanswers import Answer, addressAnswer, nameAnswer
from ugate.protocols.dnswire import Query
from ugate.protocols.servernames import isHostName
from ugate.tenancy.addressnames import AddressNames
from ugate.tenancy.match import packed
from ugate.tenancy.ownnames import OwnNames

TTL: Final = 10
"""Seconds for which answers of our own are good: nodes come and go."""

FAKE_TTL: Final = 30
"""The same for addresses that are made up."""

_A: Final = int(dns.rdatatype.A)
_AAAA: Final = int(dns.rdatatype.AAAA)
_PTR: Final = int(dns.rdatatype.PTR)
_SIZES: Final = {_A: 4, _AAAA: 16}
_HINTED: Final = (int(dns.rdatatype.HTTPS), int(dns.rdatatype.SVCB))
_REVERSE: Final = (".in-addr.arpa", ".ip6.arpa")
_NODES: Final = ip_network("fd00::/64").network_address.packed[:8]
_NXDOMAIN: Final = 3
NO_NAME: Final = Answer(_NXDOMAIN, ttl=TTL, isOwn=True)
NO_ADDRESS: Final = Answer(2)
_HERE: Final = {"localhost": (ip_address("127.0.0.1").packed, ip_address("::1").packed)}
_NOWHERE: Final = Hosts(
    {"": [pattern for each in ("invalid", "local", "onion", "test") for pattern in (each, f"*.{each}")]}
)
"""Names that no server of the internet knows, by RFC 6761, 6762 and 7686."""


class LocalNames:
    """
    What a tenant answers itself.

    @since: ugate NEXT
    """

    def __init__(
        self,
        tenant: Any,
        section: DnsSection,
        names: AddressNames,
        *,
        serves: Callable[[], bool],
        inUse: Callable[[], Collection[str]],
        isDelegated: Callable[[str], bool],
    ) -> None:
        """
        @param serves: whether the tenant serves anything under its names.
        @param inUse: the names that streams are for.
        @param isDelegated: whether the section names servers for a name.
        """
        self._tenant = tenant
        self._serves = serves
        self._isDelegated = isDelegated
        self._names = names
        self.hosts: Mapping[str, tuple[bytes, ...]] = {
            name.lower(): tuple(ip_address(each).packed for each in numbers)
            for name, numbers in section.hosts.items()
        }
        self._numbers: dict[bytes, list[str]] = {}
        for name, numbers in self.hosts.items():
            for number in numbers:
                self._numbers.setdefault(number, []).append(name)
        ranges = {network.max_prefixlen // 8: network for network in section.fakeNetworks}
        self._fake = {size: names.fake(network, inUse) for size, network in ranges.items()}
        self._fakeFor = Hosts({"": section.fakeFor or ("*",)})

    def answer(self, query: Query) -> Answer | None:
        """
        What is answered, if that is known here; L{None} if others have to be asked.
        """
        name = query.name
        if name.endswith(_REVERSE):
            return self._reverse(query)
        numbers = self.hosts.get(name) or _HERE.get("localhost" if name.endswith(".localhost") else name)
        if numbers is not None:
            return self._addresses(query, numbers)
        if self._own.isOurs(name):
            vip6 = ip_address(self._tenant.identity.vip6).packed
            return self._node(query, vip6)
        nodes = self._tenant.nodes
        if nodes.leads(name):
            node = nodes.find(name)
            return NO_NAME if node is None else self._node(query, _vip6Of(node))
        if self._isDelegated(name):
            return self._faked(query)
        # A name without dots would be one of the root servers.
        isShort = "." not in name and query.type in _SIZES
        if isShort or _NOWHERE.tenantOf(name) is not None:
            return NO_NAME
        return self._faked(query)

    def realAddresses(self, name: str) -> tuple[bytes, ...] | None:
        """
        Where a name really is, if that is known here; empty if it is nowhere that could be connected to.
        """
        numbers = self.hosts.get(name) or _HERE.get("localhost" if name.endswith(".localhost") else name)
        if numbers is None and not self._isDelegated(name):
            isNode = self._tenant.nodes.leads(name)
            return () if isNode or _NOWHERE.tenantOf(name) is not None else None
        return numbers

    @property
    def _own(self) -> OwnNames:
        return OwnNames(self._tenant, self._serves())

    def _addresses(self, query: Query, numbers: Collection[bytes], ttl: int = TTL) -> Answer:
        fit = [number for number in numbers if len(number) == _SIZES.get(query.type)]
        return addressAnswer(query.asked.question, query.name, query.type, fit, ttl)

    def _node(self, query: Query, vip6: bytes | None) -> Answer:
        """
        The answer about a node: its own address, or one that is made up where it has none.
        """
        if query.type == _AAAA and vip6 is not None:
            return self._addresses(query, [vip6])
        return self._fakedAlways(query) or self._addresses(query, ())

    def _faked(self, query: Query) -> Answer | None:
        """
        The answer with an address that is made up, if the name shall have one.
        """
        if not self._fake or self._fakeFor.tenantOf(query.name) is None:
            return None
        if query.type in _HINTED or (query.type in _SIZES and _SIZES[query.type] not in self._fake):
            # These have addresses in them, too; and those of the other family would be real.
            return self._addresses(query, ())
        return self._fakedAlways(query)

    def _fakedAlways(self, query: Query) -> Answer | None:
        made = self._fake.get(_SIZES.get(query.type, 0))
        if made is None:
            return None
        if not isHostName(query.name):
            # No stream can be for it.
            return NO_NAME
        number = made.addressFor(query.name)
        return NO_ADDRESS if number is None else self._addresses(query, [number], FAKE_TTL)

    def _reverse(self, query: Query) -> Answer | None:
        """
        The answer about an address by its own name.
        """
        try:
            text = dns.reversename.to_address(dns.name.from_text(query.name))
            number = ip_address(text)
        except (dns.exception.DNSException, ValueError):
            # Of a part of an address others may know something.
            return None
        names = self._namesOf(text, number.packed)
        if names:
            found = names if query.type == _PTR else ()
            return nameAnswer(query.asked.question, query.name, found, TTL)
        isOurs = number.packed[:8] == _NODES or self._names.isFake(text)
        if isOurs or (number.is_private and not self._isDelegated(query.name)):
            # Nobody else knows these (RFC 6303).
            return NO_NAME
        return None

    def _namesOf(self, text: str, number: bytes) -> list[str]:
        if number in self._numbers:
            return self._numbers[number]
        if self._names.isFake(text):
            name = self._names.nameFor(text)
            return [] if name is None else [name]
        if number in _HERE["localhost"]:
            return ["localhost"]
        if number[:8] != _NODES:
            return []
        node = self._tenant.nodes.find(text)
        if node is None:
            return [self._own.oneName()] if self._own.isOurs(text) else []
        return [name for name in node.names if packed(name) is None][:1] or [node.keyid.lower()]


def _vip6Of(node: MeshNode) -> bytes | None:
    """
    The address that follows from the key of a node, if somebody has told it: a KEYID does not have it.
    """
    numbers = (packed(name) for name in node.names)
    return next((number for number in numbers if number is not None and number[:8] == _NODES), None)
