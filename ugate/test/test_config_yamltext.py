# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.yamltext} and L{ugate.tenancy.config.recovery}.
"""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.recovery import MAX_FAULTS, readYAML
from ugate.tenancy.config.tree import Scalar, Series, Source, Table, Unread, plainValue
from ugate.tenancy.config.yamltext import MAX_DEPTH, MAX_VALUES

GOOD = """\
# a comment
listen:
  main: auto:tcp:1080

  db: {endpoint: "tcp:5432", to: 'a:1'}
dial:
  office: socks:proxy:1080
routes:
- match: ["*.corp", a]
  via: office
- {match: "*:25", via: deny, reason: "no"}
node: {idle: 60}
"""


def read(text: str) -> tuple[object, list[str]]:
    """
    The plain value of a text, and its mistakes.
    """
    written, mistakes = readYAML(Source("u", text.split("\n")))
    return written and plainValue(written), [str(mistake) for mistake in mistakes]


class GoodTests(SynchronousTestCase):
    """
    YAML without mistakes.
    """

    def test_values(self) -> None:
        """
        What is written is read.
        """
        value, mistakes = read(GOOD)
        self.assertEqual([], mistakes)
        self.assertEqual(
            {
                "listen": {"main": "auto:tcp:1080", "db": {"endpoint": "tcp:5432", "to": "a:1"}},
                "dial": {"office": "socks:proxy:1080"},
                "routes": [
                    {"match": ["*.corp", "a"], "via": "office"},
                    {"match": "*:25", "via": "deny", "reason": "no"},
                ],
                "node": {"idle": 60},
            },
            value,
        )

    def test_nothing(self) -> None:
        """
        An empty text, or comments alone, is nothing.
        """
        for text in ("", "\n\n", "# only a comment\n", "---\n"):
            self.assertEqual([], read(text)[1])
            self.assertFalse(read(text)[0], text)

    def test_asWritten(self) -> None:
        """
        A scalar keeps its text: YAML 1.1 does not make numbers, truths or dates of it.
        """
        text = "[22:22, 0777, on, 2001-01-01, 1_0, ~]"
        written, _ = readYAML(Source("u", [text]))
        assert isinstance(written, Series)
        texts = [item.text for item in written.items if isinstance(item, Scalar)]
        self.assertEqual(["22:22", "0777", "on", "2001-01-01", "1_0", "~"], texts)

    def test_blocks(self) -> None:
        """
        A folded chain over some lines is one text, without the line end after it.
        """
        self.assertEqual({"a": "b -> c"}, read("a: >\n  b ->\n  c\n")[0])
        self.assertEqual({"a": "b"}, read("a: |\n  b\n")[0])

    def test_places(self) -> None:
        """
        Columns count characters, whatever they take as bytes.
        """
        written, _ = readYAML(Source("u", ["é: {ü: [x, '漢字']}"]))
        assert isinstance(written, Table)
        inner = written.get("é")
        assert isinstance(inner, Table)
        series = inner.get("ü")
        assert isinstance(series, Series)
        places = [(item.place.line, item.place.column, item.place.width) for item in series.items]
        self.assertEqual([(1, 9, 1), (1, 12, 4)], places)

    @given(
        st.recursive(
            st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text("abc*&!: #-"), inner, max_size=4)
            ),
            max_leaves=20,
        ),
        st.booleans(),
    )
    def test_dumped(self, value: object, flow: bool) -> None:
        """
        What another program writes as YAML is read as it was, texts as texts.
        """
        text = yaml.safe_dump(value, allow_unicode=False, default_flow_style=flow, default_style='"')
        self.assertEqual((value, []), read(text))


class MistakesTests(SynchronousTestCase):
    """
    What is said of bad YAML.
    """

    def assertMistakes(self, text: str, *begins: str) -> object:
        """
        A text has just these mistakes, in this order, of which the beginning is compared.
        """
        value, mistakes = read(text)
        self.assertEqual(len(begins), len(mistakes), mistakes)
        for begin, mistake in zip(begins, mistakes, strict=True):
            self.assertTrue(mistake.startswith("u:" + begin), mistake)
        return value

    def test_duplicateKey(self) -> None:
        """
        A key that is there twice is a mistake, and the first counts.
        """
        value = self.assertMistakes("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' is on line 1 too")
        self.assertEqual({"a": 1, "b": 2}, value)

    def test_alias(self) -> None:
        """
        Aliases are refused, so none can multiply what is read.
        """
        bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
        begins = ["2:8: *a stands", "2:12: *a", "3:5: *b", "3:9: *b"]
        self.assertMistakes(bomb, *begins)

    def test_star(self) -> None:
        """
        A pattern without quotes looks like an alias: the mistake says what to do.
        """
        self.assertMistakes("match: *.corp\n", "1:8: a value cannot begin with * without quotes")
        self.assertMistakes("match: *:25\n", "1:8: ")
        self.assertMistakes("match: *\n", "1:8: a value cannot begin with * without quotes")
        self.assertMistakes("match: *corp\n", "1:8: *corp stands for another value here")

    def test_tag(self) -> None:
        """
        A tag can make nothing.
        """
        self.assertMistakes("a: !!python/object:os.system x\n", "1:4: the tag 'tag:yaml.org,2002:python/obj")
        self.assertMistakes("a: !x {b: 1}\n", "1:4: the tag '!x'")

    def test_tab(self) -> None:
        """
        A tab in the indentation is called so.
        """
        self.assertMistakes("a:\n\tb: 1\n", "2:1: a tab in the indentation; wanted spaces")

    def test_colon(self) -> None:
        """
        C{': '} in a value, and keys that do not align.
        """
        self.assertMistakes("a: b: c\n", "1:5: a ':' where no key can be")
        self.assertMistakes("a: 1\n  b: 2\n", "2:4: a ':' where no key can be")

    def test_characters(self) -> None:
        """
        A character that begins nothing.
        """
        self.assertMistakes("a: @x\n", "1:4: a value cannot begin with '@'; wanted it in quotes")

    def test_unclosed(self) -> None:
        """
        What has no end is told where it begins.
        """
        self.assertMistakes('a: "x\n\nb: y\n', "1:4: this is not YAML: while scanning a quoted scalar")
        self.assertMistakes("a: [1,\n", "1:4: a [ or { without its end")
        self.assertMistakes("a:\n  b: {c: [1]\n\nd: 1\n", "2:6: a [ or { without its end")

    def test_secondDocument(self) -> None:
        """
        A file is one document.
        """
        self.assertMistakes("a: 1\n---\nb: 2\n", "2:1: a second document begins")

    def test_keys(self) -> None:
        """
        A key is a text.
        """
        self.assertEqual({"b": 1}, self.assertMistakes("? [a]\n: 1\nb: 1\n", "1:3: a key that is not a text"))

    def test_depth(self) -> None:
        """
        Only so many things stand in each other; the parser goes no deeper either.
        """
        self.assertEqual([], read("[" * MAX_DEPTH + "]" * MAX_DEPTH)[1])
        # Where it ends depends on who counts first: we, or the parser, which goes not much deeper.
        (mistake,) = read("[" * 1_000_000)[1]
        self.assertIn(f": more than {MAX_DEPTH} mappings and lists", mistake)
        self.assertMistakes("- " * 1000, f"1:{2 * MAX_DEPTH + 1}: more than {MAX_DEPTH}")

    def test_values(self) -> None:
        """
        Only so many values are read.
        """
        text = "- a\n" * (MAX_VALUES + 1)
        self.assertMistakes(text, f"{MAX_VALUES + 1}:3: more than {MAX_VALUES} values")

    @given(st.text(st.sampled_from("ab:*&!?-{}[],#'\"|>%@ \n\t1é~.")))
    def test_anyText(self, text: str) -> None:
        """
        Any text is read, or has mistakes at places that there are.
        """
        source = Source("u", text.split("\n"))
        written, mistakes = readYAML(source)
        for mistake in mistakes:
            self.assertTrue(mistake.place.excerpt(), mistake)
        if not mistakes:
            self.assertNotIsInstance(written, Unread)

    @given(
        st.integers(0, len(GOOD)),
        st.text(st.sampled_from(":*&-{}[],'\"\n\t @"), max_size=3),
        st.integers(0, 3),
    )
    def test_changedText(self, at: int, put: str, cut: int) -> None:
        """
        A good text with something changed is read or told, and what is not told is there.
        """
        text = GOOD[:at] + put + GOOD[at + cut :]
        written, mistakes = readYAML(Source("u", text.split("\n")))
        try:
            value = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError:
            value = None
            self.assertTrue(mistakes, text)
        if not mistakes:
            self.assertEqual(value is None, written is None)


class RecoveryTests(SynchronousTestCase):
    """
    Reading on after an error.
    """

    def test_otherKeys(self) -> None:
        """
        The top-level keys beside the bad one are read.
        """
        value, mistakes = read("listen: {a: [}\nnode: {idle: 5}\nnode: {idle: 6}\ndial: @\n")
        self.assertEqual({"listen": None, "node": {"idle": 5}, "dial": None}, value)
        self.assertEqual(3, len(mistakes), mistakes)

    def test_otherEntries(self) -> None:
        """
        Entries beside a bad one are read, and the bad one is known by its name.
        """
        text = "listen:\n  a: b: c\n  # here\n\n  d: e\n\tt: 1\n  x: @\ndial: {}\n"
        value, mistakes = read(text)
        self.assertEqual({"listen": {"a": None, "d": "e", "t": None, "x": None}, "dial": {}}, value)
        self.assertEqual(["u:2:7", "u:6:1", "u:7:6"], [m.partition(": ")[0] for m in mistakes])

    def test_otherItems(self) -> None:
        """
        Items of a list beside a bad one are read, indented or not.
        """
        for margin in ("", "  "):
            lines = ["routes:", "- match: *.corp", "  via: a", "- match: b", "  via: c", "- @"]
            value, mistakes = read(f"\n{margin}".join(lines))
            self.assertEqual({"routes": [None, {"match": "b", "via": "c"}, None]}, value)
            self.assertEqual(2, len(mistakes), mistakes)

    def test_duplicatesAcross(self) -> None:
        """
        A key that is there twice is found although the pieces are read alone.
        """
        _, mistakes = read("a:\n  x: 1\n  y: @\n  x: 2\na: 3\n")
        self.assertEqual(["u:4:3", "u:5:1", "u:3:6"], [m.partition(": ")[0] for m in mistakes])

    def test_onlyTogether(self) -> None:
        """
        If every piece alone is fine, the error of the whole is told, and nothing is read.
        """
        written, mistakes = readYAML(Source("u", ["- x", "a: 1"]))
        self.assertIsInstance(written, Unread)
        self.assertEqual(1, len(mistakes))

    def test_mixed(self) -> None:
        """
        Items and keys under one key are one error.
        """
        value, mistakes = read("a:\n  - x\n  b: 1\n  c: @\n")
        self.assertEqual({"a": None}, value)
        self.assertEqual(1, len(mistakes), mistakes)

    def test_manyFaults(self) -> None:
        """
        After a hundred faults reading ends: it is no YAML then.
        """
        for text in ("a: @\n" * 1000, "a:\n" + "  b: @\n" * 1000):
            faults = [mistake for mistake in read(text)[1] if "'@'" in mistake]
            self.assertEqual(MAX_FAULTS, len(faults))

    def test_linear(self) -> None:
        """
        A large file with an error is read in a time that grows with its size alone.
        """
        lines = [f"  l{n}: auto:tcp:{n}" for n in range(5000)]
        value, mistakes = read("\n".join(["listen:", *lines, "  bad: @"]))
        self.assertEqual(1, len(mistakes))
        assert isinstance(value, dict)
        self.assertEqual(5001, len(value["listen"]))
