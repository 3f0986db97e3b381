# -*- test-case-name: ugate.test.test_dnsframes -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Messages of the DNS on a stream, each with its size before it (RFC 7766).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ugate.errors import ProtocolError

_SIZE: Final = 2
_LEAST: Final = 12


def framed(message: bytes) -> bytes:
    """
    A message as it is sent on a stream.

    @since: ugate NEXT
    """
    return len(message).to_bytes(_SIZE, "big") + message


class Frames:
    """
    What comes on a stream, message by message.  No more is kept than the part of one that is not yet whole.

    @since: ugate NEXT
    """

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def receive(self, data: bytes) -> Iterator[bytes]:
        """
        More has come.

        @return: the messages that are whole now; all of them have to be taken.
        @raise ProtocolError: there can be none of such a size.
        """
        held = self._data
        held += data
        begin = 0
        try:
            while len(held) - begin >= _SIZE:
                size = int.from_bytes(held[begin : begin + _SIZE], "big")
                if size < _LEAST:
                    raise ProtocolError(f"a message of {size} bytes")
                end = begin + _SIZE + size
                if len(held) < end:
                    return
                message = bytes(held[begin + _SIZE : end])
                begin = end
                yield message
        finally:
            del held[:begin]
