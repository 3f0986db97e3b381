# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Keys and certificates in files: those of others, and those of our own.
"""

from __future__ import annotations

import os
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError, UgateError
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.identityfiles import LAYOUTS, Files, Keypair, checkRoots, readKey
from ugate.tenancy.identityown import EARLY, LIFE, RENEWED, Own, certifiedNames, isSelfSigned, keyText
from ugate.tenancy.keyids import keyidOf, namesOf
from ugate.tenancy.statefolder import folderOf, makeFolder, stateFolder, writeWhole
from ugate.test.identityfakes import NOW, authority, certified

P256 = b"\x2a\x86\x48\xce\x3d\x03\x01\x07"
"""The name of that curve, in DER."""


class FolderCase(SynchronousTestCase):
    """
    With a folder.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(mode=0o700)

    def fails(self, call: Any, *texts: str) -> str:
        """
        It cannot be, and the sentence has these texts, and nothing of a key.
        """
        message = str(self.assertRaises(UgateError, call))
        for text in texts:
            self.assertIn(text, message)
        self.assertNotIn("PRIVATE", message)
        return message


class FilesTests(FolderCase):
    """
    L{Files}.
    """

    def load(self, **section: Any) -> Keypair:
        """
        Read what is in the folder.
        """
        return Files(Section(**(section or {"dir": str(self.folder)}))).load()

    def test_layouts(self) -> None:
        """
        Every layout is found, with the certificates above and with roots where there are some.
        """
        root = authority()
        for number, (key, chain, roots) in enumerate(LAYOUTS):
            self.folder = Path(self.mktemp())
            self.folder.mkdir()
            above = authority("above", root)
            peer = certified([f"{number}.example"], above)
            peer.write(self.folder, key, chain, [above])
            self.assertEqual((), self.load().roots)
            if roots:
                (self.folder / roots).write_bytes(root.pem())
                self.assertEqual((root.certificate,), self.load().roots)
            held = self.load()
            self.assertEqual((peer.certificate, above.certificate), held.chain)
            self.assertEqual(peer.keyid, keyidOf(held.key.public_key()))
            self.assertNotIn("key=", repr(held))

    def test_named(self) -> None:
        """
        Files may be named one by one.
        """
        peer = certified(["web.example"])
        peer.write(self.folder, "a", "b")
        (self.folder / "c").write_bytes(peer.pem())
        paths = {
            name: str(self.folder / file) for name, file in (("key", "a"), ("cert", "b"), ("roots", "c"))
        }
        self.assertEqual((peer.certificate,), self.load(**paths).roots)

    def test_nothing(self) -> None:
        """
        A folder without both says what is wanted.
        """
        self.fails(self.load, "Istio", "Kubernetes", "cert.pem")
        self.assertIsNone(Files(Section(dir=str(self.folder))).signature())

    def test_mode(self) -> None:
        """
        A key that others may read is refused; the group may, as in Kubernetes.
        """
        certified().write(self.folder, "tls.key", "tls.crt")
        path = self.folder / "tls.key"
        for mode in (0o644, 0o604, 0o602, 0o620):
            path.chmod(mode)
            self.fails(self.load, "chmod o-rwx,g-w", str(path), "defaultMode: 0440")
        for mode in (0o600, 0o440):
            path.chmod(mode)
            self.assertEqual(1, len(self.load().chain))
        (self.folder / "tls.crt").chmod(0o666)
        self.fails(self.load, "chmod o-w")

    def test_others(self) -> None:
        """
        The key and the certificate of different holders do not go together.
        """
        certified().write(self.folder, "key.pem", "x")
        certified().write(self.folder, "y", "cert.pem")
        self.fails(self.load, "not of the key")

    def test_unknownCurve(self) -> None:
        """
        Nor does a certificate of a key that cannot even be read.
        """
        peer = certified()
        peer.write(self.folder, "key.pem", "x")
        der = peer.certificate.public_bytes(Encoding.DER)
        self.assertIn(P256, der)
        text = DER_cert_to_PEM_cert(der.replace(P256, P256[:-1] + b"\x06"))
        (self.folder / "cert.pem").write_text(text)
        self.fails(self.load, "not of the key")

    def test_broken(self) -> None:
        """
        What is no key and no certificate, or of a type that is not known.
        """
        peer = certified()
        peer.write(self.folder, "key.pem", "cert.pem")
        (self.folder / "cert.pem").write_bytes(b"nothing")
        self.fails(self.load, "cert.pem", "no certificates")
        path = self.folder / "key.pem"
        secret = BestAvailableEncryption(b"secret")
        for data in (
            b"nothing",
            b"",
            peer.pem(),
            keyText(peer.key)[:100],
            peer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret),
        ):
            path.write_bytes(data)
            self.fails(self.load, "key.pem", "without a password")
        path.write_bytes(keyText(generate_private_key(SECP384R1())))
        self.fails(self.load, "wanted P-256 or Ed25519")
        path.write_bytes(b"x" * (1024 * 1024 + 1))
        self.fails(self.load, "over 1024 KiB")
        path.unlink()
        self.fails(lambda: readKey(str(path)), "No such file")

    def test_roots(self) -> None:
        """
        Roots are checked when the configuration is.
        """
        path = self.folder / "roots"
        self.assertIn("No such file", str(self.assertRaises(StringError, checkRoots, str(path))))
        path.write_bytes(b"nothing")
        self.assertIn("no certificates", str(self.assertRaises(StringError, checkRoots, str(path))))
        path.write_bytes(authority().pem())
        checkRoots(str(path))


