# -*- test-case-name: ugate.test.interop.test_hops,ugate.test.interop.test_faults -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Wires between processes, with somebody who listens, and who can hold all that passes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from ugate.test.interop.processes import DEADLINE, HOST
from ugate.test.interop.targets import StreamServer

_KEPT: Final = 64 << 20


class Tap:
    """
    A port that leads to another one.

    @ivar port: where to connect to.
    @ivar to: where it leads.
    """

    def __init__(self, test: SynchronousTestCase, to: int = 0) -> None:
        self.to = to
        self._seen: list[bytes] = []
        self._size = 0
        self._open = threading.Event()
        self._open.set()
        # Whoever is held is let go before the sockets are closed.
        self._server = StreamServer(test, self._serve)
        test.addCleanup(self._open.set)
        self.port = self._server.port

    @property
    def count(self) -> int:
        """How many connections there have been."""
        return len(self._server.threads)

    def seen(self) -> bytes:
        """
        All that has passed, both ways.
        """
        return b"".join(self._seen)

    def hold(self) -> None:
        """
        Take what comes, as far as buffers go, and pass nothing on; no side is told.
        """
        self._open.clear()

    def heal(self) -> None:
        """
        Pass everything on again.
        """
        self._open.set()

    def _serve(self, near: socket.socket) -> None:
        with socket.create_connection((HOST, self.to), DEADLINE) as far:
            far.settimeout(None)
            near.settimeout(None)
            back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
            back.start()
            self._pass(near, far)
            back.join()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._open.wait()
                if self._size < _KEPT:
                    self._seen.append(data)
                    self._size += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
            return
        # One side was reset, so the other one is, too.
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
