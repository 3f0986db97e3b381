# -*- test-case-name: ugate.test.interop.test_udp -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Programs that send datagrams, and one that sends them back.
"""

from __future__ import annotations

import socket
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from ugate.test.interop.processes import DEADLINE, HOST

SIZES = (0, 1, 63, 64, 512, 1400, 16384, 60000)
"""Bytes of datagrams that are tried."""

AGAIN = 1.0
"""Seconds after which one is sent again: on a busy machine the kernel may drop some."""


class DatagramEcho:
    """
    Sends back what comes, from a thread.

    @ivar peers: who has sent something.
    """

    def __init__(self, case: SynchronousTestCase, host: str = HOST) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((host, 0))
        self.port: int = self.socket.getsockname()[1]
        self.peers: set[tuple[str, int]] = set()
        self._isOver = False
        thread = threading.Thread(target=self._serve)
        thread.start()
        case.addCleanup(self.socket.close)
        case.addCleanup(thread.join, DEADLINE)
        case.addCleanup(self._end)

    def _serve(self) -> None:
        while True:
            data, address = self.socket.recvfrom(65536)
            if self._isOver:
                return
            self.peers.add(address[:2])
            self.socket.sendto(data, address)

    def _end(self) -> None:
        self._isOver = True
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname()[:2])


def client(case: SynchronousTestCase, port: int, host: str = HOST) -> socket.socket:
    """
    A socket for datagrams to a port.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    case.addCleanup(made.close)
    made.connect((host, port))
    made.settimeout(AGAIN)
    return made


def asked(asking: socket.socket, data: bytes) -> bytes:
    """
    What comes back of it: it is sent again if nothing does, and answers to what was sent before are left out.
    """
    until = time.monotonic() + DEADLINE
    while True:
        asking.send(data)
        try:
            while True:
                got = asking.recv(65536)
                if got == data or time.monotonic() > until:
                    return got
        except (TimeoutError, ConnectionRefusedError):
            if time.monotonic() > until:
                raise
