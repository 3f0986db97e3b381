# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who is believed by who certified it, and what those are told who are not.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generateCurveKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from zope.interface.verify import verifyObject

from twisted.internet.testing import MemoryReactorClock

from ugate.errors import Refused, UgateError
from ugate.interfaces import ITrust
from ugate.tenancy.config.identityschema import Identity as IdentitySection
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityfiles import Files
from ugate.tenancy.keyids import hostOf
from ugate.tenancy.trust import Trust
from ugate.tenancy.trustchain import MAX_CHAIN
from ugate.test.identityfakes import NOW, authority, certified
from ugate.test.trustfakes import WEB, TrustCase, alone


class RootTests(TrustCase):
    """
    Those whom a root certifies.
    """

    def test_interface(self) -> None:
        """
        It is a trust.
        """
        verifyObject(ITrust, self.trust())

    def test_spiffe(self) -> None:
        """
        The principal is the SPIFFE id.
        """
        peer = certified([WEB, "web.example"], self.root)
        trust = self.trust(rooted=True, domain="td.example", namespaces=("prod",))
        for name in (None, "web.example", "WEB.example.", WEB, peer.keyid, hostOf(peer.keyid)):
            self.assertEqual(WEB, self.believed(trust, [peer], name))

    def test_types(self) -> None:
        """
        Keys of any common type certify and are certified; without a SPIFFE id a KEYID is the principal.
        """
        for key in (Ed25519PrivateKey.generate(), generate_private_key(65537, 2048)):
            self.root = authority(key=key)
            peer = certified(["web.example"], self.root, key=key)
            self.assertEqual(peer.keyid, self.believed(self.trust(rooted=True), [peer]))

    def test_intermediate(self) -> None:
        """
        There may be others between, in any order.
        """
        above = authority("above", self.root)
        below = authority("below", above)
        peer = certified([WEB], below)
        trust = self.trust(rooted=True)
        self.assertEqual(WEB, self.believed(trust, [peer, below, above]))
        self.assertEqual(WEB, self.believed(trust, [peer, above, below, self.root]))
        self.refused(trust, [peer, above], None, "none of our roots", "trust.roots")

    def test_wrongRoot(self) -> None:
        """
        Whoever another root of the same name certifies is not believed.
        """
        peer = certified([WEB], authority())
        self.refused(self.trust(rooted=True), [peer], None, "CN=root", "none of our roots", "trust.roots")
        self.refused(self.trust(), [peer], None, "there are no roots", "trust.roots")

    def test_wrongDomain(self) -> None:
        """
        Nor one of another trust domain, or of none, if one is wanted.
        """
        trust = self.trust(rooted=True, domain="td.example")
        other = certified(["spiffe://other.example/ns/prod/sa/web"], self.root)
        self.refused(trust, [other], None, "other.example", "wanted td.example", "trust.domain")
        self.refused(trust, [certified(["web.example"], self.root)], None, "no trust domain")

    def test_wrongNamespace(self) -> None:
        """
        Nor one of a namespace that is not listed.
        """
        trust = self.trust(rooted=True, namespaces=("dev", "test"))
        self.refused(trust, [certified([WEB], self.root)], None, "'prod'", "dev, test", "trust.namespaces")
        self.refused(trust, [certified(["web.example"], self.root)], None, "no namespace")

    def test_spiffeOnce(self) -> None:
        """
        One SPIFFE id is enough, and it has to be one.
        """
        trust = self.trust(rooted=True)
        self.refused(trust, [certified([WEB, f"{WEB}2"], self.root)], None, "more than one SPIFFE id")
        self.refused(trust, [certified(["spiffe:///ns/a/sa/b"], self.root)], None, "no SPIFFE id")

    def test_wrongName(self) -> None:
        """
        A server has to be who was asked for.
        """
        trust = self.trust(rooted=True)
        peer = certified([WEB, "web.example", "*.any.example"], self.root)
        for name in ("db.example", "a.b.any.example", "any.example", "spiffe://td.example/x", "192.0.2.1"):
            self.refused(trust, [peer], name, name, "not of that name", "web.example")
        self.assertEqual(WEB, self.believed(trust, [peer], "a.any.example"))
        self.refused(trust, [peer], alone().keyid, f"its key is {peer.keyid}", "ucli identity")

    def test_dates(self) -> None:
        """
        Not one that has ended or not begun, but for what clocks may differ.
        """
        trust = self.trust(rooted=True, skew=60)
        ended = certified([WEB], self.root, ends=NOW - 120)
        self.refused(trust, [ended], None, "its certificate ended at", "renew it there")
        early = certified([WEB], self.root, begins=NOW + 120)
        self.refused(trust, [early], None, "not good before", "clocks", "trust.skew")
        for peer in (
            certified([WEB], self.root, ends=NOW - 30),
            certified([WEB], self.root, begins=NOW + 30),
        ):
            self.assertEqual(WEB, self.believed(trust, [peer]))
        above = authority("above", self.root, ends=NOW - 120)
        self.refused(trust, [certified([WEB], above), above], None, "CN=above ended at")

    def test_authority(self) -> None:
        """
        Only who may certify does.
        """
        trust = self.trust(rooted=True)
        peer = certified([WEB], self.root)
        self.refused(trust, [certified([WEB], peer), peer], None, "not of a CA")
        usage = dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        extensions = [
            (x509.BasicConstraints(True, None), True),
            (x509.KeyUsage(digital_signature=True, **usage), True),
        ]
        above = certified((), self.root, subject="above", extensions=extensions)
        self.refused(trust, [certified([WEB], above), above], None, "not for certifying")
        above = authority("above", self.root, 0)
        below = authority("below", above)
        self.refused(trust, [certified([WEB], below), below, above], None, "only 0 CAs below")

    def test_purpose(self) -> None:
        """
        A certificate that says what it is for is good for nothing else.
        """
        trust = self.trust(rooted=True)
        only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
        peer = certified([WEB], self.root, extensions=[only])
        self.refused(trust, [peer], None, "not for clients")
        self.assertEqual(WEB, self.believed(trust, [peer], WEB))
        only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False
        self.refused(trust, [certified([WEB], self.root, extensions=[only])], WEB, "not for servers")

    def test_extensions(self) -> None:
        """
        What has to be understood and is not: names that are constrained, and what nobody knows.
        """
        trust = self.trust(rooted=True)
        constraints = x509.NameConstraints([x509.DNSName("x.example")], None)
        basic = x509.BasicConstraints(True, None), True
        above = certified((), self.root, subject="above", extensions=[basic, (constraints, True)])
        self.refused(trust, [certified([WEB], above), above], None, "names are constrained")
        unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\5\0")
        self.refused(trust, [certified([WEB], self.root, extensions=[(unknown, True)])], None, "1.2.3.4")
        peer = certified([WEB], self.root, extensions=[(unknown, False)])
        self.assertEqual(WEB, self.believed(trust, [peer]))

    def test_many(self) -> None:
        """
        A chain has an end.
        """
        peer = certified([WEB], self.root)
        self.refused(self.trust(rooted=True), [peer] * (MAX_CHAIN + 1), None, "11 certificates", "at most 10")
        self.refused(self.trust(rooted=True), [], None, "sent no certificate")

    def test_noKeyid(self) -> None:
        """
        With a key of a type that names nobody, a SPIFFE id is needed, but for a server that was asked for.
        """
        trust = self.trust(rooted=True)
        key = generateCurveKey(SECP384R1())
        peer = certified(["web.example"], self.root, key=key)
        self.refused(trust, [peer], None, "neither a SPIFFE id nor", "P-256")
        self.assertEqual("web.example", self.believed(trust, [peer], "web.example"))
        self.refused(trust, [peer], alone().keyid, "its key is of another type")
        self.assertEqual(WEB, self.believed(trust, [certified([WEB], self.root, key=key)]))
        self.refused(trust, [certified(["web.example"], key=key)], "web.example", "of an unknown type")

    def test_case(self) -> None:
        """
        A SPIFFE id is one principal, however its trust domain is written.
        """
        peer = certified(["SPIFFE://TD.Example/ns/prod/sa/web"], self.root)
        self.assertEqual(WEB, self.believed(self.trust(rooted=True, domain="TD.example"), [peer]))

    def test_nobody(self) -> None:
        """
        A client that asks for nobody in particular does not get anybody.
        """
        self.refused(self.trust(rooted=True), [certified([WEB], self.root)], "", "nobody in particular")

    def test_unreadable(self) -> None:
        """
        A certificate of which anything is broken is refused as that, and never believed.
        """
        peer = certified([WEB], self.root)
        der = peer.certificate.public_bytes(Encoding.DER)
        trust = self.trust(rooted=True)
        for at in range(len(der)):
            data = bytearray(der)
            data[at] ^= 0x41
            try:
                certificate = x509.load_der_x509_certificate(bytes(data))
            except (ValueError, x509.InvalidVersion):
                continue
            for name in (None, "web.example", peer.keyid):
                self.assertRaises(Refused, trust.check, [certificate], name)

    def test_ownBroken(self) -> None:
        """
        If our own identity cannot be read, that is why nobody is believed.
        """

        def own() -> Identity:
            raise UgateError("key.pem: gone")

        trust = Trust(Section(), own=own, now=lambda: NOW)
        self.refused(trust, [certified([WEB], self.root)], None, "nothing to check it by: key.pem: gone")

    def test_reread(self) -> None:
        """
        Another root in the file is believed at once; a broken file changes nothing.
        """
        trust = self.trust(rooted=True)
        other = authority("other")
        peer = certified([WEB], other)
        self.refused(trust, [peer], None, "none of our roots")
        self.file("roots.pem", self.root.pem() + other.pem())
        self.assertEqual(WEB, self.believed(trust, [peer]))
        self.file("roots.pem", b"nothing")
        self.assertEqual(WEB, self.believed(trust, [peer]))

    def test_ownRoots(self) -> None:
        """
        The roots that came with our own certificate hold, and so does its trust domain.
        """
        own = certified([WEB], self.root)
        own.write(self.folder, "key.pem", "cert-chain.pem")
        self.file("root-cert.pem", self.root.pem())
        source = Files(IdentitySection(dir=str(self.folder)))
        identity = Identity(source, MemoryReactorClock(), now=lambda: NOW)
        trust = Trust(Section(), own=lambda: identity, now=lambda: NOW)
        self.assertEqual(WEB, self.believed(trust, [certified([WEB], self.root)]))
        other = certified(["spiffe://other.example/ns/prod/sa/web"], self.root)
        self.refused(trust, [other], None, "wanted td.example")
        changed = trust.change(Section(domain="other.example"), trust.own)
        self.assertEqual("spiffe://other.example/ns/prod/sa/web", self.believed(trust, [other]))
        changed()
        self.refused(trust, [other], None, "wanted td.example")
