# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.usercertificates} and L{ugate.protocols.sshcertificate}.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType
from hypothesis import given
from hypothesis import strategies as st

from twisted.conch.error import ValidPublicKey
from twisted.cred.credentials import SSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError, StringError
from ugate.protocols.credentials import ALL, CertifiedKey, ILogin, Login, Permits
from ugate.protocols.sshcertificate import HOST, USER, SSHCertificate
from ugate.protocols.sshpackets import string
from ugate.stream import Principal
from ugate.tenancy.ca.sshcertificates import makeKRL
from ugate.tenancy.portal import portalFrom
from ugate.tenancy.usercertificates import NOTHING
from ugate.test.credentialfakes import publicLine, write
from ugate.test.test_portal import Files

CA = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()
BOB = Ed25519PrivateKey.generate()
NOW = 1_000_000.0


def blobOf(key: Any) -> bytes:
    """
    A public key, as SSH sends it.
    """
    return a2b_base64(publicLine(key).split()[1])


def certify(key: Any = BOB, ca: Any = CA, **more: Any) -> bytes:
    """
    A certificate, as SSH sends it.
    """
    names = [each.encode() for each in more.get("names", ("bob", "deploy"))]
    builder = SSHCertificateBuilder()
    builder = builder.valid_principals(names) if names else builder.valid_for_all_principals()  # type: ignore[no-untyped-call]
    builder = (
        builder.public_key(key.public_key())
        .serial(more.get("serial", 7))
        .type(more.get("kind", SSHCertificateType.USER))
        .key_id(more.get("title", b"bob's laptop"))
        .valid_after(int(more.get("begins", NOW - 10)))
        .valid_before(int(more.get("ends", NOW + 10)))
    )
    for name in more.get("extensions", (b"permit-port-forwarding", b"permit-pty")):
        builder = builder.add_extension(name, b"")
    for name, value in more.get("critical", {}).items():
        builder = builder.add_critical_option(name, value)
    return a2b_base64(builder.sign(ca).public_bytes().split()[1])


class CertificateTests(SynchronousTestCase):
    """
    Certificates as they are sent.
    """

    def test_fields(self) -> None:
        """
        All that they say, for each type of key.
        """
        for key in (BOB, ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)):
            certificate = SSHCertificate.fromBlob(certify(key, critical={b"source-address": b"::/0"}))
            self.assertEqual(blobOf(key), certificate.key)
            self.assertEqual(
                (7, USER, "bob's laptop"), (certificate.serial, certificate.kind, certificate.title)
            )
            self.assertEqual(("bob", "deploy"), certificate.principals)
            self.assertEqual((NOW - 10, NOW + 10), (certificate.begins, certificate.ends))
            self.assertEqual({b"source-address": string(b"::/0")}, certificate.critical)
            self.assertIn(b"permit-pty", certificate.extensions)
            self.assertTrue(certificate.isSignedBy(blobOf(CA)))
            self.assertFalse(certificate.isSignedBy(blobOf(OTHER)))

    def test_forged(self) -> None:
        """
        Who changes a bit has no certificate.
        """
        blob = certify()
        for at in range(0, len(blob), 7):
            changed = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
            try:
                certificate = SSHCertificate.fromBlob(changed)
            except ProtocolError:
                continue
            self.assertFalse(certificate.isSignedBy(blobOf(CA)), at)

    def test_cut(self) -> None:
        """
        What is cut off, or has more behind it, is none.
        """
        blob = certify()
        for size in range(len(blob)):
            self.assertRaises(ProtocolError, SSHCertificate.fromBlob, blob[:size])
        self.assertRaises(ProtocolError, SSHCertificate.fromBlob, blob + b"x")

    def test_check(self) -> None:
        """
        It is good for its names, at its time, for what it is.
        """
        certificate = SSHCertificate.fromBlob(certify())
        certificate.checkFor(USER, "bob", NOW)
        for kind, name, now, words in (
            (HOST, "bob", NOW, "not one of a host"),
            (USER, "eve", NOW, "for bob, deploy, and not for eve"),
            (USER, "bob", NOW + 10, "has ended"),
            (USER, "bob", NOW - 11, "not good yet"),
        ):
            error = self.assertRaises(StringError, certificate.checkFor, kind, name, now)
            self.assertIn(words, str(error))
        weak = SSHCertificate.fromBlob(certify(rsa.generate_private_key(65537, 1024)))
        self.assertIn("1024 bits", str(self.assertRaises(StringError, weak.checkFor, USER, "bob", NOW)))
        nobody = SSHCertificate.fromBlob(certify(names=()))
        self.assertIn("for nobody", str(self.assertRaises(StringError, nobody.checkFor, USER, "bob", NOW)))

    def test_options(self) -> None:
        """
        From where one comes is looked at; what nobody knows is refused.
        """
        critical = {b"source-address": b"10.0.0.0/8,2001:db8::/32,192.0.2.1"}
        certificate = SSHCertificate.fromBlob(certify(critical=critical))
        for address in ("10.1.2.3", "2001:db8::1", "192.0.2.1"):
            certificate.checkOptions(address)
        for address in ("11.0.0.1", "::1", ""):
            self.assertRaises(StringError, certificate.checkOptions, address)
        for critical, words in (
            ({b"force-command": b"id"}, "demands force-command"),
            ({b"verify-required": b""}, "demands verify-required"),
            ({b"x@example.com": b""}, "demands x@example.com"),
            ({b"source-address": b"everywhere"}, "cannot be read"),
        ):
            certificate = SSHCertificate.fromBlob(certify(critical=critical))
            self.assertIn(words, str(self.assertRaises(StringError, certificate.checkOptions, "10.0.0.1")))

    @given(st.binary(max_size=100))
    def test_anything(self, data: bytes) -> None:
        """
        Nothing else is raised.
        """
        for blob in (data, string(b"ssh-ed25519-cert-v01@openssh.com") + data):
            self.assertRaises(ProtocolError, SSHCertificate.fromBlob, blob)


