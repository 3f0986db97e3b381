# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.sshknownhosts}.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import SSHCertificateType
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.protocols.sshknownhosts import KnownHosts, fingerprint
from ugate.test.credentialfakes import publicLine
from ugate.test.test_usercertificates import NOW, blobOf, certify

KEY, OTHER, CA = (Ed25519PrivateKey.generate() for _ in range(3))
LINE, BLOB = publicLine(KEY), blobOf(KEY)


def known(*lines: str) -> KnownHosts:
    """
    What such lines say.
    """
    return KnownHosts.fromText("\n".join(lines))


def hashed(name: str) -> str:
    """
    As C{ssh-keygen -H} writes a name.
    """
    salt = b"0123456789abcdefghij"
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{b64encode(salt).decode()}|{b64encode(digest).decode()}"


class KnownHostsTests(SynchronousTestCase):
    """
    Files of hosts.
    """

    def assertKnown(
        self, hosts: KnownHosts, host: str = "gate.example", port: int = 22, blob: bytes = BLOB
    ) -> None:
        """
        It is known by that.
        """
        hosts.check("gate.example", port, blob, NOW)

    def assertUnknown(self, words: str, hosts: KnownHosts, host: str = "gate.example", **more: Any) -> None:
        """
        It is not.
        """
        port, blob = more.get("port", 22), more.get("blob", BLOB)
        error = self.assertRaises(StringError, hosts.check, host, port, blob, NOW)
        self.assertIn(words, str(error))

    def test_names(self) -> None:
        """
        Names, patterns, other ports, and what is hashed.
        """
        for hosts in ("gate.example", "a,gate.example", "*.example", "GATE.example", "g?te.example", "*"):
            self.assertKnown(known(f"{hosts} {LINE} comment"))
        self.assertKnown(known(f"[gate.example]:2222 {LINE}"), port=2222)
        self.assertKnown(known(f"[*.example]:* {LINE}"), port=2222)
        self.assertKnown(known(f"{hashed('gate.example')} {LINE}"))
        self.assertKnown(known(f"{hashed('[gate.example]:2222')} {LINE}"), port=2222)
        for hosts in ("gate", "*.example,!gate.*", "[gate.example]:22", hashed("gate"), "|1|x|y"):
            self.assertUnknown("no line is of that host and key", known(f"{hosts} {LINE}"))
        self.assertUnknown("no line", known(f"gate.example {LINE}"), port=2222)

    def test_others(self) -> None:
        """
        Comments and broken lines are left out; another key of that host is told, with both fingerprints.
        """
        hosts = known(
            "# x", "", "gate.example", "gate.example ssh-ed25519 AAAA", f"@other * {LINE}", "x ssh-rsa !"
        )
        self.assertEqual((), hosts.lines)
        hosts = known(f"gate.example {publicLine(OTHER)}", f"gate.example {LINE}")
        self.assertKnown(hosts)
        hosts = known(f"gate.example {publicLine(OTHER)}")
        text = f"its key is {fingerprint(BLOB)}, and it has to be {fingerprint(blobOf(OTHER))}"
        self.assertUnknown(text, hosts)

    def test_revoked(self) -> None:
        """
        What is revoked is known no more.
        """
        self.assertUnknown("which is revoked", known(f"* {LINE}", f"@revoked * {LINE}"))

    def test_certificates(self) -> None:
        """
        A CA certifies hosts, by their names, at their time, and only the hosts of its line.
        """
        line = f"@cert-authority *.example {publicLine(CA)}"
        good = certify(KEY, CA, kind=SSHCertificateType.HOST, names=("gate.example",))
        self.assertKnown(known(line), blob=good)
        self.assertUnknown("no line names for that host", known(line), "gate.other", blob=good)
        self.assertUnknown(
            "is by the CA " + fingerprint(blobOf(CA)), known(f"gate.example {LINE}"), blob=good
        )
        self.assertUnknown("and revoked", known(line, f"@revoked * {publicLine(CA)}"), blob=good)
        for more, words in (
            ({"kind": SSHCertificateType.USER}, "not one of a host"),
            ({"names": ("db.example",)}, "for db.example, and not for gate.example"),
            ({"ends": NOW}, "has ended"),
            ({"critical": {b"x": b"y"}}, "demands x"),
        ):
            options: dict[str, Any] = {"kind": SSHCertificateType.HOST, "names": ("gate.example",), **more}
            self.assertUnknown(words, known(line), blob=certify(KEY, CA, **options))
        # The CA is no key of a host.
        self.assertUnknown("no line", known(line), blob=blobOf(CA))

    def test_algorithms(self) -> None:
        """
        A host is asked first for what it is known by.
        """
        first = known(f"gate.example {publicLine(ec.generate_private_key(ec.SECP256R1()))}")
        self.assertEqual(b"ecdsa-sha2-nistp256", first.algorithms("gate.example", 22)[0])
        rsaKey = rsa.generate_private_key(65537, 2048)
        self.assertEqual(
            (b"rsa-sha2-512", b"rsa-sha2-256"), known(f"* {publicLine(rsaKey)}").algorithms("x", 22)[:2]
        )
        self.assertEqual(b"ssh-ed25519", known().algorithms("x", 22)[0])
        first = known(f"@cert-authority * {publicLine(CA)}")
        self.assertEqual(b"ssh-ed25519-cert-v01@openssh.com", first.algorithms("x", 22)[0])
        self.assertEqual(12, len(first.algorithms("x", 22)))

    @given(st.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """
        Whatever is in a file.
        """
        KnownHosts.fromText(text)
        KnownHosts.fromText(f"{text.replace(' ', '')[:30] or 'x'} {LINE}").algorithms("x", 22)
