# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.sshcertificates}: certificates of SSH, and the list of those that are revoked.
"""

from __future__ import annotations

import struct
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.serialization import (
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.stream import Principal
from ugate.tenancy.ca.authority import ADMIN
from ugate.tenancy.ca.errors import NotAllowed
from ugate.tenancy.ca.sshcertificates import KRL_MAGIC, makeKRL, publicText
from ugate.test.cafakes import CAROL, AuthorityCase
from ugate.test.identityfakes import DAY, NOW, p256

BIG = st.integers(1, 2**64 - 1)


def certificateOf(text: str) -> SSHCertificate:
    """
    A line of a C{-cert.pub} file.
    """
    made = load_ssh_public_identity(text.encode())
    assert isinstance(made, SSHCertificate)
    made.verify_cert_signature()
    return made


class Reader:
    """
    Reads what PROTOCOL.krl of OpenSSH has.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, form: str) -> int:
        """
        A number.
        """
        size = struct.calcsize(form)
        head, self.data = self.data[:size], self.data[size:]
        value: int = struct.unpack(form, head)[0]
        return value

    def string(self) -> bytes:
        """
        A string.
        """
        size = self.number(">I")
        assert len(self.data) >= size
        found, self.data = self.data[:size], self.data[size:]
        return found


def readKRL(data: bytes) -> tuple[int, dict[bytes, tuple[list[int], list[str]]]]:
    """
    A list: when it was made, and the numbers and titles by the blobs of the CAs.
    """
    assert data.startswith(KRL_MAGIC)
    reader = Reader(data[len(KRL_MAGIC) :])
    assert reader.number(">I") == 1
    version, made, flags = (reader.number(">Q") for _ in range(3))
    assert version >= made and flags == 0
    reader.string(), reader.string()
    found: dict[bytes, tuple[list[int], list[str]]] = {}
    while reader.data:
        assert reader.number("B") == 1
        section = Reader(reader.string())
        numbers, titles = found.setdefault(section.string(), ([], []))
        section.string()
        while section.data:
            kind, inner = section.number("B"), Reader(section.string())
            while inner.data:
                if kind == 0x20:
                    numbers.append(inner.number(">Q"))
                else:
                    assert kind == 0x23
                    titles.append(inner.string().decode())
    return made, found


