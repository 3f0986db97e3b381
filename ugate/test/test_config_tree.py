# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.tree} and L{ugate.tenancy.config.mistakes}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import meant, suggestion
from ugate.tenancy.config.mistakes import ConfigError, Mistake, oneOf
from ugate.tenancy.config.tree import (
    Place,
    Scalar,
    Series,
    Source,
    Table,
    Unread,
    Written,
    found,
    isEmpty,
    plainValue,
    writtenValue,
)

HERE = Place(Source("u.yaml", ["listen: x"]))


class PlaceTests(SynchronousTestCase):
    """
    Where something is written, for a person.
    """

    def test_text(self) -> None:
        """
        A place in a file has a line and a column, one on the command line has none.
        """
        self.assertEqual("u.yaml:3:7", str(Place(Source("u.yaml"), 3, 7)))
        self.assertEqual("--listen 'x'", str(Place(Source("--listen 'x'", ["x"], numbered=False), 1, 1)))

    def test_excerpt(self) -> None:
        """
        The carets stand under the text, as wide as it is.
        """
        source = Source("u.yaml", ["a: 1", "port: häh"])
        self.assertEqual("  port: häh\n        ^^^", Place(source, 2, 7, 3).excerpt())
        # The end of the line, where something is missing.
        self.assertEqual("  a: 1\n      ^", Place(source, 1, 5).excerpt())

    def test_noSuchLine(self) -> None:
        """
        A source without text has no excerpt.
        """
        self.assertEqual("", Place(Source("u.yaml")).excerpt())
        self.assertEqual("", Place(Source("u.yaml", ["a"]), 2).excerpt())

    def test_tabs(self) -> None:
        """
        A tab before the place is a tab before the carets too.
        """
        self.assertEqual("  \ta\n  \t^", Place(Source("u.yaml", ["\ta"]), 1, 2).excerpt())

    def test_longLine(self) -> None:
        """
        Of a long line only what is around the place is shown.
        """
        line = "x" * 5000 + "here" + "y" * 5000
        text, carets = Place(Source("u.json", [line]), 1, 5001, 4).excerpt().split("\n")
        self.assertLess(len(text), 110)
        self.assertEqual(text.index("here"), carets.index("^"))
        self.assertEqual(4, carets.count("^"))

    def test_longValue(self) -> None:
        """
        The carets end where the shown part of the line ends.
        """
        text, carets = Place(Source("u", ["x" * 5000]), 1, 1, 5000).excerpt().split("\n")
        self.assertEqual(len(text), len(carets))

    def test_unprintable(self) -> None:
        """
        What could command a terminal is not shown.
        """
        self.assertNotIn("\x1b", Place(Source("u", ["\x1b[31mred"])).excerpt())

    @given(st.text(), st.integers(1, 300), st.integers(1, 300))
    def test_anyPlace(self, line: str, column: int, width: int) -> None:
        """
        Any place has an excerpt of two lines with a caret in the second.
        """
        parts = Place(Source("u", [line]), 1, column, width).excerpt().split("\n")
        self.assertEqual(2, len(parts))
        self.assertIn("^", parts[1])


