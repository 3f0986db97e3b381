# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who a tenant is, while its files change.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import UgateError
from ugate.interfaces import IIdentity
from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.identity import POLL, Identity
from ugate.tenancy.identityfiles import Files
from ugate.tenancy.identityown import LIFE, Own, keyText
from ugate.tenancy.keyids import hostOf
from ugate.test.identityfakes import DAY, NOW, Holder, authority, certified, p256

WEB = "spiffe://td.example/ns/prod/sa/web"


class IdentityCase(SynchronousTestCase):
    """
    An identity by the files of a folder.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.clock = Clock()
        self.now = NOW
        self.told = 0
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.root = authority()

    def wall(self) -> float:
        """
        The time of day.
        """
        return self.now + self.clock.seconds()

    def write(self, names: tuple[str, ...] = (WEB,), **more: Any) -> Holder:
        """
        Give it another key and certificate.
        """
        peer = certified(names, more.pop("by", self.root), **more)
        peer.write(self.folder, "key.pem", "cert.pem")
        return peer

    def identity(self, source: Any = None, path: str = "root") -> Identity:
        """
        An identity, of which is counted how often it changes.
        """
        source = source or Files(Section(dir=str(self.folder)))
        identity = Identity(source, self.clock, path, self.wall)

        def tell() -> None:
            self.told += 1

        self.stop = identity.changed(tell)
        self.addCleanup(identity.stop)
        return identity

    def logged(self, level: str) -> list[str]:
        """
        What was logged.
        """
        return [
            event["log_format"].format(**event)
            for event in self.events
            if event["log_level"].name == level
            and event["log_namespace"].startswith("ugate.tenancy.identity")
        ]


class IdentityTests(IdentityCase):
    """
    What it is.
    """

    def test_interface(self) -> None:
        """
        It is one.
        """
        self.write()
        verifyObject(IIdentity, self.identity())

    def test_names(self) -> None:
        """
        Who is certified by others is its SPIFFE id; who is not is its KEYID, whatever it says.
        """
        peer = self.write((WEB, "web.example"))
        identity = self.identity(path="alice")
        self.assertEqual(peer.keyid, identity.keyid)
        self.assertEqual(("web.example", WEB), identity.names)
        self.assertEqual((WEB, "certificate", "alice"), _parts(identity))
        self.assertTrue(identity.vip6.startswith("fd00::"))
        self.assertEqual((peer.certificate,), identity.chain)
        peer = self.write(by=None)
        self.assertEqual((peer.keyid, "certificate", "root"), _parts(self.identity()))

    def test_secret(self) -> None:
        """
        Nothing of the key is shown.
        """
        peer = self.write()
        self.assertEqual(f"<Identity of root: {peer.keyid}>", repr(self.identity()))

    def test_sign(self) -> None:
        """
        What it signs can be verified.
        """
        key = p256()
        self.write(key=key)
        key.public_key().verify(self.identity().sign(b"x"), b"x", ECDSA(SHA256()))
        edwards = Ed25519PrivateKey.generate()
        self.write(key=edwards)
        edwards.public_key().verify(self.identity().sign(b"x"), b"x")
        rsa = generate_private_key(65537, 2048)
        self.write(key=rsa)
        rsa.public_key().verify(self.identity().sign(b"x"), b"x", PKCS1v15(), SHA256())


class ChangeTests(IdentityCase):
    """
    What it becomes.
    """

    def test_files(self) -> None:
        """
        Files that change are read again in a while, and that is told.
        """
        self.write()
        identity = self.identity()
        self.clock.advance(POLL)
        self.assertEqual(0, self.told)
        peer = self.write()
        self.clock.advance(POLL)
        self.assertEqual((1, peer.keyid), (self.told, identity.keyid))
        self.assertIn(peer.keyid, self.logged("info")[-1])
        self.stop()
        self.write()
        self.clock.advance(POLL)
        self.assertEqual(1, self.told)
        self.stop()

    def test_half(self) -> None:
        """
        With a key that is there before its certificate, all stays, and the log says so once; then it changes.
        """
        before = self.write()
        identity = self.identity()
        peer = certified([WEB], self.root)
        (self.folder / "key.pem").write_bytes(keyText(peer.key))
        self.clock.pump([POLL] * 3)
        self.assertEqual((0, before.keyid), (self.told, identity.keyid))
        self.assertEqual(1, len(self.logged("error")))
        self.assertIn("not of the key", self.logged("error")[0])
        (self.folder / "cert.pem").write_bytes(peer.pem())
        self.clock.advance(POLL)
        self.assertEqual((1, peer.keyid), (self.told, identity.keyid))

    def test_gone(self) -> None:
        """
        Files that are gone change nothing.
        """
        before = self.write()
        identity = self.identity()
        (self.folder / "key.pem").unlink()
        self.clock.advance(POLL)
        self.assertEqual((0, before.keyid), (self.told, identity.keyid))
        self.assertIn("there is no key", self.logged("error")[0])

    def test_badCallback(self) -> None:
        """
        Who fails when told keeps nobody else from it.
        """
        self.write()
        identity = Identity(Files(Section(dir=str(self.folder))), self.clock, now=self.wall)
        self.addCleanup(identity.stop)
        identity.changed(lambda: 1 / 0)
        told: list[int] = []
        identity.changed(lambda: told.append(1))
        self.write()
        self.clock.advance(POLL)
        self.assertEqual([1], told)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_source(self) -> None:
        """
        It may come from elsewhere, which can be taken back; not if nothing is there.
        """
        before = self.write()
        identity = self.identity()
        missing = Files(Section(dir=str(self.folder / "no")))
        self.assertRaises(UgateError, identity.change, missing)
        self.assertEqual((0, before.keyid), (self.told, identity.keyid))
        undo = identity.change(Own(str(self.folder / "own"), Section(), self.wall))
        self.assertEqual(1, self.told)
        self.assertNotEqual(before.keyid, identity.keyid)
        self.assertIn(hostOf(identity.keyid), identity.names)
        undo()
        self.assertEqual((2, before.keyid), (self.told, identity.keyid))
        peer = self.write()
        self.clock.advance(POLL)
        self.assertEqual(peer.keyid, identity.keyid)

    def test_warned(self) -> None:
        """
        A certificate that nobody renews is told when a quarter and a tenth is left, and when it has ended.
        """
        self.write(begins=NOW, ends=NOW + DAY)
        self.identity()
        self.clock.advance(DAY * 0.7)
        self.assertEqual([], self.logged("warn"))
        for _ in range(3):
            self.clock.advance(DAY * 0.02)
        self.assertEqual(1, len(self.logged("warn")))
        self.assertIn("ends at", self.logged("warn")[0])
        for _ in range(3):
            self.clock.advance(DAY * 0.05)
        self.assertEqual(2, len(self.logged("warn")))
        self.clock.advance(DAY)
        self.clock.advance(DAY)
        self.assertIn("ended at", self.logged("error")[0])
        self.assertEqual((2, 1), (len(self.logged("warn")), len(self.logged("error"))))

    def test_renewed(self) -> None:
        """
        One of our own is renewed while it runs, with the same key.
        """
        identity = self.identity(Own(str(self.folder / "own"), Section(), self.wall))
        keyid, certificate = identity.keyid, identity.certificate
        self.clock.advance(LIFE.total_seconds() * 0.5)
        self.assertEqual(0, self.told)
        self.clock.advance(LIFE.total_seconds() * 0.2)
        self.assertEqual((1, keyid), (self.told, identity.keyid))
        self.assertNotEqual(certificate, identity.certificate)
        self.assertEqual([], self.logged("warn"))

    def test_notRenewed(self) -> None:
        """
        What cannot be renewed is told, and tried again later.
        """
        folder = self.folder / "own"
        identity = self.identity(Own(str(folder), Section(), self.wall))
        certificate = identity.certificate
        folder.chmod(0o777)
        self.clock.advance(LIFE.total_seconds() * 0.7)
        self.clock.pump([POLL] * 5)
        self.assertEqual(1, len(self.logged("error")))
        self.assertEqual(certificate, identity.certificate)
        folder.chmod(0o700)
        self.clock.advance(700)
        self.assertNotEqual(certificate, identity.certificate)

    def test_forgotten(self) -> None:
        """
        An identity that nobody has looks for nothing any more; nor does one that is stopped.
        """
        self.write()
        source = Files(Section(dir=str(self.folder)))
        identity = Identity(source, self.clock, now=self.wall)
        del identity
        gc.collect()
        self.clock.advance(POLL)
        self.assertEqual([], self.clock.getDelayedCalls())
        stopped = Identity(source, self.clock, now=self.wall)
        stopped.stop()
        stopped.stop()
        self.assertEqual([], self.clock.getDelayedCalls())


def _parts(identity: Identity) -> tuple[str, str, str]:
    principal = identity.principal
    return principal.name, principal.method, principal.tenant
