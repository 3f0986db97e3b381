# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose certificates are believed, and what those are told whose are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generateCurveKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from zope.interface.verify import verifyObject

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused, UgateError
from ugate.interfaces import ITrust
from ugate.tenancy.config.identityschema import Identity as IdentitySection
from ugate.tenancy.config.identityschema import Trust as Section
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityfiles import Files
from ugate.tenancy.identityown import selfSigned
from ugate.tenancy.keyids import hostOf, namesOf
from ugate.tenancy.trust import Trust
from ugate.tenancy.trustchain import MAX_CHAIN
from ugate.test.identityfakes import DAY, NOW, Holder, authority, certified, listOf, p256

WEB = "spiffe://td.example/ns/prod/sa/web"


def alone(key: Any = None) -> Holder:
    """
    Somebody who certifies itself, as a node does.
    """
    key = key or p256()
    holder = Holder(key, selfSigned(key, (), NOW))
    return Holder(key, selfSigned(key, namesOf(holder.keyid, "prod", "web", "td.example"), NOW))


class TrustCase(SynchronousTestCase):
    """
    A trust, whose files are in a folder of the test.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.root = authority()

    def file(self, name: str, data: bytes) -> str:
        """
        Write a file.
        """
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def trust(self, *, rooted: bool = False, **section: Any) -> Trust:
        """
        A trust.

        @param rooted: whether it has our root.
        """
        if rooted:
            section["roots"] = self.file("roots.pem", self.root.pem())
        return Trust(Section(**section), now=lambda: NOW)

    def refused(self, trust: Trust, chain: Iterable[Holder], name: str | None, *texts: str) -> Refused:
        """
        A chain is refused, with a sentence that has these texts in it.
        """
        error: Refused = self.assertRaises(Refused, trust.check, [each.certificate for each in chain], name)
        self.assertEqual((Cause.AUTHENTICATION, Phase.TLS), (error.cause, error.phase))
        for text in texts:
            self.assertIn(text, str(error))
        self.assertNotEqual("check the user name and the password", error.nextStep)
        return error

    def believed(self, trust: Trust, chain: Iterable[Holder], name: str | None = None) -> str:
        """
        Who a chain is of.
        """
        principal = trust.check([each.certificate for each in chain], name)
        self.assertEqual(("certificate", "root"), (principal.method, principal.tenant))
        return principal.name


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


class KeyTests(TrustCase):
    """
    Those whose keys are known.
    """

    def test_asked(self) -> None:
        """
        Who certifies itself is believed if it was asked for by the hash of its key.
        """
        trust = self.trust()
        for peer in (alone(), alone(Ed25519PrivateKey.generate())):
            for name in (peer.keyid, peer.keyid.lower(), hostOf(peer.keyid, "prod", "td.example")):
                self.assertEqual(peer.keyid, self.believed(trust, [peer], name))

    def test_notAsked(self) -> None:
        """
        And not otherwise: neither as a client, nor by a name that anybody could have.
        """
        peer = alone()
        for trust in (self.trust(), self.trust(rooted=True)):
            self.refused(trust, [peer], None, "certifies itself", peer.keyid, "trust.pins")
            self.refused(trust, [peer], "web.example", "certifies itself", "by that name")
        self.refused(self.trust(), [peer], alone().keyid, "not that of this name")

    def test_copied(self) -> None:
        """
        Who copies the name of another is refused, pinned or not.
        """
        peer = alone()
        key = p256()
        copy = Holder(key, selfSigned(key, namesOf(peer.keyid, "prod", "web", "td.example"), NOW))
        self.refused(self.trust(), [copy], peer.keyid, copy.keyid, "not that of this name")
        self.refused(self.trust(pins=(copy.keyid,)), [copy], None, f"says that it is {peer.keyid}")

    def test_pinned(self) -> None:
        """
        Those with pinned keys are believed, whoever certifies them; their names have to be right too.
        """
        peer, other = alone(), certified(["web.example"], authority("unknown"))
        trust = self.trust(rooted=True, pins=(peer.keyid.lower(), other.keyid))
        self.assertEqual(peer.keyid, self.believed(trust, [peer]))
        self.assertEqual(other.keyid, self.believed(trust, [other], "web.example"))
        self.refused(trust, [other], "db.example", "not of that name")
        self.refused(trust, [alone()], None, "not pinned")

    def test_pinnedDates(self) -> None:
        """
        Also a pinned certificate ends.
        """
        old = certified(["web.example"], ends=NOW - DAY / 2)
        self.refused(self.trust(pins=(old.keyid,)), [old], None, "ended at")

    def test_claims(self) -> None:
        """
        What somebody says of itself does not count: it is its key, whatever SPIFFE id it takes.
        """
        peer = certified(["spiffe://td.example/ns/istio-system/sa/admin"])
        self.assertEqual(peer.keyid, self.believed(self.trust(pins=(peer.keyid,)), [peer]))

    def test_met(self) -> None:
        """
        A server that is met for the first time is written down; later it has to have that key.
        """
        path = str(self.folder / "known")
        trust = self.trust(known=path)
        peer, other = alone(), alone()
        self.refused(trust, [peer], None, "certifies itself")
        self.assertEqual(peer.keyid, self.believed(trust, [peer], "Web.example"))
        self.assertEqual(f"web.example {peer.keyid}\n", Path(path).read_text(encoding="utf-8"))
        self.assertEqual(0o600, Path(path).stat().st_mode & 0o777)
        self.assertEqual(peer.keyid, self.believed(self.trust(known=path), [peer], "web.example"))
        self.assertEqual(peer.keyid, self.believed(trust, [peer]))
        error = self.refused(trust, [other], "web.example", "its key has changed", peer.keyid, other.keyid)
        self.assertIn(f"line 1 of {path}", error.nextStep)
        self.assertEqual(f"web.example {peer.keyid}\n", Path(path).read_text(encoding="utf-8"))

    def test_metAnew(self) -> None:
        """
        Whose line was taken out is met again.
        """
        path = self.folder / "known"
        trust = self.trust(known=str(path))
        self.believed(trust, [alone()], "web.example")
        path.write_text("# nobody\n", encoding="utf-8")
        peer = alone()
        self.assertEqual(peer.keyid, self.believed(trust, [peer], "web.example"))

    def test_metNowhere(self) -> None:
        """
        Where nothing can be written down, nobody is believed.
        """
        trust = self.trust(known=str(self.folder / "no" / "known"))
        self.refused(trust, [alone()], "web.example", "is not known", "trust.known")
        self.refused(self.trust(known=str(self.folder / "x")), [alone()], "a b", "cannot be a name")


class RevokedTests(TrustCase):
    """
    Those who are believed no more.
    """

    def test_serial(self) -> None:
        """
        By their serial numbers, also of one between.
        """
        above = authority("above", self.root, serial=0xABCDEF)
        peer, fine = certified([WEB], above, serial=0x1234), certified([WEB], self.root)
        path = self.file("revoked", b"# gone\nserial=1234\n")
        trust = self.trust(rooted=True, revoked=path)
        self.refused(trust, [peer, above], None, "revoked", "1234", "trust.revoked")
        self.assertEqual(WEB, self.believed(trust, [fine]))
        self.file("revoked", b"AB:CD:EF\n")
        self.refused(trust, [peer, above], None, "revoked", "abcdef")

    def test_keyid(self) -> None:
        """
        By their keys, even if these are pinned or asked for.
        """
        peer = alone()
        trust = self.trust(pins=(peer.keyid,), revoked=self.file("revoked", peer.keyid.encode()))
        self.refused(trust, [peer], None, "revoked", peer.keyid)
        self.refused(trust, [peer], peer.keyid, "revoked")

    def test_list(self) -> None:
        """
        By a CRL, which holds for those of its issuer, and is read again when it changes.
        """
        peer = certified([WEB], self.root, serial=77)
        trust = self.trust(rooted=True, revoked=self.file("revoked", listOf(self.root, [76])))
        self.assertEqual(WEB, self.believed(trust, [peer]))
        self.file("revoked", listOf(authority("other"), [77]) + listOf(self.root, [76, 77, 78]))
        self.refused(trust, [peer], None, "revoked", "4d, by CN=root")

    def test_stale(self) -> None:
        """
        That a CRL is too old is told once, until there is another.
        """
        peer = certified([WEB], self.root, ends=NOW + 9 * DAY)
        path = self.file("revoked", listOf(self.root, [76]))
        section = Section(roots=self.file("roots.pem", self.root.pem()), revoked=path)
        trust = Trust(section, now=lambda: NOW + DAY + 1)
        with capturedLogs() as events:
            for _ in range(3):
                self.believed(trust, [peer])
        told = [event for event in events if "was to be replaced" in event["log_format"]]
        self.assertEqual(1, len(told))

    def test_forged(self) -> None:
        """
        A CRL that a root of ours did not sign is refused; what was in force before stays.
        """
        forged = self.file("revoked", listOf(self.root, [], signer=p256()))
        self.assertIn(
            "CN=root did not sign",
            str(self.assertRaises(UgateError, self.trust, rooted=True, revoked=forged)),
        )
        peer = certified([WEB], self.root, serial=77)
        trust = self.trust(rooted=True, revoked=self.file("revoked", listOf(self.root, [77])))
        self.file("revoked", listOf(self.root, [], signer=p256()))
        self.refused(trust, [peer], None, "revoked")
