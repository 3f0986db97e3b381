# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.keys} and L{ugate.protocols.sshsignatures}.
"""

from __future__ import annotations

import time
from base64 import b64decode
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.protocols.credentials import ALL, Permits
from ugate.protocols.sshsignatures import isSigned
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.keys import KeyFile, SSHKey, checkKeys, readKeys
from ugate.test.credentialfakes import publicLine, sshString, write

ED = Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
CURVES = {
    "ecdsa-sha2-nistp256": (ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()),
    "ecdsa-sha2-nistp384": (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "ecdsa-sha2-nistp521": (ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()),
}
LINE = publicLine(ED)


def blobOf(key: Any) -> bytes:
    """
    A key as SSH sends it.
    """
    return b64decode(publicLine(key).split()[1])


def mpint(number: int) -> bytes:
    """
    A number as SSH sends it.
    """
    return sshString(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def signed(key: Any, algorithm: str, data: bytes, used: Any = None) -> bytes:
    """
    A signature as SSH sends it.
    """
    if isinstance(key, Ed25519PrivateKey):
        raw = key.sign(data)
    elif isinstance(key, rsa.RSAPrivateKey):
        raw = key.sign(data, padding.PKCS1v15(), used)
    else:
        raw = b"".join(map(mpint, decode_dss_signature(key.sign(data, ec.ECDSA(used)))))
    return sshString(algorithm.encode()) + sshString(raw)


SIGNATURES = [
    (ED, signed(ED, "ssh-ed25519", b"data")),
    (RSA, signed(RSA, "rsa-sha2-256", b"data", hashes.SHA256())),
    (RSA, signed(RSA, "rsa-sha2-512", b"data", hashes.SHA512())),
    *((key, signed(key, name, b"data", used)) for name, (key, used) in CURVES.items()),
]


class SignatureTests(SynchronousTestCase):
    """
    L{isSigned}.
    """

    def test_good(self) -> None:
        """
        All algorithms; not for other data, nor by another key.
        """
        for key, signature in SIGNATURES:
            self.assertTrue(isSigned(blobOf(key), b"data", signature))
            self.assertFalse(isSigned(blobOf(key), b"date", signature))
            for other, _ in SIGNATURES:
                if other is not key:
                    self.assertFalse(isSigned(blobOf(other), b"data", signature))

    def test_cut(self) -> None:
        """
        A signature that is cut, or has more behind it, is none.
        """
        for key, signature in SIGNATURES:
            for size in range(len(signature)):
                self.assertFalse(isSigned(blobOf(key), b"data", signature[:size]))
            self.assertFalse(isSigned(blobOf(key), b"data", signature + b"\0"))

    def test_short(self) -> None:
        """
        One of RSA may come without the zeros that it begins with, as PuTTY sends it.
        """

        def whole(data: bytes) -> bytes:
            return RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())

        tries = (b"%d" % number for number in range(1 << 16))
        data = next(data for data in tries if not whole(data)[0])
        short = sshString(b"rsa-sha2-256") + sshString(whole(data).lstrip(b"\0"))
        self.assertTrue(isSigned(blobOf(RSA), data, short))
        self.assertFalse(isSigned(blobOf(RSA), b"other", short))

    def test_old(self) -> None:
        """
        One with SHA-1 is none, nor is one of a key by the name of another algorithm.
        """
        old = signed(RSA, "ssh-rsa", b"data", hashes.SHA1())
        self.assertFalse(isSigned(blobOf(RSA), b"data", old))
        for name in ("rsa-sha2-512", "ssh-ed25519"):
            self.assertFalse(isSigned(blobOf(RSA), b"data", signed(RSA, name, b"data", hashes.SHA256())))

    @given(st.binary(max_size=80))
    def test_anything(self, signature: bytes) -> None:
        """
        Any bytes are a signature or none.
        """
        for key, good in SIGNATURES:
            self.assertFalse(isSigned(blobOf(key), b"data", signature))
            self.assertFalse(isSigned(blobOf(key), b"data", good[:20] + signature))


class LineTests(SynchronousTestCase):
    """
    The lines of the file.
    """

    def test_types(self) -> None:
        """
        All types of keys; the comment is the name, and may have blanks and colons.
        """
        for key, _ in SIGNATURES:
            line = f"{publicLine(key)}  bob@laptop: the old one "
            self.assertEqual(SSHKey.fromLine(line.encode()), SSHKey("bob@laptop: the old one", blobOf(key)))

    def test_options(self) -> None:
        """
        When it expires holds, the earliest; what forbids what is not there is taken.
        """
        for options, expires in (
            ("no-pty", None),
            ("no-pty,No-X11-forwarding,no-agent-forwarding,no-user-rc", None),
            ('expiry-time="19700102Z"', 86400.0),
            ('no-pty,expiry-time="197001020001Z"', 86460.0),
            ('expiry-time="19700102000102Z",expiry-time="19700103Z"', 86462.0),
            ('expiry-time="20260301"', time.mktime((2026, 3, 1, 0, 0, 0, 0, 0, -1))),
        ):
            key = SSHKey.fromLine(f"{options} {LINE} bob".encode())
            self.assertEqual(key, SSHKey("bob", blobOf(ED), expires), options)

    def test_permits(self) -> None:
        """
        Where a key may go, and what it may publish.
        """
        for options, opens, listens in (
            ("no-pty", None, None),
            ('permitopen="DB.example:5432"', (("db.example", 5432),), None),
            ('permitopen="[::1]:1",permitopen="*:*"', (("::1", 1), ("*", 0)), None),
            ('permitlisten="8080",permitlisten="name:*"', None, (("*", 8080), ("name", 0))),
            ("no-port-forwarding", (), ()),
            ('permitopen="db:1",restrict', (), ()),
            ('restrict,port-forwarding,permitopen="db:1"', (("db", 1),), None),
        ):
            permits = SSHKey.fromLine(f"{options} {LINE} bob".encode()).permits
            self.assertEqual(Permits(opens, listens), permits, options)
        permits = Permits((("db", 1), ("*", 2)), (("web", 0),))
        self.assertTrue(permits.mayOpen("DB", 1) and permits.mayOpen("x", 2) and permits.mayListen("web", 9))
        self.assertFalse(permits.mayOpen("db", 3) or permits.mayOpen("x", 1) or permits.mayListen("x", 9))
        self.assertFalse(Permits(()).mayOpen("db", 1))
        # Hosts and ports, even all of them, are no paths.
        some = Permits((("*", 0),), (("*", 0), ("/run/x", 0)))
        self.assertFalse(some.mayOpen("/run/x", 0) or some.mayListen("/run/x", 0))
        self.assertTrue(ALL.mayOpen("/run/x", 0) and ALL.mayListen("/run/x", 0))

    def test_mistakes(self) -> None:
        """
        What is wrong, or would have no effect, is told.
        """
        small = publicLine(ec.generate_private_key(ec.SECP256R1())).split()[1]
        for text, words in (
            (LINE, "its comment says whose it is"),
            (f"{LINE} # bob", "no '#' before it"),
            ("ssh-ed25519", "no name after the key"),
            ("ssh-ed25519 !!!! bob", "not base64"),
            ("ssh-ed25519 AAAA bob", "the key is broken"),
            (f"ssh-ed25519 {small} bob", "not of the type ssh-ed25519"),
            ("ssh-dss AAAA bob", "'ssh-dss' has no effect"),
            ("no-pty ssh-dss AAAA bob", "'ssh-dss' is no type of key"),
            ("no-pty", "'' is no type of key"),
            ("\u00a0", "neither a type of key nor an option"),
            (f'from="10.0.0.0/8" {LINE} bob', "the option 'from' has no effect here"),
            (f'command="a b",no-pty {LINE} bob', "the option 'command' has no effect here"),
            (f'restrict="x" {LINE} bob', "the option 'restrict' has no effect"),
            (f"permitopen {LINE} bob", "the option 'permitopen' has no effect"),
            (f'permitopen="80" {LINE} bob', "permitopen='80'; wanted HOST:PORT"),
            (f'permitopen="db:0" {LINE} bob', "wanted HOST:PORT"),
            (f'permitopen="db:65536" {LINE} bob', "wanted HOST:PORT"),
            (f'permitlisten="db:x" {LINE} bob', "permitlisten='db:x'; wanted HOST:PORT"),
            (f'cert-authority="x" {LINE} bob', "'cert-authority' has no effect"),
            (f'principals="bob" {LINE} bob', "principals= is for a CA"),
            (f'no-pty="x" {LINE} bob', "'no-pty' has no effect"),
            (f"expiry-time {LINE} bob", "'expiry-time' has no effect"),
            (f'expiry-time="soon" {LINE} bob', "wanted YYYYMMDD"),
            (f'expiry-time="20261301" {LINE} bob', "wanted YYYYMMDD"),
            (f'expiry-time="2026030112" {LINE} bob', "wanted YYYYMMDD"),
            (f"no-pty,, {LINE} bob", "neither a type of key nor an option at ', ssh"),
        ):
            error = self.assertRaises(StringError, SSHKey.fromLine, text.encode())
            self.assertIn(words, str(error), text)

    def test_weak(self) -> None:
        """
        A short RSA key is refused.
        """
        line = publicLine(rsa.generate_private_key(65537, 1024))
        error = self.assertRaises(StringError, SSHKey.fromLine, f"{line} bob".encode())
        self.assertIn("an RSA key of 1024 bits; wanted 2048", str(error))

    @given(st.binary(max_size=60) | st.text('no-pty,="\\ expiry-time', max_size=40).map(str.encode))
    def test_anything(self, text: bytes) -> None:
        """
        Any line is a key or a L{StringError}.
        """
        for line in (text, text + b" " + LINE.encode() + b" bob", LINE.encode() + text):
            try:
                SSHKey.fromLine(line.strip())
            except StringError:
                pass


class KeyFileTests(SynchronousTestCase):
    """
    L{KeyFile}.
    """

    def setUp(self) -> None:
        self.path = write(
            self.mktemp(), f'{LINE} bob\nexpiry-time="19700102Z" {publicLine(RSA)} eve\n', mode=0o644
        )
        self.now = 1000.0
        self.file = KeyFile(self.path, lambda: self.now)

    def test_names(self) -> None:
        """
        A key that has signed is that of somebody, until it expires; nothing but the key is looked at to
        ask whether it is known.
        """
        blob, signature = blobOf(ED), SIGNATURES[0][1]
        self.assertEqual(self.file.nameFor(blob, b"data", signature), "bob")
        self.assertIsNone(self.file.nameFor(blob, b"date", signature))
        self.assertEqual(self.file.nameFor(blob, b"", None), "bob")
        self.assertIsNone(self.file.nameFor(b"", b"", None))
        self.assertEqual(self.file.nameFor(blobOf(RSA), b"data", SIGNATURES[1][1]), "eve")
        self.now = 86400.0
        self.assertIsNone(self.file.nameFor(blobOf(RSA), b"data", SIGNATURES[1][1]))
        self.assertIsNone(self.file.nameFor(blobOf(RSA), b"", None))
        self.assertEqual("the key of eve has ended: see its expiry-time", self.file.why(blobOf(RSA)))
        self.assertEqual(["", ""], [self.file.why(each) for each in (blob, b"")])

    def test_authority(self) -> None:
        """
        A CA lets nobody in by itself, and is one until it expires.
        """
        blob = blobOf(ED)
        write(self.path, f'cert-authority,expiry-time="19700102Z",principals="bob, eve" {LINE} the CA\n')
        self.assertIsNone(self.file.find(blob, b"", None))
        self.assertEqual("the key of the CA certifies others, and lets nobody in", self.file.why(blob))
        authority = self.file.authority(blob)
        assert authority is not None
        self.assertEqual(("the CA", ("bob", "eve")), (authority.name, authority.principals))
        self.now = 86400.0
        self.assertIsNone(self.file.authority(blob))
        write(self.path, f"{LINE} bob\n")
        self.assertIsNone(self.file.authority(blob))

    def test_changed(self) -> None:
        """
        A changed file holds at once.
        """
        write(self.path, f"{LINE} alice\n")
        self.assertEqual(self.file.nameFor(blobOf(ED), b"", None), "alice")

    def test_twice(self) -> None:
        """
        Somebody may have several keys, but a key is of one.
        """
        write(self.path, f"{LINE} bob\n{publicLine(RSA)} bob\n")
        self.assertEqual([key.name for key in readKeys(self.path).values()], ["bob", "bob"])
        write(self.path, f"{LINE} bob\n{LINE} eve\n")
        self.assertRaises(ConfigError, readKeys, self.path)
        error = self.assertRaises(StringError, checkKeys, self.path)
        self.assertIn(":2:1: the same key as on line 1", str(error))
