# -*- test-case-name: ugate.test.test_associations -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Where the streams of a SOCKS5 listener part from its associations (RFC 1928, 7), which most never have.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory

from ugate.protocols.socks5 import ASSOCIATE


@implementer(IProtocolFactory)
class AssociationFactory:
    """
    What serves the associations of a SOCKS5 listener, beside the streams that the factory within is for.

    @ivar count: how many there are.
    @since: ugate NEXT
    """

    def __init__(self, inner: IProtocolFactory, reactor: Any, isCone: bool = False) -> None:
        """
        @param inner: what carries one stream on; and one flow.
        @param reactor: what waits for the sockets.
        @param isCone: whether anybody may answer, and not only whom something was sent to.
        """
        self.isCone = isCone
        self.wrappedFactory = inner
        self.reactor = reactor
        self.count = 0

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """
        The protocol of one stream, or of the connection that an association hangs on.
        """
        if getattr(addr, "protocol", "") != ASSOCIATE:
            return self.wrappedFactory.buildProtocol(addr)
        from ugate.endpoints.associations import Association

        return Association(self)

    def doStart(self) -> None:
        """
        A port listens with this factory.
        """
        self.wrappedFactory.doStart()

    def doStop(self) -> None:
        """
        A port listens no more with this factory.
        """
        self.wrappedFactory.doStop()
