# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.reversewire}.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, lists, text

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.reversewire import (
    MAX_LINE,
    MAX_NAMES,
    Answer,
    OneLine,
    Wish,
    answerFrom,
    answerLine,
    wishFrom,
    wishLine,
)

NAMES = ("bob.corp.example", "bob")


class LineTests(SynchronousTestCase):
    """
    What is said.
    """

    def test_roundTrip(self) -> None:
        """
        What one side says the other one hears.
        """
        for wish in (Wish(), Wish(NAMES), Wish((), (22, 65535))):
            self.assertEqual(wish, wishFrom(wishLine(wish)))
        for answer in (Answer(), Answer(NAMES), Answer(NAMES, (22,)), Answer(refused="not you")):
            self.assertEqual(answer, answerFrom(answerLine(answer)))

    @given(lists(text(alphabet="abcdefghijklmnop.-", min_size=1, max_size=253), max_size=MAX_NAMES))
    def test_anyNames(self, names: list[str]) -> None:
        """
        Whatever can be a name comes through.
        """
        self.assertEqual(Wish(tuple(names)), wishFrom(wishLine(Wish(tuple(names)))))

    @given(binary(max_size=80))
    def test_anyBytes(self, data: bytes) -> None:
        """
        Whatever comes is understood, or said to be wrong.
        """
        for read in (wishFrom, answerFrom):
            try:
                read(data)
            except ProtocolError:
                pass

    def test_wrong(self) -> None:
        """
        What is too much, or of another shape, is refused; what is not known is left out.
        """
        for said, wrong in (
            (b"{", "no JSON"),
            (b"[" * 4000, "no JSON"),
            (b"\xff", "no JSON"),
            (b"[]", "no object"),
            (b'{"names": "bob"}', "at most 16"),
            (json.dumps({"names": ["x"] * (MAX_NAMES + 1)}).encode(), "at most 16"),
            (b'{"names": [7]}', "'7' is no name"),
            (b'{"names": [""]}', "no name"),
            (b'{"names": ["a\\nb"]}', "no name"),
            (json.dumps({"names": ["x" * 254]}).encode(), "no name"),
            (b'{"ports": 22}', "at most 16"),
            (json.dumps({"ports": [1] * 17}).encode(), "at most 16"),
            (b'{"ports": ["x"]}', "ports: 'x' is no port"),
            (b'{"ports": [true]}', "True is no port"),
            (b'{"ports": [0]}', "0 is no port"),
            (b'{"ports": [65536]}', "65536 is no port"),
        ):
            error = self.assertRaises(ProtocolError, wishFrom, said)
            self.assertIn(wrong, str(error))
        for said in (b'{"refused": 7}', json.dumps({"refused": "x" * 1025}).encode()):
            self.assertIn("a sentence", str(self.assertRaises(ProtocolError, answerFrom, said)))
        self.assertEqual(Wish(("bob",)), wishFrom(b'{"names": ["bob"], "more": 1}'))

    def test_unprintable(self) -> None:
        """
        A gate cannot write lines into our log; its own sentence is cut.
        """
        self.assertEqual("a?b", answerFrom(b'{"refused": "a\\nb"}').refused)
        self.assertEqual(1024, len(answerFrom(answerLine(Answer(refused="x" * 5000))).refused))

    def test_longest(self) -> None:
        """
        The most that may be asked for is a line.
        """
        self.assertLess(len(wishLine(Wish(tuple("x" * 250 for _ in range(MAX_NAMES))))), MAX_LINE + 250)


class OneLineTests(SynchronousTestCase):
    """
    Either side of the stream.
    """

    def setUp(self) -> None:
        self.heard: list[bytes] = []
        self.lost: list[bool] = []

    def conversation(self, first: bytes = b"") -> tuple[OneLine, Any]:
        """
        One side.
        """
        one = OneLine(lambda _, line: self.heard.append(line), first, lambda: self.lost.append(True))
        transport: Any = StringTransport()
        one.makeConnection(transport)
        return one, transport

    def test_split(self) -> None:
        """
        A line is heard once, wherever it is cut.
        """
        line = wishLine(Wish(NAMES))
        for at in range(len(line) + 1):
            self.setUp()
            one, _ = self.conversation()
            one.dataReceived(line[:at])
            one.dataReceived(line[at:])
            one.dataReceived(line)
            self.assertEqual([line[:-1]], self.heard, at)

    def test_says(self) -> None:
        """
        What there is to say is said at once, and what follows when it is told.
        """
        one, transport = self.conversation(b"first\n")
        self.assertEqual(b"first\n", transport.value())
        one.say(b"second\n")
        one.end()
        self.assertEqual(b"first\nsecond\n", transport.value())
        self.assertTrue(transport.disconnecting)

    def test_long(self) -> None:
        """
        A line that does not end is too long.
        """
        one, transport = self.conversation()
        one.dataReceived(b"x" * (MAX_LINE + 2))
        self.assertTrue(transport.disconnected)
        self.assertEqual([], self.heard)

    def test_lost(self) -> None:
        """
        An end without a line is told, one after it is not.
        """
        one, _ = self.conversation()
        one.connectionLost()
        self.assertEqual([True], self.lost)
        other, _ = self.conversation()
        other.dataReceived(b"{}\n")
        other.connectionLost()
        self.assertEqual([True], self.lost)
