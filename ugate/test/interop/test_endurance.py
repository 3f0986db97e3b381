# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Many clients, and bad ones: nothing is left behind, and the good ones are served.
"""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
from contextlib import ExitStack

from ugate.test.interop.asking import connect, connected, curl, readHead, socks4, socks5
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, waitUntil
from ugate.test.interop.targets import MEGABYTE, StreamServer, digestOf, echo, readExactly, webServer
from ugate.test.interop.test_bulk import sha256

SHORT = """
import socket, sys
kind, proxy, target, count = sys.argv[1], *map(int, sys.argv[2:])
at = f"127.0.0.1:{target}"
asked = {
    "socks5": (b"\\x05\\x01\\x00\\x05\\x01\\x00\\x01\\x7f\\x00\\x00\\x01" + target.to_bytes(2, "big"), 12),
    "socks4": (b"\\x04\\x01" + target.to_bytes(2, "big") + b"\\x7f\\x00\\x00\\x01\\x00", 8),
    "connect": (f"CONNECT {at} HTTP/1.1\\r\\nHost: {at}\\r\\n\\r\\n".encode(), 0),
}
request, size = asked[kind]
good = 0
for number in range(count):
    with socket.create_connection(("127.0.0.1", proxy), 20) as client:
        client.sendall(request + b"ping")
        data = b""
        while more := client.recv(4096):
            data += more
        good += data.endswith(b"pong") and (not size or len(data) == size + 4)
print(good)
"""

PONG = """
import socket
listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listening.getsockname()[1], flush=True)
while True:
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(20)
        try:
            if connection.recv(4) == b"ping":
                connection.sendall(b"pong")
        except OSError:
            pass
