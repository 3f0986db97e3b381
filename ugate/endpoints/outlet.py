# -*- test-case-name: ugate.test.test_outlet -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Sends datagrams of a socket to one peer: those of the same size with one call.

To send is most of what a datagram costs, and most of that is the way through the kernel, which several of
the same size take as one (C{UDP_SEGMENT} of Linux).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any, Final

_SOL_UDP: Final = 17
_SEGMENT: Final = 103
_SIZE: Final = Struct("=H")
_NOW: Final = int(socket.MSG_DONTWAIT)

_TOGETHER: Final = 65000
"""Bytes that are sent with one call at most: a little less than a datagram can have."""

_MOST: Final = 64
"""Datagrams that are, as the kernel has it."""


class Outlet:
    """
    See above.

    @ivar tooLong: called when one is longer than can be sent.
    @since: ugate NEXT
    """

    __slots__ = ("_address", "_header", "_largest", "_send", "_sendmsg", "_sendto", "tooLong")

    def __init__(self, by: socket.socket, address: Any = None, header: bytes = b"") -> None:
        """
        @param by: the socket.
        @param address: where to; L{None} if it is connected.
        @param header: what is in front of each.
        """
        self._send = by.send
        self._sendto = by.sendto
        self._sendmsg = by.sendmsg
        self._address = address
        self._header = header
        # Above it they have to be cut, or the kernel cannot do it at all: that is found out.
        self._largest = _TOGETHER
        self.tooLong: Callable[[OSError], object] | None = None

    def post(self, datagrams: Sequence[bytes]) -> int:
        """
        Send them, now or never.

        @return: how many were dropped.
        """
        if len(datagrams) == 1:
            return self._one(datagrams[0])
        dropped = 0
        for run in self._runs(datagrams):
            if len(run) == 1 or not self._together(run):
                for each in run:
                    dropped += self._one(each)
        return dropped

    def _one(self, datagram: bytes) -> int:
        data = self._header + datagram
        try:
            self._now(data)
        except ConnectionRefusedError:
            # That was said of one before.
            try:
                self._now(data)
            except OSError:
                return 1
        except OSError as error:
            if error.errno == errno.EMSGSIZE and self.tooLong is not None:
                self.tooLong(error)
            return 1
        return 0

    def _now(self, data: bytes) -> None:
        if self._address is None:
            self._send(data, _NOW)
        else:
            self._sendto(data, _NOW, self._address)

    def _runs(self, datagrams: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """
        Those that can go together: of one size, but for the last, which may be smaller.
        """
        head, largest = len(self._header), self._largest
        begin, size = 0, len(datagrams[0])
        room = _TOGETHER - size - head
        for number in range(1, len(datagrams)):
            last, this = len(datagrams[number - 1]), len(datagrams[number])
            # An empty one would not be seen behind others.
            fits = last == size and head + this > 0 and this <= size and head + size <= largest
            if not fits or room < this + head or number - begin >= _MOST:
                yield datagrams[begin:number]
                begin, size, room = number, this, _TOGETHER
            room -= this + head
        yield datagrams[begin:]

    def _together(self, run: Sequence[bytes]) -> bool:
        """
        @return: whether they were sent, or there is no room for them.
        """
        header = self._header
        size = len(header) + len(run[0])
        pieces: Sequence[bytes] = run
        if header:
            pieces = [piece for each in run for piece in (header, each)]
        how = [(_SOL_UDP, _SEGMENT, _SIZE.pack(size))]
        try:
            if self._address is None:
                self._sendmsg(pieces, how, _NOW)
            else:
                self._sendmsg(pieces, how, _NOW, self._address)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNREFUSED, errno.ENOBUFS):
                self._largest = min(self._largest, size - 1)
            return False
        return True
