# -*- test-case-name: ugate.test.test_http -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{http}: one port for the admin API, the metrics and what modules have to show, of all tenants.

Which tenant a request is for is said by C{Host}: whose name it is, or else whose port.
"""

from __future__ import annotations

import os
from typing import Any

from zope.interface import implementer

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from ugate.endpoints.reach import onlyLocal
from ugate.errors import ListenRefused
from ugate.interfaces import IModule, INode, ITenant
from ugate.modules.pages import Pages
from ugate.modules.sections import ADMIN, METRICS, HttpSection
from ugate.modules.serving import LimitedSite
from ugate.stream import Target
from ugate.tenancy.listening import whyCannot


class HttpPort(Service):
    """
    The port of one section.

    @ivar port: what listens, while it does.
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(self, tenant: ITenant, name: str, section: HttpSection) -> None:
        """
        @raise ListenRefused: others reach it, and nobody could tell who they are.
        """
        self.tenant = tenant
        self.title = f"{tenant.name} http {name}"
        self.section = section
        self.port: IListeningPort | None = None
        self.endpoint: IStreamServerEndpoint = serverFromString(tenant.reactor, section.endpoint)
        self.isLocal = onlyLocal(self.endpoint)
        isOpen = {ADMIN, METRICS} & {*section.serve} and not self.isLocal and tenant.portal is None
        if isOpen:
            raise ListenRefused(
                f"{section.endpoint} would let anybody look after {tenant.name}: let it "
                "listen on loopback (interface=127.0.0.1) or a UNIX socket, name a file as policy.users or "
                "policy.tokens, or write serve: [modules]"
            )

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
        if self.port is not None:
            # At the start of the node it was listening before privileges were given up.
            return
        section = self.section
        pages = Pages(
            INode(self.tenant), self.tenant.name, section.serve, isLocal=self.isLocal, hosts=section.hosts
        )
        site: Any = LimitedSite(pages, self.tenant.reactor)
        troubles: list[Failure] = []
        listening = maybeDeferred(self.endpoint.listen, site)
        listening.addCallbacks(self._listening, troubles.append)
        for failure in troubles:
            self.running = False
            endpoint = self.section.endpoint
            raise ListenRefused(f"{endpoint} cannot listen: {whyCannot(failure.value)}") from failure.value

    def _listening(self, port: IListeningPort) -> None:
        self.log.info("{title}: HTTP on {address}", title=self.title, address=_inWords(port.getHost()))
        self.port = port

    def _stopListening(self) -> Deferred[Any]:
        port, self.port = self.port, None
        assert port is not None
        return maybeDeferred(port.stopListening)

    def stopService(self) -> Deferred[Any] | None:
        """
        Listen no more.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return None if self.port is None else self._stopListening()


def _inWords(address: Any) -> str:
    host = getattr(address, "host", None)
    return str(Target(host, address.port)) if isinstance(host, str) else f"unix:{os.fsdecode(address.name)}"


@implementer(IModule)
class HttpModule:
    """
    See L{IModule}.
    """

    name = "http"
    summary = "a port for the admin API, the metrics and what modules show"
    schema = HttpSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = HttpPort(tenant, name, section)
        return service
