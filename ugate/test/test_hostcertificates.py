# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.hostcertificates}.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType

from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.protocols.sshcertificate import SSHCertificate
from ugate.protocols.sshclient import Account, SSHClient
from ugate.protocols.sshtransport import SSHServer, hostKeys
from ugate.stream import Principal
from ugate.tenancy.hostcertificates import hostCertificate
from ugate.test.credentialfakes import write
from ugate.test.test_sshtransport import INFO
from ugate.test.test_usercertificates import BOB, CA, NOW, certify

KEY = Ed25519PrivateKey.generate()


class HostCertificateTests(SynchronousTestCase):
    """
    Files of certificates.
    """

    def text(self, key: Ed25519PrivateKey = KEY, kind: SSHCertificateType = SSHCertificateType.HOST) -> str:
        """
        What is in such a file.
        """
        builder = SSHCertificateBuilder().public_key(key.public_key()).serial(1).type(kind).key_id(b"gate")
        builder = builder.valid_principals([b"gate.example"]).valid_after(0).valid_before(int(NOW) + 10)
        return builder.sign(CA).public_bytes().decode()

    def test_file(self) -> None:
        """
        The certificate of our key is taken; without a file there is none.
        """
        path = self.mktemp()
        self.assertEqual(b"", hostCertificate(path, KEY, NOW))
        write(path, f"{self.text()} gate\n")
        certificate = SSHCertificate.fromBlob(hostCertificate(path, KEY, NOW))
        self.assertEqual(("gate.example",), certificate.principals)

    def test_wrong(self) -> None:
        """
        One that cannot be used is said to be so.
        """
        path = self.mktemp()
        for text, now, words in (
            (self.text(BOB), NOW, "of another key"),
            (self.text(), NOW + 10, "has ended"),
            (self.text(kind=SSHCertificateType.USER), NOW, "not one of a host"),
            ("ssh-ed25519 AAAA", NOW, "no certificate of SSH"),
            ("", NOW, "no certificate of SSH"),
        ):
            write(path, text)
            self.assertIn(words, str(self.assertRaises(StringError, hostCertificate, path, KEY, now)))
        self.assertRaises(StringError, hostCertificate, "/", KEY, NOW)

    def test_shown(self) -> None:
        """
        A client that takes certificates of hosts gets it, one that does not gets the key.
        """
        certificate = certify(KEY, kind=SSHCertificateType.HOST)
        keys = hostKeys(KEY, certificate)
        for algorithm, shown in (
            (b"ssh-ed25519-cert-v01@openssh.com", certificate),
            (b"ssh-ed25519", keys[b"ssh-ed25519"][0].blob()),
        ):
            seen: list[bytes] = []

            def check(key: bytes, seen: list[bytes] = seen) -> Principal:
                seen.append(key)
                return Principal("gate", "key")

            server = SSHServer(Clock(), INFO, keys, None, lambda *_: None)
            client = SSHClient(Clock(), INFO, Account("x"), check, (algorithm,))
            connect(server, FakeTransport(server, True), client, FakeTransport(client, False)).flush()
            self.assertEqual([shown], seen)
            self.successResultOf(client.ready)
