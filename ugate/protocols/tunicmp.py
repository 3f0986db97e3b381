# -*- test-case-name: ugate.test.test_tunicmp -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a TUN device says of packets that go no further, and to whoever asks whether it is there: ICMP (RFC 792,
RFC 4443).  Nothing answers an error, since only a question and a datagram are ever answered.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Final

from ugate.protocols.tunpackets import NO_VIRTIO, VIRTIO, Layout, ipHeader, wordsIn

ICMP_PROTOCOLS: Final = {4: 1, 6: 58}
"""The protocol, by the version of IP."""

RATE: Final = 1000
"""Messages a second that a device sends at most."""

BURST: Final = 200
"""Messages that it sends at once, if it was quiet before."""

_ASKED: Final = {4: 8, 6: 128}
_ANSWERED: Final = {4: 0, 6: 129}
_NO_PORT: Final = {4: (3, 3), 6: (1, 4)}
_TOO_LONG: Final = {4: (3, 4), 6: (2, 0)}
_MESSAGE: Final = 8
_QUOTED: Final = 8


class Allowance:
    """
    How many messages may still be sent: what is asked for by packets must not keep us busy.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._left = float(BURST)
        self._when = seconds()

    def take(self) -> bool:
        """
        @return: whether one may be sent, which then counts.
        """
        now = self._seconds()
        self._left = min(BURST, self._left + max(now - self._when, 0.0) * RATE)
        self._when = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def headIn(layout: Layout, packet: bytes | bytearray) -> bytes:
    """
    What is quoted of a datagram in a message about it.
    """
    return bytes(packet[VIRTIO : layout.transport + _QUOTED])


def _message(layout: Layout, addresses: bytes, kind: int, code: int, rest: bytes) -> bytes:
    """
    @param addresses: from where and to whom.
    @param rest: what is behind the checksum.
    """
    protocol = ICMP_PROTOCOLS[layout.version]
    header = pack("!BBH", kind, code, 0)
    total = wordsIn(header + rest)
    size = len(header) + len(rest)
    if layout.version == 6:
        total += wordsIn(addresses) + protocol + size
    checksum = pack("!H", 65535 - total % 65535)
    return b"".join((NO_VIRTIO, ipHeader(layout, addresses, protocol, size), header[:2], checksum, rest))


def _swapped(layout: Layout, addresses: bytes) -> bytes:
    return addresses[layout.size :] + addresses[: layout.size]


def _addressesIn(layout: Layout, head: bytes) -> bytes:
    return head[layout.key - VIRTIO :][: 2 * layout.size]


def echoFor(layout: Layout, packet: bytearray, size: int) -> bytes | None:
    """
    The answer to whoever asks whether an address is there.

    @return: L{None} if a packet is no such question.
    """
    at = layout.transport
    if size < at + _MESSAGE or packet[at] != _ASKED[layout.version] or packet[at + 1]:
        return None
    addresses = bytes(packet[layout.key : layout.key + 2 * layout.size])
    rest = bytes(packet[at + 4 : size])
    return _message(layout, _swapped(layout, addresses), _ANSWERED[layout.version], 0, rest)


def noPortFor(layout: Layout, head: bytes) -> bytes:
    """
    Says to who sent a datagram that nobody takes it where it was to go.

    @param head: what L{headIn} has of it.
    """
    kind, code = _NO_PORT[layout.version]
    back = _swapped(layout, _addressesIn(layout, head))
    return _message(layout, back, kind, code, bytes(4) + head)


def tooLongFor(layout: Layout, head: bytes, most: int) -> bytes:
    """
    Says to who sent a datagram that it was too long to go on.

    @param head: what L{headIn} has of it.
    @param most: how long its packet may be.
    """
    kind, code = _TOO_LONG[layout.version]
    back = _swapped(layout, _addressesIn(layout, head))
    return _message(layout, back, kind, code, pack("!I", most) + head)
