# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.credentialfiles}.
"""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.config.mistakes import ConfigError, Mistake
from ugate.tenancy.config.tree import Place, Source
from ugate.tenancy.credentialfiles import (
    Reread,
    checked,
    checkName,
    digestFromHex,
    readLines,
    timeFromText,
    timeToText,
)
from ugate.test.credentialfakes import write


class PartsTests(SynchronousTestCase):
    """
    The parts of a line.
    """

    def test_times(self) -> None:
        """
        Days and seconds, in UTC; nothing else.
        """
        self.assertEqual(timeFromText("1970-01-02"), 86400.0)
        self.assertEqual(timeFromText("2026-03-01T12:00:01Z"), 1772366401.0)
        for text in ("", "2026-3-1", "2026-02-30", "2026-03-01T12:00:00", "2026-03-01 12:00:00Z", "x", "1"):
            self.assertIn("wanted YYYY-MM-DD", str(self.assertRaises(StringError, timeFromText, text)))

    @given(st.integers(0, 4 * 10**9))
    def test_timesRoundTrip(self, seconds: int) -> None:
        """
        What is written is read again.
        """
        self.assertEqual(timeFromText(timeToText(seconds)), seconds)

    @given(st.text(max_size=30))
    def test_anyTime(self, text: str) -> None:
        """
        Any text is a time or a L{StringError}.
        """
        try:
            timeFromText(text)
        except StringError:
            return
        self.assertEqual(text[4], "-")

    @given(st.binary(min_size=32, max_size=32), st.text(max_size=96))
    def test_digests(self, digest: bytes, text: str) -> None:
        """
        With and without colons, in small and in large letters; else an error that does not repeat it.
        """
        for written in (digest.hex(), digest.hex().upper(), digest.hex(":"), digest.hex(":").upper()):
            self.assertEqual(digestFromHex(written), digest)
        try:
            digestFromHex(text)
        except StringError as error:
            self.assertEqual(
                str(error),
                f"{len(text)} characters where 64 hexadecimal digits were wanted, after sha256:",
            )

    def test_colons(self) -> None:
        """
        A name may have a colon only where nothing stands behind it.
        """
        self.assertRaises(StringError, checkName, b"a:b")
        self.assertEqual(checkName(b"a:b", colons=True), "a:b")


def numbers(path: str) -> list[int]:
    """
    Read a file of numbers.
    """
    found: list[int] = []

    def take(line: bytes, number: int) -> None:
        if not line.isdigit():
            raise StringError(f"line {number} is no number")
        found.append(int(line))

    readLines(path, "file of numbers", take)
    return found


class FileTests(SynchronousTestCase):
    """
    L{readLines}, L{checked} and L{Reread}.
    """

    def setUp(self) -> None:
        self.path = write(self.mktemp(), "# all\n1\n\n 2\r\n")

    def test_lines(self) -> None:
        """
        All lines but comments and empty ones; each mistake with its place.
        """
        self.assertEqual(numbers(self.path), [1, 2])
        write(self.path, "x\n2\ny\n")
        error = self.assertRaises(ConfigError, numbers, self.path)
        self.assertEqual(
            [str(mistake) for mistake in error.mistakes],
            [f"{self.path}:1:1: line 1 is no number", f"{self.path}:3:1: line 3 is no number"],
        )

    def test_modes(self) -> None:
        """
        Nobody else may write it; to read it may be allowed.
        """
        os.chmod(self.path, 0o644)
        self.assertEqual(numbers(self.path), [1, 2])
        os.chmod(self.path, 0o646)
        self.assertIn("run: chmod o-w ", str(self.assertRaises(ConfigError, numbers, self.path)))

    def test_check(self) -> None:
        """
        The same as a check for the config.
        """
        checked(numbers)(self.path)
        error = self.assertRaises(StringError, checked(numbers), "/nowhere")
        self.assertIn("wanted a file of numbers that can be read", str(error))

    def test_reread(self) -> None:
        """
        A changed file is read again, once; one with mistakes is told, once, and what was there stays.
        """
        reads: list[str] = []

        def read(path: str) -> list[int]:
            reads.append(path)
            return numbers(path)

        file = Reread(self.path, read, "numbers")
        self.assertFalse(file.refresh())
        write(self.path, "3\n")
        self.assertTrue(file.refresh())
        self.assertEqual((file.value, len(reads)), ([3], 2))
        with capturedLogs() as events:
            write(self.path, "x\n")
            for _ in range(3):
                self.assertFalse(file.refresh())
            os.unlink(self.path)
            for _ in range(3):
                self.assertFalse(file.refresh())
        self.assertEqual((file.value, len(reads)), ([3], 4))
        said = [formatEvent(event) for event in events]
        self.assertEqual(len(said), 2)
        self.assertTrue(said[0].startswith("The numbers from before stay, because of mistakes:"))
        self.assertIn("line 1 is no number", said[0])
        write(self.path, "4\n")
        self.assertTrue(file.refresh())
        self.assertEqual(file.value, [4])

    def test_swapped(self) -> None:
        """
        A file behind links that are swapped, as those of mounted ConfigMaps are.
        """
        folder = self.mktemp()
        for name, text in (("one", "1\n"), ("two", "2\n")):
            os.makedirs(f"{folder}/{name}")
            write(f"{folder}/{name}/numbers", text)
        os.symlink("one", f"{folder}/data")
        file = Reread(f"{folder}/data/numbers", numbers, "numbers")
        os.symlink("two", f"{folder}/new")
        os.rename(f"{folder}/new", f"{folder}/data")
        self.assertTrue(file.refresh())
        self.assertEqual(file.value, [2])

    def test_atStart(self) -> None:
        """
        A file that is wrong at first is an error.
        """
        self.assertRaises(ConfigError, Reread, "/nowhere", numbers, "numbers")

    def test_mistake(self) -> None:
        """
        A place without a number is just the file.
        """
        place = Place(Source("f", numbered=False))
        self.assertEqual(str(Mistake(place, "x")), "f: x")