class OwnTests(FolderCase):
    """
    L{Own}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.now = NOW
        self.state = self.folder / "state" / "tenants" / "alice"

    def own(self, **section: Any) -> Own:
        """
        A key of our own.
        """
        return Own(str(self.state), Section(**section), lambda: self.now)

    def test_made(self) -> None:
        """
        What is not there is made, for nobody else to read, and found again.
        """
        held = self.own(namespace="ns", account="web", domain="td", pod="web-0.web").load()
        for path, mode in (
            (self.state, 0o700),
            (self.state / "key.pem", 0o600),
            (self.folder / "state", 0o700),
        ):
            self.assertEqual(mode, path.stat().st_mode & 0o777)
        self.assertEqual(["cert.pem", "key.pem"], sorted(os.listdir(self.state)))
        keyid = keyidOf(held.key.public_key())
        host, short, spiffe = namesOf(keyid, "ns", "web", "td")
        self.assertEqual((host, short, "web-0.web", spiffe), certifiedNames(held.certificate))
        self.assertTrue(isSelfSigned(held.certificate))
        self.assertEqual(
            held.chain, self.own(namespace="ns", account="web", domain="td", pod="web-0.web").load().chain
        )

    def test_kind(self) -> None:
        """
        The key is of the kind that is wanted; one that is there stays.
        """
        held = self.own(kind="ed25519").load()
        self.assertIsInstance(held.key, Ed25519PrivateKey)
        self.assertTrue(isSelfSigned(held.certificate))
        self.assertIsInstance(self.own(kind="p256").load().key, Ed25519PrivateKey)

    def test_renewed(self) -> None:
        """
        It is renewed before it ends, with the same key.
        """
        own = self.own()
        held = own.load()
        begins, ends = held.certificate.not_valid_before_utc, held.certificate.not_valid_after_utc
        self.assertEqual(LIFE + EARLY, ends - begins)
        self.now = ends.timestamp() - (LIFE + EARLY).total_seconds() * RENEWED + 1
        self.assertTrue(own.isDue(held))
        renewed = own.load()
        self.assertEqual(keyidOf(held.key.public_key()), keyidOf(renewed.key.public_key()))
        self.assertGreater(renewed.certificate.not_valid_after_utc, ends)
        self.assertFalse(own.isDue(renewed))

    def test_renamed(self) -> None:
        """
        With other names it is certified anew.
        """
        self.own().load()
        self.assertIn(
            "spiffe://td/ns/default/sa/default", certifiedNames(self.own(domain="td").load().certificate)
        )

    def test_otherKey(self) -> None:
        """
        With another key, too.
        """
        self.own().load()
        other = certified()
        (self.state / "key.pem").write_bytes(keyText(other.key))
        self.assertEqual(other.keyid, keyidOf(self.own().load().certificate.public_key()))

    def test_byOthers(self) -> None:
        """
        What others certify is used and never renewed here; if it is of another key that is a mistake.
        """
        self.own().load()
        root = authority()
        peer = certified(["web.example"], root, ends=NOW + 1)
        peer.write(self.state, "key.pem", "cert.pem", [root])
        held = self.own().load()
        self.assertEqual((peer.certificate, root.certificate), held.chain)
        self.assertFalse(self.own().isDue(held))
        (self.state / "cert.pem").write_bytes(certified(["web.example"], root).pem())
        self.fails(self.own().load, "not of the key", "put it away")

    def test_mode(self) -> None:
        """
        A key or a folder that is open to others is refused.
        """
        self.own().load()
        (self.state / "key.pem").chmod(0o644)
        self.fails(self.own().load, "others may read")
        (self.state / "key.pem").chmod(0o600)
        self.state.chmod(0o777)
        self.fails(self.own().load, "chmod go-w")

    def test_broken(self) -> None:
        """
        A key that cannot be read is not replaced.
        """
        self.own().load()
        (self.state / "key.pem").write_bytes(b"")
        self.fails(self.own().load, "no private key")
        self.assertEqual(b"", (self.state / "key.pem").read_bytes())

    def test_nowhere(self) -> None:
        """
        Where no folder can be, the sentence says how to name another.
        """
        (self.folder / "state").write_bytes(b"")
        self.fails(self.own().load, "--state", "node.state")


class StateFolderTests(FolderCase):
    """
    Where what outlives the process is.
    """

    def test_where(self) -> None:
        """
        As configured, else as systemd says, else by XDG, else at home.
        """
        every = {"STATE_DIRECTORY": "/var/lib/u:/x", "XDG_STATE_HOME": "/xdg"}
        self.assertEqual("/given", stateFolder("/given", every))
        self.assertEqual("/var/lib/u", stateFolder("", every))
        self.assertEqual("/xdg/ugate", stateFolder("", {"XDG_STATE_HOME": "/xdg"}))
        for environment in ({}, {"XDG_STATE_HOME": "relative"}):
            self.assertEqual(os.path.expanduser("~/.local/state/ugate"), stateFolder("", environment))
        self.assertEqual("/s", folderOf("/s", "root"))
        self.assertEqual("/s/tenants/alice/dev", folderOf("/s", "alice/dev"))

    def test_first(self) -> None:
        """
        Of two who write a new file, the first wins, and nothing is left behind.
        """
        path = str(self.folder / "x")
        makeFolder(str(self.folder))
        self.assertTrue(writeWhole(path, b"1", isNew=True))
        self.assertFalse(writeWhole(path, b"2", isNew=True))
        self.assertEqual(b"1", Path(path).read_bytes())
        self.assertTrue(writeWhole(path, b"3"))
        self.assertEqual((b"3", ["x"]), (Path(path).read_bytes(), os.listdir(self.folder)))
        self.fails(lambda: writeWhole(str(self.folder / "no" / "x"), b""), "No such file")

    def test_here(self) -> None:
        """
        A name alone is one in the folder where we are.
        """
        makeFolder(str(self.folder))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.assertTrue(writeWhole("x", b"1"))
        self.assertEqual(["x"], os.listdir())
