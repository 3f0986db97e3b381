# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Open a stream to a target, plainly or through a SOCKS5 proxy, with as little Python as can be.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

HOST = "127.0.0.1"
"""Everything is on this address, but for what is on another host."""

_REPLY = 10
_IPV6_EXTRA = 12


class DialFailed(Exception):
    """
    The proxy did not open the stream.  The message says at which step.
    """


@dataclass(frozen=True, slots=True)
class Way:
    """
    How a load process reaches one target.
    """

    port: int
    """The port of the target, or of the forwarder that stands for it."""

    socks: int = 0
    """The port of the SOCKS5 proxy to ask first; 0 for a plain connection."""

    host: str = HOST
    """Where that is."""

    def open(self) -> socket.socket:
        """
        Open a stream.

        @return: a blocking socket at the first byte of the target's stream.
        @raise OSError: if the proxy or target does not accept.
        @raise DialFailed: if the proxy refuses.
        """
        sock = socket.socket()
        try:
            sock.connect((self.host, self.socks or self.port))
            if self.socks:
                _handshake(sock, self.port)
        except BaseException:
            sock.close()
            raise
        return sock


def exactly(sock: socket.socket, count: int) -> bytes:
    """
    Read a known number of bytes.

    @param sock: a blocking socket.
    @param count: how many bytes.
    @return: the bytes.
    @raise DialFailed: if the stream ends before.
    """
    data = sock.recv(count)
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise DialFailed(f"the stream ended after {len(data)} of {count} bytes")
        data += more
    return data


def _handshake(sock: socket.socket, port: int) -> None:
    """
    Ask a SOCKS5 proxy for a port of this host (RFC 1928, no authentication).

    @param sock: a socket connected to the proxy.
    @param port: the target's port.
    @raise DialFailed: if the proxy does not agree.
    """
    sock.send(b"\x05\x01\x00")
    chosen = exactly(sock, 2)
    if chosen != b"\x05\x00":
        raise DialFailed(f"SOCKS5 method answer {chosen.hex()}")
    sock.send(b"\x05\x01\x00\x01" + socket.inet_aton(HOST) + struct.pack("!H", port))
    reply = exactly(sock, _REPLY)
    if reply[1]:
        raise DialFailed(f"SOCKS5 reply code {reply[1]}")
    if reply[3] == 4:
        exactly(sock, _IPV6_EXTRA)
