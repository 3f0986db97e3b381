# -*- test-case-name: ugate.test.test_forward -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The hop that is the end of the way: one place, to which every stream goes as it is.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IStreamClientEndpoint

from ugate.endpoints.addresses import DEFAULT_TIMEOUT
from ugate.endpoints.hops import Hop
from ugate.endpoints.tlsclient import TLSClientEndpoint, clientOptions
from ugate.endpoints.upstream import carrierOf
from ugate.interfaces import IDialer
from ugate.stream import StreamInfo


@implementer(IDialer)
class Forward:
    """
    The dialer that carries every stream to one place, whatever its target; in TLS if the hop says so, to a
    server whose certificate this host believes.

    @since: ugate NEXT
    """

    def __init__(self, reactor: Any, hop: Hop, via: IDialer | IStreamClientEndpoint) -> None:
        """
        @param reactor: L{IReactorTime}.
        @param hop: the place.
        @param via: what carries the connection there.
        @raise Refused: the hop wants TLS and that is not installed.
        """
        self._reactor = reactor
        self._hop = hop
        self._via = via
        self._deadline = DEFAULT_TIMEOUT if hop.timeout is None else hop.timeout
        self._options = clientOptions(hop.host, hop.place) if hop.tls else None

    def endpointFor(self, info: StreamInfo) -> IStreamClientEndpoint:
        """
        The endpoint of that place.

        @raise Refused: there is no way there.
        """
        hop = self._hop
        inner = carrierOf(hop, self._via, info)
        if self._options is None:
            return inner
        return TLSClientEndpoint(self._reactor, inner, self._options, hop=hop.place, deadline=self._deadline)

    def explain(self, info: StreamInfo) -> list[str]:
        """
        The way there, and what is spoken.
        """
        hop = self._hop
        way = [f"connect to {hop.place} by {hop.via}"]
        if IDialer.providedBy(self._via):
            way = self._via.explain(info.but(target=hop.target))
        speak = f"speak TLS with {hop.target}; " if hop.tls else ""
        return [*way, f"{speak}that is where it goes, and not on to {info.target}"]
