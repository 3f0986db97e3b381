# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How long the frames are in which bulk goes on a stream of C{h2connect:}: a few long ones cost least.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

from hpack import Encoder

from ugate.protocols.h2frames import (
    ACK,
    DATA,
    END_HEADERS,
    HEADER,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    frameHead,
)
from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Gateway, InteropTestCase
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer
from ugate.test.tlsfakes import Issuer

BULK = 64 * MEGABYTE
WARM = 4 * MEGABYTE
"""Bytes before which it is not yet known to be bulk."""

LONG = 256 * 1024
"""Bytes of a frame with its head that is long enough."""

_WINDOW = 2**31 - 1
_SETTINGS = ((4, _WINDOW), (5, MEGABYTE))
"""C{INITIAL_WINDOW_SIZE} and C{MAX_FRAME_SIZE} (RFC 9113, 6.5.2)."""

_OK = b"\x88"
"""A header block that is C{:status} 200 (RFC 7541, A)."""


def greeting() -> bytes:
    """
    Settings of a peer that takes frames of any length, and never lets anybody wait.
    """
    settings = b"".join(struct.pack(">HL", *each) for each in _SETTINGS)
    more = struct.pack(">L", _WINDOW - 65535)
    return b"".join(
        (
            *(frameHead(len(settings), SETTINGS, 0, 0), settings),
            *(frameHead(4, WINDOW_UPDATE, 0, 0), more),
            frameHead(0, SETTINGS, ACK, 0),
        )
    )


def framesOf(connection: socket.socket, answers: bool = False) -> list[int]:
    """
    The lengths of the frames with data, with their heads.

    @param answers: whether we are the server, and accept the stream.
    """
    sizes: list[int] = []
    with connection.makefile("rb", MEGABYTE) as file:
        if answers:
            file.read(len(PREFACE))
        while sum(sizes) < BULK:
            head = file.read(HEADER)
            size = int.from_bytes(head[:3], "big")
            if len(head) < HEADER or len(file.read(size)) < size:
                raise EOFError(f"after {len(sizes)} frames")
            if head[3] == DATA:
                sizes.append(HEADER + size)
            elif head[3] == HEADERS and answers:
                connection.sendall(frameHead(len(_OK), HEADERS, END_HEADERS, 1) + _OK)
    return sizes


def pour(connection: socket.socket) -> None:
    """
    Send much, as fast as it is taken.
    """
    for _ in range(BULK // len(BLOCK)):
        connection.sendall(BLOCK)


class FrameTests(InteropTestCase):
    """
    A peer that looks at frames.
    """

    def assertLong(self, sizes: Sequence[int]) -> None:
        """
        Once it is bulk, most of it is in long frames.
        """
        seen, late = 0, []
        for size in sizes:
            seen += size
            if seen > WARM:
                late.append(size)
        long = sum(size for size in late if size >= LONG)
        self.assertGreater(long, sum(late) // 2, f"{len(late)} frames: {sorted(late)}")

    def asked(self, port: int, target: int, tls: bool) -> list[int]:
        """
        What comes on a stream.
        """
        connection = socket.create_connection((HOST, port), DEADLINE)
        self.addCleanup(connection.close)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            connection = context.wrap_socket(connection)
            self.addCleanup(connection.close)
        block = Encoder().encode([(":method", "CONNECT"), (":authority", f"{HOST}:{target}")])
        connection.sendall(PREFACE + greeting() + frameHead(len(block), HEADERS, END_HEADERS, 1) + block)
        return framesOf(connection)

    def gate(self, folder: Path, *routes: str) -> Gateway:
        """
        A gateway in clear text and in TLS.
        """
        secure = f"{{endpoint: 'h2connect:mtls:tcp:0:{LOOPBACK}:anonymous=only', open: true}}"
        return self.ugate(
            config=f"identity: {{dir: {folder}}}\n"
            f"listen:\n  main: 'h2connect:tcp:0:{LOOPBACK}'\n  tls: {secure}\n"
            f"policy: {{rules: [{{action: allow}}]}}\nroutes: [{', '.join(routes)}]\n"
        )

    def test_down(self) -> None:
        """
        From a socket to a stream, and from a stream to a stream, in clear text and in TLS.
        """
        folder = self.directory / "identity"
        Issuer("root").write(folder, "localhost")
        server = StreamServer(self, pour)
        gate = self.gate(folder)
        before = self.gate(folder, f"{{match: '*', via: 'h2connect:{HOST}:{gate.port}:h2c=yes'}}")
        for gateway in (gate, before):
            for tls in (False, True):
                port = gateway.ports["tls" if tls else "main"]
                self.assertLong(self.asked(port, server.port, tls))

    def test_up(self) -> None:
        """
        The same from who has asked for the stream.
        """
        found: list[int] = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(greeting())
            found.extend(framesOf(connection, answers=True))

        peer = StreamServer(self, serve)
        gateway = self.ugate(
            *("--route", f"*=h2connect:{HOST}:{peer.port}:h2c=yes"),
            listen=f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:1",
        )
        with socket.create_connection((HOST, gateway.port), DEADLINE) as connection:
            pour(connection)
            peer.ended()
        self.assertLong(found)
