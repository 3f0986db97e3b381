# -*- test-case-name: ugate.test.test_addresses -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.addresses}.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.addresses import AddressEndpoint, _Opening, isLiteral
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.stream import Target
from ugate.test.dialfakes import CLIENT, Net, Recorder, Recorders


class LiteralTests(SynchronousTestCase):
    """
    Addresses and names.
    """

    def test_isLiteral(self) -> None:
        """
        Only what no resolver is needed for is a literal.
        """
        for host in ("10.0.0.1", "::1", "2001:db8::1", "fe80::1%eth0"):
            self.assertTrue(isLiteral(host), host)
        for host in ("", "a", "127.1", "10.0.0.1.", "0x7f.1", "10.0.0.1\0", "a:b", "[::1]", "10.0.0.1%eth0"):
            self.assertFalse(isLiteral(host), host)


class AddressTests(SynchronousTestCase):
    """
    Connections to literals.
    """

    def setUp(self) -> None:
        """
        A connection under way.
        """
        self.net = Net()
        self.factory = Recorders()
        self.endpoint = AddressEndpoint(self.net, Target("10.0.0.1", 80), 7.0)

    def refused(self, result: Deferred[IProtocol]) -> Refused:
        """
        The refusal that a Deferred failed with.
        """
        failure = self.failureResultOf(result, Refused)
        assert isinstance(failure.value, Refused)
        return failure.value

    def test_interfaces(self) -> None:
        """
        What is promised is there.
        """
        self.assertTrue(verifyObject(IStreamClientEndpoint, self.endpoint))
        self.assertTrue(verifyClass(IProtocol, _Opening))
        self.assertEqual(str(self.endpoint), "tcp:10.0.0.1:80")

    def test_connect(self) -> None:
        """
        The reactor is asked once, with the time limit; the protocol comes up with
        the transport before the Deferred fires.
        """
        connected = self.endpoint.connect(self.factory)
        host, port, opening, timeout, _ = self.net.tcpClients[0]
        self.assertEqual((host, port, timeout), ("10.0.0.1", 80, 7.0))
        self.assertEqual(self.factory.made, [])
        opening.doStart()
        self.assertEqual(self.factory.started, 1)
        transport = self.net.up()
        protocol = self.successResultOf(connected)
        self.assertEqual([protocol], self.factory.made)
        self.assertIs(self.factory.made[0].transport, transport)
        opening.clientConnectionLost(self.net.connectors[0], Failure(ConnectionDone()))
        opening.doStop()
        self.assertEqual(self.factory.numPorts, 0)

    def test_outOfTheWay(self) -> None:
        """
        A transport that has its protocol as an attribute, as those of sockets have,
        has the real one from then on.
        """
        connected = self.endpoint.connect(self.factory)
        transport = self.net.up()
        self.assertIs(transport.protocol, self.successResultOf(connected))  # type: ignore[attr-defined]

    def test_forwards(self) -> None:
        """
        Other transports reach the real one all the same, half-close included.
        """

        @implementer(IHalfCloseableProtocol)
        class Half(Recorder):
            ended = ""

            def readConnectionLost(self) -> None:
                self.ended += "r"

            def writeConnectionLost(self) -> None:
                self.ended += "w"

        connected = self.endpoint.connect(Factory.forProtocol(Half))
        outer: Any = self.net.tcpClients[0][2].buildProtocol(CLIENT)
        outer.makeConnection(StringTransport())
        outer.connectionMade()
        inner = self.successResultOf(connected)
        assert isinstance(inner, Half)
        outer.dataReceived(b"hello")
        IHalfCloseableProtocol(outer).readConnectionLost()
        IHalfCloseableProtocol(outer).writeConnectionLost()
        reason = Failure(ConnectionDone())
        outer.connectionLost(reason)
        self.assertEqual((inner.got, inner.ended, inner.lost), (b"hello", "rw", [reason]))

    def test_notHalfCloseable(self) -> None:
        """
        A protocol that knows no half-close does not get one.
        """
        self.endpoint.connect(self.factory)
        outer: Any = self.net.tcpClients[0][2].buildProtocol(CLIENT)
        outer.makeConnection(StringTransport())
        self.assertFalse(IHalfCloseableProtocol.providedBy(outer))

    def test_refused(self) -> None:
        """
        A failed connection is a refusal that names the target.
        """
        connected = self.endpoint.connect(self.factory)
        self.net.down(ConnectionRefusedError())
        refused = self.refused(connected)
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop),
            (Cause.CONNECTION_REFUSED, Phase.CONNECT, "10.0.0.1:80"),
        )

    def test_deniedByReactor(self) -> None:
        """
        A reactor that raises, and one whose connection fails, can deny an address.
        """
        denied = Denied("10.0.0.1:80", "a rule")
        connected = self.endpoint.connect(self.factory)
        self.net.down(denied)
        self.assertIs(self.refused(connected), denied)
        self.net.forbidden["10.0.0.1"] = denied
        self.assertIs(self.refused(self.endpoint.connect(self.factory)), denied)

    def test_faultOfReactor(self) -> None:
        """
        What is no matter of the connection stays what it is.
        """

        def broken(*args: Any) -> Any:
            raise ZeroDivisionError("a fault")

        self.patch(self.net, "connectTCP", broken)
        self.failureResultOf(self.endpoint.connect(self.factory), ZeroDivisionError)

    def test_factoryFails(self) -> None:
        """
        A factory that raises, or builds nothing, fails the connection and closes it.
        """

        class Broken(Factory):
            def buildProtocol(self, addr: object) -> Protocol:
                raise ZeroDivisionError("a fault")

        class Empty(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        for factory, error in ((Broken(), ZeroDivisionError), (Empty(), NoProtocol)):
            connected = self.endpoint.connect(factory)
            self.assertIsNone(self.net.tcpClients[-1][2].buildProtocol(CLIENT))
            self.failureResultOf(connected, error)

    def test_protocolFails(self) -> None:
        """
        Nobody waits forever for a protocol that does not come up.
        """

        class Broken(Protocol):
            def connectionMade(self) -> None:
                raise ZeroDivisionError("a fault")

        connected = self.endpoint.connect(Factory.forProtocol(Broken))
        self.assertRaises(ZeroDivisionError, self.net.up)
        self.failureResultOf(connected, ZeroDivisionError)

    def test_cancel(self) -> None:
        """
        Cancelling stops the connection; what the reactor still says is not heard.
        """
        connected = self.endpoint.connect(self.factory)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertTrue(self.net.connectors[0].stoppedConnecting)
        self.net.down(ConnectionRefusedError())
        self.assertIsNone(self.net.tcpClients[0][2].buildProtocol(CLIENT))

    def test_cancelEarly(self) -> None:
        """
        A reactor that has not begun yet has nothing to stop.
        """
        self.patch(self.net, "connectTCP", lambda *args: None)
        connected = self.endpoint.connect(self.factory)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