class PlainValueTests(SynchronousTestCase):
    """
    What a text is without a schema.
    """

    def test_scalars(self) -> None:
        """
        Numbers are decimal, and only what can be nothing else is one.
        """
        cases: dict[str, object] = {
            "0": 0,
            "-12": -12,
            "+7": 7,
            "1.5": 1.5,
            ".5": 0.5,
            "2.": 2.0,
            "1e3": 1000.0,
            "1e-07": 1e-07,
            "true": True,
            "On": True,
            "yes": True,
            "FALSE": False,
            "off": False,
            "no": False,
            "": None,
            "~": None,
            "Null": None,
            "0777": "0777",
            "0x10": "0x10",
            "22:22": "22:22",
            "1_000": "1_000",
            "2001-01-01": "2001-01-01",
            ".": ".",
            "e5": "e5",
            ".e5": ".e5",
            "-": "-",
            "y": "y",
            ".inf": ".inf",
            "9" * 30: "9" * 30,
            "auto:tcp:1080": "auto:tcp:1080",
        }
        for text, value in cases.items():
            got = plainValue(Scalar(HERE, text))
            self.assertEqual((value, type(value)), (got, type(got)), text)
            self.assertEqual(text, plainValue(Scalar(HERE, text, True)))

    def test_whole(self) -> None:
        """
        Tables, series and what could not be read.
        """
        table = Table(
            HERE, ((Scalar(HERE, "a"), Series(HERE, (Scalar(HERE, "1"),))), (Scalar(HERE, "b"), Unread(HERE)))
        )
        self.assertEqual({"a": [1], "b": None}, plainValue(table))
        self.assertEqual(Series(HERE, (Scalar(HERE, "1"),)), table.get("a"))
        self.assertIsNone(table.get("c"))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text() | st.just(0.25),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_roundTrip(self, value: object) -> None:
        """
        A value that a store holds as an object is the same value as a tree.
        """
        self.assertEqual(value, plainValue(writtenValue(value, HERE)))

    def test_found(self) -> None:
        """
        What is written, in words.
        """
        cases: dict[str, Written] = {
            "5": Scalar(HERE, "5"),
            "'five'": Scalar(HERE, "five"),
            "the text '5'": Scalar(HERE, "5", True),
            "empty": Scalar(HERE, ""),
            "a list": Series(HERE),
            "a mapping": Table(HERE),
        }
        for words, written in cases.items():
            self.assertEqual(words, found(written))
        self.assertLess(len(found(Scalar(HERE, "x" * 10_000))), 80)

    def test_isEmpty(self) -> None:
        """
        An empty text in quotes is a text.
        """
        self.assertTrue(isEmpty(Scalar(HERE, "NULL")))
        self.assertFalse(isEmpty(Scalar(HERE, "", True)))
        self.assertFalse(isEmpty(Table(HERE)))


class MistakesTests(SynchronousTestCase):
    """
    All mistakes as one error.
    """

    def test_order(self) -> None:
        """
        They are sorted by line and column; the sources stay in their order.
        """
        a, b = Source("b.yaml"), Source("a.yaml")
        places = [Place(a, 9, 1), Place(b, 1, 1), Place(a, 2, 5), Place(a, 2, 1)]
        error = ConfigError(Mistake(place, "x") for place in places)
        self.assertEqual(
            ["b.yaml:2:1: x", "b.yaml:2:5: x", "b.yaml:9:1: x", "a.yaml:1:1: x"], str(error).split("\n")
        )

    def test_oneLine(self) -> None:
        """
        A message from elsewhere takes one line however it is written.
        """
        self.assertEqual("u.yaml:1:1: a b", str(Mistake(HERE, "a\n  b")))

    def test_excerpts(self) -> None:
        """
        Each mistake is followed by its line.
        """
        self.assertEqual("u.yaml:1:1: x\n  listen: x\n  ^", str(ConfigError([Mistake(HERE, "x")])))

    def test_many(self) -> None:
        """
        A hundred are shown, and how many more there are.
        """
        source = Source("u.yaml")
        error = ConfigError(Mistake(Place(source, n), "x") for n in range(1, 151))
        self.assertEqual(101, len(str(error).split("\n")))
        self.assertTrue(str(error).endswith("\n... and 50 more"))
        self.assertEqual(150, len(error.mistakes))

    def test_words(self) -> None:
        """
        Lists of words, and what may have been meant.
        """
        self.assertEqual("a, b or c", oneOf("abc"))
        self.assertEqual("a", oneOf("a"))
        self.assertEqual("; did you mean 'listen'?", suggestion("lisen", ["listen", "dial"]))
        self.assertEqual("", suggestion("zzz", ["listen", "dial"]))

    def test_meantIsBounded(self) -> None:
        """
        Only so many words are compared, and only so much of a long one.
        """
        self.assertIsNone(meant("x" * 100_000, ["listen"]))
        self.assertIsNone(meant("z500", [f"a{n:04}" for n in range(600)] + ["z501"]))
