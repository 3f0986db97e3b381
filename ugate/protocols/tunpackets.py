# -*- test-case-name: ugate.test.test_tunpackets -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
IP packets of a TUN device, as its descriptor gives and takes them: behind the header of virtio, which says
what the kernel has left undone of a checksum, and how long the segments are that it has not yet made.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, pack, unpack
from typing import Final

VIRTIO: Final = 10
"""Bytes of that header."""

NO_VIRTIO: Final = bytes(VIRTIO)
"""It, for a packet with nothing left undone."""

LARGEST: Final = VIRTIO + 65535 + 40
"""Bytes of any packet with it."""

TCP_PROTOCOL: Final = 6
UDP_PROTOCOL: Final = 17
FRAGMENT: Final = 44
"""The protocols that packets can have; the last one is that of parts of a packet of IPv6."""

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
ACK: Final = 16

_NEEDS_CHECKSUM: Final = 1
_VIRTIO: Final = Struct("=BBHHHH")
_UDP_HEADER: Final = 8
_UDP_CHECKSUM: Final = 6
_TTL: Final = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Where things are in the packets of one version of IP.
    """

    version: int
    """4 or 6."""

    size: int
    """Bytes of an address."""

    protocol: int
    """Where the number of the protocol is."""

    key: int
    """Where the two addresses begin; the ports follow at once, and these 4 parts say whose a packet is."""

    transport: int
    """Where the header of TCP or UDP begins."""

    @property
    def ports(self) -> slice:
        """
        Where the ports are.
        """
        return slice(self.transport, self.transport + 4)


IPV4: Final = Layout(4, 4, VIRTIO + 9, VIRTIO + 12, VIRTIO + 20)
IPV6: Final = Layout(6, 16, VIRTIO + 6, VIRTIO + 8, VIRTIO + 40)


def layoutOf(packet: bytearray, size: int) -> Layout | None:
    """
    How a packet is to be read.

    @param size: how many bytes of it there are.
    @return: L{None} if it is none that can be: a fragment, one with options, or no IP.
    """
    if size < VIRTIO + 28:
        return None
    first = packet[VIRTIO]
    if first == 0x45:
        # More fragments, or not the first one.
        return None if packet[VIRTIO + 6] & 0x3F or packet[VIRTIO + 7] else IPV4
    return IPV6 if first >> 4 == 6 and packet[IPV6.protocol] != FRAGMENT and size >= VIRTIO + 48 else None


def wordsIn(data: bytes) -> int:
    """
    The sum of the 16-bit words, as checksums have it (RFC 1071): below 65535.
    """
    if len(data) % 2:
        data += b"\0"
    words: tuple[int, ...] = unpack(f"!{len(data) // 2}H", data)
    return sum(words) % 65535


def reversedKey(key: bytes) -> bytes:
    """
    The key of packets the other way.
    """
    size = (len(key) - 4) // 2
    return key[size : 2 * size] + key[:size] + key[-2:] + key[-4:-2]


class Rewriting:
    """
    What is written over the addresses and ports of packets, and what that changes in their checksums
    (RFC 1624): no byte of what they carry is looked at.

    @ivar old: the key that they come with.
    """

    __slots__ = ("_addresses", "_all", "_end", "_isV4", "_new", "_start", "_sum", "old")

    def __init__(self, layout: Layout, old: bytes, new: bytes) -> None:
        """
        @param old: the key that they come with.
        @param new: the key that they get.
        """
        self.old = old
        self._new = new
        self._isV4 = layout.version == 4
        self._start, self._end = layout.key, layout.key + len(new)
        self._sum = layout.transport + 16
        self._all = (wordsIn(new) - wordsIn(old)) % 65535
        self._addresses = (wordsIn(new[:-4]) - wordsIn(old[:-4])) % 65535

    def apply(self, packet: bytearray) -> None:
        """
        Change a packet of TCP.
        """
        packet[self._start : self._end] = self._new
        at = self._sum
        found = packet[at] << 8 | packet[at + 1]
        if packet[0] & _NEEDS_CHECKSUM:
            # Only the addresses are in it so far, and it is not yet inverted.
            found = (found + self._addresses) % 65535
        else:
            found = (found - self._all) % 65535
        packet[at] = found >> 8
        packet[at + 1] = found & 255
        if self._isV4:
            found = ((packet[VIRTIO + 10] << 8 | packet[VIRTIO + 11]) - self._addresses) % 65535
            packet[VIRTIO + 10] = found >> 8
            packet[VIRTIO + 11] = found & 255


def ipHeader(layout: Layout, addresses: bytes, protocol: int, size: int) -> bytes:
    """
    The header of a packet.

    @param addresses: from where and to whom.
    @param size: bytes behind it.
    """
    if layout.version == 6:
        return pack("!IHBB", 0x60000000, size, protocol, _TTL) + addresses
    header = pack("!HHHHBBH", 0x4500, size + 20, 0, 0x4000, _TTL, protocol, 0) + addresses
    return header[:10] + pack("!H", 65535 - wordsIn(header)) + header[12:]


def resetFor(layout: Layout, packet: bytearray, size: int) -> bytes | None:
    """
    The RST that a segment of TCP is answered with which belongs nowhere (RFC 9293, 3.10.7.1).

    @return: L{None} if there is none.
    """
    at = layout.transport
    if size < at + 20:
        return None
    key = bytes(packet[layout.key : at + 4])
    flags = packet[at + 13]
    if flags & RST:
        return None
    sequence, acknowledged = unpack("!II", packet[at + 4 : at + 12])
    if flags & ACK:
        sequence, acknowledged, answer = acknowledged, 0, RST
    else:
        carried = size - at - 4 * (packet[at + 12] >> 4)
        more = max(carried, 0) + bool(flags & SYN) + bool(flags & FIN)
        sequence, acknowledged, answer = 0, (sequence + more) & 0xFFFFFFFF, RST | ACK
    back = reversedKey(key)
    header = back[-4:] + pack("!IIBBHHH", sequence, acknowledged, 0x50, answer, 0, 0, 0)
    total = wordsIn(back[:-4]) + wordsIn(header) + TCP_PROTOCOL + len(header)
    header = header[:16] + pack("!H", 65535 - total % 65535) + header[18:]
    return NO_VIRTIO + ipHeader(layout, back[:-4], TCP_PROTOCOL, len(header)) + header


def datagramIn(layout: Layout, packet: bytearray, size: int) -> bytes | None:
    """
    What a packet of UDP carries.

    @return: L{None} if it is not whole.
    """
    at = layout.transport
    length: int = packet[at + 4] << 8 | packet[at + 5]
    return bytes(packet[at + _UDP_HEADER : at + length]) if _UDP_HEADER <= length <= size - at else None


def datagramPacket(layout: Layout, key: bytes, carried: bytes) -> bytes:
    """
    A packet of UDP.  Its checksum is left to the kernel, as that does it with its own.

    @param key: whose it is.
    """
    length = _UDP_HEADER + len(carried)
    virtio = _VIRTIO.pack(_NEEDS_CHECKSUM, 0, 0, 0, layout.transport - VIRTIO, _UDP_CHECKSUM)
    addresses = (wordsIn(key[:-4]) + UDP_PROTOCOL + length) % 65535
    header = key[-4:] + pack("!HH", length, addresses)
    return b"".join((virtio, ipHeader(layout, key[:-4], UDP_PROTOCOL, length), header, carried))


def finished(packet: bytes) -> bytes:
    """
    A packet of ours with all of its checksum.
    """
    needs, _, _, _, start, offset = _VIRTIO.unpack_from(packet)
    if not needs & _NEEDS_CHECKSUM:
        return packet
    at = VIRTIO + start + offset
    found = 65535 - wordsIn(packet[VIRTIO + start :])
    return NO_VIRTIO + packet[VIRTIO:at] + pack("!H", found) + packet[at + 2 :]
