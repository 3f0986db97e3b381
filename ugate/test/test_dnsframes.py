# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.dnsframes}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.dnsframes import Frames, framed
from ugate.test.httpfakes import splits

MESSAGES = [b"a" * 12, b"b" * 300, b"c" * 13]


class FramesTests(SynchronousTestCase):
    """
    L{Frames}.
    """

    def test_splits(self) -> None:
        """
        However the bytes come, the messages are the same.
        """
        for parts in splits(b"".join(map(framed, MESSAGES))):
            frames = Frames()
            self.assertEqual(MESSAGES, [each for part in parts for each in frames.receive(part)])
            self.assertEqual(b"", frames._data)

    def test_largest(self) -> None:
        """
        A message has as many bytes as its size can say.
        """
        frames = Frames()
        largest = framed(bytes(65535))
        self.assertEqual([], [*frames.receive(largest[:-1])])
        self.assertEqual([bytes(65535)], [*frames.receive(largest[-1:])])

    def test_short(self) -> None:
        """
        No message is shorter than its head.
        """
        for size in range(12):
            frames = Frames()
            got = frames.receive(framed(MESSAGES[0]) + size.to_bytes(2, "big"))
            self.assertEqual(MESSAGES[0], next(got))
            self.assertRaises(ProtocolError, next, got)

    @given(st.binary())
    def test_garbage(self, data: bytes) -> None:
        """
        Anything is messages, the beginning of one, or refused.
        """
        frames = Frames()
        try:
            got = b"".join(map(framed, frames.receive(data)))
        except ProtocolError:
            return
        self.assertEqual(data, got + frames._data)
