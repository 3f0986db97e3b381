# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.argon2hashes}, and for both kinds in one file.
"""

from __future__ import annotations

import sys
from unittest import SkipTest

from hypothesis import given
from hypothesis import strategies as st

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.argon2hashes import Argon2Hash
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.passwordhashes import PasswordHash, hashFromText, readPasswords
from ugate.tenancy.passwords import PasswordFile
from ugate.test.credentialfakes import Counted, write

SALT, KEY = "c2FsdHNhbHQ", "a2V5a2V5a2V5a2V5a2V5a2"
TEXT = f"$argon2id$v=19$m=1024,t=1,p=1${SALT}${KEY}"


class Argon2Tests(SynchronousTestCase):
    """
    L{Argon2Hash}.
    """

    def setUp(self) -> None:
        try:
            import argon2  # noqa: F401
        except ImportError:
            raise SkipTest("argon2-cffi is not installed") from None

    def test_password(self) -> None:
        """
        A password and no other one, also after a way through text; no text shows the hash by accident.
        """
        known = Argon2Hash.ofPassword(b"secret", 1024, 1, 1)
        again = hashFromText(str(known))
        self.assertEqual(known, again)
        self.assertTrue(again.matches(b"secret"))
        self.assertFalse(again.matches(b"secret2"))
        self.assertFalse(known.decoy().matches(b"secret"))
        self.assertEqual(known.decoy().cost, known.cost)
        self.assertNotIn(repr(known.key), repr(known))

    def test_asOthers(self) -> None:
        """
        It reads what argon2-cffi writes, and the other way round.
        """
        from argon2 import PasswordHasher

        hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=2)
        self.assertTrue(Argon2Hash.fromText(hasher.hash(b"secret")).matches(b"secret"))
        self.assertTrue(hasher.verify(str(Argon2Hash.ofPassword(b"secret", 1024, 1, 2)), b"secret"))

    def test_mistakes(self) -> None:
        """
        What is no hash, or would cost too much or too little, without its secret parts.
        """
        for old, new, words in (
            ("id$", "i$", "not a hash"),
            ("19", "16", "not a hash"),
            ("m=1024", "m=1023", "too cheap"),
            ("m=1024", "m=262145", "too costly"),
            ("m=1024,t=1", "m=262144,t=5", "too costly"),
            ("t=1", "t=0", "too cheap"),
            ("p=1", "p=17", "too costly"),
            ("p=1", "p=0", "too cheap"),
            (SALT, "c2FsdA", "a salt of 4"),
            (KEY, "a2V5a", "base64"),
            (KEY, "a2V5", "a hash of 3 bytes"),
        ):
            error = self.assertRaises(StringError, Argon2Hash.fromText, TEXT.replace(old, new, 1))
            self.assertIn(words, str(error), new)
            self.assertNotIn(KEY, str(error))

    @given(st.text(st.sampled_from("$argon2idv=19mtp,048AQ+/\u00e9")) | st.text())
    def test_anyText(self, text: str) -> None:
        """
        Any text is a hash or a L{StringError}.
        """
        for each in (text, TEXT + text, TEXT[:14] + text):
            try:
                known = hashFromText(each)
            except StringError:
                continue
            self.assertEqual(known, hashFromText(str(known)))

    def test_both(self) -> None:
        """
        One file may have both kinds; who is unknown costs what most of them do.
        """
        old = PasswordHash.ofPassword(b"old", 10)
        new = Argon2Hash.ofPassword(b"new", 1024, 1, 1)
        path = write(self.mktemp(), f"a:{old}\nb:{new}\nc:{new}\n")
        counted = Counted()
        file = PasswordFile(path, Clock(), counted)
        for name, password, good in (
            (b"a", b"old", True),
            (b"b", b"new", True),
            (b"b", b"old", False),
            (b"d", b"new", False),
        ):
            answer = file.requestAvatarId(UsernamePassword(name, password))
            if good:
                self.assertEqual(self.successResultOf(answer), name)
            else:
                self.failureResultOf(answer, UnauthorizedLogin)
        self.assertEqual(counted.count, 4)
        self.assertEqual(file._decoy.cost, new.cost)

    def test_missing(self) -> None:
        """
        Where argon2-cffi is not installed one sentence says what to do; scrypt goes on.
        """
        self.addCleanup(sys.modules.update, {"argon2": sys.modules["argon2"]})
        sys.modules["argon2"] = None  # type: ignore[assignment]
        known = PasswordHash.ofPassword(b"old", 10)
        path = write(self.mktemp(), f"a:{known}\nb:{TEXT}\n")
        error = self.assertRaises(ConfigError, readPasswords, path)
        self.assertEqual(
            [str(each) for each in error.mistakes],
            [
                f"{path}:2:1: argon2id hashes need argon2-cffi, which is not installed: "
                "pip install 'ugate[argon2]'"
            ],
        )
        write(path, f"a:{known}\n")
        self.assertEqual(readPasswords(path), {b"a": known})
