# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tunicmp}.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.tunicmp import BURST, RATE, Allowance, echoFor, headIn, noPortFor, tooLongFor
from ugate.protocols.tunpackets import IPV4, IPV6, VIRTIO, layoutOf
from ugate.test.tunfakes import FAR, OWN, Message, outwards, readMessage

LAYOUTS = {4: IPV4, 6: IPV6}
ASKED = {4: 8, 6: 128}
ANSWERED = {4: 0, 6: 129}


def question(version: int, body: bytes = b"\0\1\0\2hello") -> Message:
    """
    What C{ping} sends.
    """
    return Message(OWN[version], FAR[version], ASKED[version], 0, body)


class EchoTests(SynchronousTestCase):
    """
    Whether somebody is there.
    """

    @given(st.sampled_from((4, 6)), st.binary(min_size=4, max_size=1500))
    def test_answered(self, version: int, body: bytes) -> None:
        """
        All that was sent comes back, from where it was sent to.
        """
        answer = echoFor(LAYOUTS[version], *question(version, body).buffered())
        assert answer is not None
        self.assertEqual(readMessage(answer), Message(FAR[version], OWN[version], ANSWERED[version], 0, body))

    def test_others(self) -> None:
        """
        No other message has an answer, errors above all.
        """
        for version, layout in LAYOUTS.items():
            for kind in range(256):
                packet, size = Message(OWN[version], FAR[version], kind, 0, bytes(40)).buffered()
                self.assertEqual(echoFor(layout, packet, size) is not None, kind == ASKED[version], kind)
            packet, size = Message(OWN[version], FAR[version], ASKED[version], 1, bytes(4)).buffered()
            self.assertIsNone(echoFor(layout, packet, size))

    def test_cut(self) -> None:
        """
        Of a piece of one nothing is made but where a whole header is there.
        """
        for version, layout in LAYOUTS.items():
            packet, whole = question(version).buffered()
            least = layout.transport + 8
            for size in range(whole):
                self.assertEqual(echoFor(layout, packet, size) is not None, size >= least, size)

    @given(st.binary(max_size=80))
    def test_anything(self, data: bytes) -> None:
        """
        Any bytes at all raise nothing, and no answer is longer than what it answers.
        """
        packet = bytearray(data.ljust(200, b"\0"))
        layout = layoutOf(packet, len(data))
        if layout is not None:
            answer = echoFor(layout, packet, len(data))
            self.assertLessEqual(len(answer or b""), len(data))


class ErrorTests(SynchronousTestCase):
    """
    What is said of datagrams.
    """

    @given(st.sampled_from((4, 6)), st.binary(max_size=99), st.integers(1, 65535))
    def test_both(self, version: int, body: bytes, port: int) -> None:
        """
        It comes from where the datagram was sent to, with the beginning of that.
        """
        layout = LAYOUTS[version]
        packet, size = outwards(version, port, 53, body=body, protocol=17).buffered()
        head = headIn(layout, packet)
        self.assertEqual(head, bytes(packet[VIRTIO:size])[: len(head)])
        self.assertEqual(len(head), {4: 28, 6: 48}[version])
        kind, code = {4: (3, 3), 6: (1, 4)}[version]
        self.assertEqual(
            readMessage(noPortFor(layout, head)),
            Message(FAR[version], OWN[version], kind, code, bytes(4) + head),
        )
        kind, code = {4: (3, 4), 6: (2, 0)}[version]
        self.assertEqual(
            readMessage(tooLongFor(layout, head, 1400)),
            Message(FAR[version], OWN[version], kind, code, struct.pack("!I", 1400) + head),
        )


class AllowanceTests(SynchronousTestCase):
    """
    How many messages there may be.
    """

    def test_limit(self) -> None:
        """
        Some at once, then so many a second; whoever was quiet for long has no more.
        """
        clock = Clock()
        allowance = Allowance(clock.seconds)

        def taken() -> int:
            return sum(allowance.take() for _ in range(2 * BURST))

        self.assertEqual((taken(), taken()), (BURST, 0))
        clock.advance(50 / RATE)
        self.assertAlmostEqual(taken(), 50, delta=1)
        clock.advance(3600)
        self.assertEqual(taken(), BURST)
