# -*- test-case-name: ugate.test.test_tlsmemory -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a TLS connection over memory has to say, and has heard.

pyOpenSSL tells by exceptions that something is not there yet, which is what a handshake meets most; and it
has no public way to go over from memory to a socket.  Both are done on its inside, and where
that is another one streams stay as pyOpenSSL has them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

_LOT: Final = 4096
_RECORD: Final = 16384
_NEEDED: Final = (
    "BIO_get_mem_data", "BIO_new_mem_buf", "BIO_read", "BIO_set_mem_eof_return", "BIO_write",
    "ERR_clear_error", "ERR_peek_error", "ERR_reason_error_string", "SSL_MODE_ENABLE_PARTIAL_WRITE",
    "SSL_clear_mode", "SSL_do_handshake", "SSL_get_error", "SSL_read", "SSL_set_bio", "SSL_set_fd",
    "SSL_shutdown", "SSL_write",
)  # fmt: skip
_WANT_READ: Final = 2


def canLeave(connection: Any) -> bool:
    """
    Whether a connection over memory can go over to a socket, or be worked on in large pieces.

    @param connection: an C{OpenSSL.SSL.Connection}.
    """
    return inside(connection.__class__) is not None


@cache
def _room(size: int) -> Callable[[], Any]:
    """
    Makes room for so many bytes.  What is made by C{ffi.new} is wiped first, and so much of it leaves nothing
    else in the processor's cache.
    """
    from OpenSSL._util import ffi

    return partial(ffi.new_allocator(should_clear_after_alloc=False), f"char[{size}]")


@cache
def inside(kind: type) -> tuple[Any, Any] | None:
    """
    What pyOpenSSL works with itself, C{ffi} and C{lib}, if connections of that kind are its own and have
    inside what is needed.  It is kept, since an import takes longer than most of what is called here.
    """
    try:
        from OpenSSL._util import ffi, lib
        from OpenSSL.SSL import TLS_METHOD, Connection, Context
    except ImportError:
        return None
    if not issubclass(kind, Connection) or not all(hasattr(lib, name) for name in _NEEDED):
        return None
    one = Connection(Context(TLS_METHOD), None)
    return (ffi, lib) if all(hasattr(one, name) for name in ("_ssl", "_into_ssl", "_from_ssl")) else None


def takeOut(connection: Any) -> tuple[bytes, bool]:
    """
    What a connection over memory has received, before it goes over to a socket.

    @param connection: one that L{canLeave}.
    @return: the bytes, and whether nothing comes after them.
    """
    found = inside(connection.__class__)
    assert found is not None
    ffi, lib = found
    ssl, room, taken = connection._ssl, _room(_RECORD)(), []
    lib.ERR_clear_error()
    while (count := lib.SSL_read(ssl, room, _RECORD)) > 0:
        taken.append(ffi.buffer(room, count)[:])
    isOver = lib.SSL_get_error(ssl, count) != _WANT_READ
    # Others would take it for theirs.
    lib.ERR_clear_error()
    return b"".join(taken), isOver


def shake(connection: Any, data: bytes) -> bool:
    """
    Go on with a handshake.

    @param data: what came, if anything did.
    @return: whether it is through; else more has to come.
    @raise OpenSSL.SSL.Error: it failed.
    """
    found = inside(connection.__class__)
    if found is None:
        return _shakePublicly(connection, data)
    _, lib = found
    if data:
        lib.BIO_write(connection._into_ssl, data, len(data))
    ssl = connection._ssl
    lib.ERR_clear_error()
    result = lib.SSL_do_handshake(ssl)
    if result <= 0 and lib.SSL_get_error(ssl, result) != _WANT_READ:
        connection._raise_ssl_error(ssl, result)
    return bool(result > 0)


def _shakePublicly(connection: Any, data: bytes) -> bool:
    from OpenSSL.SSL import WantReadError

    if data:
        connection.bio_write(data)
    try:
        connection.do_handshake()
    except WantReadError:
        return False
    return True


def out(connection: Any) -> bytes:
    """
    What OpenSSL wants sent.
    """
    found = inside(connection.__class__)
    if found is None:
        return _outPublicly(connection)
    ffi, lib = found
    room, sent, below = _room(_LOT)(), b"", connection._from_ssl
    while (count := lib.BIO_read(below, room, _LOT)) > 0:
        sent += ffi.buffer(room, count)[:]
        if count < _LOT:
            break
    return sent


def _outPublicly(connection: Any) -> bytes:
    from OpenSSL.SSL import WantReadError

    sent = []
    try:
        while True:
            sent.append(connection.bio_read(_LOT))
    except WantReadError:
        pass
    return b"".join(sent)