"""


class ManyTests(InteropTestCase):
    """
    Numbers that show what leaks.
    """

    limit = 120.0

    def _short(self, gateway: Gateway, target: int, total: int) -> None:
        """
        Short connections, two clients at a time, by all protocols in turn.
        """
        script = self.write("short.py", SHORT)
        kinds = ("socks5", "connect", "socks5", "socks4")
        each = total // len(kinds)
        for pair in (kinds[:2], kinds[2:]):
            children = [
                self.spawn([sys.executable, script, kind, str(gateway.port), str(target), str(each)])
                for kind in pair
            ]
            for child in children:
                self.assertEqual(child.wait(60), 0, child.said())
                self.assertEqual(child.said(), f"{each}\n")

    def test_tenThousand(self) -> None:
        """
        10,000 connections in a row: as many descriptors and as much memory as after the first 500.
        """
        gateway = self.ugate(
            config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{flows: quiet}}\n'
        )
        pong = self.spawn([sys.executable, self.write("pong.py", PONG)])
        target = int(pong.waitFor("\n"))
        idle = gateway.descriptors()
        self._short(gateway, target, 500)
        waitUntil(
            lambda: gateway.descriptors() <= idle + 1, "the descriptors of the first 500 are given back"
        )
        descriptors, resident = gateway.descriptors(), gateway.resident()
        self._short(gateway, target, 10_000)
        waitUntil(lambda: gateway.descriptors() <= descriptors, "all descriptors are given back")
        self.assertLess(gateway.resident() - resident, 4096, "KiB more than after the first 500")

    def test_idleAndBulk(self) -> None:
        """
        200 streams that are open and quiet, while much is carried, and each is alive afterwards.
        """
        gateway = self.ugate()
        server = StreamServer(self, echo)
        web = webServer(self)
        before = gateway.descriptors()
        with ExitStack() as kept:
            idle = [kept.enter_context(connected(gateway.port)) for _ in range(200)]
            for client in idle:
                self.assertEqual(socks5(client, HOST, server.port), 0)
            size = 100 * MEGABYTE
            proxy, path = gateway.url("socks5h"), self.directory / "curl.body"
            answer = curl(self, "-x", proxy, f"http://{HOST}:{web.port}/bytes/{size}")
            self.assertEqual(answer.exit, 0, answer.errors)
            self.assertEqual(sha256(path), digestOf(size))
            for number, client in enumerate(idle):
                client.sendall(b"%d." % number)
            for number, client in enumerate(idle):
                self.assertEqual(readExactly(client, len(b"%d." % number)), b"%d." % number)
        waitUntil(lambda: gateway.descriptors() <= before + 4, "all descriptors are given back")

    def test_burst(self) -> None:
        """
        500 clients that come in one moment: none finds the queue full, which would cost it a second.
        """
        gateway = self.ugate()
        server = StreamServer(self, echo)
        with ExitStack() as kept:
            clients = []
            for _ in range(500):
                began = time.monotonic()
                clients.append(kept.enter_context(connected(gateway.port)))
                self.assertLess(time.monotonic() - began, 0.9)
            request = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + server.port.to_bytes(2, "big")
            for client in clients:
                client.sendall(request + b"ping")
            for client in clients:
                self.assertEqual(readExactly(client, 16)[12:], b"ping")


class BadClientTests(InteropTestCase):
    """
    Clients that mean no good, and those that are only slow.
    """

    def _isServed(self, gateway: Gateway) -> None:
        server = webServer(self)
        answer = curl(self, "-x", gateway.url("socks5h"), f"http://{HOST}:{server.port}/who")
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)

    def test_slowLoris(self) -> None:
        """
        200 clients that send a byte now and then are cut when their time is over, and others are served
        meanwhile.
        """
        gateway = self.ugate(listen=f"auto:tcp:0:interface={HOST}:handshake=2")
        before = gateway.descriptors()
        began = time.monotonic()
        words = (
            b"\x05\x0f" + bytes(15),
            b"\x04\x01\x00\x50" + b"\x01" * 40,
            b"GET http://example.com/" + b"a" * 40,
        )
        with ExitStack() as kept:
            slow = {}
            for number in range(200):
                client = kept.enter_context(connected(gateway.port))
                client.setblocking(False)
                slow[client] = words[number % len(words)]
            position = 0
            served = False
            while slow:
                self.assertLess(time.monotonic() - began, 10, f"{len(slow)} clients are not cut")
                for client, word in list(slow.items()):
                    if self._isCut(client, word[position : position + 1]):
                        del slow[client]
                        self.assertGreater(time.monotonic() - began, 1.5, "cut too soon")
                position += 1
                if not served:
                    served = True
                    self._isServed(gateway)
                time.sleep(0.2)
            waitUntil(lambda: gateway.descriptors() <= before + 4, "all descriptors are given back")
        self.assertIn("no end of the handshake", gateway.said())

    def _isCut(self, client: socket.socket, data: bytes) -> bool:
        try:
            client.send(data)
            return client.recv(100) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def test_garbage(self) -> None:
        """
        50 kinds of garbage: each is cut, soon, and says at most that it is not understood.
        """
        gateway = self.ugate(listen=f"auto:tcp:0:interface={HOST}:handshake=2")
        rng = random.Random(50)
        heads = [
            b"\x05",
            b"\x04\x01",
            b"\x05\x01\x00\x05",
            b"GET ",
            b"CONNECT ",
            b"PROXY ",
            b"\x16\x03\x01\x02\x00",
        ]
        heads += [
            b"SSH-2.0-",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n",
            b"\x00",
            b"\xff",
            b"",
        ]
        heads += [b"\x05\x01\x02", b"GET http://[::1/ HTTP/1.1\r\n\r\n", b"CONNECT :0 HTTP/1.1\r\n\r\n"]
        heads += [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"]
        with ExitStack() as kept:
            clients = []
            for number in range(50):
                garbage = heads[number % len(heads)] + rng.randbytes(rng.choice((3, 100, 5000, 40_000)))
                client = kept.enter_context(connected(gateway.port))
                with contextlib.suppress(ConnectionError):
                    client.sendall(garbage)
                clients.append((client, garbage))
            began = time.monotonic()
            for client, garbage in clients:
                answer = b""
                with contextlib.suppress(ConnectionError):
                    while data := client.recv(65536):
                        answer += data
                self.assertLess(len(answer), 4096, garbage[:40])
                self.assertLess(time.monotonic() - began, 5, garbage[:40])
        self._isServed(gateway)

    def test_oneByteAtATime(self) -> None:
        """
        Each handshake in single bytes.
        """

        def drip(connection: socket.socket, data: bytes) -> None:
            for number in range(len(data)):
                connection.sendall(data[number : number + 1])
                time.sleep(0.001)

        gateway = self.ugate()
        server = StreamServer(self, echo)
        for host in (HOST, "localhost"):
            for ask, good in ((socks5, 0), (socks4, 90)):
                with connected(gateway.port) as client:
                    self.assertEqual(ask(client, host, server.port, drip), good)
                    drip(client, b"hello")
                    self.assertEqual(readExactly(client, 5), b"hello")
            with connected(gateway.port) as client:
                self.assertEqual(connect(client, host, server.port, drip)[0], 200)
                drip(client, b"hello")
                self.assertEqual(readExactly(client, 5), b"hello")
        web = webServer(self)
        at = f"{HOST}:{web.port}"
        with connected(gateway.port) as client:
            for _ in range(2):
                drip(
                    client,
                    f"PUT http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 5\r\n\r\nhello".encode(),
                )
                status, fields = readHead(client)
                self.assertEqual(status, 200)
                self.assertIn(b'"size": 5', readExactly(client, int(fields["content-length"])))

    def test_openAndClose(self) -> None:
        """
        Connections that close before they say anything, or in the middle of a word.
        """
        gateway = self.ugate()
        before = gateway.descriptors()
        for number in range(300):
            with connected(gateway.port) as client:
                client.sendall((b"", b"\x05", b"\x05\x01\x00\x05", b"CONN", b"\x04\x01")[number % 5])
        waitUntil(lambda: gateway.descriptors() <= before, "all descriptors are given back")
        self._isServed(gateway)