class CertificateTests(AuthorityCase):
    """
    Users and hosts.
    """

    def test_user(self) -> None:
        """
        The rule says what a user may do; the key id says who asked.
        """
        for key in (
            p256(),
            Ed25519PrivateKey.generate(),
            rsa(65537, 2048),
            generate_private_key(SECP384R1()),
        ):
            wanted = self.wantedSSH("ssh-user", "carol", "guest-1", key=key)
            given = self.authority.certify(wanted, CAROL, self.rules)
            made = certificateOf(given.text)
            self.assertEqual(SSHCertificateType.USER, made.type)
            self.assertEqual([b"carol", b"guest-1"], made.valid_principals)
            self.assertEqual(b"password:carol", made.key_id)
            self.assertEqual((NOW - 60, NOW + 600), (made.valid_after, made.valid_before))
            self.assertEqual({b"permit-pty": b""}, made.extensions)
            wantedOptions = {b"force-command": b"true", b"source-address": b"10.0.0.0/8,192.0.2.1"}
            self.assertEqual(wantedOptions, made.critical_options)
            self.assertEqual(str(made.serial), given.issued.serial)
            self.assertEqual(publicText(key.public_key()), publicText(made.public_key()))
            ours = self.authority.keys.userKey.public_key()
            self.assertEqual(publicText(ours), publicText(made.signature_key()))

    def test_titles(self) -> None:
        """
        Only who has the folder gives a certificate another key id.
        """
        wanted = self.wantedSSH("ssh-user", "carol", title="password:dave")
        made = certificateOf(self.authority.certify(wanted, CAROL, self.rules).text)
        self.assertEqual(b"password:carol", made.key_id)
        made = certificateOf(self.authority.certify(wanted, ADMIN, None).text)
        self.assertEqual(b"password:dave", made.key_id)
        self.assertEqual(
            {b"permit-pty", b"permit-port-forwarding", b"permit-agent-forwarding"}, set(made.extensions)
        )
        self.assertEqual((NOW + DAY, {}), (made.valid_before, made.critical_options))

    def test_host(self) -> None:
        """
        A host has another CA, and no options.
        """
        wanted = self.wantedSSH("ssh-host", "Gate.corp")
        given = self.authority.certify(wanted, self.authority.token("n", 60), self.rules)
        made = certificateOf(given.text)
        self.assertEqual((SSHCertificateType.HOST, [b"gate.corp"]), (made.type, made.valid_principals))
        self.assertEqual(({}, {}), (made.extensions, made.critical_options))
        self.assertEqual(wanted.keyid.encode(), made.key_id)
        ours = self.authority.keys.hostKey.public_key()
        self.assertEqual(publicText(ours), publicText(made.signature_key()))
        self.assertNotEqual(publicText(ours), publicText(self.authority.keys.userKey.public_key()))

    def test_barred(self) -> None:
        """
        Whose certificates were revoked by their key id gets no other.
        """
        wanted = self.wantedSSH("ssh-user", "carol")
        self.authority.certify(wanted, CAROL, self.rules)
        self.authority.revoke("password:carol")
        other = self.wantedSSH("ssh-user", "guest-2", key=p256())
        self.assertRaises(NotAllowed, self.authority.certify, other, CAROL, self.rules)
        self.authority.certify(other, Principal("dave", "password"), self.rules)


class ListTests(AuthorityCase):
    """
    What is revoked.
    """

    def test_revoked(self) -> None:
        """
        Numbers are those of the CA that gave them, key ids are of both.
        """
        user = self.authority.certify(self.wantedSSH("ssh-user", "a", title="of a"), ADMIN, None)
        host = self.authority.certify(self.wantedSSH("ssh-host", "a.corp"), ADMIN, None)
        tls = self.authority.certify(self.wanted("a.corp"), ADMIN, None)
        self.assertEqual({}, readKRL(self.authority.lists.krl())[1])
        for each in (user, host, tls):
            self.authority.revoke(each.issued.serial)
        self.authority.revoke("of a")
        made, found = readKRL(self.opened().lists.krl())
        self.assertEqual(NOW, made)
        self.assertEqual((self.folder / "krl").read_bytes(), self.authority.lists.krl())
        blobs = [
            makeBlob(key.public_key()) for key in (self.authority.keys.userKey, self.authority.keys.hostKey)
        ]
        self.assertEqual(
            {
                blobs[0]: ([int(user.issued.serial)], ["of a"]),
                blobs[1]: ([int(host.issued.serial)], ["of a"]),
            },
            found,
        )


def makeBlob(key: Any) -> bytes:
    """
    A public key as SSH sends it.
    """
    from base64 import b64decode

    return b64decode(publicText(key).split(b" ")[1])


class FormTests(SynchronousTestCase):
    """
    The form of a list.
    """

    @given(st.lists(BIG, unique=True), st.lists(BIG, unique=True), st.lists(st.text(min_size=1), unique=True))
    @settings(max_examples=50, deadline=None)
    def test_whole(self, first: list[int], second: list[int], titles: list[str]) -> None:
        """
        Whatever is in it is read back.
        """
        keys = [Ed25519PrivateKey.from_private_bytes(bytes([each]) * 32).public_key() for each in (1, 2)]
        data = makeKRL(zip(keys, (first, second), strict=True), titles, NOW, "é")
        wanted = {
            makeBlob(key): (sorted(numbers), titles)
            for key, numbers in zip(keys, (first, second), strict=True)
            if numbers or titles
        }
        self.assertEqual((NOW, wanted), readKRL(data))
