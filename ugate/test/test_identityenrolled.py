# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.identityenrolled}: a key of our own that a CA certifies.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.ca.requests import readCSR
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityenrolled import Enrolled, crlIn, requestFor
from ugate.tenancy.identityown import isSelfSigned
from ugate.tenancy.keyids import keyidOf
from ugate.test.identityfakes import DAY, NOW, Holder, authority, certified

CA: dict[str, Any] = {"ca": "https://ca.example/ca", "caPin": "A" * 52, "domain": "corp"}


class EnrolledTests(SynchronousTestCase):
    """
    What is in the folder.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "state"
        self.root = authority()
        self.source = Enrolled(str(self.folder), Section(**CA), lambda: NOW)
        self.key = self.source.load().key

    def given(self, key: Any = None, **more: Any) -> Holder:
        """
        What the CA gives.
        """
        key = key or self.key
        return certified(self.source.wanted(key), self.root, key=key, **more)

    def take(self, holder: Holder, host: str = "") -> None:
        """
        It is kept.
        """
        self.source.take(holder.pem(), self.root.pem(), host)

    def test_before(self) -> None:
        """
        Until a CA has certified it, the key certifies itself; that is not what is wanted.
        """
        held = self.source.load()
        self.assertTrue(isSelfSigned(held.certificate))
        self.assertEqual((), held.roots)
        self.assertFalse(self.source.isFitting(held))
        self.assertEqual(str(self.folder / "ca-crl.pem"), crlIn(str(self.folder)))

    def test_taken(self) -> None:
        """
        What the CA gave counts from then on, also when it has ended, with its roots; the key stays.
        """
        before = self.source.signature()
        given = self.given()
        self.take(given, "ssh-x cert")
        self.assertNotEqual(before, self.source.signature())
        held = self.source.load()
        self.assertEqual((given.certificate,), held.chain)
        self.assertEqual((self.root.certificate,), held.roots)
        self.assertTrue(self.source.isFitting(held))
        self.assertFalse(self.source.isDue(held))
        self.assertEqual(NOW + DAY / 3, self.source.renewAt(held))
        self.assertEqual("ssh-x cert\n", (self.folder / "ssh-host-cert.pub").read_text())
        for path in self.folder.iterdir():
            self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode), path)
        self.take(self.given(ends=NOW - DAY / 2))
        self.assertFalse(isSelfSigned(self.source.load().certificate))
        self.assertFalse((self.folder / "ssh-host-cert.pub").exists())

    def test_names(self) -> None:
        """
        Other names in the section, or another CA, make it one that does not fit.
        """
        self.take(self.given())
        other = Enrolled(str(self.folder), Section(**CA, account="other"), lambda: NOW)
        self.assertFalse(other.isFitting(other.load()))
        (self.folder / "ca-roots.pem").write_bytes(authority("other").pem())
        self.assertFalse(self.source.isFitting(self.source.load()))

    def test_broken(self) -> None:
        """
        What cannot be used counts for nothing, and the log says so.
        """
        for name, data in (
            ("ca-cert.pem", b"what"),
            ("ca-cert.pem", self.given().pem()[:100]),
            ("ca-cert.pem", self.given(certified().key).pem()),
            ("ca-roots.pem", b""),
        ):
            self.take(self.given())
            (self.folder / name).write_bytes(data)
            held = self.source.load()
            self.assertFalse(self.source.isFitting(held))
            self.assertEqual(keyidOf(self.key.public_key()), keyidOf(held.key.public_key()))

    def test_identity(self) -> None:
        """
        An identity becomes what the CA says without being another object, and tells.
        """
        identity = Identity(self.source, Clock(), now=lambda: NOW)
        self.addCleanup(identity.stop)
        told: list[str] = []
        identity.changed(lambda: told.append(identity.principal.name))
        self.assertEqual(identity.keyid, identity.principal.name)
        keyid = identity.keyid
        self.take(self.given())
        self.assertTrue(identity.look())
        self.assertEqual(["spiffe://corp/ns/default/sa/default"], told)
        self.assertEqual(keyid, identity.keyid)
        self.assertFalse(identity.look())

    def test_request(self) -> None:
        """
        A request is one that a CA reads.
        """
        names = self.source.wanted(self.key)
        wanted = readCSR(requestFor(self.key, names), "corp")
        self.assertEqual((names, keyidOf(self.key.public_key())), (wanted.names, wanted.keyid))
