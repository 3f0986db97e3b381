# -*- test-case-name: ugate.test.test_serving -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What factories of accepted connections have in common whose streams are for another factory.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twisted.internet.interfaces import ILoggingContext, IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory


@implementer(IProtocolNegotiationFactory)
class Serving(Factory):
    """
    Starts and stops with the factory that its streams are for, and has its name in logs.

    @cvar alpn: what is chosen if a client offers it to TLS of Twisted's own below, which breaks off with one
        whose offers are all unknown to it.
    @ivar wrappedFactory: what makes the protocols of the streams.
    @since: ugate NEXT
    """

    noisy = False
    alpn: Sequence[bytes] = (b"http/1.1",)
    wrappedFactory: IProtocolFactory

    def __init__(self, served: IProtocolFactory) -> None:
        """
        @param served: what the streams are for.
        """
        self._served = self.wrappedFactory = served

    def logPrefix(self) -> str:
        """
        Who it is that listens, in the log of the reactor: whoever the streams are for.
        """
        if ILoggingContext.providedBy(self._served):
            return ILoggingContext(self._served).logPrefix()
        return type(self._served).__name__

    def acceptableProtocols(self) -> list[bytes]:
        """
        See L{IProtocolNegotiationFactory.acceptableProtocols}.
        """
        return list(self.alpn)

    def doStart(self) -> None:
        """
        A port listens with this factory.
        """
        super().doStart()  # type: ignore[no-untyped-call]
        self.wrappedFactory.doStart()

    def doStop(self) -> None:
        """
        A port listens no more with this factory.
        """
        super().doStop()  # type: ignore[no-untyped-call]
        self.wrappedFactory.doStop()
