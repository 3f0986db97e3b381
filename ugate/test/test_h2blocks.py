# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.h2blocks}.
"""

from __future__ import annotations

from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.h2blocks import LONGEST, MOST, Blocks


class BlocksTests(SynchronousTestCase):
    """
    What is remembered, and how long.
    """

    def setUp(self) -> None:
        self.blocks: Blocks[bytes, str] = Blocks()
        self.blocks.learn(b"\x82", "known")

    def test_indexed(self) -> None:
        """
        A block of indexed fields may be remembered, and what is known stays so.
        """
        self.assertTrue(self.blocks.passed(b"\x81\xfe\x88"))
        self.assertEqual({b"\x82": "known"}, self.blocks.known)

    def test_others(self) -> None:
        """
        After any other nothing is known: a literal may go into the table, a size may change it,
        and an index of several bytes is not looked at.
        """
        for block in (b"\x82\x40\x01a\x01b", b"\x20", b"\x10\x01a\x01b", b"\xff\x00", b"\x80"):
            self.blocks.learn(b"\x82", "known")
            self.assertFalse(self.blocks.passed(block))
            self.assertEqual({}, self.blocks.known)

    def test_empty(self) -> None:
        """
        One with nothing in it says nothing.
        """
        self.assertFalse(self.blocks.passed(b""))

    def test_longest(self) -> None:
        """
        A long one is not worth it.
        """
        self.assertTrue(self.blocks.passed(b"\x82" * LONGEST))
        self.assertFalse(self.blocks.passed(b"\x82" * (LONGEST + 1)))

    def test_most(self) -> None:
        """
        There are never too many.
        """
        for number in range(3 * MOST):
            self.blocks.learn(b"%d" % number, "")
            self.assertLessEqual(len(self.blocks.known), MOST)
        self.assertTrue(self.blocks.known)

    def test_clear(self) -> None:
        """
        They can be forgotten.
        """
        self.blocks.clear()
        self.assertEqual({}, self.blocks.known)


FIELDS = st.lists(
    st.tuples(
        st.sampled_from((b":method", b"a", b"b", b"cookie")), st.sampled_from((b"GET", b"1", b"2" * 30))
    ),
    max_size=4,
)
"""Few enough of them for the same to come again."""

SIZES = st.sampled_from((0, 64, 100, 4096))


def resize(encoder: Encoder, size: int) -> None:
    """
    Another size of the table.  To be told the same one twice makes the library forget to pass it on.
    """
    if size != encoder.header_table_size:
        encoder.header_table_size = size


class TableTests(SynchronousTestCase):
    """
    Beside the real tables.
    """

    @given(st.lists(st.one_of(FIELDS, SIZES), max_size=40))
    def test_sameAsDecoder(self, steps: list[list[tuple[bytes, bytes]] | int]) -> None:
        """
        What is remembered of a block is what the decoder says of it, whatever came between.
        """
        encoder, decoder = Encoder(), Decoder()
        blocks: Blocks[bytes, list[tuple[bytes, bytes]]] = Blocks()
        for step in steps:
            if isinstance(step, int):
                resize(encoder, step)
                continue
            block = encoder.encode(step)
            fields = [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
            self.assertEqual(step, fields)
            known = blocks.known.get(block)
            if known is not None:
                self.assertEqual(fields, known)
            elif blocks.passed(block):
                blocks.learn(block, fields)

    @given(st.lists(st.one_of(FIELDS, SIZES), max_size=40))
    def test_sameAsEncoder(self, steps: list[list[tuple[bytes, bytes]] | int]) -> None:
        """
        A decoder understands what is sent from memory.
        """
        encoder, decoder = Encoder(), Decoder()
        blocks: Blocks[tuple[tuple[bytes, bytes], ...], bytes] = Blocks()
        for step in steps:
            if isinstance(step, int):
                resize(encoder, step)
                blocks.clear()
                continue
            block = blocks.known.get(tuple(step))
            if block is None:
                block = encoder.encode(step)
                if blocks.passed(block):
                    blocks.learn(tuple(step), block)
            self.assertEqual(step, list(decoder.decode(block, raw=True)))
