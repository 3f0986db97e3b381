# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.mtls}, L{ugate.protocols.tlsserver} and L{ugate.protocols.tlsverify}.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IStreamServerEndpoint,
)
from twisted.internet.ssl import TLSVersion
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.errors import Cause, ListenRefused, Phase, Refused
from ugate.interfaces import IIdentity, ITenant, ITrust
from ugate.protocols.tlsverify import PeerCheck
from ugate.stream import Principal, StreamInfo
from ugate.test.dialfakes import CLIENT, LISTENER, Net, Recorders
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, SERVER, Below, Client
from ugate.test.tlsfakes import DAY, NOW, FakeIdentity, FakeTenant, FakeTrust, Logged


class Saying:
    """
    A check that finds that.
    """

    def __init__(self, name: str, wrong: str) -> None:
        self.name = name
        self.wrong = wrong

    def __call__(self, chain: object, name: object) -> Principal:
        if self.wrong:
            raise Refused(Cause.AUTHENTICATION, Phase.TLS, "peer", self.wrong)
        return Principal(self.name, "certificate")


class MutualTests(SynchronousTestCase):
    """
    A listener, and clients of OpenSSL.
    """

    told = True

    def setUp(self) -> None:
        self.trust = FakeTrust(ROOT)
        self.tenant = FakeTenant(SERVER, self.trust)
        self.listen()

    def listen(self, **options: Any) -> None:
        """
        Listen, in that way.
        """
        self.below = Below()
        self.streams = Recorders()
        self.endpoint = MutualServerEndpoint(self.tenant.clock, self.below, **options)
        self.successResultOf(self.endpoint.listen(self.streams))

    def client(self, identity: FakeIdentity | None = ALICE, **more: Any) -> Client:
        """
        A client that has a certificate, or none.
        """
        alpn = more.pop("alpn", ())
        context = SSL.Context(SSL.TLS_METHOD) if identity is None else identity.context(alpn)
        if identity is None and alpn:
            context.set_alpn_protos(list(alpn))
        return Client(self.below, context, **more)

    def info(self) -> StreamInfo:
        """
        What is known of the last stream.
        """
        stream: Any = self.streams.made[-1]
        info = stream.transport.getPeer()
        assert isinstance(info, StreamInfo)
        return info

    def test_interfaces(self) -> None:
        """
        The fakes are what they stand for.
        """
        verifyObject(IIdentity, SERVER)
        verifyObject(ITrust, self.trust)
        verifyObject(ITenant, self.tenant)
        verifyObject(IStreamServerEndpoint, self.endpoint)

    def test_principal(self) -> None:
        """
        The protocol inside is built when all is known, and then bytes pass both ways.
        """
        client = self.client().pump()
        stream: Any = self.streams.made[0]
        info = self.info()
        self.assertEqual(info.principal, Principal("alice.corp", "certificate"))
        self.assertEqual((info.peer, info.host), (CLIENT, LISTENER))
        self.assertEqual(
            (dict(info.hints), info.layers, info.protocol), ({"sni": "gw.corp"}, ("mtls",), "mtls")
        )
        self.assertEqual(self.trust.checked, [(2, None)])
        client.send(b"hello")
        self.assertEqual(stream.got, b"hello")
        stream.transport.write(b"welcome")
        self.tenant.clock.advance(0)
        self.assertEqual(client.pump().received, b"welcome")

    def test_early(self) -> None:
        """
        What comes right behind the handshake is the stream's.
        """
        client = self.client()
        with self.assertRaises(SSL.WantReadError):
            client.connection.do_handshake()
        client.server.dataReceived(client._out())
        client.connection.bio_write(client.wire.value())
        client.wire.clear()
        client.connection.do_handshake()
        client.connection.send(b"hello")
        client.server.dataReceived(client._out())
        self.assertEqual(self.streams.made[0].got, b"hello")

    def test_bytes(self) -> None:
        """
        Byte by byte it is the same.
        """
        self.client().pump(1).send(b"hello")
        self.assertEqual(self.streams.made[0].got, b"hello")

    def refused(self, client: Client, alert: str, *said: str) -> None:
        """
        The client is told so, and the log says why.
        """
        with Logged() as logged:
            client.pump()
        self.assertEqual(self.streams.made, [])
        if self.told:
            self.assertIn(alert, client.error)
        self.assertTrue(client.error or client.wire.disconnecting)
        (line,) = logged.lines
        for each in said:
            self.assertIn(each, line)

    def test_wrongRoot(self) -> None:
        """
        Somebody else signed it.
        """
        self.refused(
            self.client(OTHER.identity("alice.corp")), "unknown ca", "no root of ours", "see trust.roots"
        )

    def test_expired(self) -> None:
        """
        It was good once.
        """
        self.refused(
            self.client(ROOT.identity("alice.corp", ends=NOW - DAY)),
            "certificate expired",
            "has expired); renew it",
        )

    def test_unprintable(self) -> None:
        """
        What is in a certificate cannot write lines of the log.
        """
        self.refused(self.client(OTHER.identity("alice.corp")), "unknown ca", "peer")
        for name, said in (("a\nb", "cannot be printed"), ("alice.corp", "no ?root")):
            self.patch(self.trust, "check", Saying(name, "no \nroot" if said == "no ?root" else ""))
            self.refused(self.client(), "", said)

    def test_noCertificate(self) -> None:
        """
        None was sent, and one is wanted.
        """
        self.refused(self.client(None), "certificate required", "sent no certificate", "anonymous=yes")
        self.assertEqual(self.trust.checked, [])

    def test_anonymous(self) -> None:
        """
        None is wanted; who has one shows it, and it has to be good.
        """
        self.listen(anonymous=True)
        self.client(None).pump().send(b"hello")
        self.assertEqual((self.info().principal, self.streams.made[0].got), (None, b"hello"))
        self.client().pump()
        self.assertEqual(str(self.info().principal), "alice.corp")
        self.assertEqual("unknown ca" in self.client(OTHER.identity("x")).pump().error, self.told)
        self.assertEqual(len(self.streams.made), 2)

    def test_unasked(self) -> None:
        """
        Nobody is asked for one, and one that would not be good is not even seen.
        """
        self.listen(anonymous=True, asksClient=False)
        for identity in (None, ALICE, OTHER.identity("x")):
            self.client(identity).pump().send(b"hello")
            self.assertEqual((self.info().principal, self.streams.made[-1].got), (None, b"hello"))
        self.assertEqual(self.trust.checked, [])

    def test_oldTLS(self) -> None:
        """
        TLS 1.1 is told what is the matter.
        """
        context = ALICE.context(minimum=TLSVersion.TLSv1_0)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_options(SSL.OP_NO_TLSv1_2 | SSL.OP_NO_TLSv1_3)
        self.refused(Client(self.below, context), "", "no TLS since 1.2")

    def test_tls12(self) -> None:
        """
        TLS 1.2 is served, with the same checks.
        """
        context = ALICE.context()
        context.set_options(SSL.OP_NO_TLSv1_3)
        Client(self.below, context).pump().send(b"hello")
        self.assertEqual(self.streams.made[0].got, b"hello")
        self.assertEqual(str(self.info().principal), "alice.corp")
        bad = SSL.Context(SSL.TLS_METHOD)
        bad.set_options(SSL.OP_NO_TLSv1_3)
        self.assertIn("handshake failure", Client(self.below, bad).pump().error)

    def test_forgotten(self) -> None:
        """
        What is checked is not kept for longer than the connection.
        """
        client = self.client().pump()
        peer = ref(client.server.negotiation.side.check)
        client.server.connectionLost(Failure(ConnectionDone()))
        del client
        self.streams.made.clear()
        gc.collect()
        self.assertIsNone(peer())

    def test_notTLS(self) -> None:
        """
        Something else is told nothing, and logged.
        """
        client = self.client()
        with Logged() as logged:
            client.server.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn("not TLS", logged.lines[0])
        self.assertTrue(client.wire.disconnecting)

    def test_cap(self) -> None:
        """
        A hello without end is ended.
        """
        client = self.client()
        with Logged():
            for _ in range(5):
                client.server.dataReceived(b"\x16\x03\x01\x10\x00\x01\x00\xff\xff" + b"\x00" * (4096 - 4))
        self.assertEqual(client.wire.value()[:1], b"\x15")

    def test_deadline(self) -> None:
        """
        A client that is silent has its time.
        """
        client = self.client()
        with Logged() as logged:
            self.tenant.clock.advance(11)
        self.assertTrue(client.wire.disconnecting)
        self.assertIn("timed out", logged.lines[0])

    def test_clientRefusesUs(self) -> None:
        """
        A client that does not believe us says so, and the log what that means.
        """
        context = ALICE.context()
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: False)
        client = Client(self.below, context)
        with Logged() as logged:
            client.pump()
        self.assertIn("does not believe us", logged.lines[0])

    def test_alpn(self) -> None:
        """
        Ours that comes first of those that it offers too; none if there is none.
        """
        self.listen(alpn=(b"h2", b"http/1.1"))
        for offered, chosen in (((b"http/1.1", b"h2"), b"h2"), ((b"x",), b""), ((), b"")):
            client = self.client(alpn=offered).pump()
            self.assertEqual(client.error, "")
            self.assertEqual(client.connection.get_alpn_proto_negotiated(), chosen)
            self.assertEqual(self.info().hints.get("alpn", ""), chosen.decode())

    def test_alpnUnasked(self) -> None:
        """
        A client may offer what it likes to a listener that knows nothing of that.
        """
        client = self.client(alpn=(b"h2", b"http/1.1")).pump()
        self.assertEqual((client.error, dict(self.info().hints)), ("", {"sni": "gw.corp"}))

    def test_tenant(self) -> None:
        """
        The name that is asked for chooses who answers, and whose trust it is.
        """
        bob = FakeTenant(OTHER.identity("bob.corp"), FakeTrust(OTHER), "bob", self.tenant.clock)
        self.tenant.byHost["bob.corp"] = bob
        client = self.client(OTHER.identity("carol.corp"), sni="bob.corp").pump()
        self.assertEqual(client.error, "")
        self.assertEqual(self.info().principal, Principal("carol.corp", "certificate", "bob"))
        certificate = client.connection.get_peer_certificate(as_cryptography=True)
        self.assertEqual(certificate, bob.identity.certificate)
        self.assertEqual("unknown ca" in self.client(sni="bob.corp").pump().error, self.told)
        self.assertEqual(len(self.streams.made), 1)
        self.assertEqual(self.trust.checked, [])

    def test_noIdentity(self) -> None:
        """
        A tenant without an identity, and a reactor without a tenant, cannot listen.
        """
        failure = self.failureResultOf(
            MutualServerEndpoint(Net(), Below()).listen(Recorders()), ListenRefused
        )
        self.assertIn("no identity", str(failure.value))

    def test_resumed(self) -> None:
        """
        A session that is resumed is checked as any other.
        """
        identity = ROOT.identity("gw.corp")
        identity.tickets = True
        held = identity.context()
        identity.context = lambda *arguments: held  # type: ignore[method-assign]
        self.tenant.identity = identity
        self.listen()
        for version in (0, SSL.OP_NO_TLSv1_3):
            context = ALICE.context()
            context.set_options(version)
            first = Client(self.below, context).pump().send(b"hello")
            session = first.connection.get_session()
            self.trust.checked.clear()
            second = Client(self.below, context, session=session).pump().send(b"again")
            self.assertEqual(len(self.trust.checked), 1)
            self.assertEqual(second.error, "")
            self.trust.issuer = OTHER
            before = len(self.streams.made)
            Client(self.below, context, session=session).pump()
            self.assertEqual(len(self.streams.made), before)
            self.trust.issuer = ROOT


class SplitTests(SynchronousTestCase):
    """
    Handshakes in pieces.
    """

    @given(st.integers(1, 3000))
    def test_split(self, size: int) -> None:
        """
        In pieces of any size.
        """
        below, streams = Below(), Recorders()
        tenant = FakeTenant(SERVER, FakeTrust(ROOT))
        self.successResultOf(MutualServerEndpoint(tenant.clock, below).listen(streams))
        Client(below, ALICE.context()).pump(size).send(b"hello")
        self.assertEqual(streams.made[0].got, b"hello")


class OtherwiseTests(MutualTests):
    """
    The same with a pyOpenSSL that is otherwise inside: nobody gets in who should not.
    """

    told = False

    def setUp(self) -> None:
        def missing(*arguments: object) -> None:
            raise AttributeError("_ssl")

        self.patch(PeerCheck, "_ask", missing)
        super().setUp()
