# -*- test-case-name: ugate.test.test_tlssocket,ugate.test.test_pump_tls -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A socket and what ends TLS on it, used as a socket is.

The handshake, and what is copied, has OpenSSL work on memory.  Whatever is relayed to or from
another socket leaves that: OpenSSL then reads and writes the socket itself, which spares two
copies of every byte and most of the Python.
"""

from __future__ import annotations

import errno
import os
from socket import SHUT_RD, socket
from typing import Any, Final

from ugate.protocols.sockets import RefusedBelow, Truncated
from ugate.protocols.tlsalerts import alertOf, refusalBy
from ugate.protocols.tlsmemory import inside, out

RECORD: Final = 16384
"""Bytes that are in a record at most (RFC 8446, 5.1): with room for them nothing is left inside of OpenSSL,
where no epoll would see it."""

ROOM: Final = 8 * RECORD
"""Bytes decrypted at once, at most."""

_TRUNCATED: Final = ("", "unexpected eof while reading")
"""What OpenSSL says of an end that TLS has not announced."""

_WANT_READ: Final = 2
_WANT_WRITE: Final = 3
_SYSCALL: Final = 5
_ZERO_RETURN: Final = 6


class Room:
    """
    Where TLS is decrypted to, one for all that take turns.

    @since: ugate NEXT
    """

    __slots__ = ("start",)

    def __init__(self) -> None:
        from OpenSSL._util import ffi

        self.start = ffi.new("char[]", ROOM)


class TLSSocket:
    """
    What a pump asks of a socket, in TLS.  One thread uses it at a time.

    C{shutdown} and C{settle} raise C{BlockingIOError} as long as there is no room in the kernel for what TLS
    has to say.

    @since: ugate NEXT
    """

    __slots__ = (
        "_ahead", "_connection", "_ffi", "_hop", "_lib", "_socket", "_ssl", "_start", "fileno",
        "getsockopt", "setsockopt", "wantsRoom",
    )  # fmt: skip

    def __init__(self, connected: socket, connection: Any, ahead: bytes = b"", hop: str = "") -> None:
        """
        @param connected: the socket below, which does not block.
        @param connection: what L{canLeave}, after its handshake.  What it has received is to be taken out
            of it before, and is in order before all that comes from here.
        @param ahead: what was encrypted already and has to go first.
        @param hop: what the peer is, if it may refuse us: a server.
        """
        found = inside(connection.__class__)
        assert found is not None
        ffi, lib = found
        self._ahead = ahead + out(connection)
        self._hop = hop
        self._socket = connected
        self._connection = connection
        self._ffi, self._lib, self._ssl = ffi, lib, connection._ssl
        self._start: Any = None
        self.wantsRoom = False
        """Whether L{recv} can go on only when there is room to send: who changes its keys wants an answer."""
        self.fileno = connected.fileno
        self.getsockopt = connected.getsockopt
        self.setsockopt = connected.setsockopt
        # OpenSSL frees what it worked on, and so pyOpenSSL must not touch that any more.
        connection._into_ssl = connection._from_ssl = None
        # A call then writes all records of what it is given, and not the first of them.
        lib.SSL_clear_mode(self._ssl, lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
        lib.SSL_set_fd(self._ssl, connected.fileno())
        if ahead:
            try:
                self.settle()
            except OSError:
                # Whoever has it now is told by the next call.
                pass

    def use(self, room: Room) -> None:
        """
        Decrypt to there from now on.
        """
        self._start = room.start

    @property
    def owes(self) -> bool:
        """
        Whether something was not sent that had to go first; L{settle} sends it.
        """
        return bool(self._ahead)

    def over(self) -> None:
        """
        Nothing more comes, and L{recv} shall be called to say so, though OpenSSL has taken from the kernel
        what an epoll would have told.
        """
        try:
            self._socket.shutdown(SHUT_RD)
        except OSError:
            # Then that is what will be told.
            pass

    def recv(self, size: int, flags: int = 0) -> Any:
        """
        Receive what there is, in whole records.

        @param size: how much, or somewhat more.
        @return: a buffer that holds until the next call of whoever uses the same L{Room}; an empty one at
            the end that TLS has.
        @raise BlockingIOError: there is nothing yet.
        @raise OSError: it broke, or ended without saying so.
        """
        ssl, start, read = self._ssl, self._start, self._lib.SSL_read
        have, most = 0, min(max(size, RECORD), ROOM)
        self.wantsRoom = False
        self._lib.ERR_clear_error()
        while have + RECORD <= most:
            count = read(ssl, start + have, RECORD)
            if count <= 0:
                error = self._fault(count)
                if not have:
                    if error is None:
                        return b""
                    try:
                        raise error
                    finally:
                        # Or it would hold what it was raised in, and that it.
                        del error
                if not isinstance(error, BlockingIOError):
                    self.over()
                break
            have += count
            if count < RECORD:
                break
        return self._ffi.buffer(start, have)

    def send(self, data: Any, flags: int = 0) -> int:
        """
        Send all of it.

        @return: how much there is.
        @raise BlockingIOError: not all could be sent, and the same is to be given again.
        @raise OSError: it broke.
        """
        if self._ahead:
            self.settle()
        self._lib.ERR_clear_error()
        count: int = self._lib.SSL_write(self._ssl, self._ffi.from_buffer(data), len(data))
        if count > 0:
            return count
        raise self._fault(count) or _broken("it has ended")

    def settle(self) -> None:
        """
        Send what had to go first.

        @raise BlockingIOError: not all could be sent.
        @raise OSError: it broke.
        """
        while self._ahead:
            self._ahead = self._ahead[self._socket.send(self._ahead) :]

    def shutdown(self, how: int) -> None:
        """
        Say that no more is sent (RFC 8446, 6.1).  The connection below stays open both ways, since TLS may
        still have to answer.

        @raise BlockingIOError: there is no room for that.
        @raise OSError: it broke.
        """
        self.settle()
        self._lib.ERR_clear_error()
        result: int = self._lib.SSL_shutdown(self._ssl)
        error = self._fault(result) if result < 0 else None
        if error is not None:
            try:
                raise error
            finally:
                # As above.
                del error

    def close(self) -> None:
        """
        Close the socket.
        """
        self._socket.close()
        # Its number may be somebody else's from now on.
        del self._ssl, self._connection

    def _fault(self, result: int) -> OSError | None:
        """
        Why a call did nothing.

        @return: the error; L{None} if the peer has said that it sends no more.
        """
        number: int = self._ffi.errno
        code = self._lib.SSL_get_error(self._ssl, result)
        self.wantsRoom = code == _WANT_WRITE
        if code in (_WANT_READ, _WANT_WRITE):
            return BlockingIOError()
        if code == _ZERO_RETURN:
            return None
        if code == _SYSCALL and number:
            return OSError(number, os.strerror(number))
        said = self._lib.ERR_reason_error_string(self._lib.ERR_peek_error())
        words: str = self._ffi.string(said).decode() if said else ""
        # Others would take it for theirs.
        self._lib.ERR_clear_error()
        if words in _TRUNCATED:
            return Truncated(errno.EPROTO, "TLS: it ended without saying so")
        alert = alertOf(words)
        if alert and self._hop:
            return RefusedBelow(refusalBy(alert, self._hop))
        return _broken(words)


def _broken(why: str) -> OSError:
    return OSError(errno.EPROTO, f"TLS: {why}")
