# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Handshakes of identities, in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.mtls import MutualServerEndpoint
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.config.identityschema import Trust as TrustSection
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityfiles import Files
from ugate.tenancy.identityown import Own
from ugate.tenancy.identitytls import LIFETIME, sniOf
from ugate.tenancy.trust import Trust
from ugate.test.dialfakes import Recorders
from ugate.test.identityfakes import NOW, authority, certified
from ugate.test.mtlsfakes import ALICE, OTHER, ROOT, Below, Client
from ugate.test.tlsfakes import FakeTenant, FakeTrust


def shake(client: SSL.Connection, server: SSL.Connection) -> None:
    """
    Let both shake hands.
    """
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(10):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass


class HandshakeTests(SynchronousTestCase):
    """
    Two identities.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.one, self.other = self.identity("one"), self.identity("other", kind="ed25519")

    def identity(self, name: str, **section: Any) -> Identity:
        """
        One of our own.
        """
        source = Own(str(self.folder / name), Section(**section), lambda: NOW)
        identity = Identity(source, self.clock, now=lambda: NOW)
        self.addCleanup(identity.stop)
        return identity

    def connect(
        self,
        client: Identity,
        server: Identity,
        *,
        name: str = "",
        ours: Any = (),
        theirs: Any = (),
        ask: bool = True,
    ) -> tuple[SSL.Connection, SSL.Connection]:
        """
        Shake hands.
        """
        nobody: Any = None
        both = (
            client.clientTLS(name, ours).clientConnectionForTLS(nobody),
            server.serverTLS(theirs, ask).serverConnectionForTLS(nobody),
        )
        shake(*both)
        return both

    def chain(self, connection: SSL.Connection) -> list[Any]:
        """
        What the other one sent.
        """
        return [each.to_cryptography() for each in connection.get_peer_cert_chain() or ()]

    def test_both(self) -> None:
        """
        Both prove who they are, each to the trust of the other.
        """
        pinned = Trust(TrustSection(pins=(self.one.keyid,)), now=lambda: NOW)
        anybody = Trust(TrustSection(), now=lambda: NOW)
        client, server = self.connect(self.one, self.other, name=self.other.keyid)
        self.assertEqual(self.other.keyid.lower().encode(), server.get_servername())
        self.assertEqual(self.one.keyid, pinned.check([self.one.certificate], None).name)
        peer = server.get_peer_certificate()
        assert peer is not None
        self.assertEqual(self.one.principal, pinned.check([peer.to_cryptography()], None))
        self.assertEqual(self.other.principal, anybody.check(self.chain(client), self.other.keyid))
        self.assertIn(client.get_protocol_version_name(), ("TLSv1.2", "TLSv1.3"))

    def test_notAsked(self) -> None:
        """
        A server that asks for no certificate sees none; the client sees its.
        """
        client, server = self.connect(self.one, self.other, ask=False)
        self.assertIsNone(server.get_peer_certificate())
        self.assertEqual(self.other.chain, tuple(self.chain(client)))
        self.assertIsNone(server.get_servername())

    def test_ciphers(self) -> None:
        """
        Both sides take what is authenticated and has a key for each connection, and nothing else.
        """
        nobody: Any = None
        client = self.one.clientTLS("").clientConnectionForTLS(nobody)
        for connection in (client, self.other.serverTLS().serverConnectionForTLS(nobody)):
            found = connection.get_cipher_list()
            self.assertIn("ECDHE-ECDSA-AES128-GCM-SHA256", found)
            for each in found:
                self.assertTrue(each.startswith(("TLS_", "ECDHE-")), each)
                self.assertTrue("GCM" in each or "CHACHA20" in each, each)

    def test_alpn(self) -> None:
        """
        The server's first that the client has; and none, without an end of the handshake, if it has none.
        """
        for ours, theirs, agreed in (
            ([b"h2", b"http/1.1"], [b"http/1.1", b"h2"], b"http/1.1"),
            ([b"h2"], [b"ssh", b"h2"], b"h2"),
            ([b"h2", b"http/1.1"], [b"ssh"], b""),
            ([], [b"ssh"], b""),
            ([b"h2"], [], b""),
        ):
            client, server = self.connect(self.one, self.other, ours=ours, theirs=theirs)
            self.assertEqual(
                (agreed, agreed), (client.get_alpn_proto_negotiated(), server.get_alpn_proto_negotiated())
            )
            self.assertEqual(self.other.chain, tuple(self.chain(client)))

    def test_rotated(self) -> None:
        """
        What was made of an identity before uses what is in its files now; what is up goes on.
        """
        root = authority()
        above = authority("above", root)
        first, second = (
            certified(["web.example"], above, key=key) for key in (None, Ed25519PrivateKey.generate())
        )
        first.write(self.folder, "key.pem", "cert.pem", [above])
        identity = Identity(Files(Section(dir=str(self.folder))), self.clock, now=lambda: NOW)
        self.addCleanup(identity.stop)
        nobody: Any = None
        creator = identity.serverTLS()

        def connected() -> tuple[SSL.Connection, SSL.Connection]:
            both = (
                self.one.clientTLS("web.example").clientConnectionForTLS(nobody),
                creator.serverConnectionForTLS(nobody),
            )
            shake(*both)
            return both

        client, server = connected()
        self.assertEqual([first.certificate, above.certificate], self.chain(client))
        second.write(self.folder, "key.pem", "cert.pem", [above])
        self.clock.advance(2)
        later, _ = connected()
        self.assertEqual([second.certificate, above.certificate], self.chain(later))
        server.send(b"still there")
        client.bio_write(server.bio_read(65536))
        self.assertEqual(b"still there", client.recv(100))

    def test_sni(self) -> None:
        """
        Only names of hosts go into SNI.
        """
        self.assertEqual(b"web.example", sniOf("Web.example."))
        self.assertEqual(b"xn--bcher-kva.example", sniOf("bücher.example"))
        for name in ("", "192.0.2.1", "2001:db8::1", "spiffe://td/ns/a/sa/b", "x" * 254, "ü" * 100):
            self.assertEqual(b"", sniOf(name))


class ResumedTests(SynchronousTestCase):
    """
    Clients that go on with a session.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.identity = Identity(self.source("one"), self.clock, now=lambda: NOW)
        self.addCleanup(self.identity.stop)
        self.trust = FakeTrust(ROOT)
        self.clients: list[Client] = []
        self.contexts: dict[int, SSL.Context] = {}
        self.tenant = FakeTenant(self.identity, self.trust)
        self.below = self.listen()

    def source(self, name: str) -> Own:
        """
        Where an identity comes from.
        """
        return Own(str(self.folder / name), Section(), lambda: NOW)

    def listen(self, **options: Any) -> Below:
        """
        One more listener of that identity.
        """
        below = Below()
        self.streams = Recorders()
        self.successResultOf(MutualServerEndpoint(self.tenant.clock, below, **options).listen(self.streams))
        return below

    def shaken(self, version: int, session: Any = None) -> Client:
        """
        A client that has said something.
        """
        context = self.contexts.get(version)
        if context is None:
            context = self.contexts[version] = ALICE.context()
            context.set_options(version)
        client = Client(self.below, context, session=session).pump()
        # OpenSSL forgets the session of a connection that goes away without an end.
        self.clients.append(client)
        try:
            client.send(b"hello")
        except SSL.Error:
            # It was cut off.
            pass
        return client

    def goesOn(self, client: Client) -> bool:
        """
        Whether the session before was good enough.
        """
        from OpenSSL._util import lib

        inside: Any = client.connection
        return bool(lib.SSL_session_reused(inside._ssl))

    def test_resumed(self) -> None:
        """
        A session goes on, again and again; the client's chain is checked each time, and it is who it was.
        """
        for version in (0, SSL.OP_NO_TLSv1_3):
            client = self.shaken(version)
            for _ in range(3):
                self.trust.checked.clear()
                client = self.shaken(version, client.connection.get_session())
                self.assertTrue(self.goesOn(client))
                ((count, _),) = self.trust.checked
                self.assertGreater(count, 0)
                self.assertEqual(self.streams.made[-1].got, b"hello")

    def test_revoked(self) -> None:
        """
        Who is not believed any more does not get in with a session; and when it is again, begins anew.
        """
        for version in (0, SSL.OP_NO_TLSv1_3):
            session = self.shaken(version).connection.get_session()
            made = len(self.streams.made)
            self.trust.issuer = OTHER
            for _ in range(2):
                self.shaken(version, session)
                self.assertEqual(len(self.streams.made), made)
            self.trust.issuer = ROOT
            client = self.shaken(version, session)
            self.assertFalse(self.goesOn(client))
            self.assertEqual(len(self.streams.made), made + 1)

    def test_told(self) -> None:
        """
        The second time, without a session that goes on, it is told why.
        """
        session = self.shaken(0).connection.get_session()
        self.trust.issuer = OTHER
        self.shaken(0, session)
        self.assertIn("alert", self.shaken(0, session).error)

    def test_changed(self) -> None:
        """
        With another identity there is no session of the one before.
        """
        session = self.shaken(0).connection.get_session()
        self.identity.change(self.source("two"))
        self.assertFalse(self.goesOn(self.shaken(0, session)))

    def test_anonymous(self) -> None:
        """
        A session of a client without a certificate is no way into where one is demanded.
        """
        anonymous = self.listen(anonymous=True)
        for version in (0, SSL.OP_NO_TLSv1_3):
            context = SSL.Context(SSL.TLS_METHOD)
            context.set_options(version)
            first = Client(anonymous, context).pump().send(b"hello")
            self.assertEqual(first.error, "")
            second = Client(self.listen(), context, session=first.connection.get_session()).pump()
            self.assertEqual(self.streams.made, [])
            self.assertTrue(second.wire.disconnecting)

    def test_lifetime(self) -> None:
        """
        Sessions are kept for a while only, and not in tickets, which have no chain.
        """
        nobody: Any = None
        connection = self.identity.serverTLS().serverConnectionForTLS(nobody)
        context = connection.get_context()
        self.assertEqual(context.get_timeout(), LIFETIME)
        self.assertEqual(context.get_session_cache_mode(), SSL.SESS_CACHE_SERVER)
