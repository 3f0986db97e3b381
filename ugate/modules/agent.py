# -*- test-case-name: ugate.test.test_agent -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How one module asks another by its name: the same call whether that one is here or on another node.
"""

from __future__ import annotations

import re
from typing import Any, Final

from zope.interface import implementer

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from twisted.web.resource import Resource

from ugate.errors import Cause, Phase, Refused, StringError
from ugate.interfaces import INode, IPrincipal, IServesHTTP, ITenant
from ugate.modules.loopback import LoopbackEndpoint
from ugate.modules.remotes import Remote
from ugate.modules.serving import LimitedSite
from ugate.stream import Principal

_URI: Final = re.compile(
    rb"module://([A-Za-z_][A-Za-z0-9_.-]{0,63})/([A-Za-z_][A-Za-z0-9_.-]{0,63})(/[^#]*)?"
)
_CONNECT: Final = 10.0


class _Served(Resource):
    """
    What a module shows, to another one of the same tenant.
    """

    def __init__(self, inner: Any, principal: Principal) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inner = inner
        self._principal = principal
        self.isLeaf = inner.isLeaf

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """
        See L{IResource}.
        """
        request.setComponent(IPrincipal, self._principal)
        return self._inner.getChildWithDefault(path, request)

    def render(self, request: Any) -> Any:
        """
        See L{IResource}.
        """
        request.setComponent(IPrincipal, self._principal)
        return self._inner.render(request)


@implementer(IAgentEndpointFactory)
class _Here:
    """
    Leads to one resource of this process, whatever the URI.
    """

    def __init__(self, reactor: Any, site: LimitedSite) -> None:
        self._endpoint = LoopbackEndpoint(reactor, site)

    def endpointForURI(self, uri: Any) -> LoopbackEndpoint:
        """
        See L{IAgentEndpointFactory}.
        """
        return self._endpoint


@implementer(IAgent)
class ModuleAgent:
    """
    Asks the modules of a tenant by name: C{module://KIND/NAME/PATH}.

    A module that runs here is asked in memory; for C{IPrincipal(request)} there the caller is the tenant
    itself.  If there is none here, and the tenant has a section C{remotes} of that name, that node is asked.

    @since: ugate NEXT
    """

    def __init__(self, tenant: ITenant) -> None:
        self.tenant = tenant

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """
        See L{IAgent.request}.

        @return: fails with L{Refused} if there is no such module.
        """
        return maybeDeferred(self._request, method, uri, headers, bodyProducer)

    def _request(self, method: bytes, uri: bytes, headers: Any, bodyProducer: Any) -> Any:
        match = _URI.fullmatch(uri)
        if match is None:
            raise StringError(f"{uri!r}: wanted module://KIND/NAME/PATH")
        kind, name, path = match[1].decode(), match[2].decode(), match[3] or b"/"
        reactor = self.tenant.reactor
        modules = INode(self.tenant).modules
        service = IServesHTTP(modules.get((self.tenant.name, kind, name)), None)
        if service is not None:
            who = Principal(self.tenant.name, "module", self.tenant.name)
            site = LimitedSite(_Served(service.resource(), who), reactor)
            agent = Agent.usingEndpointFactory(reactor, _Here(reactor, site))
            return agent.request(method, b"http://localhost" + path, headers, bodyProducer)
        remote: Any = modules.get((self.tenant.name, "remotes", name))
        if not isinstance(remote, Remote):
            detail = f"the tenant {self.tenant.name} has no module {kind} {name}, here or in remotes"
            raise Refused(
                Cause.NAME_UNKNOWN, Phase.RESOLVE, uri.decode("latin-1"), detail, "see its sections"
            )
        headers = Headers() if headers is None else headers.copy()
        authorization = remote.authorization()
        if authorization is not None:
            headers.setRawHeaders(b"Authorization", [authorization])
        # Where it is says the configuration, and not whoever is served here.
        hop: Any = getattr(self.tenant, "hopReactor", reactor)
        agent = Agent(hop, BrowserLikePolicyForHTTPS(), connectTimeout=_CONNECT)
        url = f"{remote.url}/modules/{kind}/{name}".encode() + path
        return agent.request(method, url, headers, bodyProducer)
