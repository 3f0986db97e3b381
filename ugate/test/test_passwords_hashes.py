# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.passwordhashes}.
"""

from __future__ import annotations

import os
from hashlib import scrypt
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.passwordhashes import PasswordHash, checkName, checkUsers, readPasswords

SALT = "c2FsdHNhbHQ"
KEY = "/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWI"
"""32 bytes that are the hash of nothing."""

CHEAP = 10
"""A cost for tests, where time counts more than secrecy."""


class PasswordHashTests(SynchronousTestCase):
    """
    One hash.
    """

    def test_knownAnswer(self) -> None:
        """
        What scrypt makes of a password is what RFC 7914, section 12, says.
        """
        key = bytes.fromhex(
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
        )
        known = PasswordHash(b"SodiumChloride", key, 14, 8, 1)
        self.assertTrue(known.matches(b"pleaseletmein"))
        self.assertFalse(known.matches(b"pleaseletmeout"))
        self.assertFalse(known.matches(b""))

    def test_roundTrip(self) -> None:
        """
        A hash is read back from its text, and two of one password differ.
        """
        one, other = (PasswordHash.ofPassword(b"secret", CHEAP, 4, 2) for _ in "ab")
        self.assertNotEqual(one, other)
        again = PasswordHash.fromText(str(one))
        self.assertEqual(one, again)
        self.assertEqual(str(one), str(again))
        self.assertTrue(again.matches(b"secret"))
        self.assertRegex(str(one), r"^\$scrypt\$ln=10,r=4,p=2\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$")

    def test_default(self) -> None:
        """
        The default cost is what the documentation says.
        """
        known = PasswordHash.ofPassword(b"secret")
        self.assertEqual((15, 8, 1), (known.ln, known.r, known.p))
        self.assertTrue(known.matches(b"secret"))
        expected = scrypt(b"secret", salt=known.salt, n=1 << 15, r=8, p=1, maxmem=1 << 27, dklen=32)
        self.assertEqual(expected, known.key)

    def test_repr(self) -> None:
        """
        What is shown of it in a traceback is no secret.
        """
        self.assertEqual("PasswordHash(ln=14, r=8, p=1)", repr(PasswordHash(b"s" * 8, b"k" * 16, 14)))

    def test_bad(self) -> None:
        """
        What is no hash, or one that a login cannot pay for, is an error without any of its text.
        """
        short, long = "c2FsdA", "A" * 100
        bad = {
            "": "not a hash",
            "plaintext": "not a hash",
            f"$argon2id$v=19$m=1,t=1,p=1${SALT}${KEY}": "not a hash",
            f"$scrypt$ln=15,r=8,p=1${SALT}": "not a hash",
            f"$scrypt$ln=15,r=8,p=1${SALT}${KEY}=": "not a hash",
            f"$scrypt$ln=999,r=8,p=1${SALT}${KEY}": "not a hash",
            f"$scrypt$ln=15,r=8,p=1$c2Fsd${KEY}": "not base64",
            f"$scrypt$ln=15,r=8,p=1${short}${KEY}": "a salt of 4 and a hash of 32 bytes",
            f"$scrypt$ln=15,r=8,p=1${long}${KEY}": "a salt of 75",
            f"$scrypt$ln=15,r=8,p=1${SALT}${SALT}": "a hash of 8",
            f"$scrypt$ln=9,r=8,p=1${SALT}${KEY}": "too cheap or too costly",
            f"$scrypt$ln=19,r=8,p=1${SALT}${KEY}": "too cheap or too costly",
            f"$scrypt$ln=15,r=0,p=1${SALT}${KEY}": "too cheap or too costly",
            f"$scrypt$ln=15,r=8,p=0${SALT}${KEY}": "too cheap or too costly",
            f"$scrypt$ln=15,r=8,p=99${SALT}${KEY}": "too cheap or too costly",
        }
        for text, message in bad.items():
            error = self.assertRaises(StringError, PasswordHash.fromText, text)
            self.assertIn(message, str(error), text)
            self.assertNotIn(KEY, str(error))

    def test_costliest(self) -> None:
        """
        The largest memory that is taken can be had.
        """
        self.assertFalse(PasswordHash.fromText(f"$scrypt$ln=18,r=8,p=1${SALT}${KEY}").matches(b"x"))

    @given(st.text(st.sampled_from("$scryptlnr=,p0158AQ+/é")) | st.text())
    def test_anyText(self, text: str) -> None:
        """
        Any text is a hash or a L{StringError}.
        """
        try:
            known = PasswordHash.fromText(text)
        except StringError:
            return
        self.assertEqual(known, PasswordHash.fromText(str(known)))


class ReadPasswordsTests(SynchronousTestCase):
    """
    A password file.
    """

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.known = PasswordHash.ofPassword(b"secret", CHEAP)

    def write(self, data: str | bytes, mode: int = 0o600) -> None:
        """
        Write the file.
        """
        Path(self.path).write_bytes(data.encode() if isinstance(data, str) else data)
        os.chmod(self.path, mode)

    def mistakes(self) -> list[str]:
        """
        What is wrong with the file, without its path.
        """
        error = self.assertRaises(ConfigError, readPasswords, self.path)
        self.assertNotIn(str(self.known), str(error))
        self.assertNotIn("$", str(error).replace("$scrypt$ln=15,r=8,p=1$SALT$HASH", ""))
        return [str(mistake).removeprefix(self.path) for mistake in error.mistakes]

    def test_good(self) -> None:
        """
        Names, comments, blank lines, and line ends of another system.
        """
        self.write(f"# users\n\nalice:{self.known}\r\n  # more\nbjörn b:{self.known}")
        self.assertEqual({b"alice": self.known, "björn b".encode(): self.known}, readPasswords(self.path))
        checkUsers(self.path)

    def test_empty(self) -> None:
        """
        A file without users is a file.
        """
        self.write("")
        self.assertEqual({}, readPasswords(self.path))

    def test_everyMistake(self) -> None:
        """
        All mistakes are told with their lines, and no part of a hash with them.
        """
        self.write(
            f"alice\nalice:{self.known}\nbob:secret\nalice:{self.known}\n:{self.known}\n"
            f"{'x' * 256}:{self.known}\na\x07:{self.known}\n".encode()
            + b"\xe9:"
            + str(self.known).encode()
        )
        begins = [
            ":1:1: no ':' after a name",
            ":3:1: not a hash",
            ":4:1: 'alice' is on line 2 too",
            ":5:1: a name of 0 bytes",
            ":6:1: a name of 256 bytes",
            ":7:1: 'a\\x07' is no name",
            ":8:1: a name that is not UTF-8",
        ]
        mistakes = self.mistakes()
        self.assertEqual(len(begins), len(mistakes), mistakes)
        for begin, mistake in zip(begins, mistakes, strict=True):
            self.assertTrue(mistake.startswith(begin), mistake)

    def test_open(self) -> None:
        """
        A file that other users of the machine may read or write is refused, with the command that helps.
        """
        for mode in (0o644, 0o604, 0o602):
            self.write(f"alice:{self.known}\n", mode)
            expected = f": everyone may read or write it; run: chmod o-rwx {self.path}"
            self.assertEqual([expected], self.mistakes())
        self.write(f"alice:{self.known}\n", 0o640)
        self.assertEqual([b"alice"], list(readPasswords(self.path)))

    def test_missing(self) -> None:
        """
        A file that is not there; the same as a check for the config.
        """
        message = ": No such file or directory; wanted a password file that can be read"
        self.assertEqual([message], self.mistakes())
        error = self.assertRaises(StringError, checkUsers, self.path)
        self.assertEqual(self.path + message, str(error))

    def test_endless(self) -> None:
        """
        What has no end is not read to its end.
        """
        self.path = "/dev/zero"
        self.assertEqual([": the file is over 10 MiB; wanted a password file"], self.mistakes())

    @given(st.binary())
    def test_anyName(self, name: bytes) -> None:
        """
        Any name is fine or a L{StringError}; one that is fine is read back.
        """
        try:
            checkName(name)
        except StringError:
            return
        self.write(b"%s:%s\n" % (name, str(self.known).encode()))
        self.assertEqual({name: self.known}, readPasswords(self.path))
