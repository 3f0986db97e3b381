# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.jsontext}.
"""

from __future__ import annotations

import json
from typing import NoReturn

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.jsontext import readJSON
from ugate.tenancy.config.tree import Scalar, Source, Table, Unread, plainValue
from ugate.tenancy.config.yamltext import MAX_DEPTH, MAX_VALUES


def read(text: str) -> tuple[object, list[str]]:
    """
    The plain value of a text, and its mistakes.
    """
    written, mistakes = readJSON(Source("u", text.split("\n")))
    return written and plainValue(written), [str(mistake) for mistake in mistakes]


class JSONTests(SynchronousTestCase):
    """
    JSON as a tree, with places.
    """

    def test_values(self) -> None:
        """
        Tabs, escapes and pairs of surrogates are what JSON says.
        """
        text = '{\n\t"a": [1, -2.5, true, false, null],\n\t"b":{"\\u00e9\\ud83d\\ude00\\/": ""}\n}\n'
        self.assertEqual(({"a": [1, -2.5, True, False, None], "b": {"é😀/": ""}}, []), read(text))

    def test_nothing(self) -> None:
        """
        An empty file is nothing.
        """
        self.assertEqual((None, []), read(" \n"))

    def test_places(self) -> None:
        """
        Keys and values know their line, column and width.
        """
        written, _ = readJSON(Source("u", ["{", '  "é": "ab"}']))
        assert isinstance(written, Table)
        key, value = written.entries[0]
        self.assertEqual((2, 3, 3), (key.place.line, key.place.column, key.place.width))
        self.assertEqual((2, 8, 4), (value.place.line, value.place.column, value.place.width))

    def test_text(self) -> None:
        """
        A string is a text although it looks like a number.
        """
        written, _ = readJSON(Source("u", ['"10"']))
        assert isinstance(written, Scalar)
        self.assertTrue(written.quoted)

    def test_duplicateKey(self) -> None:
        """
        A key that is there twice is a mistake; reading goes on.
        """
        value, mistakes = read('{"a": 1,\n"a": 2, "b": 3}')
        self.assertEqual({"a": 1, "b": 3}, value)
        self.assertEqual(["u:2:1: the key 'a' is on line 1 too; wanted each key once"], mistakes)

    def test_mistakes(self) -> None:
        """
        Each mistake of syntax has its place, and what was wanted.
        """
        cases = {
            "{": "1:2: this is not JSON: the end; wanted a key in double quotes",
            '{"a": 1,}': "1:9: this is not JSON: '}' (a comma before it, or a value missing); wanted a key",
            "[1,]": "1:4: this is not JSON: ']' (a comma before it, or a value missing); wanted a value",
            "[1 2]": "1:4: this is not JSON: '2'; wanted ',' or ']'",
            '{"a" 1}': "1:6: this is not JSON: '1'; wanted ':' after the key",
            "{'a': 1}": '1:2: this is not JSON: "\'" (a string stands in double quotes); wanted a key',
            "{} x": "1:4: this is not JSON: there is more after the end",
            "// x": "1:1: this is not JSON: '/' (JSON has no comments)",
            '["\\x"]': "1:3: this is not JSON: Invalid \\escape",
            '["a': "1:2: this is not JSON: Unterminated string",
            '["\\ud800"]': "1:2: this is not JSON: half of a surrogate pair",
            "[NaN]": "1:2: this is not JSON: 'N'; wanted a value",
            "[-Infinity]": "1:2: this is not JSON: '-'; wanted a value",
            "[01]": "1:2: this is not JSON: '0'; wanted a value",
            "[truely]": "1:2: this is not JSON: 't'; wanted a value",
        }
        for text, begin in cases.items():
            written, mistakes = readJSON(Source("u", text.split("\n")))
            self.assertIsInstance(written, Unread)
            self.assertEqual(1, len(mistakes), text)
            self.assertTrue(str(mistakes[0]).startswith(f"u:{begin}"), str(mistakes[0]))

    def test_depth(self) -> None:
        """
        Only so many things stand in each other.
        """
        self.assertEqual([], read("[" * MAX_DEPTH + "]" * MAX_DEPTH)[1])
        for text in ("[" * 100_000, '{"a":' * 100_000):
            self.assertIn(f"more than {MAX_DEPTH} objects and arrays", read(text)[1][0])

    def test_manyValues(self) -> None:
        """
        Only so many values are read.
        """
        good = "[" + ",".join("1" * (MAX_VALUES - 1)) + "]"
        self.assertEqual([], read(good)[1])
        self.assertIn(f"more than {MAX_VALUES} values", read(good.replace("[", "[1,"))[1][0])

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
        st.sampled_from([None, "\t", 2]),
        st.booleans(),
    )
    def test_dumped(self, value: object, indent: str | int | None, escaped: bool) -> None:
        """
        What another program writes as JSON is read as it was.
        """
        text = json.dumps(value, indent=indent, ensure_ascii=escaped)
        self.assertEqual((value, []), read(text))

    @given(st.text(st.sampled_from('{}[],:"\\u0019dtrue -.eE\n\t/é')))
    def test_anyText(self, text: str) -> None:
        """
        Whatever is read is what another reader of JSON reads, and what is told it cannot read.
        """

        def noConstants(name: str) -> NoReturn:
            raise ValueError(name)

        written, mistakes = readJSON(Source("u", text.split("\n")))
        if not text.strip():
            self.assertIsNone(written)
            return
        try:
            json.loads(text, parse_constant=noConstants)
        except ValueError:
            self.assertIsInstance(written, Unread)
            self.assertTrue(mistakes[-1].place.excerpt())
        else:
            isOurs = any("surrogate" in mistake.message for mistake in mistakes)
            self.assertEqual(isOurs, isinstance(written, Unread))
