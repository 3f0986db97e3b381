# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tunpackets}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.tunpackets import (
    ACK,
    FIN,
    IPV4,
    IPV6,
    RST,
    SYN,
    VIRTIO,
    Layout,
    Rewriting,
    datagramIn,
    datagramPacket,
    layoutOf,
    resetFor,
    reversedKey,
)
from ugate.test.tunfakes import FAR, OWN, Segment, outwards, packed, read

LAYOUTS = {4: IPV4, 6: IPV6}
VERSIONS = st.sampled_from((4, 6))
PORTS = st.integers(1, 65535)


def keyOf(layout: Layout, packet: bytearray) -> bytes:
    """
    Whose a packet is.
    """
    return bytes(packet[layout.key : layout.transport + 4])


def addresses(version: int) -> st.SearchStrategy[bytes]:
    """
    Any addresses.
    """
    return st.binary(min_size=LAYOUTS[version].size, max_size=LAYOUTS[version].size)


class RewritingTests(SynchronousTestCase):
    """
    Other addresses in packets, whose checksums stay right.
    """

    @given(st.data(), VERSIONS, st.booleans(), st.binary(max_size=99))
    def test_any(self, data: st.DataObject, version: int, partial: bool, body: bytes) -> None:
        """
        Any to any, whether the checksum is whole or half done.
        """
        layout = LAYOUTS[version]
        segment = outwards(version, data.draw(PORTS), data.draw(PORTS), flags=ACK, body=body)
        packet, size = segment.buffered(partial)
        old = keyOf(layout, packet)
        new = (
            data.draw(addresses(version))
            + data.draw(addresses(version))
            + data.draw(st.binary(min_size=4, max_size=4))
        )
        Rewriting(layout, old, new).apply(packet)
        self.assertEqual(keyOf(layout, packet), new)
        self.assertEqual(read(bytes(packet[:size])).body, body)
        Rewriting(layout, new, old).apply(packet)
        self.assertEqual(read(bytes(packet[:size])), segment)
        self.assertEqual(packet[size], 0xAA)

    def test_reversed(self) -> None:
        """
        The key of the answers.
        """
        for version, layout in LAYOUTS.items():
            segment = outwards(version)
            back = Segment(FAR[version], 80, OWN[version], 40000)
            self.assertEqual(
                reversedKey(keyOf(layout, segment.buffered()[0])), keyOf(layout, back.buffered()[0])
            )


class LayoutTests(SynchronousTestCase):
    """
    What packets there are.
    """

    def test_known(self) -> None:
        """
        Both versions of IP.
        """
        for version, layout in LAYOUTS.items():
            packet, size = outwards(version).buffered()
            self.assertIs(layoutOf(packet, size), layout)
            self.assertEqual(packet[layout.protocol], 6)

    def test_unknown(self) -> None:
        """
        Fragments, options and other protocols are none of ours; nor is what is too short.
        """
        for at, value in ((6, 0x20), (6, 0x01), (7, 0x01), (0, 0x46), (0, 0x00), (0, 0x55)):
            packet, size = outwards(4).buffered()
            packet[VIRTIO + at] = value
            self.assertIsNone(layoutOf(packet, size), (at, value))
        for version, least in ((4, 28), (6, 48)):
            packet, _ = outwards(version).buffered()
            for size in range(VIRTIO + least):
                self.assertIsNone(layoutOf(packet, size))
            self.assertIsNotNone(layoutOf(packet, VIRTIO + least))

    @given(st.binary(max_size=80))
    def test_anything(self, data: bytes) -> None:
        """
        Any bytes at all raise nothing.
        """
        packet = bytearray(data.ljust(200, b"\0"))
        layout = layoutOf(packet, len(data))
        if layout is not None:
            resetFor(layout, packet, len(data))
            datagramIn(layout, packet, len(data))


class ResetTests(SynchronousTestCase):
    """
    How it is said that nobody is there.
    """

    def reset(self, segment: Segment, version: int) -> Segment | None:
        """
        The answer to one.
        """
        answer = resetFor(LAYOUTS[version], *segment.buffered())
        return None if answer is None else read(answer)

    def test_begin(self) -> None:
        """
        A SYN counts as a byte, and a FIN; and so do those that are carried.
        """
        for version in LAYOUTS:
            for flags, body, more in ((SYN, b"", 1), (FIN, b"ab", 3), (0, b"abc", 3)):
                segment = outwards(version, flags=flags, body=body)
                self.assertEqual(
                    self.reset(segment, version),
                    Segment(FAR[version], 80, OWN[version], 40000, RST | ACK, b"", 0, 1000 + more),
                )

    def test_later(self) -> None:
        """
        What acknowledges something is answered from there on.
        """
        for version in LAYOUTS:
            segment = outwards(version, flags=ACK, body=b"x", acknowledged=77)
            self.assertEqual(
                self.reset(segment, version), Segment(FAR[version], 80, OWN[version], 40000, RST, b"", 77, 0)
            )

    def test_none(self) -> None:
        """
        A reset has no answer, and a piece of a header none either.
        """
        self.assertIsNone(self.reset(outwards(flags=RST), 4))
        packet, size = outwards().buffered()
        self.assertIsNone(resetFor(IPV4, packet, size - 1))


class DatagramTests(SynchronousTestCase):
    """
    UDP.
    """

    @given(VERSIONS, st.binary(max_size=99), PORTS, PORTS)
    def test_bothWays(self, version: int, body: bytes, sport: int, dport: int) -> None:
        """
        What is made can be read, by others and by us.
        """
        layout = LAYOUTS[version]
        key = (
            packed(OWN[version]) + packed(FAR[version]) + sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
        )
        packet = datagramPacket(layout, key, body)
        self.assertEqual(read(packet), Segment(OWN[version], sport, FAR[version], dport, 0, body, 0, 0, 17))
        self.assertEqual(datagramIn(layout, bytearray(packet), len(packet)), body)

    def test_cut(self) -> None:
        """
        One that is not whole is none.
        """
        packet, size = outwards(protocol=17, body=b"hello").buffered()
        self.assertEqual(datagramIn(IPV4, packet, size), b"hello")
        self.assertIsNone(datagramIn(IPV4, packet, size - 1))
        packet[IPV4.transport + 5] = 7
        self.assertIsNone(datagramIn(IPV4, packet, size))
