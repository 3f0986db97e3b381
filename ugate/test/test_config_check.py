# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.check}, L{ugate.tenancy.config.shapes} and L{ugate.tenancy.config.schema}.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, inspect

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError, UgateError
from ugate.tenancy.config.check import BAD, Reading
from ugate.tenancy.config.schema import FORMS, TYPES, sectionTypes
from ugate.tenancy.config.sections import KINDS
from ugate.tenancy.config.shapes import shape
from ugate.tenancy.config.tree import Place, Scalar, Series, Source, Table, Unread, Written, writtenValue

HERE = Place(Source("u.yaml"))
NO_WORDS: dict[str, object] = {}


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What stands in another.
    """

    word: Annotated[str, Meta(extra={"check": "word", "wanted": "a good word"})]
    count: Annotated[int, Meta(ge=1, le=5)] = 1


class Outer(Struct, frozen=True, forbid_unknown_fields=True):
    """
    One field of each sort.
    """

    text: Annotated[str, Meta(max_length=5)] = ""
    number: Annotated[float, Meta(gt=0, le=9, extra={"unit": "seconds"})] = 1.0
    truth: bool = False
    choice: Literal["log", "quiet"] = "log"
    maybe: Annotated[str, Meta(min_length=1)] | None = None
    inner: Inner | None = None
    short: str | Inner = ""
    words: tuple[str, ...] = ()
    either: str | tuple[str, ...] = ""
    numbers: Annotated[list[int], Meta(min_length=1)] = msgspec.field(default_factory=lambda: [0])
    names: dict[Annotated[str, Meta(pattern="^[a-z]+$")], int] = {}


def scalar(text: str, quoted: bool = False) -> Scalar:
    """
    A scalar somewhere.
    """
    return Scalar(HERE, text, quoted)


def table(**entries: Written | str) -> Table:
    """
    A table somewhere; a plain text is a scalar without quotes.
    """
    pairs = ((k, scalar(v) if isinstance(v, str) else v) for k, v in entries.items())
    return Table(HERE, tuple((scalar(key), value) for key, value in pairs))


def checkWord(word: str) -> None:
    """
    A checker that knows two bad words.
    """
    if word == "bad":
        raise StringError("'bad' is no word; wanted another")
    if word == "worse":
        raise UgateError("'worse' is no better")


class ReadingCase(SynchronousTestCase):
    """
    Tests that read trees.
    """

    def read(self, written: Written, wanted: Any = Outer) -> tuple[Any, list[str]]:
        """
        A value and what is wrong with it, without places.
        """
        reading = Reading({"word": checkWord})
        value = reading.read(written, inspect.type_info(wanted), "it")
        return value, [mistake.message for mistake in reading.mistakes]

    def assertWrong(self, message: str, written: Written, wanted: Any = Outer) -> None:
        """
        There is exactly this mistake.
        """
        value, messages = self.read(written, wanted)
        self.assertIs(BAD, value)
        self.assertEqual([message], messages)


class ReadingTests(ReadingCase):
    """
    From trees to values.
    """

    def test_good(self) -> None:
        """
        Every sort of field is read.
        """
        written = table(
            text="0777",
            number="3",
            truth="on",
            choice="quiet",
            maybe="on",
            inner=table(word="22:22", count="5"),
            short="x",
            words=Series(HERE, (scalar("1"), scalar("b"))),
            either="y",
            numbers=Series(HERE, (scalar("1"),)),
            names=table(a="1"),
        )
        value, messages = self.read(written)
        self.assertEqual([], messages)
        expected = Outer(
            "0777", 3.0, True, "quiet", "on", Inner("22:22", 5), "x", ("1", "b"), "y", [1], {"a": 1}
        )
        self.assertEqual(expected, value)
        self.assertIsInstance(value.number, float)

    def test_defaults(self) -> None:
        """
        What is not written is as the schema says; nothing written for what may be nothing is nothing.
        """
        self.assertEqual((Outer(), []), self.read(table()))
        self.assertEqual((Outer(), []), self.read(table(maybe="null", inner="")))
        self.assertEqual((Outer(maybe="null"), []), self.read(table(maybe=scalar("null", True))))

    def test_unions(self) -> None:
        """
        What is written decides which member of a union it is.
        """
        self.assertEqual(Outer(short=Inner("a")), self.read(table(short=table(word="a")))[0])
        self.assertEqual(Outer(either=("a",)), self.read(table(either=Series(HERE, (scalar("a"),))))[0])

    def test_wrongTypes(self) -> None:
        """
        A wrong type names the key, what is there and what is wanted.
        """
        self.assertWrong("it is a list; wanted a mapping with word or count", Series(HERE), Inner)
        self.assertWrong("it.text is a list; wanted text of at most 5 characters", table(text=Series(HERE)))
        self.assertWrong("it.text is 'toolong'; wanted text of at most 5 characters", table(text="toolong"))
        self.assertWrong(
            'it.text is empty; wanted text of at most 5 characters, or "" for none', table(text="")
        )
        self.assertWrong("it.truth is 'maybe'; wanted true or false", table(truth="maybe"))
        self.assertWrong(
            "it.truth is the text 'true'; wanted true or false", table(truth=scalar("true", True))
        )
        self.assertWrong("it.truth is 1; wanted true or false", table(truth="1"))
        self.assertWrong("it.words is 'a'; wanted a list of text", table(words="a"))
        self.assertWrong("it.names is 'a'; wanted a mapping", table(names="a"))
        self.assertWrong("it.maybe is a list; wanted text", table(maybe=Series(HERE)))
        self.assertWrong(
            "it.short is a list; wanted text or a mapping with word or count", table(short=Series(HERE))
        )
        self.assertWrong("it.either is a mapping; wanted text, or a list of such", table(either=table()))

    def test_wrongNumbers(self) -> None:
        """
        A number out of range, a text in quotes, an octal one, a sexagesimal one.
        """
        wanted = "wanted a number of seconds above 0, at most 9"
        self.assertWrong(f"it.number is 0; {wanted}", table(number="0"))
        self.assertWrong(f"it.number is 10; {wanted}", table(number="10"))
        self.assertWrong(f"it.number is 1e999; {wanted}", table(number="1e999"))
        self.assertWrong(f"it.number is 'ten'; {wanted}", table(number="ten"))
        self.assertWrong(f"it.number is true; {wanted}", table(number="true"))
        self.assertWrong(f"it.number is '1:30'; {wanted}", table(number="1:30"))
        self.assertWrong(f"it.number is '07'; {wanted}, without a leading zero", table(number="07"))
        self.assertWrong(
            f"it.number is the text '5'; {wanted}, without quotes", table(number=scalar("5", True))
        )
        self.assertWrong(
            "it.count is 1.5; wanted a whole number from 1 to 5", table(word="a", count="1.5"), Inner
        )

    def test_wrongWord(self) -> None:
        """
        A word that is none of a few may be meant as one of them.
        """
        self.assertWrong("it.choice is 'lgo'; wanted log or quiet; did you mean 'log'?", table(choice="lgo"))
        self.assertWrong("it.choice is on; wanted log or quiet", table(choice="on"))

    def test_checker(self) -> None:
        """
        A text that its checker refuses is told in the words of the checker.
        """
        self.assertWrong("it.word: 'bad' is no word; wanted another", table(word="bad"), Inner)
        self.assertWrong("it.word: 'worse' is no better", table(word="worse"), Inner)
        self.assertWrong("it.short.word: 'bad' is no word; wanted another", table(short=table(word="bad")))

    def test_otherErrors(self) -> None:
        """
        A checker that fails in another way is not covered up.
        """
        reading = Reading({"word": NO_WORDS.__getitem__})
        self.assertRaises(KeyError, reading.read, table(word="a"), inspect.type_info(Inner), "it")

    def test_missing(self) -> None:
        """
        What has to be there is missed.
        """
        self.assertWrong("it lacks 'word'; wanted a good word", table(), Inner)

    def test_unknownKey(self) -> None:
        """
        An unknown key is told with all that are known, and the one that it is like.
        """
        self.assertWrong("unknown key 'zzz' in it; wanted word or count", table(word="a", zzz="1"), Inner)

    def test_meantKey(self) -> None:
        """
        What is under a misspelled key is read as what was meant, which so is not missed.
        """
        value, messages = self.read(table(wrod="bad"), Inner)
        self.assertIs(BAD, value)
        self.assertEqual(
            [
                "unknown key 'wrod' in it; wanted word or count; did you mean 'word'?",
                "it.word: 'bad' is no word; wanted another",
            ],
            messages,
        )

    def test_meantTwice(self) -> None:
        """
        A misspelled key does not stand for one that is there.
        """
        self.assertWrong(
            "unknown key 'wrod' in it; wanted word or count; did you mean 'word'?",
            table(wrod="bad", word="a"),
            Inner,
        )
        _, messages = self.read(table(wrod="a", worrd="a"), Inner)
        self.assertEqual(2, len(messages))

    def test_everyMistake(self) -> None:
        """
        One mistake does not hide another.
        """
        written = table(
            text="toolong", number="x", truth="x", choice="x", words=Series(HERE, (Series(HERE), Table(HERE)))
        )
        self.assertEqual(6, len(self.read(written)[1]))

    def test_emptyList(self) -> None:
        """
        A list that needs an item.
        """
        self.assertWrong("it.numbers is an empty list; wanted a whole number", table(numbers=Series(HERE)))

    def test_keysOfNames(self) -> None:
        """
        The keys of a mapping of names are checked as well.
        """
        value, messages = self.read(table(names=table(A="1", b="x")))
        self.assertIs(BAD, value)
        self.assertEqual(2, len(messages))

    def test_unread(self) -> None:
        """
        What could not be read is not told again.
        """
        self.assertEqual((BAD, []), self.read(Unread(HERE)))
        self.assertEqual((BAD, []), self.read(table(word=Unread(HERE)), Inner))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["word", "count", *Outer.__struct_fields__]) | st.text(max_size=4),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_anything(self, value: object) -> None:
        """
        Whatever is written is either read or told.
        """
        reading = Reading({"word": checkWord})
        got = reading.read(writtenValue(value, HERE), inspect.type_info(Outer), "it")
        self.assertEqual(got is BAD, bool(reading.mistakes))
        if got is not BAD:
            self.assertEqual(got, msgspec.convert(msgspec.to_builtins(got), Outer))


class SchemaTests(SynchronousTestCase):
    """
    The schema of the configuration itself.
    """

    def test_kinds(self) -> None:
        """
        What stores know of the kinds is what the schema says.
        """
        self.assertEqual(list(KINDS), list(FORMS))
        self.assertEqual(list(KINDS), list(TYPES))
        for kind, wanted in sectionTypes().items():
            short = KINDS[kind].short
            self.assertEqual(bool(short), isinstance(wanted, inspect.UnionType), kind)
            if short:
                self.assertEqual((short,), TYPES[kind].__struct_fields__[:1])

    def test_shapes(self) -> None:
        """
        Every type in the schema has words.
        """
        for kind, wanted in sectionTypes().items():
            self.assertNotIn("something else", shape(wanted), kind)
        self.assertEqual("a number at least 2", shape(inspect.type_info(Annotated[float, Meta(ge=2)])))
        self.assertEqual("something else", shape(inspect.type_info(Any)))
