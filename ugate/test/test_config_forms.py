# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.check} and L{ugate.tenancy.config.sizes}: what may be written in several
ways, and secrets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, inspect

from ugate.errors import UgateError
from ugate.tenancy.config.check import BAD, Reading
from ugate.tenancy.config.schema import MAX_SECRET, Secret
from ugate.tenancy.config.sizes import sizeOf
from ugate.tenancy.config.tree import Place, Scalar, Series, Source, Table
from ugate.test.test_config_check import HERE, ReadingCase, scalar, table

Word = Annotated[str, Meta(min_length=1)]


class Sized(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What may be written in several ways.
    """

    size: Annotated[int, Meta(ge=1, le=10**18, extra={"size": True, "unit": "bytes"})] = 1
    words: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1, extra={"one": True})
    ] = ()
    token: Secret | None = None


class FormsTests(ReadingCase):
    """
    Sizes, lists of one, and secrets.
    """

    def test_sizes(self) -> None:
        """
        Numbers with what they are multiplied by.
        """
        for text, value in (
            ("1", 1),
            ("10M", 10_000_000),
            ("10 MB", 10_000_000),
            ("1k", 1000),
            ("1K", 1000),
            ("1.5Gi", 3 << 29),
            ("2TiB", 2 << 40),
            ("0.5P", 5 * 10**14),
        ):
            for quoted in (False, True):
                read, messages = self.read(table(size=scalar(text, quoted or not text.isdigit())), Sized)
                if not (quoted and text.isdigit()):
                    self.assertEqual(([], value), (messages, read.size), text)
        for text in ("", "M", "1i", "-1M", "0.0001K", "1e3", "1X", "10 m", "9999P", "0"):
            value, messages = self.read(table(size=text), Sized)
            self.assertIs(BAD, value, text)
            self.assertIn("wanted a whole number of bytes from 1 to", messages[0])

    @given(st.integers(0, 10**6), st.sampled_from(["", "K", "M", "G", "Ki", "Mi", "Gi"]))
    def test_everySize(self, number: int, suffix: str) -> None:
        """
        Each number is what it says.
        """
        power = "KMG".index(suffix[0]) + 1 if suffix else 0
        self.assertEqual(number * (1024 if "i" in suffix else 1000) ** power, sizeOf(f"{number}{suffix}"))

    @given(st.text(st.sampled_from("0123456789.KkMGTPiB -x"), max_size=8))
    def test_anySize(self, text: str) -> None:
        """
        Any text is a number, or none.
        """
        size = sizeOf(text)
        self.assertTrue(size is None or size >= 0)

    def test_one(self) -> None:
        """
        A list of one may be that one; an empty list is none, where one has to be there.
        """
        for written, words in (
            (scalar("a"), ("a",)),
            (scalar("5"), ("5",)),
            (Series(HERE, (scalar("a"), scalar("b"))), ("a", "b")),
        ):
            self.assertEqual((Sized(words=words), []), self.read(table(words=written), Sized))
        self.assertWrong("it.words is an empty list; wanted text", table(words=Series(HERE)), Sized)
        self.assertWrong("it.words is empty; wanted text, or a list of such", table(words=""), Sized)
        self.assertWrong("it.words is the text ''; wanted text", table(words=scalar("", True)), Sized)
        self.assertWrong("it.words is a mapping; wanted text, or a list of such", table(words=table()), Sized)

    def test_secrets(self) -> None:
        """
        A secret is a reference; whatever else is there may be the secret itself, and is not shown.
        """
        self.assertEqual(
            (Sized(token=Secret(file="/x")), []), self.read(table(token=table(file="/x")), Sized)
        )
        self.assertEqual((Sized(), []), self.read(table(token="null"), Sized))
        where = "where a secret is, as in {file: PATH} or {env: NAME}"
        shown = Place(Source("u.yaml", ["token: hunter2"]), 1, 8, 7)
        for written, message in (
            (Scalar(shown, "hunter2"), f"it.token is not {where}"),
            (Series(shown, (Scalar(shown, "hunter2"),)), f"it.token is not {where}"),
            (Table(shown), "it.token: it is not one of both; wanted {file: PATH} or {env: NAME}"),
            (
                Table(shown, ((scalar("fiel"), Scalar(shown, "hunter2")),)),
                "unknown key 'fiel' in it.token; wanted file or env; did you mean 'file'?",
            ),
            (
                Table(shown, ((scalar("file"), Scalar(shown, "")),)),
                "it.token: it is not one of both; wanted {file: PATH} or {env: NAME}",
            ),
        ):
            reading = Reading({})
            self.assertIs(BAD, reading.read(table(token=written), inspect.type_info(Sized), "it"))
            (mistake,) = reading.mistakes
            self.assertEqual(message, mistake.message)
            self.assertEqual("", mistake.place.excerpt())

    def test_readSecrets(self) -> None:
        """
        It is read when it is used, and the error says where it should be.
        """
        path = self.mktemp()
        for data, said in ((None, "No such file"), (b"", "empty"), (b"x" * (MAX_SECRET + 1), "over 1 MiB")):
            if data is not None:
                Path(path).write_bytes(data)
            error = self.assertRaises(UgateError, Secret(file=path).read)
            self.assertIn(said, str(error))
        Path(path).write_bytes(b" a b\r\n")
        self.assertEqual(b" a b", Secret(file=path).read())
        self.patch(os, "environ", {"TOKEN": "caf\xe9"})
        self.assertEqual("caf\xe9".encode(), Secret(env="TOKEN").read())
        self.assertIn(
            "'NONE', which has a secret", str(self.assertRaises(UgateError, Secret(env="NONE").read))
        )
        self.assertRaises(UgateError, Secret(file="a\0b").read)
        self.assertRaises(ValueError, Secret, "a", "b")
