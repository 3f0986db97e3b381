# -*- test-case-name: ugate.test.test_tlsclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.tlsclient}.
"""

from __future__ import annotations

import datetime
import sys
from typing import Any

from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, NoProtocol
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import IOPump, connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.tlsclient import TLSClientEndpoint, clientOptions
from ugate.errors import Cause, Phase, Refused
from ugate.test.dialfakes import CLIENT, FakeEndpoint, Recorder, Recorders

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
    from twisted.protocols.tls import TLSMemoryBIOFactory
except ImportError as e:
    missing = str(e)
else:
    missing = ""


def selfSigned(name: str) -> PrivateCertificate:
    """
    A certificate for a name, and its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return loaded


class TLSClientTests(SynchronousTestCase):
    """
    TLS in memory, against Twisted's own server.
    """

    if missing:
        skip = missing

    def setUp(self) -> None:
        """
        A server for C{gw.corp}, and what wants to connect.
        """
        self.clock = Clock()
        self.inner = FakeEndpoint()
        self.factory = Recorders()
        self.certificate = selfSigned("gw.corp")
        self.spoken: list[bytes] | None = None

    def connect(
        self, name: str = "gw.corp", factory: Factory | None = None, alpn: bytes = b""
    ) -> Deferred[IProtocol]:
        """
        Begin to connect to a server that should be called that, and whose
        certificate is trusted; and has to choose that inside of TLS, if given.
        """
        trusted = Certificate.loadPEM(self.certificate.dumpPEM())
        self.endpoint = TLSClientEndpoint(
            self.clock,
            self.inner,
            optionsForClientTLS(name, trustRoot=trusted, acceptableProtocols=[alpn, b"x"] if alpn else None),
            hop="connect:gw.corp:443",
            deadline=5.0,
            alpn=alpn,
        )
        return self.endpoint.connect(self.factory if factory is None else factory)

    def serverOf(self, accepted: Recorders) -> Any:
        """
        A server that speaks TLS.
        """
        options = self.certificate.options()
        options._acceptableProtocols = self.spoken
        return TLSMemoryBIOFactory(options, False, accepted, clock=self.clock).buildProtocol(CLIENT)

    def up(self) -> IOPump:
        """
        Let the connection below succeed, to a server that speaks TLS.
        """
        accepted = Recorders()
        server = self.serverOf(accepted)
        factory, connected = self.inner.connecting[-1]
        client: Any = factory.buildProtocol(CLIENT)
        pump: IOPump = connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False)
        connected.callback(client)
        self.server = accepted.made[0]
        return pump

    def refused(self, connected: Deferred[IProtocol]) -> Refused:
        """
        The refusal that it failed with; nothing is left behind.
        """
        refused = self.failureResultOf(connected, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual((refused.phase, refused.hop), (Phase.TLS, "connect:gw.corp:443"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return refused

    def test_interface(self) -> None:
        """
        It is an endpoint.
        """
        self.connect()
        self.assertTrue(verifyObject(IStreamClientEndpoint, self.endpoint))

    def test_connect(self) -> None:
        """
        The protocol is built when the handshake is through, and then bytes pass both
        ways.
        """
        connected = self.connect()
        pump = self.up()
        self.assertNoResult(connected)
        self.assertEqual(self.factory.made, [])
        pump.flush()
        self.assertEqual([self.successResultOf(connected)], self.factory.made)
        client = self.factory.made[0]
        assert client.transport is not None and self.server.transport is not None
        client.transport.write(b"up")
        self.server.transport.write(b"down")
        # Twisted gathers small writes before it encrypts them.
        self.clock.advance(0)
        pump.flush()
        self.assertEqual((self.server.got, client.got), (b"up", b"down"))
        self.server.transport.loseConnection()
        pump.flush()
        self.assertEqual(len(client.lost), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_through(self) -> None:
        """
        A handshake that is through before the connection is told of is good.
        """
        connected = self.connect()
        factory, below = self.inner.connecting[-1]
        client: Any = factory.buildProtocol(CLIENT)
        server = self.serverOf(Recorders())
        connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False).flush()
        below.callback(client)
        self.assertEqual([self.successResultOf(connected)], self.factory.made)

    def test_wrongName(self) -> None:
        """
        A certificate for another name is refused, and nothing was built.
        """
        connected = self.connect("other.corp")
        self.up().flush()
        refused = self.refused(connected)
        self.assertIs(refused.cause, Cause.GENERAL)
        self.assertEqual(refused.detail, "its certificate is for another name")
        self.assertEqual((self.factory.made, self.server.got), ([], b""))

    def test_alpn(self) -> None:
        """
        A server that does not choose what it has to is refused, and nothing was built.
        """
        self.spoken = [b"h2"]
        connected = self.connect(alpn=b"h2")
        self.up().flush()
        self.assertEqual([self.successResultOf(connected)], self.factory.made)
        self.spoken = [b"x"]
        self.factory.made.clear()
        connected = self.connect(alpn=b"h2")
        self.up().flush()
        refused = self.refused(connected)
        self.assertIs(refused.cause, Cause.UNSUPPORTED)
        self.assertIn("h2", refused.detail)
        self.assertEqual(self.factory.made, [])

    def test_untrusted(self) -> None:
        """
        A certificate that nobody vouches for is refused, in the words of OpenSSL.
        """
        connected = self.connect()
        self.certificate = selfSigned("gw.corp")
        self.up().flush()
        self.assertIn("verify failed", self.refused(connected).detail)

    def test_noTLS(self) -> None:
        """
        A server that speaks something else is refused.
        """
        connected = self.connect()
        factory, below = self.inner.connecting[-1]
        client: Any = factory.buildProtocol(CLIENT)
        server = Recorder()
        pump = connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False)
        below.callback(client)
        assert server.transport is not None
        server.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        pump.flush()
        self.assertIn("check that it serves TLS", self.refused(connected).nextStep)

    def test_closed(self) -> None:
        """
        A server that closes in the middle of the handshake is refused.
        """
        connected = self.connect()
        pump = self.up()
        pump.client.connectionLost(Failure(ConnectionDone()))
        self.assertIs(self.refused(connected).cause, Cause.PEER_CLOSED)

    def test_failedBefore(self) -> None:
        """
        A handshake that failed before the connection is told of has failed.
        """
        connected = self.connect()
        factory, below = self.inner.connecting[-1]
        client: Any = factory.buildProtocol(CLIENT)
        server = Recorder()
        connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False)
        client.connectionLost(Failure(ConnectionDone()))
        below.callback(client)
        self.assertIs(self.refused(connected).cause, Cause.PEER_CLOSED)

    def test_otherErrors(self) -> None:
        """
        What is no error of OpenSSL is told in its own words, or by its name.
        """
        for error, said in ((ValueError("a bad name"), "a bad name"), (KeyError(), "KeyError")):
            connected = self.connect()
            pump = self.up()
            pump.client.failVerification(Failure(error))
            pump.flush()
            self.assertIn(said, self.refused(connected).detail)

    def test_goingDown(self) -> None:
        """
        A connection that is going down over its certificate is not up, whatever the
        handshake says.
        """
        connected = self.connect()
        pump = self.up()
        handshake = pump.client.wrappedProtocol
        pump.client.disconnecting = True
        handshake.handshakeCompleted()
        self.assertNoResult(connected)
        self.assertEqual(self.factory.made, [])
        connected.cancel()
        self.failureResultOf(connected, CancelledError)

    def test_deadline(self) -> None:
        """
        A server that keeps silent has so many seconds.
        """
        connected = self.connect()
        pump = self.up()
        self.clock.advance(4.9)
        self.assertNoResult(connected)
        self.clock.advance(0.1)
        refused = self.refused(connected)
        self.assertIs(refused.cause, Cause.TIMED_OUT)
        self.assertIn("no handshake in 5 s", refused.detail)
        self.assertTrue(pump.clientIO.disconnecting)

    def test_cancel(self) -> None:
        """
        Cancelling ends the connection below, and the handshake.
        """
        connected = self.connect()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertEqual(self.inner.cancelled, 1)
        connected = self.connect()
        pump = self.up()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertTrue(pump.clientIO.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        pump.flush()
        self.assertEqual(self.factory.made, [])

    def test_below(self) -> None:
        """
        What the endpoint below fails with is passed on.
        """
        connected = self.connect()
        self.inner.down(ZeroDivisionError("below"))
        self.failureResultOf(connected, ZeroDivisionError)

    def test_factoryFails(self) -> None:
        """
        A factory that raises, or builds nothing, fails the connection and closes it.
        """

        class Broken(Factory):
            def buildProtocol(self, addr: object) -> None:
                raise ZeroDivisionError("a fault")

        class Empty(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        for factory, error in ((Broken(), ZeroDivisionError), (Empty(), NoProtocol)):
            connected = self.connect(factory=factory)
            pump = self.up()
            pump.flush()
            self.failureResultOf(connected, error)
            self.assertTrue(pump.clientIO.disconnecting)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_factoryIsTold(self) -> None:
        """
        The factory hears when it begins and when it ends.
        """
        self.connect()
        wrapping = self.inner.connecting[-1][0]
        wrapping.doStart()
        self.assertEqual(self.factory.numPorts, 1)
        wrapping.doStop()
        self.assertEqual(self.factory.numPorts, 0)

    def test_options(self) -> None:
        """
        The options are Twisted's; where TLS is not installed the refusal says how to
        install it.
        """
        self.assertIsInstance(clientOptions("gw.corp", "hop"), type(optionsForClientTLS("gw.corp")))
        self.addCleanup(sys.modules.__setitem__, "twisted.internet.ssl", sys.modules["twisted.internet.ssl"])
        # To the import system that means that there is none.
        sys.modules["twisted.internet.ssl"] = None  # type: ignore[assignment]
        refused = self.assertRaises(Refused, clientOptions, "gw.corp", "connect:gw.corp:443")
        self.assertEqual((refused.phase, refused.cause), (Phase.TLS, Cause.UNSUPPORTED))
        self.assertIn("pip install", refused.nextStep)
