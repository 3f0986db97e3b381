# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that want to go on by SOCKS5, and come up when the test says so.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.negotiated import NegotiatedClientEndpoint
from ugate.errors import Refused
from ugate.protocols.socks5client import Socks5Client
from ugate.stream import Target
from ugate.test.dialfakes import Recorders
from ugate.test.listenfakes import Line

TARGET = Target("203.0.113.9", 80)

UP = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"

REFUSED = b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"


@implementer(IStreamClientEndpoint)
class Inner:
    """
    An endpoint whose connection the test lets come up.

    @ivar deaf: whether it goes on connecting when it is cancelled.
    """

    def __init__(self) -> None:
        self.factory: Any = None
        self.connecting: Deferred[Any] | None = None
        self.cancelled = 0
        self.deaf = False
        self.line = Line()
        self.protocol: Any = None

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        def cancel(connecting: Deferred[Any]) -> None:
            self.cancelled += 1
            if not self.deaf:
                connecting.errback(ConnectingCancelledError(IPv4Address("TCP", "192.0.2.1", 1080)))

        self.factory = factory
        self.connecting = Deferred(cancel)
        return self.connecting

    def up(self) -> Line:
        """
        The connection is up.
        """
        assert self.connecting is not None
        self.protocol = self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1080))
        if self.protocol is not None:
            self.protocol.makeConnection(self.line)
        if not self.connecting.called:
            self.connecting.callback(self.protocol)
        return self.line

    def lost(self, error: Exception | None = None) -> None:
        """
        The connection is gone.
        """
        self.protocol.connectionLost(Failure(error or ConnectionDone()))


class ClientCase(SynchronousTestCase):
    """
    A connection that wants to go on by SOCKS5.
    """

    def setUp(self) -> None:
        self.clock: Any = MemoryReactorClock()
        self.inner = Inner()
        self.factory = Recorders()

    def connect(self, negotiation: Any = None, factory: Any = None) -> Deferred[IProtocol]:
        """
        Begin.
        """
        endpoint = NegotiatedClientEndpoint(
            self.clock,
            self.inner,
            negotiation or (lambda: Socks5Client(TARGET, hop="socks:192.0.2.1:1080")),
            hop="socks:192.0.2.1:1080",
            deadline=5,
        )
        return endpoint.connect(factory or self.factory)

    def nothingLeft(self) -> None:
        """
        No timer runs any more.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def refusal(self, connected: Deferred[IProtocol]) -> Refused:
        """
        The error of a connection that was refused.
        """
        refused: Refused = self.failureResultOf(connected, Refused).value
        return refused
