# -*- test-case-name: ugate.test.test_tlsclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The streams inside of TLS to a server, which are lost by what that says in an alert.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from ugate.protocols.tlsalerts import refusalIn
from ugate.protocols.tlsstream import TLSStream


class HopStream(TLSStream):
    """
    A stream to a server.

    @since: ugate NEXT
    """

    factory: HopStreams

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        super()._tlsShutdownFinished(reason)
        refusal = None if reason is None else refusalIn(reason.value, self.factory.hop)
        if refusal is not None:
            self._reason = Failure(refusal)


class HopStreams(TLSMemoryBIOFactory):
    """
    Makes the streams to a server.

    @ivar hop: what L{Refused<ugate.errors.Refused>} names.
    @since: ugate NEXT
    """

    protocol = HopStream

    def __init__(self, options: Any, wrapped: IProtocolFactory, clock: IReactorTime, hop: str) -> None:
        """
        @param options: what makes connections.
        @param wrapped: what the streams are for.
        """
        super().__init__(options, True, wrapped, clock)
        self.hop = hop
