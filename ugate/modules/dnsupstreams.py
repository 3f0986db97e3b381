# -*- test-case-name: ugate.test.test_dnsupstreams -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The other servers of a section C{dns}, and the ways there.

Each is reached by a dialer of the tenant, and by nothing else: what goes through a proxy does not leave
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import isLiteral
from ugate.endpoints.dialing import dialerFromText
from ugate.endpoints.direct import Direct
from ugate.errors import Cause, Phase, Refused, StringError
from ugate.hoppools import drainGone, poolsIn
from ugate.interfaces import IDialer
from ugate.modules.dnsdatagrams import DatagramServer
from ugate.modules.dnsforwarding import Server
from ugate.modules.dnssection import DnsUpstream
from ugate.modules.dnsstreams import StreamServer
from ugate.stream import StreamInfo, Target
from ugate.tenancy.config.whole import DIRECT, DNS
from ugate.tenancy.tenant import Tenant

CONNECT: Final = 10.0
"""Seconds for a connection, and again for the handshake."""

PORTS: Final = {"udp": 53, "tcp": 53, "tls": 853, "https": 443}
_NOWHERE: Final = IPv4Address("TCP", "0.0.0.0", 0)
_SHAPES: Final = "wanted an address, or udp:HOST, tcp:HOST, tls:HOST, maybe with :PORT, or https://HOST/PATH"


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a server is, and what it speaks.
    """

    kind: str
    """C{udp}, C{tcp}, C{tls} or C{https}."""

    target: Target
    """Where we connect to."""

    name: str
    """Which name its certificate has to be good for."""

    url: str = ""
    """What is asked for by HTTPS."""


def placeFrom(section: DnsUpstream) -> Place:
    """
    Read where a server is.

    @raise StringError: it cannot be read, or cannot be reached so.
    @since: ugate NEXT
    """
    text = section.to.strip()
    place = _url(text) if text.startswith("https:") else _place(text)
    if section.address:
        if not isLiteral(section.address):
            raise StringError(f"address: {section.address[:80]!r} is no address")
        place = replace(place, target=Target(section.address, place.target.port))
    if section.via == DNS:
        raise StringError(f"via: {DNS} leads back here; wanted another way")
    if section.via == DIRECT and not isLiteral(place.target.host):
        raise StringError(
            f"{text}: who would look up {place.target.host}? Say where it is, as address: 192.0.2.53"
        )
    return place


def _place(text: str) -> Place:
    if isLiteral(text):
        return Place("udp", Target(text, PORTS["udp"]), text)
    kind, colon, rest = text.partition(":")
    if not colon or kind not in PORTS or kind == "https":
        raise StringError(f"{text[:80]!r}: {_SHAPES}")
    target = Target(rest, PORTS[kind]) if isLiteral(rest) else Target.fromText(rest, PORTS[kind])
    return Place(kind, target, target.host)


def _url(text: str) -> Place:
    try:
        url = urlsplit(text)
        port = url.port or PORTS["https"]
    except ValueError as error:
        raise StringError(f"{text[:80]!r}: {error}") from error
    isPlain = text.isascii() and text.isprintable() and " " not in text
    if not url.hostname or url.fragment or "@" in url.netloc or not isPlain:
        raise StringError(f"{text[:80]!r}: {_SHAPES}")
    return Place("https", Target.checked(url.hostname, port), url.hostname, text)


class Ways:
    """
    The ways of a tenant to servers.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._made: dict[str, IDialer] = {}

    @property
    def reactor(self) -> Any:
        """
        What connects to places that the operator wrote down.
        """
        return self._tenant.hopReactor

    def dialer(self, via: str) -> IDialer:
        """
        A way by its name, which may be another one after a reload; or one that is written out.

        @raise StringError: there is none.
        """
        hops: Mapping[str, IDialer] = self._tenant.hops
        if via in hops:
            return hops[via]
        if via not in self._made:
            direct = Direct(self.reactor, CONNECT)
            self._made[via] = dialerFromText(self.reactor, via, {**hops, DIRECT: direct})
        return self._made[via]

    def stop(self) -> None:
        """
        Let links that only these ways had close with their last streams.
        """
        drainGone({pool for dialer in self._made.values() for pool in poolsIn(dialer)}, self._tenant)

    def endpoint(self, target: Target, via: str) -> IStreamClientEndpoint:
        """
        What connects there.

        @raise Refused: there is no way.
        """
        info = StreamInfo(_NOWHERE, _NOWHERE, target, protocol="dns")
        try:
            return self.dialer(via).endpointFor(info)
        except StringError as error:
            raise Refused(Cause.GENERAL, Phase.CONNECT, str(target), str(error)) from error


def serverFrom(section: DnsUpstream, ways: Ways) -> Server:
    """
    What asks a server.

    @raise StringError: it cannot be read, or there is no such way.
    @since: ugate NEXT
    """
    place = placeFrom(section)
    ways.dialer(section.via)
    clock, target = ways.reactor, place.target
    through = "" if section.via == DIRECT else f" via {section.via}"

    def plain() -> IStreamClientEndpoint:
        return ways.endpoint(target, section.via)

    if place.kind in ("udp", "tcp"):
        onStream = StreamServer(clock, f"tcp:{target}{through}", plain)
        # A way through others has no datagrams.
        isDatagrams = place.kind == "udp" and section.via == DIRECT
        return DatagramServer(clock, target, onStream) if isDatagrams else onStream
    if place.kind == "tls":
        inTLS = _inTLS(clock, place, plain)
        return StreamServer(clock, f"{section.to}{through}", inTLS, isPadded=True)
    return _https(clock, place, plain, f"{place.url}{through}")


def _https(clock: Any, place: Place, plain: Callable[[], IStreamClientEndpoint], title: str) -> Server:
    from ugate.modules.dnshttps import ALPN, HttpsServer

    def older() -> Server:
        from ugate.modules.dnshttp1 import Http1Server

        return Http1Server(clock, place.url, _inTLS(clock, place, plain), title)

    return HttpsServer(clock, place.url, _inTLS(clock, place, plain, ALPN), older, title)


def _inTLS(
    clock: Any, place: Place, plain: Callable[[], IStreamClientEndpoint], protocols: Sequence[bytes] = ()
) -> Callable[[], IStreamClientEndpoint]:
    from ugate.endpoints.tlsclient import TLSClientEndpoint, clientOptions

    options = clientOptions(place.name, str(place.target), protocols)
    return lambda: TLSClientEndpoint(clock, plain(), options, hop=str(place.target), deadline=CONNECT)


def serversFrom(sections: Iterable[DnsUpstream | str], ways: Ways) -> dict[str, list[Server]]:
    """
    What asks all servers of a section, by the domains that they are for; empty for all others.

    @raise StringError: one cannot be; the message says which.
    @since: ugate NEXT
    """
    servers: dict[str, list[Server]] = {}
    for number, each in enumerate(sections):
        section = DnsUpstream(each) if isinstance(each, str) else each
        try:
            server = serverFrom(section, ways)
        except (StringError, Refused) as error:
            raise StringError(f"upstreams[{number}]: {error}") from error
        for domain in section.domains or ("",):
            servers.setdefault(domain.lower(), []).append(server)
    return servers
