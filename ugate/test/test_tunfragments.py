# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tunfragments}.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.tunfragments import LIFE, MOST, Fragments, inParts
from ugate.protocols.tunpackets import (
    IPV4,
    IPV6,
    LARGEST,
    VIRTIO,
    datagramIn,
    datagramPacket,
    finished,
    layoutOf,
)
from ugate.test.tunfakes import checksum, outwards, read

BODY = bytes(range(250)) * 20
VERSIONS = st.sampled_from((4, 6))


def partsOf(
    version: int, body: bytes, cuts: list[int], number: int = 1, protocol: int = 17, packet: bytes = b""
) -> list[bytes]:
    """
    The packets of one datagram.

    @param cuts: where it is cut, in units of 8 bytes.
    @param packet: it, if it is no datagram.
    """
    packet = packet or outwards(version, 40000, 53, body=body, protocol=protocol).toBytes()
    at = VIRTIO + (20 if version == 4 else 40)
    head, rest = packet[:at], packet[at:]
    edges = [0, *(8 * each for each in sorted(set(cuts)) if 0 < 8 * each < len(rest)), len(rest)]
    found = []
    for start, end in pairwise(edges):
        more = end < len(rest)
        if version == 4:
            where = (start // 8 | 0x2000 * more).to_bytes(2, "big")
            own = head[: VIRTIO + 4] + number.to_bytes(2, "big") + where + head[VIRTIO + 8 :]
        else:
            where = (start | more).to_bytes(2, "big")
            own = head[: VIRTIO + 6] + b"\x2c" + head[VIRTIO + 7 :] + bytes((protocol, 0)) + where
            own += number.to_bytes(4, "big")
        found.append(own + rest[start:end])
    return found


class PartsTests(SynchronousTestCase):
    """
    L{inParts}.
    """

    @given(
        st.sampled_from((4, 6)),
        st.binary(min_size=1, max_size=200),
        st.integers(1, 30),
        st.integers(1280, 3000),
    )
    def test_any(self, version: int, body: bytes, times: int, most: int) -> None:
        """
        Each is as long as it may be at most, by the letter of the RFCs; and together they are what they were.
        """
        layout = {4: IPV4, 6: IPV6}[version]
        segment = outwards(version, 40000, 53, flags=0, body=body * times, protocol=17)
        key = bytes(segment.buffered()[0][layout.key : layout.transport + 4])
        packet = datagramPacket(layout, key, segment.body)
        parts = inParts(packet, most, 7)
        fragments, found = Fragments(Clock().seconds), None
        for number, part in enumerate(parts, 1):
            self.assertLessEqual(len(part), VIRTIO + most)
            self.assertEqual(part[:VIRTIO], bytes(VIRTIO))
            if version == 4:
                self.assertEqual(checksum(part[VIRTIO : VIRTIO + 20]), 0)
                size = int.from_bytes(part[VIRTIO + 2 : VIRTIO + 4], "big")
            else:
                size = 40 + int.from_bytes(part[VIRTIO + 4 : VIRTIO + 6], "big")
            self.assertEqual(size, len(part) - VIRTIO)
            buffered = bytearray(part.ljust(LARGEST, b"\xaa"))
            found = fragments.add(buffered, len(part))
            self.assertEqual(found is not None, number == len(parts))
        assert found is not None
        expected = finished(packet)
        self.assertEqual(read(expected).body, segment.body)
        self.assertEqual(found[layout.transport :], expected[layout.transport :])


class FragmentsTests(SynchronousTestCase):
    """
    L{Fragments}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.fragments = Fragments(self.clock.seconds)

    def give(self, *packets: bytes) -> list[bytes | None]:
        """
        Packets, of which none can be read by itself.

        @return: the datagrams that came of them.
        """
        found = []
        for each in packets:
            packet = bytearray(each.ljust(LARGEST, b"\xaa"))
            self.assertIsNone(layoutOf(packet, len(each)))
            whole = self.fragments.add(packet, len(each))
            if whole is not None:
                layout = layoutOf(whole, len(whole))
                assert layout is not None
                self.assertEqual(whole[layout.key : layout.transport + 4][-4:], b"\x9c\x40\0\x35")
                found.append(datagramIn(layout, whole, len(whole)))
        return found

    @given(st.sampled_from((4, 6)), st.lists(st.integers(1, 600), min_size=1, max_size=9), st.randoms())
    def test_anyOrder(self, version: int, cuts: list[int], chance: object) -> None:
        """
        Whatever the parts and their order, it is whole with the last of them.
        """
        parts = partsOf(version, BODY, cuts)
        chance.shuffle(parts)  # type: ignore[attr-defined]
        self.assertEqual(self.give(*parts[:-1]), [])
        self.assertEqual((self.give(parts[-1]), len(self.fragments)), ([BODY], 0))

    def test_apart(self) -> None:
        """
        Two at once are two.
        """
        for version in (4, 6):
            one, two = (partsOf(version, bytes((each,)) * 99, [5], each) for each in (1, 2))
            self.assertEqual(self.give(one[0], two[1], two[0], one[1]), [b"\2" * 99, b"\1" * 99])

    def test_overlapping(self) -> None:
        """
        What overlaps, comes twice, or is too much is nothing.
        """
        for version in (4, 6):
            whole, other = partsOf(version, BODY, [100, 200, 300]), partsOf(version, BODY, [90, 210])
            self.assertEqual(self.give(whole[0], other[1], *whole[2:]), [])
            self.assertEqual(self.give(whole[3], whole[3]), [])
            self.assertEqual(self.give(whole[2], whole[0], partsOf(version, BODY[:900], [100])[1]), [])
            self.assertEqual(len(self.fragments), 0)

    def test_others(self) -> None:
        """
        What is of no datagram, is cut where it cannot be, or has nothing in it is not kept.
        """
        for version in (4, 6):
            self.give(*partsOf(version, BODY, [100], protocol=6))
            first, last = partsOf(version, BODY, [100])
            self.give(first[:-1], last[: (IPV4 if version == 4 else IPV6).transport + 8 * (version == 6)])
        self.assertIsNone(self.fragments.add(bytearray(LARGEST), 60))
        self.assertEqual(len(self.fragments), 0)

    def test_late(self) -> None:
        """
        What takes too long is not waited for.
        """
        first, last = partsOf(4, BODY, [100])
        self.give(first)
        self.clock.advance(LIFE + 0.1)
        self.assertEqual(self.give(last), [])
        self.assertEqual(self.give(first), [BODY])

    def test_most(self) -> None:
        """
        With too many at once the oldest is given up.
        """
        for number in range(MOST + 1):
            self.give(partsOf(4, BODY, [100], number)[0])
        self.assertEqual(len(self.fragments), MOST)
        lasts = [partsOf(4, BODY, [100], number)[1] for number in (MOST, 1)]
        self.assertEqual(self.give(*lasts), [BODY, BODY])
        self.assertEqual(self.give(partsOf(4, BODY, [100], 0)[1]), [])