class LoginTests(SynchronousTestCase):
    """
    Certificates, asked of the portals of tenants.
    """

    def setUp(self) -> None:
        self.keys = write(self.mktemp(), f"cert-authority {publicLine(CA)} our CA\n", mode=0o644)
        self.files = Files(keys=self.keys)
        self.make()

    def make(self) -> None:
        """
        The portals of a tenant, and of one below it that believes the same.
        """
        self.below = portalFrom(Clock(), Files(keys=self.keys), "alice", now=lambda: NOW)
        children = {"alice": self.below}
        self.portal = portalFrom(Clock(), self.files, "root", children.get, now=lambda: NOW)

    def login(self, blob: bytes, user: str = "bob", isSigned: bool = True, **more: Any) -> Any:
        """
        Log in.

        @return: what comes out.
        """
        signature = string(b"ssh-ed25519") + string(more.pop("key", BOB).sign(b"signed"))
        credentials = CertifiedKey(
            user.encode(), blob, b"signed", signature if isSigned else None, "10.0.0.1"
        )
        assert self.portal is not None
        found: list[Any] = []
        self.portal.login(credentials, None, ILogin).addCallbacks(
            lambda result: found.append(result[1]), lambda failure: found.append(failure.value)
        )
        return found[0]

    def assertRefused(self, words: str, blob: bytes, user: str = "bob", **more: Any) -> None:
        """
        There is no way in, and it is said why.
        """
        error = self.login(blob, user, **more)
        self.assertIsInstance(error, UnauthorizedLogin)
        self.assertIn(words, str(error))

    def test_good(self) -> None:
        """
        It lets in, as whom the user wants to be of its names; with a tenant too.
        """
        self.assertEqual(Login(Principal("bob", "certificate"), ALL), self.login(certify()))
        self.assertEqual("deploy", self.login(certify(), "deploy").principal.name)
        self.assertEqual(
            Principal("bob", "certificate", "alice"), self.login(certify(), "bob@alice").principal
        )
        self.assertIsInstance(self.login(certify(), isSigned=False), ValidPublicKey)

    def test_again(self) -> None:
        """
        It holds until it ends, or is revoked, or its CA is believed no more.
        """
        revoked = self.files.revoked = write(self.mktemp(), "# nobody\n", mode=0o644)
        now = [NOW]
        self.portal = portalFrom(Clock(), self.files, now=lambda: now[0])
        login = self.login(certify())
        self.assertTrue(login.again())
        write(revoked, f"{publicLine(BOB)}\n", mode=0o644)
        self.assertFalse(login.again())
        write(revoked, f"{publicLine(OTHER)}\n", mode=0o644)
        self.assertTrue(login.again())
        now[0] += 10
        self.assertFalse(login.again())
        now[0] -= 10
        write(self.keys, f"cert-authority {publicLine(OTHER)} another CA\n", mode=0o644)
        self.assertFalse(login.again())

    def test_refused(self) -> None:
        """
        Nothing else does, and the reason is for the log.
        """
        self.assertRefused("not for eve", certify(), "eve")
        self.assertRefused("has ended", certify(ends=NOW))
        self.assertRefused("not good yet", certify(begins=NOW + 1))
        self.assertRefused("of no CA that is believed", certify(ca=OTHER))
        self.assertRefused("not one of a user", certify(kind=SSHCertificateType.HOST))
        self.assertRefused("demands force-command", certify(critical={b"force-command": b"x"}))
        self.assertRefused("not good at", certify(critical={b"source-address": b"11.0.0.0/8"}))
        self.assertRefused("has not signed", certify(), key=OTHER)
        self.assertRefused("", certify(), "bob@nowhere")
        self.assertRefused("cut off", certify()[:-1])
        self.assertRefused("of no CA", certify(ca=OTHER), isSigned=False)

    def test_names(self) -> None:
        """
        A CA certifies those that the file says, and what a key may, it may.
        """
        line = f'cert-authority,principals="deploy",permitopen="db:1" {publicLine(CA)} our CA\n'
        write(self.keys, line, mode=0o644)
        self.assertRefused("the CA our CA certifies nobody of the name bob", certify())
        self.assertEqual(Permits((("db", 1),)), self.login(certify(), "deploy").permits)

    def test_extensions(self) -> None:
        """
        Without leave to forward there are no streams.
        """
        self.assertEqual(NOTHING, self.login(certify(extensions=())).permits)

    def test_revoked(self) -> None:
        """
        What is revoked lets in no more, from the moment on in which the file says so; keys neither.
        """
        path = self.files.revoked = self.mktemp()
        write(path, publicLine(OTHER), mode=0o644)
        self.make()
        self.assertIsInstance(self.login(certify()), Login)
        with open(path, "wb") as file:
            file.write(makeKRL([(CA.public_key(), [7])], [], NOW, "x"))
        self.assertRefused("it is revoked", certify())
        self.assertIsInstance(self.login(certify(serial=8)), Login)

    def test_keys(self) -> None:
        """
        It is said of a key, too, why it lets nobody in: it is revoked, has ended, or is that of a CA.
        """
        lines = f'{publicLine(BOB)} bob\nexpiry-time="19700101Z" {publicLine(OTHER)} eve\n'
        write(self.keys, f"{lines}cert-authority {publicLine(CA)} our CA\n", mode=0o644)
        self.files.revoked = write(self.mktemp(), publicLine(BOB), mode=0o644)
        self.make()
        assert self.portal is not None
        for key, why in (
            (BOB, "the key of bob is revoked"),
            (OTHER, "the key of eve has ended"),
            (CA, "the key of our CA certifies others"),
        ):
            credentials = SSHPrivateKey(b"bob", b"ssh-ed25519", blobOf(key), None, None)
            refused = self.failureResultOf(self.portal.login(credentials, None, ILogin), UnauthorizedLogin)
            self.assertIn(why, refused.getErrorMessage())

    def test_none(self) -> None:
        """
        Without a file of keys there is no CA.
        """
        self.files.keys = None
        self.files.users = write(self.mktemp(), "")
        self.make()
        self.assertRefused("", certify())
