# -*- test-case-name: ugate.test.interop.test_mtlshostile -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A TLS client that does what clients do not: OpenSSL as this machine has it, called by hand.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from ctypes.util import find_library
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest

from ugate.test.interop.asking import connected
from ugate.test.interop.processes import DEADLINE

TLS12: Final = 0x0303
TLS13: Final = 0x0304
_PEM: Final = 1
_SET_MINIMUM, _SET_MAXIMUM, _SET_NAME = 123, 124, 55
_ENDED: Final = 6


class BrokenOff(Exception):
    """
    A call failed: what OpenSSL says of it.
    """


def _library() -> Any:
    name = find_library("ssl")
    if name is None:
        raise SkipTest("no libssl here: install libssl3")
    found = ctypes.CDLL(name)
    for function in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(found, function).restype = ctypes.c_void_p
    return found


class RawTLS:
    """
    One connection, which blocks, but not for longer than the deadline of all tests.

    @ivar socket: that below.
    """

    def __init__(self, port: int, pem: Path | None, version: int = TLS13, name: str = "localhost") -> None:
        """
        @param pem: what it shows.
        """
        self._lib = _library()
        pointer = ctypes.c_void_p
        context = pointer(self._lib.SSL_CTX_new(pointer(self._lib.TLS_client_method())))
        for which in (_SET_MINIMUM, _SET_MAXIMUM):
            self._lib.SSL_CTX_ctrl(context, which, ctypes.c_long(version), None)
        if pem is not None:
            path = str(pem).encode()
            self._good(self._lib.SSL_CTX_use_certificate_chain_file(context, path))
            self._good(self._lib.SSL_CTX_use_PrivateKey_file(context, path, _PEM))
        self._ssl = pointer(self._lib.SSL_new(context))
        self._lib.SSL_CTX_free(context)
        self._lib.SSL_ctrl(self._ssl, _SET_NAME, ctypes.c_long(0), name.encode())
        self.socket = connected(port)
        # Not Python's deadline, with which the descriptor would not block.
        self.socket.setblocking(True)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(DEADLINE), 0))
        self._lib.SSL_set_fd(self._ssl, self.socket.fileno())

    def __enter__(self) -> RawTLS:
        return self

    def __exit__(self, *error: object) -> None:
        self._lib.SSL_free(self._ssl)
        self.socket.close()

    def _good(self, result: int) -> int:
        if result > 0:
            return result
        self._lib.ERR_get_error.restype = ctypes.c_ulong
        number = ctypes.c_ulong(self._lib.ERR_get_error())
        text = ctypes.create_string_buffer(256)
        self._lib.ERR_error_string_n(number, text, 256)
        raise BrokenOff(text.value.decode())

    def shake(self) -> None:
        """
        Shake hands, or go on with what a handshake is needed for.
        """
        self._good(self._lib.SSL_do_handshake(self._ssl))

    def connect(self) -> None:
        """
        The first time.
        """
        self._good(self._lib.SSL_connect(self._ssl))

    def write(self, data: bytes) -> None:
        """
        Send all of it.
        """
        self._good(self._lib.SSL_write(self._ssl, data, len(data)))

    def read(self, size: int) -> bytes:
        """
        At most as many bytes; none if the other side has ended its direction properly.

        @raise BrokenOff: it ended otherwise.
        """
        space = ctypes.create_string_buffer(size)
        count = self._lib.SSL_read(self._ssl, space, size)
        if count <= 0 and self._lib.SSL_get_error(self._ssl, count) == _ENDED:
            return b""
        return space.raw[: self._good(count)]

    def readExactly(self, size: int) -> bytes:
        """
        As many bytes.
        """
        data = b""
        while len(data) < size:
            more = self.read(size - len(data))
            if not more:
                raise EOFError(f"{len(data)} of {size}")
            data += more
        return data

    def updateKey(self, isAsked: bool) -> None:
        """
        New keys for our direction.

        @param isAsked: whether the other side is to do the same.
        """
        self._good(self._lib.SSL_key_update(self._ssl, int(isAsked)))
        self.shake()

    def renegotiate(self) -> None:
        """
        Another handshake inside of the first.
        """
        self._good(self._lib.SSL_renegotiate(self._ssl))
        self.shake()

    def shutdown(self) -> None:
        """
        End our direction properly.
        """
        self._lib.SSL_shutdown(self._ssl)
