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

_WHOLE: Final = RECORD + 22
"""A record with its head, and with what TLS 1.3 has behind it."""

_LITTLE: Final = 2 * _WHOLE
"""Bytes that are received at once, as long as no more comes."""

_SMALL: Final = _WHOLE + _LITTLE
_LARGE: Final = MOST + 2 * _WHOLE
"""Sizes of memory: what is decrypted, or encrypted, of the most that is allowed."""

_PATIENCE: Final = 64
"""How often little is wanted until memory for much is given back."""

_WANT_READ: Final = 2
_ZERO_RETURN: Final = 6


class _Room:
    """
    Memory that is used again and again: to have the kernel find some each time takes longer than to decrypt.
    """

    __slots__ = ("_allocate", "_left", "_size", "_start")

    def __init__(self, allocate: Any) -> None:
        self._allocate = allocate
        self._left = self._size = 0
        self._start: Any = None

    def of(self, size: int) -> Any:
        """
        Memory for so many bytes, no more than C{_LARGE}.  What was in it is gone.
        """
        if size > _SMALL:
            self._left = _PATIENCE
        elif self._size > _SMALL:
            self._left -= 1
        wanted = _LARGE if self._left > 0 else _SMALL
        if wanted != self._size:
            self._size = wanted
            self._start = self._allocate("char[]", wanted)
        return self._start


class Records:
    """
    Encrypts and decrypts.

    @ivar connection: the C{OpenSSL.SSL.Connection}.
    @ivar over: how it ended, once it has: L{ConnectionDone<twisted.internet.error.ConnectionDone>}, if the
        peer has said that it sends no more.
    @ivar isMore: whether L{read} did not give all that is there.
    @ivar fault: why something that was to be sent is lost, if that is not since it is C{over}.
    @since: ugate NEXT
    """

    __slots__ = (
        "_answers", "_at", "_ffi", "_hop", "_in", "_lib", "_most", "_out", "_room",
        "_size", "_ssl", "connection", "fault", "isMore", "over",
    )  # fmt: skip

    def __init__(self, connection: Any, hop: str = "") -> None:
        """
        @param connection: what L{canLeave<ugate.protocols.tlsmemory.canLeave>}, after its handshake.
        @param hop: what the peer is, if it may refuse us: a server.
        """
        from OpenSSL._util import ffi, lib

        self.connection = connection
        self._ssl = connection._ssl
        self._hop = hop
        self._ffi, self._lib = ffi, lib
        # To clear what is written to at once takes as long as much of what is done with it.
        allocate = ffi.new_allocator(should_clear_after_alloc=False)
        self._in, self._out = _Room(allocate), _Room(allocate)
        self._answers = ANSWERS
        self._most = _LITTLE
        self._room, self._size = self._in.of(_SMALL), _SMALL
        self._at = ffi.new("char**")
        self.isMore = False
        self.over: BaseException | None = None
        self.fault: BaseException | None = None
        # A call then makes all records of what it is given, and not the first of them.
        lib.SSL_clear_mode(self._ssl, lib.SSL_MODE_ENABLE_PARTIAL_WRITE)

    def receive(self, connected: Any) -> int:
        """
        Take what a socket has.  All that L{read} gave is gone then.

        @return: how many bytes; 0 at its end.
        @raise OSError: it has nothing, or broke.
        """
        lib, connection, most = self._lib, self.connection, self._most
        room = self._in.of(_WHOLE + most)
        count: int = connected.recv_into(self._ffi.buffer(room + _WHOLE, most))
        if count:
            # All that was in the one before has been taken out of it, and a record that is not whole, too.
            source = lib.BIO_new_mem_buf(room + _WHOLE, count)
            lib.BIO_set_mem_eof_return(source, -1)
            lib.SSL_set_bio(self._ssl, source, connection._from_ssl)
            connection._into_ssl, self._room, self._size = source, room, _WHOLE + count
            self._answers += count // ANSWERED
        # To look for more than there is costs, too.
        self._most = MUCH if count >= _LITTLE else _LITTLE
        return count

    def read(self) -> memoryview:
        """
        What came for us; nothing, if more has to come first, or it is C{over}.

        @return: it, until the next call of this or of L{receive}.
        """
        self.isMore = False
        if self.over is not None:
            return memoryview(b"")
        # It is put where it came from, and never reaches what OpenSSL has not taken: that of one record at
        # most was taken before, and is less than what is free; and all others are shorter then.
        ssl, read, room, size = self._ssl, self._lib.SSL_read, self._room, self._size
        have = 0
        self._lib.ERR_clear_error()
        while have < size:
            count = read(ssl, room + have, size - have)
            if count <= 0:
                self.over = self._fault(count)
                break
            have += count
        else:
            self.isMore = True
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
        room = self._out.of(gap + most)
        size: int = connected.recv_into(self._ffi.buffer(room + gap, most))
        if size:
            self._ffi.memmove(room, head(size), gap)
            self._seal(room, gap + size)
        return size

    def _seal(self, start: Any, size: int) -> None:
        self._lib.ERR_clear_error()
        count = self._lib.SSL_write(self._ssl, start, size)
        if count <= 0:
            # What peers may do that leads to this is not allowed by any of our contexts.
            fault = self._fault(count) or TLSLost("it takes nothing")
            self.fault = None if self.over else fault

    def end(self) -> None:
        """
        Say that no more is sent (RFC 8446, 6.1).
        """
        self._lib.ERR_clear_error()
        if self._lib.SSL_shutdown(self._ssl) < 0:
            self._lib.ERR_clear_error()

    def out(self) -> memoryview:
        """
        What is to be sent, if it is no more than L{MOST} that was encrypted.

        @return: it, until the next call of this or of L{take}.
        """
        lib, sealed = self._lib, self.connection._from_ssl
        size: int = min(_LARGE, lib.BIO_get_mem_data(sealed, self._at))
        if size <= 0:
            return memoryview(b"")
        room = self._out.of(size)
        lib.BIO_read(sealed, room, size)
        return memoryview(self._ffi.buffer(room, size))

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
