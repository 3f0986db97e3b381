# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.record}.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import UgateError
from ugate.tenancy.ca import record
from ugate.tenancy.ca.errors import NoSuch, TooMany
from ugate.tenancy.ca.record import MAX_PER_KEY, Enrolment, Issued, Record
from ugate.test.identityfakes import DAY, NOW

ONE = Issued("1A", "tls", "KEY", "KEY", ("a", "b"), "password:carol", NOW, NOW + DAY, DAY)


class RecordTests(SynchronousTestCase):
    """
    What is written, and what is forgotten.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.record = self.opened()

    def opened(self) -> Record:
        """
        It, as another process has it.
        """
        made = Record(str(self.path))
        self.addCleanup(made.close)
        return made

    def test_kept(self) -> None:
        """
        What one process writes the others see at once; nobody else may read it.
        """
        other = self.opened()
        self.record.add(ONE, NOW)
        self.assertEqual([ONE], list(other.all()))
        self.assertEqual(ONE, other.find("1A"))
        self.assertIsNone(other.find("1B"))
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_most(self) -> None:
        """
        Of many, those that end last can be had alone.
        """
        for serial, life in (("1", 2), ("2", 3), ("3", 1)):
            self.record.add(replace(ONE, serial=serial, ends=NOW + life), NOW)
        self.assertEqual(["2", "1"], [each.serial for each in self.record.all(2)])

    def test_broken(self) -> None:
        """
        What is no database is told.
        """
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"what is this" * 100)
        self.assertIn("wanted the record of a CA", str(self.assertRaises(UgateError, self.opened)))
        self.path = Path(self.mktemp()) / "there" / "not"
        self.assertRaises(UgateError, self.opened)

    def test_together(self) -> None:
        """
        A change is whole or not at all, and the next one works.
        """
        with self.assertRaises(LookupError), self.record.change():
            self.record.add(ONE, NOW)
            raise LookupError
        self.assertEqual([], list(self.record.all()))
        self.record.add(ONE, NOW)
        # The same number again.
        self.assertRaises(UgateError, self.record.add, ONE, NOW)
        self.record.add(replace(ONE, serial="1B"), NOW)
        self.assertEqual(2, len(list(self.record.all())))

    def test_forgotten(self) -> None:
        """
        What has ended is forgotten after an hour, with the next that is written; so are tokens.
        """
        self.record.add(ONE, NOW)
        self.record.addToken(Enrolment(b"x", "a", 1, NOW + 1), NOW)
        later = replace(ONE, serial="2", ends=NOW + 9 * DAY)
        self.record.add(replace(later, serial="3"), NOW + DAY + 3599)
        self.assertEqual({"1A", "3"}, {each.serial for each in self.record.all()})
        self.record.add(later, NOW + DAY + 3601)
        self.assertEqual({"2", "3"}, {each.serial for each in self.record.all()})
        self.assertIsNone(self.record.token(b"x"))

    def test_caps(self) -> None:
        """
        Of one key and kind, of all, and of tokens there may be so many.
        """
        for number in range(MAX_PER_KEY):
            self.record.add(replace(ONE, serial=str(number)), NOW)
        more = replace(ONE, serial="more")
        self.assertRaises(TooMany, self.record.add, more, NOW)
        self.record.add(replace(more, kind="ssh-host"), NOW)
        self.patch(record, "MAX_ISSUED", MAX_PER_KEY + 2)
        self.record.add(replace(ONE, serial="other", keyid="OTHER"), NOW)
        self.assertRaises(TooMany, self.record.add, replace(ONE, serial="x", keyid="X"), NOW)
        self.patch(record, "MAX_TOKENS", 1)
        self.record.addToken(Enrolment(b"x", "a", 1, NOW + 1), NOW)
        self.assertRaises(TooMany, self.record.addToken, Enrolment(b"y", "a", 1, NOW + 1), NOW)

    def test_revoked(self) -> None:
        """
        By number one certificate; by a key or a title all, and what comes later.
        """
        self.record.add(ONE, NOW)
        self.record.add(replace(ONE, serial="2"), NOW)
        self.record.add(replace(ONE, serial="3", keyid="X", title="of x"), NOW)
        self.assertEqual(["1A"], [each.serial for each in self.record.revoke("1A", "lost", NOW, NOW + 9)])
        self.assertEqual([], self.record.barred(NOW))
        self.assertEqual((NOW, "lost"), (self.record.find("1A").revoked, self.record.find("1A").reason))  # type: ignore[union-attr]
        self.assertEqual(["2"], [each.serial for each in self.record.revoke("KEY", "", NOW, NOW + 9)])
        self.assertEqual(["3"], [each.serial for each in self.record.revoke("of x", "", NOW, NOW + 9)])
        self.assertEqual(3, self.record.changes())
        self.assertEqual(["KEY", "of x"], self.record.barred(NOW))
        self.assertTrue(self.record.isBarred(["a", "KEY"], NOW))
        self.assertFalse(self.record.isBarred(["a", "KEY"], NOW + 9))
        self.assertEqual({"1A", "2", "3"}, {each.serial for each in self.record.revoked(NOW)})
        self.assertEqual([], list(self.record.revoked(NOW + 2 * DAY)))
        self.assertRaises(NoSuch, self.record.revoke, "nothing", "", NOW, NOW)

    def test_tokens(self) -> None:
        """
        A token is used up, unless it is for always; all of somebody can be withdrawn.
        """
        for digest, uses in ((b"x", 2), (b"y", None)):
            self.record.addToken(Enrolment(digest, "a", uses, NOW + 1), NOW)
            self.record.useToken(digest)
        self.assertEqual((1, None), (self.record.token(b"x").uses, self.record.token(b"y").uses))  # type: ignore[union-attr]
        self.assertEqual((2, 0), (self.record.dropTokens("a"), self.record.dropTokens("a")))
        self.assertIsNone(self.record.token(b"y"))
