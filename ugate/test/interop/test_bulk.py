# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Much data each way, which the kernel moves: not a byte may be lost, doubled or changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from pathlib import Path

from ugate.test.interop.asking import connect, connected, curl, socks5
from ugate.test.interop.processes import HOST, InteropTestCase, waitUntil
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, digestOf, webServer

BULK = 200 * MEGABYTE


def sha256(path: Path) -> str:
    """
    The digest of a file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(MEGABYTE):
            digest.update(chunk)
    return digest.hexdigest()


class BulkTests(InteropTestCase):
    """
    200 MiB each way.
    """

    def _curl(self, *proxy: str) -> None:
        server = webServer(self)
        url = f"http://{HOST}:{server.port}"
        answer = curl(self, *proxy, "-o", str(self.directory / "curl.body"), f"{url}/bytes/{BULK}")
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
        down = self.directory / "curl.body"
        expected = digestOf(BULK)
        self.assertEqual(sha256(down), expected)
        up = down.rename(self.directory / "up")
        told = curl(self, *proxy, "-T", str(up), f"{url}/up").json()
        self.assertEqual((told["size"], told["sha256"]), (BULK, expected))

    def test_socks5(self) -> None:
        """
        Down, then up, through SOCKS5.
        """
        self._curl("-x", self.ugate().url("socks5h"))

    def test_connect(self) -> None:
        """
        Down, then up, through C{CONNECT}.
        """
        self._curl("-p", "-x", self.ugate().url("http"))

    def test_forward(self) -> None:
        """
        Down, then up, through the forward proxy, which looks at the bytes.
        """
        self._curl("-x", self.ugate().url("http"))

    def test_bothWaysAtOnce(self) -> None:
        """
        100 MiB up while as much comes down, on one stream, through two gateways.
        """
        count = 100
        got: list[str] = []

        def serve(connection: socket.socket) -> None:
            sender = threading.Thread(target=_send, args=(connection, count))
            sender.start()
            got.append(_digest(connection))
            sender.join()

        server = StreamServer(self, serve)
        last = self.ugate()
        first = self.ugate("--route", f"*=connect:{HOST}:{last.port}")
        with connected(first.port) as client:
            self.assertEqual(socks5(client, HOST, server.port), 0)
            sender = threading.Thread(target=_send, args=(client, count))
            sender.start()
            down = _digest(client)
            sender.join()
        server.ended()
        expected = digestOf(count * MEGABYTE)
        self.assertEqual((down, got), (expected, [expected]))
        first.waitFor(f"{count * MEGABYTE} sent, {count * MEGABYTE} received")

    def test_manyAtOnce(self) -> None:
        """
        More bulk streams than there are threads, both ways on each, while some are reset in the middle.
        """
        count = 16

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(ConnectionError):
                sender = threading.Thread(target=_send, args=(connection, count), daemon=True)
                sender.start()
                got.append(_digest(connection))
                sender.join()

        def one(number: int) -> None:
            with connected(gateway.port) as client:
                assert socks5(client, HOST, server.port) == 0
                if number % 4 == 3:
                    client.sendall(BLOCK * 3)
                    client.recv(3 * MEGABYTE, socket.MSG_WAITALL)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                sender = threading.Thread(target=_send, args=(client, count))
                sender.start()
                down.append(_digest(client))
                sender.join()

        got: list[str] = []
        down: list[str] = []
        server = StreamServer(self, serve)
        gateway = self.ugate()
        idle = gateway.descriptors()
        clients = [threading.Thread(target=one, args=(number,)) for number in range(16)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        expected = digestOf(count * MEGABYTE)
        self.assertEqual(down, [expected] * 12)
        waitUntil(lambda: len(got) >= 12, "the target has all")
        self.assertEqual(got.count(expected), 12)
        # The relay's own and two threads' stay.
        waitUntil(lambda: gateway.descriptors() <= idle + 8, "all descriptors are given back")
        self.assertEqual(gateway.said().count(", client: reset"), 4)

    def test_slowReader(self) -> None:
        """
        A client that reads nothing for a while holds up its own stream only, and the gateway keeps little of
        it in memory.
        """
        server = StreamServer(self, lambda connection: _send(connection, 64))
        gateway = self.ugate()
        before = gateway.resident()
        with connected(gateway.port) as slow, connected(gateway.port) as other:
            self.assertEqual(connect(slow, HOST, server.port)[0], 200)
            self.assertEqual(socks5(other, HOST, server.port), 0)
            self.assertEqual(_digest(other), digestOf(64 * MEGABYTE))
            self.assertLess(gateway.resident() - before, 16 * 1024)
            self.assertEqual(_digest(slow), digestOf(64 * MEGABYTE))
        server.ended()


def _send(connection: socket.socket, count: int) -> None:
    # The end of a stream that was reset is seen by who reads.
    with contextlib.suppress(OSError):
        for _ in range(count):
            connection.sendall(BLOCK)
        connection.shutdown(socket.SHUT_WR)


def _digest(connection: socket.socket) -> str:
    digest = hashlib.sha256()
    while data := connection.recv(MEGABYTE):
        digest.update(data)
    return digest.hexdigest()
