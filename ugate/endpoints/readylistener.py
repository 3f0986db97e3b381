# -*- test-case-name: ugate.test.test_behind -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where nodes without an address come to, and keep connections ready.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)

from ugate.endpoints.meshtransports import readyOf
from ugate.endpoints.negotiated import NegotiatedServerEndpoint, ServerFactory
from ugate.endpoints.ready import Waiting
from ugate.errors import Cause, ListenRefused, Phase, Refused, UgateError
from ugate.interfaces import Auth, ITenant
from ugate.protocols.negotiate import Negotiating
from ugate.protocols.readywire import ReadyGate
from ugate.stream import Principal, StreamInfo


class _ReadyFactory(ServerFactory):
    """
    Accepted connections of nodes.
    """

    def __init__(self, endpoint: NegotiatedServerEndpoint, wrapped: IProtocolFactory) -> None:
        super().__init__(endpoint, wrapped)
        assert isinstance(endpoint, ReadyServerEndpoint)
        self._believe = endpoint.believe
        self._tenant = ITenant(endpoint.reactor)

    def protocolFor(self, host: Negotiating) -> IProtocol | None:
        keyid, chain = host.negotiation.keyid, host.negotiation.chain
        return Waiting(readyOf(self._tenant), keyid, partial(self._stillBelieve, keyid, chain))

    def _stillBelieve(self, keyid: str, chain: Any) -> None:
        if not self.numPorts:
            detail, step = "what it came to listens no more", "it comes to what does, if there is such"
            raise Refused(Cause.OVERLOADED, Phase.NEGOTIATE, f"node {keyid}", detail, step)
        self._believe(keyid, chain)


class ReadyServerEndpoint(NegotiatedServerEndpoint):
    """
    Listens by another endpoint for nodes that keep connections ready.  Nothing of these is for the factory:
    streams to the nodes, by their names, take them.

    @since: ugate NEXT
    """

    factory = _ReadyFactory
    certifies = True

    def __init__(
        self,
        reactor: IReactorTime,
        inner: IStreamServerEndpoint,
        *,
        keys: frozenset[str] | None = None,
        deadline: float = 10.0,
    ) -> None:
        """
        @param reactor: that of a tenant, which has an identity and a trust.
        @param inner: how to listen.
        @param keys: the KEYIDs that may; L{None} for all that the tenant believes.
        @param deadline: seconds that a node has to prove who it is.
        """
        super().__init__(reactor, inner, self._negotiation, deadline=deadline)
        self._keys = keys

    def _negotiation(self, info: StreamInfo, auth: Auth) -> ReadyGate:
        def believe(keyid: str, chain: Any) -> Principal:
            principal = self.believe(keyid, chain)
            readyOf(ITenant(self.reactor)).checkRoom(keyid)
            return principal

        return ReadyGate(info, ITenant(self.reactor).identity.keyid, believe)

    def believe(self, keyid: str, chain: Any) -> Principal:
        """
        Who a node is, if it may keep connections here.

        @raise Refused: it may not, or its key is another one.
        """
        trust = ITenant(self.reactor).trust
        # That the key is this one; whoever has a key is who it names.
        principal: Principal = trust.check(chain, keyid)
        if self._keys is None:
            principal = trust.check(chain, None)
        elif keyid not in self._keys:
            detail, step = "its key may keep no connections here", "add it to keys= of ready:"
            raise Refused(Cause.DENIED, Phase.NEGOTIATE, f"node {keyid}", detail, step)
        return principal

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.

        @return: a Deferred that fails with L{ListenRefused} if there is no good identity.
        """
        tenant = ITenant(self.reactor, None)
        if tenant is None:
            return fail(ListenRefused("ready: has no identity here: put it into the config of a gateway"))
        try:
            # What is wrong with the files is told now and not to the first node.
            tenant.identity.keyid, tenant.trust  # noqa: B018
        except UgateError as error:
            return fail(ListenRefused(f"ready: {error}"))
        return super().listen(factory)
