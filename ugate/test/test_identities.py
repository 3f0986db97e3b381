# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What C{/identity} shows.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from twisted.internet.task import Clock

from ugate.errors import UgateError
from ugate.modules.identities import stateOf
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityfiles import Files
from ugate.tenancy.identityown import Own
from ugate.test.adminfakes import AdminCase
from ugate.test.identityfakes import NOW, authority, certified


class Broken:
    """
    A tenant that cannot have an identity.
    """

    @property
    def identity(self) -> Identity:
        raise UgateError("key.pem: others may read or write this key; run: chmod o-rwx,g-w key.pem")


class IdentityTests(AdminCase):
    """
    The operation, and what it is made of.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def own(self, **section: Any) -> Identity:
        """
        An identity of our own.
        """
        identity = Identity(
            Own(str(self.folder / "own"), Section(**section), lambda: NOW), Clock(), "bob", lambda: NOW
        )
        self.addCleanup(identity.stop)
        return identity

    def test_shown(self) -> None:
        """
        All that peers may know, and nothing that they may not.
        """
        identity = self.own()
        tenant: Any = self.node.tenants["bob"]
        tenant.identity = identity
        answer = self.ask("GET", "identity?tenant=bob")
        self.assertEqual(200, answer.status)
        shown = answer.json
        self.assertEqual(
            ("bob", identity.keyid, identity.vip6, identity.keyid, list(identity.names), ""),
            tuple(shown[key] for key in ("tenant", "keyid", "vip6", "principal", "names", "issuer")),
        )
        self.assertEqual(NOW - 3600, shown["begins"])
        der = identity.certificate.public_bytes(Encoding.DER)
        self.assertEqual(sha256(der).hexdigest(), shown["certificate"])
        public = identity.certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        self.assertEqual(sha256(public).digest(), b64decode(shown["key"]))
        self.assertNotIn("PRIVATE", str(shown))

    def test_ssh(self) -> None:
        """
        The fingerprint is as OpenSSH prints it.
        """
        identity = self.own(kind="ed25519")
        line = identity.certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        blob = b64decode(line.split()[1])
        expected = stateOf("bob", identity).ssh
        self.assertEqual(sha256(blob).digest(), b64decode(expected.removeprefix("SHA256:") + "="))

    def test_issuer(self) -> None:
        """
        Who certified it is told.
        """
        certified(["spiffe://td/ns/a/sa/b"], authority("above")).write(self.folder, "tls.key", "tls.crt")
        identity = Identity(Files(Section(dir=str(self.folder))), Clock(), now=lambda: NOW)
        self.addCleanup(identity.stop)
        state = stateOf("root", identity)
        self.assertEqual(("CN=above", "spiffe://td/ns/a/sa/b"), (state.issuer, state.principal))

    def test_cannot(self) -> None:
        """
        An identity that cannot be used is no fault of the server; its sentence is told.
        """
        tenants: Any = self.node.tenants
        tenants["bob"] = Broken()
        answer = self.ask("GET", "identity?tenant=bob")
        self.assertIn("chmod o-rwx", self.trouble(503, answer))
        self.trouble(404, self.ask("GET", "identity?tenant=nobody"))
