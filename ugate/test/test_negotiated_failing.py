# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Connections that negotiate first, and fail: L{NegotiatedClientEndpoint}.
"""

from __future__ import annotations

from zope.interface import implementer

from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import INegotiation, Step
from ugate.protocols.negotiate import LINGER
from ugate.protocols.proxyproto import ProxyHeaderClient
from ugate.protocols.socks5client import Socks5Client
from ugate.stream import Principal
from ugate.test.listenfakes import NO_LOGIN
from ugate.test.negotiatedfakes import REFUSED, TARGET, UP, ClientCase, Inner


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
