# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Datagrams there and back through UDP ASSOCIATE: the load, with the echo that answers it.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from bench.dial import HOST, DialFailed, exactly
from bench.loop import Loop

SIZE = 1200
"""Bytes of each: what QUIC sends."""

FLIGHT = 32
"""How many of each association are on their way at once."""

_ROOM = 1 << 21
_PATIENCE = 5.0
_TURN = 64


def associated(socks: int) -> tuple[socket.socket, int]:
    """
    Ask a SOCKS5 proxy for an association.

    @param socks: its port.
    @return: the connection that it hangs on, and the port for datagrams.
    @raise DialFailed: if the proxy does not agree.
    """
    control = socket.create_connection((HOST, socks))
    control.sendall(b"\x05\x01\x00")
    chosen = exactly(control, 2)
    control.sendall(b"\x05\x03\x00\x01" + bytes(6))
    reply = exactly(control, 10)
    if chosen != b"\x05\x00" or reply[1] or reply[3] != 1:
        raise DialFailed(f"SOCKS5 said {chosen.hex()} {reply.hex()} to UDP ASSOCIATE")
    return control, int.from_bytes(reply[8:], "big")


def _open(port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    if port:
        made.connect((HOST, port))
    else:
        made.bind((HOST, 0))
    made.setblocking(False)
    return made


def _each(sock: socket.socket, answer: Callable[[bytes], None]) -> Callable[[], None]:
    """
    What takes all that is there.
    """
    recv = sock.recv

    def pull() -> None:
        try:
            for _ in range(_TURN):
                answer(recv(2048))
        except BlockingIOError:
            return

    return pull


def exchange(socks: int, associations: int, counts: memoryview, slot: int, ready: Callable[[], None]) -> None:
    """
    Send datagrams to an echo of our own, each again as soon as it is back.

    @param socks: the SOCKS5 port, or 0 for none.
    @param counts: the shared counters.
    @param slot: the one for datagrams that are back.
    @param ready: called when all are on their way.
    @raise DialFailed: if none comes back.
    """
    loop, echo = Loop(), _open()
    back, reply = echo.recvfrom, echo.sendto

    def echoed() -> None:
        try:
            for _ in range(_TURN):
                reply(*back(2048))
        except BlockingIOError:
            return

    loop.add(echo, echoed)
    port: int = echo.getsockname()[1]
    head = b"\0\0\0\1" + socket.inet_aton(HOST) + struct.pack("!H", port) if socks else b""
    message = head + bytes(SIZE)
    held = []
    for _ in range(associations):
        if socks:
            control, port = associated(socks)
            held.append(control)
        sock = _open(port)
        _first(sock, message, echoed)
        send = sock.send

        def again(data: bytes, send: Callable[[bytes], int] = send) -> None:
            counts[slot] += 1
            send(data)

        loop.add(sock, _each(sock, again))
        for _ in range(FLIGHT):
            send(message)
    ready()
    loop.run()


def _first(sock: socket.socket, message: bytes, echoed: Callable[[], None]) -> None:
    """
    One alone, so that the flow is there when many come.
    """
    until = time.monotonic() + _PATIENCE
    sock.send(message)
    while time.monotonic() < until:
        echoed()
        try:
            back = sock.recv(2048)
        except BlockingIOError:
            time.sleep(0.001)
            continue
        if back != message:
            raise DialFailed(f"a datagram came back as {back[:40]!r}")
        return
    raise DialFailed(f"a datagram did not come back in {_PATIENCE:g} s")
