# -*- test-case-name: ugate.test.test_callers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who asks the admin API, and what they look after.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from twisted.cred.credentials import ICredentials, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ugate.errors import Refused
from ugate.interfaces import INode, IPrincipal, ITenant
from ugate.modules.problems import Trouble
from ugate.protocols.credentials import BearerToken
from ugate.stream import ROOT, Principal
from ugate.tenancy.config.sections import isWithin

ADMIN: Final = "admin"
"""The kind of the sections that say who looks after a tenant."""

OPERATOR: Final = Principal("operator", "local")

_LOGIN: Final = "log in as a principal whom an admin section names, or come by loopback or a UNIX socket"


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who asks.
    """

    principal: Principal
    """Who it is, proven."""

    tenant: str
    """The path of the tenant that they look after; all below it is theirs, too."""

    mayChange: bool = True
    """Whether they may change anything."""

    isHere: bool = False
    """Whether they are on this machine, and so could read what this process reads."""

    def sees(self, tenant: str) -> bool:
        """
        Whether a tenant is in their care.
        """
        return isWithin(tenant, self.tenant)

    def __str__(self) -> str:
        return f"{self.principal.method}:{self.principal.name}@{self.tenant}"


def credentialsFrom(fields: list[bytes] | None) -> ICredentials | None:
    """
    What a client says to prove who it is.

    @param fields: C{Authorization}.
    @raise Trouble: it cannot be understood.
    """
    if fields is None:
        return None
    scheme, _, rest = fields[0].strip().partition(b" ")
    rest = rest.strip()
    if len(fields) == 1 and scheme.lower() == b"bearer" and rest:
        credentials: ICredentials = BearerToken(rest)
        return credentials
    if len(fields) == 1 and scheme.lower() == b"basic":
        try:
            name, colon, password = base64.b64decode(rest, validate=True).partition(b":")
        except binascii.Error:
            colon = b""
        if colon:
            return UsernamePassword(name, password)
    raise Trouble(401, "wanted Authorization: Basic ... or Bearer ...")


def callerOf(
    node: INode,
    portal: str,
    credentials: ICredentials | None,
    *,
    trusted: bool,
    proven: Principal | None = None,
) -> Deferred[Caller]:
    """
    Find out who asks.

    @param portal: the path of the tenant that the request came to.
    @param credentials: what the client says to prove who it is.
    @param trusted: whether nobody else than the operator could have sent this without any.
    @param proven: who it is by the certificate of its connection, if it says nothing else.
    @return: fails with L{Trouble}.
    """
    return maybeDeferred(_callerOf, node, portal, credentials, trusted, proven)


def someoneOf(
    node: INode,
    portal: str,
    credentials: ICredentials | None,
    *,
    trusted: bool,
    proven: Principal | None = None,
) -> Deferred[Principal]:
    """
    Find out who asks for what a module shows: any principal of that tenant will do.

    @return: fails with L{Trouble}.
    """
    return maybeDeferred(_someoneOf, node, portal, credentials, trusted, proven)


def _someoneOf(
    node: INode, path: str, credentials: ICredentials | None, trusted: bool, proven: Principal | None
) -> Any:
    if credentials is None and proven is not None and isWithin(proven.tenant, path):
        return proven
    if credentials is None and trusted:
        return OPERATOR
    return _login(node, path, credentials)


def _callerOf(
    node: INode, path: str, credentials: ICredentials | None, trusted: bool, proven: Principal | None
) -> Any:
    if credentials is None and proven is not None:
        return _known(node, path, proven)
    if credentials is None and trusted:
        return Caller(OPERATOR, path, isHere=True)
    return _login(node, path, credentials).addCallback(lambda principal: _known(node, path, principal))


def _login(node: INode, path: str, credentials: ICredentials | None) -> Deferred[Principal]:
    """
    Check what somebody says to prove who it is.
    """
    if credentials is None:
        raise Trouble(401, _LOGIN)
    tenant: ITenant = node.tenants[path]
    if tenant.portal is None:
        raise Trouble(401, f"nobody can log in here; {_LOGIN}")
    done: Deferred[Any] = tenant.portal.login(credentials, None, IPrincipal)
    return done.addCallbacks(lambda result: result[1], _failed)


def _failed(failure: Failure) -> None:
    if failure.check(UnauthorizedLogin) is None:
        failure.raiseException()
    if isinstance(failure.value, Refused):
        raise Trouble(503, str(failure.value)) from failure.value
    raise Trouble(401, f"wrong name, password or token; {_LOGIN}") from failure.value


def _known(node: INode, path: str, principal: Principal) -> Caller:
    """
    Who has logged in: is it somebody who looks after a tenant?
    """
    tenant = principal.tenant
    if isWithin(tenant, path):
        found = [admin for admin in adminsOf(node, tenant) if admin.means(principal)]
        if found:
            return Caller(principal, tenant, any(admin.mayChange for admin in found))
    raise Trouble(403, f"no admin section of the tenant {tenant} names {principal.method}:{principal.name}")


def adminsOf(node: INode, tenant: str) -> list[Any]:
    """
    What says who looks after a tenant: L{ugate.modules.admin.Admin} services.
    """
    return [service for (path, kind, _), service in node.modules.items() if (path, kind) == (tenant, ADMIN)]


def isOperator(caller: Caller) -> bool:
    """
    Whether somebody looks after the node as a whole.
    """
    return caller.tenant == ROOT
