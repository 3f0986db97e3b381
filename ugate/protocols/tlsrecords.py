# -*- test-case-name: ugate.test.test_tlsrecords -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The records of a TLS connection: much at once, from memory and to memory.

pyOpenSSL makes an object of each record, and an exception of each end of what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_DONE

from ugate.protocols.tlsalerts import TLSLost, alertOf, refusalBy

RECORD: Final = 16384
"""Bytes that are in a record at most (RFC 8446, 5.1)."""

MUCH: Final = 16 * RECORD
"""Bytes that are encrypted at once, or decrypted."""

ANSWERS: Final = 65536
"""Bytes that OpenSSL may answer of itself, as to new keys, and one more for each C{ANSWERED} received:
nothing else holds them up when the peer does not read."""

ANSWERED: Final = 16
"""Bytes received."""

MOST: Final = MUCH + RECORD
"""Bytes that are encrypted before they are sent."""

_ROOM: Final = MOST + 4096
"""The same with the heads of all records, and what is behind each."""

_WANT_READ: Final = 2
_ZERO_RETURN: Final = 6


class Records:
    """
    Encrypts and decrypts.

    @ivar over: how it ended, once it has: L{ConnectionDone<twisted.internet.error.ConnectionDone>}, if the
        peer has said that it sends no more.
    @since: ugate NEXT
    """

    __slots__ = ("_allocate", "_answers", "_connection", "_ffi", "_hop", "_lib", "_room", "_ssl", "over")

    def __init__(self, connection: Any, hop: str = "") -> None:
        """
        @param connection: what L{canLeave<ugate.protocols.tlsmemory.canLeave>}, after its handshake.
        @param hop: what the peer is, if it may refuse us: a server.
        """
        from OpenSSL._util import ffi, lib

        self._connection = connection
        self._ssl = connection._ssl
        self._hop = hop
        self._ffi, self._lib = ffi, lib
        # To clear what is written to at once takes as long as much of what is done with it.
        self._allocate = ffi.new_allocator(should_clear_after_alloc=False)
        self._answers = ANSWERS
        self._room: Any = None
        self.over: BaseException | None = None
        # A call then makes all records of what it is given, and not the first of them.
        lib.SSL_clear_mode(self._ssl, lib.SSL_MODE_ENABLE_PARTIAL_WRITE)

    def receive(self, connected: Any) -> int:
        """
        Take what a socket has.

        @return: how many bytes; 0 at its end.
        @raise OSError: it has nothing, or broke.
        """
        room = self._allocate("char[]", MUCH)
        count: int = connected.recv_into(self._ffi.buffer(room))
        if count:
            lib, connection = self._lib, self._connection
            # All that was in the one before has been taken out of it, and a record that is not whole, too.
            source = lib.BIO_new_mem_buf(room, count)
            lib.BIO_set_mem_eof_return(source, -1)
            lib.SSL_set_bio(self._ssl, source, connection._from_ssl)
            connection._into_ssl, self._room = source, room
            self._answers += count // ANSWERED
        return count

    def read(self) -> memoryview:
        """
        What came for us; nothing, if more has to come first, or it is C{over}.
        """
        if self.over is not None:
            return memoryview(b"")
        ssl, read = self._ssl, self._lib.SSL_read
        room = self._allocate("char[]", MOST)
        have = 0
        self._lib.ERR_clear_error()
        while have < MOST:
            count = read(ssl, room + have, MOST - have)
            if count <= 0:
                self.over = self._fault(count)
                break
            have += count
        return memoryview(self._ffi.buffer(room, have))

    def write(self, data: bytes | memoryview) -> None:
        """
        Encrypt something, no more than L{MUCH}; L{out} has it then.
        """
        self._seal(self._ffi.from_buffer(data), len(data))

    def take(self, connected: Any, most: int, gap: int, head: Callable[[int], bytes]) -> int:
        """
        Encrypt what a socket has, with something before it.

        @param most: how much, no more than L{MUCH} together with the head.
        @param gap: how long the head is.
        @param head: makes it, from how much there is.
        @return: how many bytes; 0 at the end of the socket.
        @raise OSError: it has nothing, or broke.
        """
        room = self._allocate("char[]", gap + most)
        size: int = connected.recv_into(self._ffi.buffer(room + gap, most))
        if size:
            self._ffi.memmove(room, head(size), gap)
            self._seal(room, gap + size)
        return size

    def _seal(self, start: Any, size: int) -> None:
        self._lib.ERR_clear_error()
        if self._lib.SSL_write(self._ssl, start, size) <= 0:
            # It is over, as who reads is told.
            self._lib.ERR_clear_error()

    def end(self) -> None:
        """
        Say that no more is sent (RFC 8446, 6.1).
        """
        self._lib.ERR_clear_error()
        if self._lib.SSL_shutdown(self._ssl) < 0:
            self._lib.ERR_clear_error()

    def out(self) -> memoryview:
        """
        What is to be sent.
        """
        room = self._allocate("char[]", _ROOM)
        count = self._lib.BIO_read(self._connection._from_ssl, room, _ROOM)
        return memoryview(self._ffi.buffer(room, max(0, count)))

    def answer(self) -> memoryview:
        """
        What is to be sent before anything was written since L{read}: it is C{over} if that is too much.
        """
        answer = self.out()
        self._answers -= len(answer)
        if self._answers < 0:
            self.over = ConnectionLost("TLS: it wants new keys too often")
        return answer

    def _fault(self, result: int) -> BaseException | None:
        """
        Why nothing more was read.

        @return: L{None} if more has to come first.
        """
        code = self._lib.SSL_get_error(self._ssl, result)
        if code == _WANT_READ:
            return None
        if code == _ZERO_RETURN:
            return CONNECTION_DONE
        said = self._lib.ERR_reason_error_string(self._lib.ERR_peek_error())
        words: str = self._ffi.string(said).decode() if said else ""
        # Others would take it for theirs.
        self._lib.ERR_clear_error()
        alert = alertOf(words)
        return refusalBy(alert, self._hop) if alert and self._hop else TLSLost(words)
