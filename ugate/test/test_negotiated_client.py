# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that negotiate first, and come up or are cancelled: L{NegotiatedClientEndpoint}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectingCancelledError, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory

from ugate.endpoints.negotiated import NegotiatedClientEndpoint
from ugate.protocols.proxyproto import ProxyHeaderClient
from ugate.protocols.socks5client import Socks5Client
from ugate.test.dialfakes import Recorder
from ugate.test.listenfakes import HELLO, NO_LOGIN, REQUEST
from ugate.test.negotiatedfakes import REFUSED, TARGET, UP, ClientCase, Inner


class SuccessTests(ClientCase):
    """
    Connections that come up.
    """

    def test_connect(self) -> None:
        """
        The protocol is built when the proxy has said yes, and gets all that is its own.
        """
        connected = self.connect()
        line = self.inner.up()
        self.assertEqual(line.take(), HELLO)
        self.inner.protocol.dataReceived(NO_LOGIN)
        self.assertEqual(line.take(), REQUEST)
        self.assertEqual(self.factory.made, [])
        self.assertNoResult(connected)
        self.inner.protocol.dataReceived(UP + b"220 hello")
        recorder = self.successResultOf(connected)
        self.assertIs(recorder, self.factory.made[0])
        assert isinstance(recorder, Recorder) and recorder.transport is not None
        self.assertEqual(recorder.got, b"220 hello")
        recorder.transport.write(b"EHLO")
        self.assertEqual(line.take(), b"EHLO")
        self.nothingLeft()
        reason = ConnectionLost()
        self.inner.lost(reason)
        self.assertEqual([failure.value for failure in recorder.lost], [reason])

    @given(st.lists(st.integers(0, len(NO_LOGIN + UP) + 3)))
    def test_anyCut(self, cuts: list[int]) -> None:
        """
        However the answers are cut, the connection comes up once.
        """
        self.setUp()
        connected = self.connect()
        self.inner.up()
        said, begin = NO_LOGIN + UP + b"hi!", 0
        for cut in [*sorted(cuts), len(said)]:
            if said[begin:cut]:
                self.inner.protocol.dataReceived(said[begin:cut])
            begin = max(begin, cut)
        recorder: Any = self.successResultOf(connected)
        self.assertEqual((recorder.got, len(self.factory.made)), (b"hi!", 1))
        self.nothingLeft()

    def test_waitsForNothing(self) -> None:
        """
        A negotiation that only sends is done with the connection.
        """
        connected = self.connect(lambda: ProxyHeaderClient(TARGET, version=1))
        line = self.inner.up()
        self.successResultOf(connected)
        self.assertEqual(line.take(), b"PROXY UNKNOWN\r\n")
        self.nothingLeft()

    def test_closesAtOnce(self) -> None:
        """
        The protocol may close as soon as it has its connection.
        """

        class Hasty(Recorder):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        connected = self.connect(factory=Factory.forProtocol(Hasty))
        line = self.inner.up()
        self.inner.protocol.dataReceived(NO_LOGIN + UP)
        self.assertIsInstance(self.successResultOf(connected), Hasty)
        self.assertTrue(line.disconnecting)
        self.inner.lost()
        self.nothingLeft()

    def test_eachItsOwn(self) -> None:
        """
        An endpoint can connect many times.
        """
        endpoint = NegotiatedClientEndpoint(
            self.clock, self.inner, lambda: Socks5Client(TARGET), hop="h", deadline=5
        )
        for _ in range(2):
            connected = endpoint.connect(self.factory)
            self.inner.up()
            self.inner.protocol.dataReceived(NO_LOGIN + UP)
            self.successResultOf(connected)
        self.assertEqual(len(self.factory.made), 2)
        self.nothingLeft()


class CancelTests(ClientCase):
    """
    Connections that nobody waits for any more.
    """

    def cancel(self, connected: Deferred[IProtocol]) -> None:
        """
        Cancel, twice.
        """
        connected.cancel()
        connected.cancel()
        self.failureResultOf(connected, CancelledError, ConnectingCancelledError)
        self.nothingLeft()

    def test_whileConnecting(self) -> None:
        """
        The endpoint within is cancelled.
        """
        connected = self.connect()
        self.cancel(connected)
        self.assertEqual(self.inner.cancelled, 1)

    def test_whileConnectingForReal(self) -> None:
        """
        The same with Twisted's own endpoint.
        """
        endpoint = NegotiatedClientEndpoint(
            self.clock,
            TCP4ClientEndpoint(self.clock, "192.0.2.1", 1080),
            lambda: Socks5Client(TARGET),
            hop="h",
        )
        self.cancel(endpoint.connect(self.factory))
        self.assertTrue(self.clock.connectors[0].stoppedConnecting)

    def test_connectedAllTheSame(self) -> None:
        """
        A connection that comes up although it was cancelled gets no protocol, so that
        whoever made it closes it.
        """
        self.inner.deaf = True
        connected = self.connect()
        self.cancel(connected)
        line = self.inner.up()
        self.assertEqual((self.inner.protocol, line.take()), (None, b""))
        self.nothingLeft()

    def test_whileNegotiating(self) -> None:
        """
        The connection is reset.
        """
        for said in (b"", NO_LOGIN, NO_LOGIN + UP[:-1]):
            self.inner = Inner()
            connected = self.connect()
            line = self.inner.up()
            if said:
                self.inner.protocol.dataReceived(said)
            self.cancel(connected)
            self.assertTrue(line.disconnected)
            self.inner.lost()
            self.assertEqual(self.factory.made, [])
            self.nothingLeft()

    def test_afterwards(self) -> None:
        """
        What is up stays up.
        """
        connected = self.connect()
        line = self.inner.up()
        self.inner.protocol.dataReceived(NO_LOGIN + UP)
        connected.cancel()
        self.successResultOf(connected)
        self.assertFalse(line.disconnected or line.disconnecting)

    def test_afterFailure(self) -> None:
        """
        What has failed does not fail again.
        """
        connected = self.connect()
        self.inner.up()
        self.inner.protocol.dataReceived(NO_LOGIN + REFUSED)
        self.refusal(connected)
        connected.cancel()
        self.inner.lost()
        self.nothingLeft()
