# -*- test-case-name: ugate.test.test_meshstring -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{mesh:HOST:PORT}: the ways of a tenant, as a client string.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint

from ugate.endpoints.clients import OURSELVES
from ugate.errors import Cause, Phase, Refused, StringError
from ugate.interfaces import IDialer, ITenant
from ugate.stream import StreamInfo, Target


@implementer(IStreamClientEndpoint)
class MeshEndpoint:
    """
    The client endpoint that C{mesh:HOST:PORT} is: it goes by the routes, and so by the nodes, of the tenant
    whose reactor it was made with.  C{str()} gives the string.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, target: Target) -> None:
        """
        @param reactor: that of a tenant.
        """
        self._reactor = reactor
        self._target = target
        self._isDialing = False

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.  It fails with L{Refused<ugate.errors.Refused>}; the Deferred can be cancelled.
        """
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        if self._isDialing:
            step = "let the routes lead that target another way than by this one"
            raise Refused(Cause.UNSUPPORTED, Phase.CONNECT, str(self), "this way leads to itself", step)
        self._isDialing = True
        try:
            dialer, info = self._dialer(), StreamInfo(OURSELVES, OURSELVES, self._target)
            connecting = dialer.endpointFor(info).connect(factory)
        finally:
            self._isDialing = False
        return await connecting

    def _dialer(self) -> IDialer:
        tenant = ITenant(self._reactor, None)
        if tenant is None:
            step = "use it in the config of a gateway, or with the reactor of an ITenant"
            raise Refused(Cause.UNSUPPORTED, Phase.RESOLVE, str(self), "we know no nodes", step)
        dialer: IDialer = tenant.dialer
        return dialer

    def explain(self) -> list[str]:
        """
        The way in words, a line a step.
        """
        try:
            return self._dialer().explain(StreamInfo(OURSELVES, OURSELVES, self._target))
        except Refused as refused:
            return [str(refused)]

    def __str__(self) -> str:
        return f"mesh:{self._target}"


def meshFromParts(reactor: Any, parts: Sequence[str], keywords: Mapping[str, str]) -> MeshEndpoint:
    """
    The endpoint that Twisted's C{clientFromString} has read the parts of.

    @raise StringError: it cannot be read.
    """
    if keywords:
        raise StringError(f"mesh: no keyword {min(keywords)}=: it takes none")
    if len(parts) != 2:
        raise StringError("mesh: wanted mesh:HOST:PORT; an IPv6 address is written [\\:\\:1]")
    host, port = parts
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return MeshEndpoint(reactor, Target.fromText(f"{host}:{port}"))
