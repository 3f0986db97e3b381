# -*- test-case-name: ugate.test.test_tunfragments -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams, and questions of C{ping}, that are longer than packets may be, so that several are made of each
(RFC 791, 3.2; RFC 8200, 4.5): those of the kernel are put together, and ours are taken apart.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Final

from ugate.protocols.tunicmp import ICMP_PROTOCOLS
from ugate.protocols.tunpackets import FRAGMENT, NO_VIRTIO, UDP_PROTOCOL, VIRTIO, finished, wordsIn

MOST: Final = 64
"""Datagrams of which some parts are there; for one more, the oldest is given up."""

LIFE: Final = 15.0
"""Seconds in which all parts of a datagram have to come."""

_LONGEST: Final = 65535
_PROTOCOLS: Final = (UDP_PROTOCOL, *ICMP_PROTOCOLS.values())


def inParts(packet: bytes, most: int, number: int) -> list[bytes]:
    """
    A packet that we made, as several.

    @param most: how many bytes each of them may have.
    @param number: which tells those of one packet from others.
    """
    packet = finished(packet)
    isV4 = packet[VIRTIO] >> 4 == 4
    at = VIRTIO + (20 if isV4 else 40)
    head, rest = packet[VIRTIO:at], packet[at:]
    room = (most - (20 if isV4 else 48)) // 8 * 8
    parts = []
    for start in range(0, len(rest), room):
        part = rest[start : start + room]
        more = start + room < len(rest)
        if isV4:
            where = pack("!HHH", 20 + len(part), number & 0xFFFF, start >> 3 | more << 13)
            own = head[:2] + where + head[8:10] + b"\0\0" + head[12:]
            own = own[:10] + pack("!H", 65535 - wordsIn(own)) + own[12:]
        else:
            where = pack("!BBHI", head[6], 0, start | more, number & 0xFFFFFFFF)
            own = head[:4] + pack("!HB", 8 + len(part), FRAGMENT) + head[7:] + where
        parts.append(NO_VIRTIO + own + part)
    return parts


class _Datagram:
    """
    The parts of one.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.parts: dict[int, bytes] = {}
        self.size = 0
        self.end = _LONGEST


def _joined(head: bytearray, found: _Datagram) -> bytearray | None:
    whole, size = head, len(head)
    for start, part in sorted(found.parts.items()):
        if start != len(whole) - size:
            # They overlap, or more came than there is: nobody knows what was meant.
            return None
        whole += part
    return whole if len(whole) - size == found.end else None


class Fragments:
    """
    The parts that have come so far.

    @since: ugate NEXT
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._begun: dict[bytes, _Datagram] = {}

    def __len__(self) -> int:
        return len(self._begun)

    def add(self, packet: bytearray, size: int) -> bytearray | None:
        """
        Take a packet that cannot be read by itself.

        @return: one as if all had come at once, but for the lengths that IP has, if this is the last part of
            a datagram.
        """
        if packet[VIRTIO] == 0x45:
            at, protocol = VIRTIO + 20, packet[VIRTIO + 9]
            where = packet[VIRTIO + 6] << 8 | packet[VIRTIO + 7]
            start, more = (where & 0x1FFF) * 8, where & 0x2000
            key = bytes(packet[VIRTIO + 4 : VIRTIO + 6] + packet[VIRTIO + 12 : at])
            head = packet[:at]
            head[VIRTIO + 6 : VIRTIO + 8] = b"\0\0"
        elif packet[VIRTIO] >> 4 == 6 and packet[VIRTIO + 6] == FRAGMENT:
            at, protocol = VIRTIO + 48, packet[VIRTIO + 40]
            where = packet[VIRTIO + 42] << 8 | packet[VIRTIO + 43]
            start, more = where & 0xFFF8, where & 1
            key = bytes(packet[VIRTIO + 44 : at] + packet[VIRTIO + 8 : VIRTIO + 40])
            head = packet[: VIRTIO + 40]
            head[VIRTIO + 6] = protocol
        else:
            return None
        part = bytes(packet[at:size])
        if protocol not in _PROTOCOLS or not part or (more and len(part) % 8):
            return None
        found = self._begin(key)
        # What comes twice is taken for too much.
        found.size += _LONGEST if start in found.parts else len(part)
        found.parts[start] = part
        if not more:
            found.end = start + len(part)
        if found.size < found.end:
            return None
        del self._begun[key]
        return _joined(head, found)

    def _begin(self, key: bytes) -> _Datagram:
        now, begun = self._seconds(), self._begun
        found = begun.get(key)
        if found is not None and now - found.began <= LIFE:
            return found
        begun.pop(key, None)
        if len(begun) >= MOST:
            del begun[next(iter(begun))]
        begun[key] = found = _Datagram(now)
        return found
