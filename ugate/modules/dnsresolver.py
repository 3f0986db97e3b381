# -*- test-case-name: ugate.test.test_dnsresolver,ugate.test.interop.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A resolver for the clients of a tenant, which knows the names of the mesh, asks others by the ways of the
tenant, and remembers which name an address was given for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import ip_network
from typing import Any, Final

from zope.interface import implementer

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.web.resource import IResource

from ugate.endpoints.reach import isLoopback
from ugate.errors import ListenRefused
from ugate.interfaces import INode, IServesHTTP
from ugate.modules.dnsanswering import Answering
from ugate.modules.dnsflows import Asked
from ugate.modules.dnsforwarding import Forwarder
from ugate.modules.dnslocal import LocalNames
from ugate.modules.dnslookups import Lookups
from ugate.modules.dnspages import DnsPages
from ugate.modules.dnssection import DnsSection
from ugate.modules.dnsserving import Clients, Datagrams, Streams, openDatagrams
from ugate.modules.dnsupstreams import Ways, serversFrom
from ugate.protocols.dnsanswers import Times
from ugate.protocols.dnscache import Cache
from ugate.stream import Target
from ugate.tenancy.addressnames import AddressNames
from ugate.tenancy.listening import whyCannot

_BACKLOG: Final = 128


@implementer(IServesHTTP)
class Resolver(Service):
    """
    The resolver of one section.

    @ivar answering: what answers its clients.
    @ivar lookups: what looks names up for streams, if it shall.
    @ivar asked: what leads streams to it.
    @since: ugate NEXT
    """

    log = Logger()

    isPublic = False
    """Who asks by HTTP is on this machine, or has logged in."""

    def __init__(
        self,
        tenant: Any,
        name: str,
        section: DnsSection,
        datagrams: Callable[[Any, Target, Datagrams], Any] = openDatagrams,
    ) -> None:
        """
        @param datagrams: listens for them.
        @raise UgateError: it cannot be so.
        """
        self._openDatagrams = datagrams
        self.tenant = tenant
        self.section = section
        self.title = f"{tenant.name} dns {name}"
        self._targets = [Target.fromText(text) for text in section.listen]
        networks = [ip_network(text, strict=False) for text in section.clients]
        for target in self._targets:
            if not networks and not isLoopback(target.host):
                raise ListenRefused(
                    f"{target}: nobody there could ask; name who may as clients, or listen on 127.0.0.1"
                )
        self._clients = Clients(networks)
        self._ways = Ways(tenant)
        servers = serversFrom(section.upstreams, self._ways)
        self._forwarder = Forwarder(
            tenant.reactor,
            servers,
            Cache(section.entries, section.size, section.stale),
            Times(section.least, section.most, section.negative),
            title=self.title,
            stale=section.stale > 0,
            isOurs=self._isMadeUp,
        )
        self.answering: Answering | None = None
        self._pages: DnsPages | None = None
        self.lookups: Lookups | None = None
        self.asked: Asked | None = None
        self._ports: list[Any] = []

    def privilegedStartService(self) -> None:
        """
        Listen, before twistd gives up its privileges.
        """
        self.startService()

    def startService(self) -> None:
        """
        Listen.

        @raise ListenRefused: it cannot be, and why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if self.answering is not None:
            # At the start of the node it was listening before privileges were given up.
            return
        tenant = self.tenant
        if tenant.names is None:
            tenant.names = AddressNames(tenant.reactor)
        local = LocalNames(
            tenant,
            self.section,
            tenant.names,
            serves=lambda: bool(INode(tenant).configs[tenant.name].serve),
            inUse=self._inUse,
            isDelegated=self._forwarder.isDelegated,
        )
        self.answering = Answering(tenant.reactor, local.answer, self._forwarder, tenant.names)
        self._pages = DnsPages(self.answering.answer)
        try:
            for target in self._targets:
                self._listen(target, self.answering)
        except ListenRefused:
            self.running = False
            self._stopListening()
            raise
        if self.section.resolve:
            self.lookups = Lookups(local, self._forwarder, lambda: tenant.systemResolver)
        streams = Streams(tenant.reactor, self.answering.answer, self._clients)
        self.asked = Asked(tenant.reactor, self.answering.answer, streams, self.title)
        tenant.resolvers.append(self)

    def _isMadeUp(self, number: bytes) -> bool:
        """
        Whether an address stands for a name of the tenant.
        """
        isMadeUp: bool = self.tenant.names.isMadeUp(number)
        return isMadeUp

    def _inUse(self) -> Collection[str]:
        """
        The names that streams are for.
        """
        targets = (stream.info.target for stream in INode(self.tenant).flows.streams())
        return {target.host.lower() for target in targets if target is not None}

    def _listen(self, target: Target, answering: Answering) -> None:
        reactor = self.tenant.reactor
        streams: Any = Streams(reactor, answering.answer, self._clients)
        try:
            port = reactor.listenTCP(target.port, streams, _BACKLOG, target.host)
            self._ports.append(port)
            at = Target(target.host, port.getHost().port)
            datagrams = Datagrams(answering.answer, self._clients)
            self._ports.append(self._openDatagrams(reactor, at, datagrams))
        except (CannotListenError, OSError) as error:
            raise ListenRefused(f"{target} cannot listen: {whyCannot(error)}") from error
        self.log.info("{title}: DNS on {address}", title=self.title, address=at)

    def resource(self) -> IResource:
        """
        See L{IServesHTTP.resource}.
        """
        resource: Any = self._pages
        return resource  # type: ignore[no-any-return]

    def _stopListening(self) -> Deferred[Any]:
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)

    def stopService(self) -> Deferred[Any]:
        """
        Listen no more.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self in self.tenant.resolvers:
            self.tenant.resolvers.remove(self)
        if self.asked is not None:
            self.asked.stop()
        self._forwarder.stop()
        self._ways.stop()
        if self.tenant.names is not None:
            running = [each.section.fakeNetworks for each in self.tenant.resolvers]
            self.tenant.names.keep([network for networks in running for network in networks])
        return self._stopListening()
