# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that negotiate first: L{NegotiatedClientEndpoint}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.negotiated import NegotiatedClientEndpoint
from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import INegotiation, Step
from ugate.protocols.negotiate import LINGER
from ugate.protocols.proxyproto import ProxyHeaderClient
from ugate.protocols.socks5client import Socks5Client
from ugate.stream import Principal, Target
from ugate.test.dialfakes import Recorder, Recorders
from ugate.test.listenfakes import HELLO, NO_LOGIN, REQUEST, Line

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


class FailureTests(ClientCase):
    """
    Connections that do not.
    """

    def test_refused(self) -> None:
        """
        What the proxy says of the target is passed on, and the connection is given up.
        """
        connected = self.connect()
        line = self.inner.up()
        self.inner.protocol.dataReceived(NO_LOGIN + REFUSED)
        refused = self.refusal(connected)
        self.assertEqual((refused.cause, refused.hop), (Cause.CONNECTION_REFUSED, "socks:192.0.2.1:1080"))
        self.assertTrue(line.disconnected)
        self.inner.lost()
        self.assertEqual(self.factory.made, [])
        self.nothingLeft()

    def test_noSecrets(self) -> None:
        """
        A login that is not good is told without the password.
        """
        login = UsernamePassword(b"alice", b"swordfish")
        connected = self.connect(lambda: Socks5Client(TARGET, login, hop="socks:192.0.2.1:1080"))
        self.inner.up()
        self.inner.protocol.dataReceived(b"\x05\x02\x01\x01")
        refused = self.refusal(connected)
        self.assertIs(refused.cause, Cause.AUTHENTICATION)
        self.assertNotIn("swordfish", f"{refused} {refused!r}")

    def test_brokenProtocol(self) -> None:
        """
        A proxy that speaks something else is named.
        """
        connected = self.connect()
        line = self.inner.up()
        self.inner.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        refused = self.refusal(connected)
        self.assertEqual((refused.cause, refused.hop), (Cause.PEER_MISBEHAVED, "socks:192.0.2.1:1080"))
        self.assertTrue(line.disconnected)
        self.inner.lost()
        self.nothingLeft()

    def test_protocolError(self) -> None:
        """
        What a negotiation calls a broken protocol is a refusal by that hop; a last word
        is said first.
        """

        @implementer(INegotiation)
        class Strict:
            def start(self) -> bytes:
                return b"hello"

            def receive(self, data: bytes) -> Step:
                if data:
                    raise ProtocolError("it says no hello", b"bye")
                return Step()

            def login(self, principal: Principal | None) -> Step:
                return Step()

            def accept(self) -> bytes:
                return b""

            def refuse(self, reason: Refused) -> bytes:
                return b""

        connected = self.connect(Strict)
        line = self.inner.up()
        self.inner.protocol.dataReceived(b"what?")
        refused = self.refusal(connected)
        self.assertEqual(
            (refused.cause, refused.phase, refused.detail),
            (Cause.PEER_MISBEHAVED, Phase.REMOTE, "it says no hello"),
        )
        self.assertEqual(line.take(), b"hellobye")
        self.clock.advance(LINGER)
        self.assertTrue(line.disconnected)
        self.inner.lost()
        self.nothingLeft()

    def test_cannotBegin(self) -> None:
        """
        A negotiation that refuses to begin, as for a target that it cannot name.
        """
        refusal = Refused(Cause.UNSUPPORTED, Phase.NEGOTIATE, "socks4:192.0.2.1:1080")

        def make() -> INegotiation:
            raise refusal

        connected = self.connect(make)
        line = self.inner.up()
        self.assertIs(self.refusal(connected), refusal)
        self.assertTrue(line.disconnected)
        self.nothingLeft()

    def test_closed(self) -> None:
        """
        A proxy that closes before its answer.
        """
        for error, detail in ((ConnectionDone(), ""), (ConnectionLost("reset"), "reset")):
            self.inner = Inner()
            connected = self.connect()
            self.inner.up()
            self.inner.protocol.dataReceived(NO_LOGIN)
            self.inner.lost(error)
            refused = self.refusal(connected)
            self.assertEqual(
                (refused.cause, refused.phase, refused.hop),
                (Cause.PEER_CLOSED, Phase.REMOTE, "socks:192.0.2.1:1080"),
            )
            self.assertIn(detail, refused.detail)
            self.nothingLeft()

    def test_refusedBelow(self) -> None:
        """
        What is lost by a refusal, as TLS below is by an alert, is refused so.
        """
        refusal = Refused(Cause.AUTHENTICATION, Phase.TLS, "mtls:192.0.2.1:1080", "alert unknown ca")
        connected = self.connect()
        self.inner.up()
        self.inner.lost(refusal)
        self.assertIs(self.refusal(connected), refusal)
        self.nothingLeft()

    def test_halfClosed(self) -> None:
        """
        A proxy that ends its direction has nothing more to say.
        """
        connected = self.connect()
        line = self.inner.up()
        self.inner.protocol.readConnectionLost()
        self.assertTrue(line.disconnecting)
        self.inner.lost()
        self.assertIs(self.refusal(connected).cause, Cause.PEER_CLOSED)
        self.nothingLeft()

    def test_silent(self) -> None:
        """
        A proxy that does not answer in time.
        """
        connected = self.connect()
        self.clock.advance(100)
        line = self.inner.up()
        self.clock.advance(3)
        self.inner.protocol.dataReceived(NO_LOGIN)
        self.clock.advance(1.9)
        self.assertNoResult(connected)
        self.clock.advance(0.1)
        refused = self.refusal(connected)
        self.assertEqual((refused.cause, refused.hop), (Cause.TIMED_OUT, "socks:192.0.2.1:1080"))
        self.assertTrue(line.disconnected)
        self.inner.protocol.dataReceived(UP)
        self.inner.lost()
        self.assertEqual(self.factory.made, [])
        self.nothingLeft()

    def test_talksTooMuch(self) -> None:
        """
        A proxy that never comes to the point.
        """

        @implementer(INegotiation)
        class Patient(ProxyHeaderClient):
            def receive(self, data: bytes) -> Step:
                return Step()

        connected = self.connect(lambda: Patient(TARGET))
        line = self.inner.up()
        for _ in range(17):
            self.assertNoResult(connected)
            self.inner.protocol.dataReceived(bytes(1000))
        self.assertIs(self.refusal(connected).cause, Cause.PEER_MISBEHAVED)
        self.assertTrue(line.disconnected)

    def test_innerFails(self) -> None:
        """
        What the endpoint within fails with is passed on as it is, at once or later.
        """
        refusal = Refused(Cause.TIMED_OUT, Phase.CONNECT, "192.0.2.1:1080")
        connected = self.connect()
        assert self.inner.connecting is not None
        self.inner.connecting.errback(refusal)
        self.assertIs(self.refusal(connected), refusal)
        self.inner.connect = lambda factory: fail(refusal)  # type: ignore[method-assign]
        self.assertIs(self.refusal(self.connect()), refusal)
        self.nothingLeft()

    def test_innerFailsLate(self) -> None:
        """
        An endpoint within that had a connection, and then fails all the same.
        """
        connected = self.connect()
        self.inner.protocol = self.inner.factory.buildProtocol(None)
        self.inner.protocol.makeConnection(self.inner.line)
        assert self.inner.connecting is not None
        self.inner.connecting.errback(ZeroDivisionError())
        self.failureResultOf(connected, ZeroDivisionError)
        self.nothingLeft()

    def test_ownFault(self) -> None:
        """
        An error of ours in the negotiation is logged, and fails the connection.
        """

        @implementer(INegotiation)
        class Faulty(ProxyHeaderClient):
            def receive(self, data: bytes) -> Step:
                raise ZeroDivisionError()

        connected = self.connect(lambda: Faulty(TARGET))
        line = self.inner.up()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(line.disconnected)
        self.inner.lost()
        self.assertIs(self.refusal(connected).cause, Cause.PEER_CLOSED)
        self.nothingLeft()

    def test_noProtocol(self) -> None:
        """
        A factory that has no protocol to give.
        """

        class Empty(Factory):
            def buildProtocol(self, addr: IAddress | None) -> None:
                return None

        connected = self.connect(factory=Empty())
        line = self.inner.up()
        self.inner.protocol.dataReceived(NO_LOGIN + UP)
        self.refusal(connected)
        self.assertTrue(line.disconnected)
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
