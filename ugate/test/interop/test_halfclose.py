# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The ends of streams: one direction after the other, in either order, or both at once by a reset.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading

from ugate.test.interop.asking import connect, connected, socks4, socks5
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, readAll, readExactly
from ugate.test.interop.test_refusals import silentTarget

SIZES = (0, 1, 70_000, 20 << 20)
RESET = struct.pack("ii", 1, 0)


def bytesOf(size: int) -> bytes:
    """
    As many bytes of the blocks.
    """
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def digest(data: bytes) -> bytes:
    """
    Their SHA-256.
    """
    return hashlib.sha256(data).digest()


class HalfCloseTests(InteropTestCase):
    """
    One side ends while the other one goes on.
    """

    def _open(self, gateway: Gateway, server: StreamServer) -> socket.socket:
        client = connected(gateway.port)
        self.addCleanup(client.close)
        self.assertEqual(socks5(client, HOST, server.port), 0)
        return client

    def _gateways(self) -> list[Gateway]:
        """
        One that the kernel moves bytes for, and two in a row.
        """
        last = self.ugate()
        return [last, self.ugate("--route", f"*=socks:{HOST}:{last.port}")]

    def test_clientFirst(self) -> None:
        """
        The client ends; then the server answers, and ends.
        """

        def serve(connection: socket.socket) -> None:
            got = readAll(connection)
            connection.sendall(digest(got) + got[::-1])

        server = StreamServer(self, serve)
        for gateway in self._gateways():
            for size in SIZES:
                data = bytesOf(size)
                client = self._open(gateway, server)
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                answer = readAll(client)
                self.assertTrue(answer == digest(data) + data[::-1], f"{size}: {len(answer)} bytes")
            gateway.waitFor(f"{SIZES[-1]} sent, {SIZES[-1] + 32} received")
        server.ended()

    def test_serverFirst(self) -> None:
        """
        The server says all it has and ends; then the client sends, and ends.
        """
        got: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            size = int.from_bytes(readExactly(connection, 4), "big")
            connection.sendall(bytesOf(size))
            connection.shutdown(socket.SHUT_WR)
            got.append(digest(readAll(connection)))

        server = StreamServer(self, serve)
        for gateway in self._gateways():
            for size in SIZES:
                data = bytesOf(size)
                client = self._open(gateway, server)
                client.sendall(size.to_bytes(4, "big"))
                self.assertTrue(readAll(client) == data, size)
                # It has ended: what comes now goes the other way alone.
                client.sendall(data[::-1])
                client.shutdown(socket.SHUT_WR)
                server.ended()
                self.assertEqual(got.pop(), digest(data[::-1]), size)

    def test_serverSaysByeUnasked(self) -> None:
        """
        The server speaks and ends before the client has said anything; the client sees the end, and so does
        the server.
        """
        ends: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"no service today\r\n")
            connection.shutdown(socket.SHUT_WR)
            ends.append(connection.recv(1))

        server = StreamServer(self, serve)
        gateway = self.ugate()
        for ask in (socks5, socks4, connect):
            with connected(gateway.port) as client:
                ask(client, HOST, server.port)
                self.assertEqual(readAll(client), b"no service today\r\n")
            server.ended()
        self.assertEqual(ends, [b""] * 3)

    def test_withTheRequest(self) -> None:
        """
        A client that sends all it has, with the handshake, and ends at once.
        """
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        gateway = self.ugate()
        request = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + server.port.to_bytes(2, "big")
        with connected(gateway.port) as client:
            client.sendall(request + b"all in one")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(readAll(client)[12:], b"eno ni lla")
        at = f"{HOST}:{server.port}"
        with connected(gateway.port) as client:
            client.sendall(f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\nall in one".encode())
            client.shutdown(socket.SHUT_WR)
            self.assertTrue(readAll(client).endswith(b"\r\n\r\neno ni lla"))


class ResetTests(InteropTestCase):
    """
    A reset is no clean end, and is passed on as one.
    """

    def _reset(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()

    def _check(self, moved: int) -> None:
        seen: list[type[BaseException]] = []
        mayReset = threading.Event()

        def victim(connection: socket.socket) -> None:
            connection.sendall(bytesOf(moved))
            try:
                while connection.recv(65536):
                    pass
                seen.append(EOFError)
            except ConnectionResetError:
                seen.append(ConnectionResetError)

        def killer(connection: socket.socket) -> None:
            connection.sendall(bytesOf(moved))
            mayReset.wait(10)
            self._reset(connection)

        gateway = self.ugate()
        server = StreamServer(self, victim)
        client = connected(gateway.port)
        self.assertEqual(socks5(client, HOST, server.port), 0)
        readExactly(client, moved)
        self._reset(client)
        server.ended()
        self.assertEqual(seen, [ConnectionResetError])
        gateway.waitFor("client: reset")

        server = StreamServer(self, killer)
        with connected(gateway.port) as client:
            self.assertEqual(socks5(client, HOST, server.port), 0)
            readExactly(client, moved)
            mayReset.set()
            self.assertRaises(ConnectionResetError, client.recv, 1)
        gateway.waitFor("target: reset")

    def test_small(self) -> None:
        """
        A reset of a quiet stream, from either side.
        """
        self._check(1)

    def test_bulk(self) -> None:
        """
        A reset of a stream that carried much.
        """
        self._check(8 << 20)

    def test_goneWhileDialing(self) -> None:
        """
        A client that goes away while its target is dialed leaves nothing behind.  After a reset dialing
        stops; one that only ended its direction may want the answer, for as long as dialing may take.
        """
        gateway = self.ugate(
            config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{connect: 3}}\n'
        )
        silent = silentTarget(self)
        before = gateway.descriptors()
        clients = [connected(gateway.port) for _ in range(20)]
        for client in clients:
            client.sendall(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + silent.to_bytes(2, "big"))
            self.assertEqual(readExactly(client, 2), b"\x05\x00")
        waitUntil(lambda: gateway.descriptors() >= before + 40, "dialing")
        for client in clients[:10]:
            self._reset(client)
        waitUntil(lambda: gateway.descriptors() <= before + 20, "what was reset is given back", 1.0)
        for client in clients[10:]:
            client.close()
        waitUntil(lambda: gateway.descriptors() <= before, "all is given back", 5.0)
