# -*- test-case-name: ugate.test.test_pages -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What is at which path of an HTTP port, and who may come there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from zope.interface import implementer

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET, Request

from ugate.interfaces import IAsker, INode, IPrincipal, IServesHTTP
from ugate.modules.api import Api, Perform
from ugate.modules.callers import Caller, callerOf, credentialsFrom, someoneOf
from ugate.modules.changing import Changing
from ugate.modules.checking import checkedFile
from ugate.modules.guard import Place, checkOrigin, placeOf
from ugate.modules.hosts import Hosts
from ugate.modules.looking import Looking
from ugate.modules.metrics import Metrics
from ugate.modules.openapi import describe
from ugate.modules.operations import OPERATIONS
from ugate.modules.problems import JSON, Trouble, send, sendTrouble
from ugate.modules.sections import ADMIN, METRICS, MODULES
from ugate.modules.tokens import Tokens
from ugate.modules.whole import Whole
from ugate.stream import Principal
from ugate.tenancy.config.jsonschema import jsonSchema
from ugate.tenancy.config.sections import isWithin

_FORWARDED: Final = (b"Forwarded", b"Via", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Real-IP")
"""Who came by another proxy is not on this machine, even if that proxy is."""


CA: Final = b"ca"
"""Where the CA of a tenant is, beside its place among the modules."""

DNS: Final = "dns"
DNS_QUERY: Final = b"dns-query"
"""Where the resolver of a tenant is, which is the path that others have, too (RFC 8484)."""

METHOD: Final = "certificate"
"""The method of principals that the certificate of their connection proved."""

_APART: Final = b"sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads"
"""
Gives the pages of a module an origin of their own, so that what gets into one of them cannot use the admin
API.  A module that does not want this sets another one, and takes care itself.
"""


def operationsOf(node: INode, check: Callable[[str], str] = checkedFile) -> Mapping[str, Perform]:
    """
    What does each operation.
    """
    looking = Looking(node)
    doing = (looking, Changing(node, looking), Whole(node, check), Tokens(node))
    return {
        operation.name: next(getattr(each, operation.name) for each in doing if hasattr(each, operation.name))
        for operation in OPERATIONS
    }


class Pages(Resource):
    """
    The root of an HTTP port.

    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self, node: INode, tenant: str, serve: Collection[str], *, isLocal: bool, hosts: Iterable[str] = ()
    ) -> None:
        """
        @param tenant: the path of the tenant whose port it is.
        @param serve: what is there: C{admin}, C{metrics}, C{modules}.
        @param isLocal: whether only this machine reaches it.
        @param hosts: more names of that tenant, for this port.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.node = node
        self.tenant = tenant
        self.isLocal = isLocal
        self._serve = serve
        self._own = frozenset(host.lower().rstrip(".") for host in hosts)
        self._hosts = Hosts({})
        self._generation: object = None
        self._metrics = Metrics(node)
        self._perform = operationsOf(node)

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """
        Find what is asked for.
        """
        try:
            return self._find(path, request)
        except Trouble as trouble:
            return _Answer(partial(_raise, trouble))

    def _find(self, path: bytes, request: Any) -> Any:
        fields = request.requestHeaders
        place = placeOf(fields.getRawHeaders(b"Host"))
        tenant = self._tenantOf(place)
        if path == b"modules" and MODULES in self._serve:
            return self._named(request, place, tenant)
        if path == CA and MODULES in self._serve:
            return self._module(request, place, tenant, CA.decode(), self._only(tenant, CA.decode()))
        if path == DNS_QUERY and MODULES in self._serve:
            return self._module(request, place, tenant, DNS, self._only(tenant, DNS))
        _checkOrigin(request)
        if path == b"api" and ADMIN in self._serve:
            return Api(lambda request: self._caller(request, place, tenant), self._perform)
        if path == b"openapi.json" and ADMIN in self._serve and not request.postpath:
            return self._known(place, tenant, self._describe)
        if path == b"metrics" and METRICS in self._serve and not request.postpath:
            return self._known(place, tenant, self._metrics.render)
        raise Trouble(404, "there is nothing of that name")

    def _tenantOf(self, place: Place) -> str:
        """
        Which tenant a request is for.

        @raise Trouble: it is for somebody else, so a name server lies, or a page does.
        """
        if place.isFixed or place.host in self._own:
            return self.tenant
        # Tenants are never changed but by a reload.
        if self._generation is not self.node.last:
            self._generation = self.node.last
            self._hosts = Hosts({path: map(str, each.hosts) for path, each in self.node.tenants.items()})
        tenant = self._hosts.tenantOf(place.host)
        if tenant is None or not isWithin(tenant, self.tenant):
            raise Trouble(
                421,
                f"this is not {place.host}: ask for an address, for localhost, or for a tenant's host; "
                "or let http.NAME.hosts have it",
            )
        return tenant

    def _isTrusted(self, request: Any, place: Place) -> bool:
        """
        Whether nobody could have sent this but who is on this machine.
        """
        # A tenant's own name leads where the tenant wants, also to this machine, with a page of the tenant's.
        return self.isLocal and place.isFixed and not any(map(request.requestHeaders.hasHeader, _FORWARDED))

    def _caller(self, request: Any, place: Place, tenant: str) -> Deferred[Caller]:
        given = maybeDeferred(credentialsFrom, request.requestHeaders.getRawHeaders(b"Authorization"))
        trusted, proven = self._isTrusted(request, place), _provenBy(request)
        return given.addCallback(
            lambda credentials: callerOf(self.node, tenant, credentials, trusted=trusted, proven=proven)
        )

    def _someone(self, request: Any, place: Place, tenant: str) -> Deferred[Principal]:
        given = maybeDeferred(credentialsFrom, request.requestHeaders.getRawHeaders(b"Authorization"))
        trusted, proven = self._isTrusted(request, place), _provenBy(request)
        return given.addCallback(
            lambda credentials: someoneOf(self.node, tenant, credentials, trusted=trusted, proven=proven)
        )

    def _known(self, place: Place, tenant: str, answer: Callable[[Any, Caller], None]) -> Any:
        return _Answer(
            lambda request: self._caller(request, place, tenant).addCallback(
                lambda caller: answer(request, caller)
            )
        )

    def _describe(self, request: Any, caller: Caller) -> None:
        if request.method not in (b"GET", b"HEAD"):
            raise Trouble(405, "wanted GET")
        send(request, 200, msgspec.json.encode(describe(jsonSchema(self.node.kinds))), JSON)

    def _named(self, request: Any, place: Place, tenant: str) -> Any:
        """
        The resource of a module by its kind and name, which are in the path.
        """
        if len(request.postpath) < 2:
            raise Trouble(404, "wanted /modules/KIND/NAME/")
        kind, name = (each.decode("utf-8", "replace") for each in request.postpath[:2])
        request.prepath += request.postpath[:2]
        del request.postpath[:2]
        return self._module(request, place, tenant, kind, name)

    def _only(self, tenant: str, kind: str) -> str:
        """
        The name of the only section of a kind that a tenant has.
        """
        names: list[str] = [name for path, each, name in self.node.modules if (path, each) == (tenant, kind)]
        if len(names) != 1:
            raise Trouble(404, f"there are {len(names)} of them here: wanted /modules/{kind}/NAME/")
        return names[0]

    def _module(self, request: Any, place: Place, tenant: str, kind: str, name: str) -> Any:
        """
        The resource of a module; what is in the rest of the path is its own.
        """
        service = IServesHTTP(self.node.modules.get((tenant, kind, name)), None)
        if service is None:
            raise Trouble(404, f"there is no module {kind} {name} that shows anything")
        resource = service.resource()
        if ADMIN in self._serve:
            request.responseHeaders.setRawHeaders(b"Content-Security-Policy", [_APART])
            request.responseHeaders.setRawHeaders(b"X-Content-Type-Options", [b"nosniff"])
        if service.isPublic:
            request.setComponent(
                IAsker,
                Asker(
                    request,
                    lambda: self._someone(request, place, tenant),
                    lambda: self._caller(request, place, tenant),
                ),
            )
            return _Within(resource)
        _checkOrigin(request)

        def known(principal: Any) -> None:
            request.setComponent(IPrincipal, principal)
            request.render(getChildForRequest(resource, request))

        given = self._someone(request, place, tenant)
        return _Answer(lambda request: given.addCallback(known))


@implementer(IAsker)
class Asker:
    """
    Who sends a request to what is public, found out if somebody wants to know.
    """

    def __init__(
        self,
        request: Any,
        someone: Callable[[], Deferred[Principal]],
        caller: Callable[[], Deferred[Caller]],
    ) -> None:
        """
        @param someone: logs in a principal of the tenant.
        @param caller: logs in who looks after it.
        """
        self._request = request
        self._someone = someone
        self._caller = caller

    def someone(self) -> Deferred[Principal]:
        """
        See L{IAsker}.
        """
        return maybeDeferred(_checkOrigin, self._request).addCallback(lambda _: self._someone())

    def administrator(self, changes: bool) -> Deferred[Principal]:
        """
        See L{IAsker}.
        """

        def known(caller: Caller) -> Principal:
            if changes and not caller.mayChange:
                raise Trouble(403, f"{caller} may look, and not change anything")
            return caller.principal

        return (
            maybeDeferred(_checkOrigin, self._request)
            .addCallback(lambda _: self._caller())
            .addCallback(known)
        )


class _Within(Resource):
    """
    What a module shows, from where it begins.
    """

    def __init__(self, resource: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._resource = resource
        self.isLeaf = resource.isLeaf

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """
        See L{IResource}.
        """
        return self._resource.getChildWithDefault(path, request)

    def render(self, request: Any) -> Any:
        """
        See L{IResource}.
        """
        return self._resource.render(request)


class _Answer(Resource):
    """
    Something that is answered by a function, which may fail with L{Trouble}.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def render(self, request: Any) -> Any:
        """
        See L{IResource}.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answered = maybeDeferred(self._answer, request)
        answered.addErrback(self._trouble, request, gone)
        return NOT_DONE_YET

    def _trouble(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        if gone:
            return
        trouble = failure.value
        if not isinstance(trouble, Trouble):
            self.log.failure("an HTTP request failed", failure)
            trouble = Trouble(500, "see the log of this node")
        sendTrouble(request, trouble)


def _raise(trouble: Trouble, request: Any) -> None:
    raise trouble


def _checkOrigin(request: Any) -> None:
    fields = request.requestHeaders
    checkOrigin(
        fields.getRawHeaders(b"Host"),
        fields.getRawHeaders(b"Origin"),
        fields.getRawHeaders(b"Sec-Fetch-Site"),
        secure=_isSecure(request),
    )


def _provenBy(request: Any) -> Principal | None:
    """
    Who a client has proven to be by the certificate of its connection; not if it brings what others ask.
    """
    principal = getattr(request.getClientAddress(), "principal", None)
    isOwn = not any(map(request.requestHeaders.hasHeader, _FORWARDED))
    return principal if isOwn and getattr(principal, "method", "") == METHOD else None


def _isSecure(request: Any) -> bool:
    return bool(request.isSecure()) or ISSLTransport.providedBy(request.transport)
