# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams in a stream of bytes.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import ProtocolError
from ugate.protocols.capsules import LARGEST, Capsules, capsule

SIZES = (0, 1, 62, 63, 64, 1400, 16382, 16383, 16384, 65507, LARGEST)


def number(value: int) -> bytes:
    """
    A number as QUIC has them, in its shortest form.
    """
    for bits, size in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * size - 2):
            return (value | bits << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(value)


class CapsulesTests(SynchronousTestCase):
    """
    L{Capsules} and L{capsule}.
    """

    def test_wire(self) -> None:
        """
        The type 0, a length, the context 0, the payload (RFC 9297, 3.2 and 3.5; RFC 9298, 5).
        """
        self.assertEqual(capsule(b"hello"), b"\x00\x06\x00hello")
        for size in SIZES:
            self.assertEqual(capsule(b"x" * size), b"\0" + number(size + 1) + b"\0" + b"x" * size)

    def test_sizes(self) -> None:
        """
        Datagrams of every size come out as they went in, also many at once.
        """
        sent = [b"%d" % (size % 10) * size for size in SIZES]
        self.assertEqual(Capsules().receive(b"".join(map(capsule, sent))), sent)

    def test_splitAtEveryByte(self) -> None:
        """
        It is all the same where the bytes are split.
        """
        unknown = number(0x1234) + number(3) + b"abc"
        other = b"\0" + number(4) + number(7) + b"xyz"
        wire = capsule(b"one") + unknown + capsule(b"") + other + capsule(b"y" * 70) + b"\0\0" + capsule(b"z")
        for at in range(len(wire) + 1):
            capsules = Capsules()
            found = capsules.receive(wire[:at]) + capsules.receive(wire[at:])
            self.assertEqual(found, [b"one", b"", b"y" * 70, b"z"], at)
        capsules = Capsules()
        one = [each for byte in wire for each in capsules.receive(bytes((byte,)))]
        self.assertEqual(one, [b"one", b"", b"y" * 70, b"z"])

    def test_longForms(self) -> None:
        """
        Numbers need not be in their shortest form.
        """
        wire = b"\x40\x00" + b"\x80\x00\x00\x04" + b"\xc0" + bytes(7) + b"abc"
        self.assertEqual(Capsules().receive(wire.replace(b"\x04\xc0", b"\x0b\xc0")), [b"abc"])

    def test_skipsWithoutKeeping(self) -> None:
        """
        A capsule that nobody knows may be larger than anything that would be kept.
        """
        capsules = Capsules()
        capsules.receive(number(41) + number(1 << 40))
        for _ in range(100):
            self.assertEqual(capsules.receive(bytes(65536)), [])
        self.assertEqual(len(capsules._held), 0)

    def test_tooLarge(self) -> None:
        """
        A datagram that UDP does not have breaks the protocol, at once if its length says so.
        """
        for wire in (
            b"\0" + number(LARGEST + 9),
            b"\0" + number(LARGEST + 2) + b"\0" + bytes(LARGEST + 1),
        ):
            self.assertRaises(ProtocolError, Capsules().receive, wire)

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=200), max_size=8), st.lists(st.integers(0, 1000), max_size=6))
    def test_random(self, sent: list[bytes], cuts: list[int]) -> None:
        """
        Whatever is sent comes, however it is cut.
        """
        wire = b"".join(map(capsule, sent))
        at = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
        capsules = Capsules()
        found = [each for start, end in pairwise(at) for each in capsules.receive(wire[start:end])]
        self.assertEqual(found, sent)

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=50), max_size=20))
    def test_noise(self, pieces: list[bytes]) -> None:
        """
        Nothing that comes makes another error, and little is kept.
        """
        capsules = Capsules()
        try:
            for piece in pieces:
                capsules.receive(piece)
        except ProtocolError:
            pass
        self.assertLess(len(capsules._held), LARGEST + 32)
