# -*- test-case-name: ugate.test.test_mutual -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The hop that is the end of the way: TLS to one place, with the certificates of both sides.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.hops import Hop
from ugate.endpoints.tlsclient import TLSClientEndpoint
from ugate.endpoints.upstream import carrierOf
from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.interfaces import IDialer, ITenant
from ugate.protocols.tlsverify import PeerCheck
from ugate.stream import Principal, StreamInfo


@implementer(IDialer)
class Mutual:
    """
    The dialer that carries every stream to one place, whatever its target, in TLS that
    proves who we are and checks who that is.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> None:
        """
        @param reactor: that of a tenant, which has an identity and a trust.
        @param hop: the place, and who it has to be.
        @param via: what carries the connection there.
        """
        self._reactor = reactor
        self._hop = hop
        self._via = via
        self._deadline = DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of that place.

        @raise Refused: there is no way there, or we have no identity.
        """
        hop = self._hop
        tenant = ITenant(self._reactor, None)
        if tenant is None:
            step = "use it in the config of a gateway, or with the reactor of an ITenant"
            raise Refused(Cause.UNSUPPORTED, Phase.TLS, hop.place, "we have no identity", step)
        try:
            trust = tenant.trust
            sni = hop.name if hop.name and "/" not in hop.name else hop.host
            options = tenant.identity.clientTLS(sni, hop.alpn)
        except Refused:
            raise
        except UgateError as error:
            raise Refused(
                Cause.UNSUPPORTED, Phase.TLS, hop.place, str(error), "see the section identity of the config"
            ) from error
        return TLSClientEndpoint(
            self._reactor,
            carrierOf(hop, self._via, info),
            options,
            hop=hop.place,
            deadline=self._deadline,
            check=lambda: PeerCheck(partial(self._check, trust), hop.place),
        )

    def _check(self, trust: Any, chain: Any) -> Principal:
        hop = self._hop
        try:
            principal: Principal = trust.check(chain, hop.name or hop.host)
        except Refused as e:
            # It names the hop, as the config does.
            raise Refused(e.cause, Phase.TLS, hop.place, e.detail, e.nextStep) from e
        return principal

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way there, and who that has to be.
        """
        hop = self._hop
        way = [f"connect to {hop.place} by {hop.via}"]
        if IDialer.providedBy(self._via):
            way = self._via.explain(info.but(target=hop.target))
        who = hop.name or hop.host
        return [
            *way,
            f"speak TLS with {hop.target}, which has to prove that it is {who}; we prove who we are",
        ]
