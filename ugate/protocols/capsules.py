# -*- test-case-name: ugate.test.test_capsules -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams in a stream of bytes: the DATAGRAM capsules of RFC 9297, with the context IDs of RFC 9298.
"""

from __future__ import annotations

from typing import Final

from ugate.errors import ProtocolError

LARGEST: Final = 65527
"""Bytes of the largest datagram that UDP has."""

_DATAGRAM: Final = 0
_LONGEST_ID: Final = 8
_ONE: Final = 0x40
_TWO: Final = 0x4000
_FOUR: Final = 0x8000_0000
_CONTEXT: Final = 0
"""The context ID of the payload of a datagram of UDP."""


def capsule(datagram: bytes) -> bytes:
    """
    A datagram as it is carried.

    @since: ugate NEXT
    """
    size = len(datagram) + 1
    if size < _ONE:
        return b"\0%c\0%b" % (size, datagram)
    if size < _TWO:
        return b"\0%b\0%b" % ((_TWO | size).to_bytes(2, "big"), datagram)
    return b"\0%b\0%b" % ((_FOUR | size).to_bytes(4, "big"), datagram)


class Capsules:
    """
    Takes datagrams out of bytes.  Capsules of other types are skipped, and so are datagrams with other
    contexts: both are for extensions that nobody has agreed on.

    @since: ugate NEXT
    """

    __slots__ = ("_held", "_needed", "_skipped")

    def __init__(self) -> None:
        self._held = bytearray()
        self._needed = 0
        """How many bytes there have to be before there is anything to see."""
        self._skipped = 0
        """How many of the next bytes nobody wants."""

    def receive(self, data: bytes) -> list[bytes]:
        """
        Take more bytes.

        @return: the datagrams that are complete with them.
        @raise ProtocolError: one would be larger than there are.
        """
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        found: list[bytes] = []
        at, end = self._skip(0, len(data)), len(data)
        while at < end:
            kind, start = _number(data, at)
            size, start = _number(data, start)
            if start < 0:
                self._hold(data, at, 0)
                break
            if kind != _DATAGRAM:
                self._skipped = size
                at = self._skip(start, end)
                continue
            if size > LARGEST + _LONGEST_ID:
                raise ProtocolError(f"a datagram of {size} bytes: UDP has at most {LARGEST}")
            if start + size > end:
                self._hold(data, at, start + size - at)
                break
            at = start + size
            self._take(data, start, at, found)
        return found

    def _skip(self, at: int, end: int) -> int:
        skipped = min(self._skipped, end - at)
        self._skipped -= skipped
        return at + skipped

    def _hold(self, data: bytes, at: int, needed: int) -> None:
        self._held += memoryview(data)[at:]
        self._needed = needed

    def _take(self, data: bytes, start: int, end: int, found: list[bytes]) -> None:
        """
        One datagram with its context is complete.
        """
        if start < end and data[start] == _CONTEXT:
            start += 1
        else:
            context, start = _number(data[:end], start)
            if context or start < 0:
                # Not ours, or nothing at all.
                return
        if end - start > LARGEST:
            raise ProtocolError(f"a datagram of {end - start} bytes: UDP has at most {LARGEST}")
        found.append(data[start:end])


def _number(data: bytes, at: int) -> tuple[int, int]:
    """
    A number as QUIC has them (RFC 9000, 16), and where it ends: -1 if there is more to come.
    """
    if at < 0 or at >= len(data):
        return 0, -1
    first = data[at]
    if first < _ONE:
        return first, at + 1
    end = at + (1 << (first >> 6))
    if end > len(data):
        return 0, -1
    return int.from_bytes(data[at:end], "big") & ((1 << (8 * (end - at) - 2)) - 1), end
